"""A finding for a person and as JSON: the verdict with its evidence, what was measured, and what really ran."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgemon.finding import PERCENTILES, Finding
from edgemon.judge import diagnosis
from edgemon.judge.placement import refused, shares
from edgemon.judge.statistics import bounds, enough, median, quantile
from edgemon.judge.validity import Validity
from edgemon.judge.verdict import Verdict, interval
from edgemon.probe.result import Result


def text(finding: Finding, efficient: Sequence[tuple[str, str]] = ()) -> str:
    """A finding for a person."""
    result, verdict = finding.result, finding.verdict
    lines = [
        ("probe", result.probe),
        ("outcome", result.outcome.value + (f": {result.detail}" if result.detail else "")),
    ]
    lines += [("verdict", f"{verdict.state.value}: {verdict.text}")] + [
        (f"  {k}", v) for k, v in verdict.evidence.items()
    ]
    lines += causes(finding)
    lines += [("next", verdict.advice)] if verdict.advice and not finding.causes else []
    lines += [*moved(verdict), *trusted(finding.validity), *measured(result), *efficient, *ran(finding)]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}} {value}" for name, value in lines)


def causes(finding: Finding) -> Iterator[tuple[str, str]]:
    """Why, each with its witnesses and where they were read."""
    for one in finding.causes:
        yield "cause", f"{one.name}, {one.strength.value}: {one.meaning}"
        for name, witnesses in (("  for", one.witnesses), ("  against", one.against)):
            yield from ((name, f"{witness}  [{witness.source}]") for witness in witnesses)
        yield "  next", one.step


def moved(verdict: Verdict) -> list[tuple[str, str]]:
    """How the probe has moved lately, and over the last change of its fingerprint."""
    rows = [("drift", f"{interval(verdict.drift)} against its own rounds before")] if verdict.drift else []
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(verdict.turn.since)) if verdict.turn else ""
    told = f"{interval(verdict.turn.change)} since the fingerprint changed, {since}" if verdict.turn else ""
    return [*rows, *([("epoch", told)] if told else [])]


def trusted(validity: Validity | None) -> list[tuple[str, str]]:
    """How far the run can be trusted, and why not further."""
    if not validity:
        return []
    return [("validity", validity.grade.value), *((f"  {name}", why) for name, why in validity.reasons.items())]


def measured(result: Result) -> list[tuple[str, str]]:
    """The numbers of a result, each with its unit; what was not measured is left out."""
    what = result.facts.get("kernels", {})
    rows = [
        *steady(sorted(result.latencies)),
        *((f"{name} kernel", f"{_ms(seconds)} ({what.get(name)})") for name, seconds in result.kernels.items()),
        ("idle start", _ms(result.idle_seconds)),
        ("first run", _ms(result.first_seconds)),
        ("load", _ms(result.load_seconds)),
        ("phases", ", ".join(f"{name} {_ms(seconds)}" for name, seconds in result.phases.items())),
        ("engine import", _ms(result.import_seconds)),
        ("run delay", f"{result.run_delay:.1%} of the steady phase" if result.run_delay is not None else ""),
        ("steal", f"{result.witnesses['steal']:.1%} of the busy time" if result.witnesses.get("steal") else ""),
        ("peak memory", f"{result.peak_memory / 1e6:.0f} MB" if result.peak_memory else ""),
        (
            "cost",
            f"{result.cpu_seconds or 0.0:.2f} s CPU in {result.wall_seconds or 0.0:.2f} s"
            if result.cpu_seconds is not None
            else "",
        ),
        *energy(result.facts.get("joules") or {}),
        ("output", _distances(result.distance)),
        ("reference", _distances(result.reference)),
    ]
    return [row for row in rows if row[1]]


def energy(joules: Mapping[str, float]) -> list[tuple[str, str]]:
    """What an inference takes of energy."""
    if not joules:
        return []
    net = f"{_mj(joules['net'])} above idle ± {_mj(joules['error'])}, {_mj(joules['gross'])} in all"
    return [("energy", f"{net}; idle {joules['idle']:.2f} W")]


def _mj(joules: float) -> str:
    return f"{joules * 1000:.3f} mJ"


def steady(ordered: Sequence[float]) -> list[tuple[str, str]]:
    """Median and percentiles with their 95 % bounds, for which there are enough inferences."""
    if not ordered:
        return []
    rows = [("steady", f"median {_ms(median(ordered))} {_bounds(ordered, 0.5)} of {len(ordered)}")]
    return rows + [
        (f"  p{label}", f"{_ms(quantile(ordered, share))} {_bounds(ordered, share)}".rstrip())
        for label, share in PERCENTILES.items()
        if label != "50" and enough(len(ordered), share)
    ]


def _bounds(ordered: Sequence[float], share: float) -> str:
    """`[low, high]` in milliseconds; a question mark for a bound that so few inferences do not have."""
    low, high = (f"{ordered[rank - 1] * 1000:.3f}" if rank else "?" for rank in bounds(len(ordered), share))
    return f"[{low}, {high}]"


def ran(finding: Finding) -> list[tuple[str, str]]:
    """What really ran."""
    facts = finding.result.facts
    if not facts.get("model_sha256"):
        return []
    simulated = " (simulated)" if facts.get("simulated") else ""
    rows = [
        ("engine", f"{facts['runtime']} {facts['runtime_version']}{simulated}"),
        ("address", " ".join([facts.get("address", ""), facts.get("tls", "")]).strip()),
        ("faults", ", ".join(f"{kind} {status}" for kind, status in facts.get("faults", {}).items())),
        *placed(facts),
        ("model", f"sha256 {facts['model_sha256'][:12]}"),
        ("fingerprint", finding.fingerprint),
    ]
    return [row for row in rows if row[1]]


def placed(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where the model was asked to run, what the engine has, where it assigned it, and where the time goes."""
    rows = [
        ("requested", ", ".join(facts.get("requested") or ())),
        ("registered", registered := ", ".join(facts.get("registered") or ())),
        ("refused", refused(facts)),
        ("assigned", shares(facts.get("placement") or {}) or ("not recorded by this engine" if registered else "")),
        ("executed", shares(facts.get("executed") or {})),
    ]
    return [row for row in rows if row[1]]


def plain(finding: Finding) -> dict[str, object]:
    """A finding as JSON; golden outputs and single latencies are left to the archive."""
    verdict = finding.verdict
    data = finding.result.to_json()
    data.pop("outputs")
    return {
        **data,
        "fingerprint": finding.fingerprint,
        "key": dict(finding.key),
        "validity": {"grade": finding.validity.grade.value, "reasons": dict(finding.validity.reasons)}
        if finding.validity
        else None,
        "verdict": {
            "state": verdict.state.value,
            "cause": verdict.cause,
            "text": verdict.text,
            "slowdown": verdict.slowdown,
            "bounds": [verdict.low, verdict.high] if verdict.low else None,
            "relative": verdict.relative,
            "drift": verdict.drift.ratio if verdict.drift else None,
            "epoch": {"since": verdict.turn.since, "change": verdict.turn.change.ratio} if verdict.turn else None,
            "references": dict(verdict.references),
            "evidence": dict(verdict.evidence),
            "causes": [one.to_json() for one in finding.causes],
            "summary": diagnosis.summary(finding.causes),
            "advice": verdict.advice,
        },
    }


def _distances(measured: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in measured.items())


def _ms(seconds: float | None) -> str:
    return f"{seconds * 1000:.3f} ms" if seconds is not None else ""
