"""The verdict on a probe: its last outcome first, then its recent rounds against the baseline (`compare`).

A change that is large but not certain is undecided, which asks for more rounds, not for an alarm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from edgemon.judge.baseline import Baseline, Round
from edgemon.judge.compare import Comparison, Trend, compare
from edgemon.probe.result import Outcome, Result

ENOUGH = 3
RECENT = 5
CPU = "CPUExecutionProvider"


class State(str, Enum):
    """From best to worst."""

    OK = "ok"
    IMPROVED = "improved"
    UNDECIDED = "undecided"
    DEGRADED = "degraded"
    FAILING = "failing"


CAUSES = (
    "none", "no_baseline", "changed", "too_few_rounds", "noisy", "skipped", "faster", "slower", "device_slow",
    "memory_slow", "contention", "steal", "fallback", "wrong_output", "failed", "crashed", "timeout",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """State, cause and the sentence for a person; slowdown is current over baseline with its 95 % bounds.

    `relative` is the same for the model's time over the compute kernel's, `references` for the kernels' own times.
    """

    state: State
    cause: str
    text: str
    slowdown: float | None = None
    low: float | None = None
    high: float | None = None
    evidence: Mapping[str, str] = field(default_factory=dict)
    advice: str = ""
    relative: float | None = None
    references: Mapping[str, float] = field(default_factory=dict)


def judge(
    result: Result,
    rounds: Sequence[Round],
    baseline: Baseline | None,
    key: Mapping[str, str],
    effect: float = 0.05,
) -> Verdict:
    """Pass a verdict. `rounds` are the probe's ok rounds in order, this result's included if it is one.

    `baseline` is the one for this fingerprint, or the latest of another, from which nothing is concluded but what
    changed; `key` is what this result's fingerprint was made of.
    """
    if result.outcome is Outcome.SKIPPED:
        return Verdict(State.UNDECIDED, "skipped", result.detail)
    if result.outcome is not Outcome.OK:
        return Verdict(State.FAILING, result.outcome.value, result.detail, advice=ADVICE[result.outcome])
    fell = _fallback(result, baseline)
    if fell:
        return fell
    if baseline is None:
        advice = f"record one while all is well: edgemon baseline record {result.probe}"
        return Verdict(State.UNDECIDED, "no_baseline", "nothing to compare with yet", advice=advice)
    changes = {name: f"{baseline.key.get(name, '')} -> {key.get(name, '')}" for name in _changed(baseline.key, key)}
    if changes:
        text = f"the baseline is for another {', '.join(changes)}"
        advice = f"if the change was meant: edgemon baseline accept {result.probe}"
        return Verdict(State.UNDECIDED, "changed", text, evidence=changes, advice=advice)
    return _compare(rounds, baseline, effect)


ADVICE = {
    Outcome.WRONG_OUTPUT: "compare the model file and the engine with those of the baseline",
    Outcome.FAILED: "check model, engine and providers: edgemon check",
    Outcome.CRASHED: "run it by hand with edgemon probe; look into the kernel log for the accelerator's driver",
    Outcome.TIMEOUT: "run it by hand with edgemon probe; a longer timeout: is needed if the model is that slow",
}


def _changed(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    return [name for name in {**old, **new} if old.get(name) != new.get(name)]


def _fallback(result: Result, baseline: Baseline | None) -> Verdict | None:
    """Nodes that were to run on the accelerator and do not: told by the engine's record, baseline or not."""
    requested = result.facts.get("requested") or [CPU]
    placement = result.facts.get("placement") or {}
    if requested[0] == CPU or not placement:
        return None
    now, before = placement.get(requested[0], 0.0), (baseline.placement if baseline else {}).get(requested[0], 0.0)
    if now > 0 and now >= before - 0.01:
        return None
    evidence = {"placement": ", ".join(f"{name} {share:.0%}" for name, share in placement.items())}
    text = f"{now:.0%} of the graph is on {requested[0]}" + (f", it was {before:.0%}" if before else "")
    advice = f"see why the engine refuses {requested[0]}: driver, library versions, unsupported operators"
    return Verdict(State.DEGRADED, "fallback", text, evidence=evidence, advice=advice)


def _compare(rounds: Sequence[Round], baseline: Baseline, effect: float) -> Verdict:
    recent = [one for one in rounds if one.fingerprint == baseline.fingerprint and one.at > baseline.at][-RECENT:]
    if len(recent) < ENOUGH or len(baseline.rounds) < ENOUGH:
        text = f"{len(recent)} of the {ENOUGH} rounds needed for a verdict"
        return Verdict(State.UNDECIDED, "too_few_rounds", text)
    found = compare(recent, baseline, effect)
    state = STATES[found.trend]
    model = found.model
    evidence = {
        "baseline": f"{baseline.median * 1000:.3f} ms, {len(baseline.rounds)} rounds",
        "now": f"{model.ratio * baseline.median * 1000:.3f} ms, {len(recent)} rounds",
        "95 % bounds": f"{model.low - 1:+.1%} to {model.high - 1:+.1%}",
        **_witnesses(found),
    }
    advice = _ADVICE.get(found.cause if found.references else f"{found.cause} alone", _ADVICE.get(found.cause, ""))
    relative = found.relative.ratio if found.relative else None
    references = {name: one.ratio for name, one in found.references.items()}
    return Verdict(
        state, found.cause, _sentence(found), model.ratio, model.low, model.high, evidence, advice, relative, references
    )


STATES = {
    Trend.SAME: State.OK,
    Trend.FASTER: State.IMPROVED,
    Trend.SLOWER: State.DEGRADED,
    Trend.UNSURE: State.UNDECIDED,
}


def _witnesses(found: Comparison) -> dict[str, str]:
    """What speaks for one cause or another."""
    said = {
        f"{name} kernel": f"{one.ratio - 1:+.1%} ({found.kernels.get(name, '')})"
        for name, one in found.references.items()
    }
    if found.relative:
        bounds = f"{found.relative.low - 1:+.1%} to {found.relative.high - 1:+.1%}"
        said["over compute"] = f"{found.relative.ratio - 1:+.1%} ({bounds})"
    return {**said, "run delay": f"{found.run_delay:.1%}", **({"steal": f"{found.steal:.1%}"} if found.steal else {})}


def _sentence(found: Comparison) -> str:
    slowdown = found.model.ratio
    change = f"{abs(slowdown - 1):.1%} {'slower' if slowdown > 1 else 'faster'} than the baseline"
    if found.trend is Trend.UNSURE:
        return f"{change}, but the rounds differ too much to be sure"
    if found.trend is Trend.SAME:
        within = found.model.trend is Trend.SAME
        return f"{change}, within the accepted effect" if within else f"{change}, as is the device at fixed work"
    return change + _BECAUSE.get(found.cause, "").format(
        delay=found.run_delay, steal=found.steal, **{name: one.ratio - 1 for name, one in found.references.items()}
    )


_BECAUSE = {
    "device_slow": "; the device does fixed work {compute:.1%} slower too",
    "memory_slow": "; the device copies memory {memory:.1%} slower too",
    "contention": "; others had the CPU for {delay:.0%} of the time",
    "steal": "; the hypervisor took {steal:.0%} of the CPU",
}

_ADVICE = {
    "slower alone": "compare temperature, clock and throttling with the time of the baseline: edgemon sense",
    "slower": "compare model, engine and driver with the time of the baseline: the device itself is as fast as then",
    "device_slow": "compare temperature, clock and power mode with the time of the baseline: edgemon sense",
    "memory_slow": "see what else uses the memory; compare its clock with the time of the baseline",
    "contention": "other tasks take the CPU from the probe: see the load and what else runs",
    "steal": "the hypervisor gives the CPU to other guests: see its load, or reserve CPUs",
    "noisy": "more rounds will tell",
    "faster": "if the change was meant, record a new baseline",
}
