"""The verdict on a probe: its last outcome first, then its recent rounds against the baseline.

Slower or faster is said only when all agree: the change is at least the configured effect and its 95 % bound at least
half of it, the exact Mann-Whitney p is below 1 %, and the rounds hardly overlap (A12 >= 0.71, a large effect by Vargha
and Delaney). A change that large without the certainty is undecided, which asks for more rounds, not for an alarm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from edgemon.judge.baseline import Baseline, Round
from edgemon.judge.placement import fallback
from edgemon.judge.statistics import mann_whitney, ratio
from edgemon.probe.result import Outcome, Result

ENOUGH = 3
RECENT = 5
CERTAIN = 0.01
LARGE = 0.71
CONTENDED = 0.10


class State(str, Enum):
    """From best to worst."""

    OK = "ok"
    IMPROVED = "improved"
    UNDECIDED = "undecided"
    DEGRADED = "degraded"
    FAILING = "failing"


CAUSES = (
    "none", "no_baseline", "changed", "too_few_rounds", "noisy", "skipped", "faster", "slower", "contention",
    "fallback", "wrong_output", "failed", "crashed", "timeout",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """State, cause and the sentence for a person; slowdown is current over baseline with its 95 % bounds."""

    state: State
    cause: str
    text: str
    slowdown: float | None = None
    low: float | None = None
    high: float | None = None
    evidence: Mapping[str, str] = field(default_factory=dict)
    advice: str = ""


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
        return Verdict(State.FAILING, result.outcome.value, result.detail, advice=_advice(result))
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
    served = result.facts.get("runtime") in {"http", "openinference"}
    return (ENDPOINT if served else ADVICE)[result.outcome]


def _changed(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    return [name for name in {**old, **new} if old.get(name) != new.get(name)]


def _fallback(result: Result, baseline: Baseline | None) -> Verdict | None:
    """Nodes that were to run on the accelerator and do not: told by the engine's record, baseline or not."""
    fell = fallback(result.facts, baseline.placement if baseline else {})
    if not fell:
        return None
    text, evidence = fell
    advice = f"see why the engine refuses {result.facts['requested'][0]}: driver, library versions, operators"
    return Verdict(State.DEGRADED, "fallback", text, evidence=evidence, advice=advice)


def _compare(rounds: Sequence[Round], baseline: Baseline, effect: float) -> Verdict:
    recent = [one for one in rounds if one.fingerprint == baseline.fingerprint and one.at > baseline.at][-RECENT:]
    if len(recent) < ENOUGH or len(baseline.rounds) < ENOUGH:
        text = f"{len(recent)} of the {ENOUGH} rounds needed for a verdict"
        return Verdict(State.UNDECIDED, "too_few_rounds", text)
    values = [one.value for one in recent]
    slowdown, low, high = ratio(values, baseline.rounds)
    state, cause = _decide(values, baseline.rounds, (slowdown, low, high), effect)
    delay = sum(one.run_delay for one in recent) / len(recent)
    if state is State.DEGRADED and delay > CONTENDED:
        cause = "contention"
    evidence = {
        "baseline": f"{baseline.median * 1000:.3f} ms, {len(baseline.rounds)} rounds",
        "now": f"{slowdown * baseline.median * 1000:.3f} ms, {len(recent)} rounds",
        "95 % bounds": f"{low - 1:+.1%} to {high - 1:+.1%}",
        "run delay": f"{delay:.1%}",
    }
    return Verdict(state, cause, _sentence(state, slowdown), slowdown, low, high, evidence, _ADVICE.get(cause, ""))


def _decide(
    values: Sequence[float], baseline: Sequence[float], change: tuple[float, float, float], effect: float
) -> tuple[State, str]:
    slowdown, low, high = change
    if 1 / (1 + effect) < slowdown < 1 + effect:
        return State.OK, "none"
    slower = slowdown > 1
    sure = low > 1 + effect / 2 if slower else high < 1 / (1 + effect / 2)
    larger, smaller = (values, baseline) if slower else (baseline, values)
    a12, p = mann_whitney(larger, smaller)
    if not sure or p >= CERTAIN or a12 < LARGE:
        return State.UNDECIDED, "noisy"
    return (State.DEGRADED, "slower") if slower else (State.IMPROVED, "faster")


def _sentence(state: State, slowdown: float) -> str:
    change = f"{abs(slowdown - 1):.1%} {'slower' if slowdown > 1 else 'faster'} than the baseline"
    if state is State.UNDECIDED:
        return f"{change}, but the rounds differ too much to be sure"
    return f"{change}, within the accepted effect" if state is State.OK else change


_ADVICE = {
    "slower": "compare temperature, clock and throttling with the time of the baseline: edgemon sense",
    "contention": "other tasks take the CPU from the probe: see the load and what else runs",
    "noisy": "more rounds will tell",
    "faster": "if the change was meant, record a new baseline",
}
