"""The verdict on a probe: its last outcome first, then its recent rounds against the baseline (`compare`).

A change that is large but not certain is undecided, which asks for more rounds, not for an alarm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from edgemon.endpoint import RUNTIMES
from edgemon.judge.baseline import Baseline, Round, differences
from edgemon.judge.compare import Change, Comparison, Trend, compare
from edgemon.judge.epoch import ENOUGH, MORE, RECENT, Turn, rolling, turn
from edgemon.judge.placement import fallback
from edgemon.probe.result import Outcome, Result


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
    `drift` is the model's change against the probe's own rounds of a while ago, `turn` what a new epoch brought.
    `near` is that it is closer to being slower by the effect than to the baseline, whatever can be said.
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
    drift: Change | None = None
    turn: Turn | None = None
    near: bool = False


def judge(
    result: Result,
    rounds: Sequence[Round],
    baseline: Baseline | None,
    key: Mapping[str, str],
    effect: float = 0.05,
) -> Verdict:
    """Pass a verdict. `rounds` are the probe's ok rounds in order, this result's included if it is one.

    `baseline` is the one for this fingerprint, or the latest of another, from which nothing is concluded but what
    changed; `key` is what this result's fingerprint was made of. Without any the probe is compared with its own rounds
    of a while ago.
    """
    own = rolling(result.probe, key, rounds) if key else None
    verdict = _judge(result, rounds, baseline, own, key, effect)
    recent = _since(rounds, own)[-RECENT:] if own else []
    drift = compare(recent, own, effect).model if own and len(recent) >= ENOUGH else None
    turned = turn(rounds, effect)
    if turned and verdict.cause == "changed":
        verdict = replace(verdict, evidence={**verdict.evidence, "new against old": interval(turned.change)})
    return replace(verdict, drift=drift, turn=turned)


def _judge(
    result: Result,
    rounds: Sequence[Round],
    baseline: Baseline | None,
    own: Baseline | None,
    key: Mapping[str, str],
    effect: float,
) -> Verdict:
    if result.outcome is Outcome.SKIPPED:
        return Verdict(State.UNDECIDED, "skipped", result.detail)
    if result.outcome is not Outcome.OK:
        return Verdict(State.FAILING, result.outcome.value, result.detail, advice=_advice(result))
    fell = _fallback(result, baseline)
    if fell:
        return fell
    if baseline is None:
        advice = f"record one while all is well: edgemon baseline record {result.probe}"
        if own:
            found = _compare(rounds, own, effect, "its own rounds before; none is pinned")
            return replace(found, advice=found.advice or advice)
        return Verdict(State.UNDECIDED, "no_baseline", "nothing to compare with yet", advice=advice)
    changes = differences(baseline.key, key)
    if changes:
        text = f"the baseline is for another {', '.join(changes)}"
        advice = f"if the change was meant: edgemon baseline accept {result.probe}"
        return Verdict(State.UNDECIDED, "changed", text, evidence=changes, advice=advice)
    return _compare(rounds, baseline, effect)


def interval(change: Change) -> str:
    """A change in percent with its 95 % bounds, if it has them."""
    bounds = f" [{change.low - 1:+.1%}, {change.high - 1:+.1%}]" if 0 < change.low <= change.high < math.inf else ""
    return f"{change.ratio - 1:+.1%}{bounds}"


ADVICE = {
    Outcome.WRONG_OUTPUT: "compare the model file and the engine with those of the baseline",
    Outcome.FAILED: "check model, engine and providers: edgemon check",
    Outcome.CRASHED: "run it by hand with edgemon probe; look into the kernel log for the accelerator's driver",
    Outcome.TIMEOUT: "run it by hand with edgemon probe; a longer timeout: is needed if the model is that slow",
}


ENDPOINT = {
    Outcome.WRONG_OUTPUT: "compare the model and the version the server has loaded with those of the baseline",
    Outcome.FAILED: "see the server's own log, and whether a client of production is served",
    Outcome.CRASHED: "run it by hand with edgemon probe",
    Outcome.TIMEOUT: "see whether the server is overloaded; endpoint.timeout: must be longer if it is that slow",
}
LADDER = {
    "dns": "see the host in model: and the resolver; endpoint.allow: is for networks neither loopback nor private",
    "connect": "see whether the server runs, and on which address and port it listens",
    "tls": "see the server's certificate and endpoint.tls: (ca, certificate, server_name)",
    "live": "something takes connections there but does not answer as a server that lives: see its log",
    "ready": "the server is still starting or has lost a model: see its log",
    "model_ready": "see the models the server has loaded, and the name in model:",
    "metadata": "see whether the server speaks the Open Inference Protocol at this path",
    "faults": "a bad client can do this to production; endpoint.faults: leaves single ones out",
    "recovery": "the server did not survive faulty requests: restart it, and send none until it is mended",
}


def _advice(result: Result) -> str:
    if result.stage in LADDER:
        return LADDER[result.stage]
    served = result.facts.get("runtime") in RUNTIMES
    return (ENDPOINT if served else ADVICE)[result.outcome]


def _fallback(result: Result, baseline: Baseline | None) -> Verdict | None:
    """Nodes that were to run on the accelerator and do not: told by the engine's record, baseline or not."""
    fell = fallback(result.facts, baseline.placement if baseline else {})
    if not fell:
        return None
    text, evidence = fell
    advice = f"see why the engine refuses {result.facts['requested'][0]}: driver, library versions, operators"
    return Verdict(State.DEGRADED, "fallback", text, evidence=evidence, advice=advice)


def _since(rounds: Sequence[Round], baseline: Baseline) -> Sequence[Round]:
    return [one for one in rounds if one.fingerprint == baseline.fingerprint and one.at > baseline.at]


def _compare(rounds: Sequence[Round], baseline: Baseline, effect: float, kind: str = "") -> Verdict:
    """By the latest few rounds; where these come near the effect and no further, by more if those are clear."""
    own = _since(rounds, baseline)
    found = compared(own[-RECENT:], baseline, effect, kind)
    if not found.near or found.state is State.DEGRADED:
        return found
    longer = (compared(own[-count:], baseline, effect, kind) for count in MORE if len(own) >= count)
    return next((one for one in longer if one.state is State.DEGRADED), found)


def compared(recent: Sequence[Round], baseline: Baseline, effect: float, kind: str = "") -> Verdict:
    """The verdict on all of these rounds against a baseline of their fingerprint; `kind` says what it is."""
    if len(recent) < ENOUGH or len(baseline.rounds) < ENOUGH:
        text = f"{len(recent)} of the {ENOUGH} rounds needed for a verdict"
        return Verdict(State.UNDECIDED, "too_few_rounds", text)
    found = compare(recent, baseline, effect)
    state = STATES[found.trend]
    model = found.model
    evidence = {
        "baseline": f"{baseline.median * 1000:.3f} ms, {len(baseline.rounds)} rounds" + (f" ({kind})" if kind else ""),
        "now": f"{model.ratio * baseline.median * 1000:.3f} ms, {len(recent)} rounds" + _shared(found, len(recent)),
        "95 % bounds": f"{model.low - 1:+.1%} to {model.high - 1:+.1%}",
        **_witnesses(found),
    }
    advice = _ADVICE.get(found.cause if found.references else f"{found.cause} alone", _ADVICE.get(found.cause, ""))
    relative = found.relative.ratio if found.relative else None
    references = {name: one.ratio for name, one in found.references.items()}
    return Verdict(
        state, found.cause, _sentence(found), model.ratio, model.low, model.high, evidence, advice, relative,
        references, near=found.near(effect),
    )  # fmt: skip


def _shared(found: Comparison, rounds: int) -> str:
    """How many processes the rounds came from, where some share one."""
    return f" of {found.processes} process{'es' * (found.processes > 1)}" if found.processes < rounds else ""


def doubtful(verdict: Verdict) -> bool:
    """Whether the next round had better come from a new process: this one's luck may be what was compared."""
    return verdict.slowdown is not None and (verdict.state is not State.OK or verdict.near)


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
        few = found.processes < ENOUGH
        return f"{change}, but the rounds {'are of too few processes' if few else 'differ too much'} to be sure"
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
