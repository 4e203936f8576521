"""A case: what is known of a probe that is not ok, and witnesses for and against what may have made it so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from edgemon import inference
from edgemon.conditions import Conditions
from edgemon.endpoint import RUNTIMES
from edgemon.judge.baseline import Baseline, Round
from edgemon.judge.placement import is_cpu
from edgemon.judge.validity import OFF
from edgemon.judge.verdict import State, Verdict
from edgemon.metric import Metric
from edgemon.probe.result import Outcome, Result

NOTHING = Conditions()


class Kind(Enum):
    """What is not ok: a cause is looked for among those that can make it so."""

    SLOW = "slow"
    UNSURE = "unsure"
    CHANGED = "changed"
    FELL_BACK = "fell back"
    WRONG = "wrong"
    FAILED = "failed"
    LATE = "late"


SPEED = frozenset({Kind.SLOW, Kind.UNSURE, Kind.LATE})


class Weight(IntEnum):
    """What a witness is worth: a proof alone makes a cause certain, a strong one likely, a weak one possible."""

    AGAINST = -1
    WEAK = 1
    STRONG = 2
    PROOF = 3


@dataclass(frozen=True, slots=True)
class Witness:
    """A fact: what it is of, its value now, the value then or the limit, and the series or file it was read from."""

    what: str
    now: str
    then: str = ""
    source: str = ""
    weight: Weight = Weight.WEAK

    def __str__(self) -> str:
        return f"{self.what}: {self.now}" + (f" ({self.then})" if self.then else "")


@dataclass(frozen=True, slots=True)
class Case:
    """The last result and its verdict; `rounds`, `key` and `now` are of the recent rounds, `before` of those before."""

    result: Result
    verdict: Verdict
    baseline: Baseline | None = None
    key: Mapping[str, str] = field(default_factory=dict)
    rounds: Sequence[Round] = ()
    now: Conditions = NOTHING
    before: Conditions = NOTHING

    @property
    def then(self) -> Conditions:
        """What the device was like for the baseline, or for its own rounds before; empty if nobody looked."""
        return (self.baseline.conditions if self.baseline else None) or self.before

    @property
    def kind(self) -> Kind | None:
        """What is not ok; None if nothing is, or nothing is known yet."""
        if self.verdict.state is State.FAILING:
            return _OUTCOMES.get(self.result.outcome)
        if self.verdict.state is State.DEGRADED:
            return Kind.FELL_BACK if self.verdict.cause == "fallback" else Kind.SLOW
        if self.verdict.state is State.UNDECIDED:
            return {"changed": Kind.CHANGED, "noisy": Kind.UNSURE}.get(self.verdict.cause)
        return None

    @property
    def served(self) -> bool:
        """Whether another process serves the model."""
        return self.result.facts.get("runtime") in RUNTIMES

    @property
    def accelerated(self) -> bool:
        """Whether the model is meant to run on something else than the CPU."""
        asked = self.result.facts.get("requested") or (self.baseline.key if self.baseline else {}).get(
            "providers", ""
        ).split(",")
        return bool(asked and asked[0]) and not is_cpu(str(asked[0]))

    @property
    def referenced(self) -> bool:
        """Whether fixed work ran where the model does: on the CPU it says nothing of an accelerator."""
        label = str(self.result.facts.get("kernels", {}).get("compute", ""))
        return bool(label) and not (self.accelerated and label.startswith(("CPU", "host:")))

    @property
    def run_delay(self) -> float:
        """Share of the recent rounds' time that other tasks had."""
        return _mean([one.run_delay for one in self.rounds] or [self.result.run_delay or 0.0])

    @property
    def steal(self) -> float:
        """Share of the recent rounds' CPU time that the hypervisor took."""
        return _mean([one.steal for one in self.rounds] or [self.result.witnesses.get("steal", 0.0)])

    def series(self, metric: Metric, *labels: str) -> str:
        """A series of this probe, as `source` has it."""
        return source(metric, self.result.probe, *labels)


_OUTCOMES = {
    Outcome.WRONG_OUTPUT: Kind.WRONG,
    Outcome.FAILED: Kind.FAILED,
    Outcome.CRASHED: Kind.FAILED,
    Outcome.TIMEOUT: Kind.LATE,
}

Examine = Callable[[Case], Iterable[Witness]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A cause, what it means and what to do about it; `find` yields the witnesses it rests on.

    `support` are witnesses that count only beside those; `unless` names causes that, at least likely, explain this one.
    `step` may name the {probe}.
    """

    name: str
    meaning: str
    step: str
    kinds: frozenset[Kind]
    find: Examine
    support: tuple[Examine, ...] = ()
    unless: tuple[str, ...] = ()


def source(metric: Metric, *labels: str) -> str:
    """A series in Prometheus' words, from the metric's first labels; an empty one is left out."""
    pairs = [f'{name}="{value}"' for name, value in zip(metric.prometheus_labels, labels, strict=False) if value]
    return f"{metric.prometheus}{{{','.join(pairs)}}}" if pairs else metric.prometheus


def fixed_work(case: Case) -> Iterator[Witness]:
    """Whether the device is slower at work that never changes, too: said by the compute kernel of the recent rounds."""
    slow = case.verdict.references.get("compute")
    if slow is None or not case.referenced or OFF / 2 <= slow - 1 < OFF:
        return
    weight = Weight.WEAK if slow >= 1 + OFF else Weight.AGAINST
    where = case.series(inference.PROBE_KERNEL_SLOWDOWN, "compute")
    yield Witness("time of fixed work (compute kernel)", f"{slow - 1:+.0%}", "against the baseline", where, weight)


def at_then(text: str) -> str:
    """How a value of the baseline is told."""
    return f"{text} at the baseline" if text else ""


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
