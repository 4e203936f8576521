"""Recent rounds against the baseline: whether it is slower, and whether the model, the device or others make it so.

Each round measured the model and two kernels of fixed work in turn. The model's time over the compute kernel's does
not move with clocks, heat and a noisy host; it moves with model, engine and placement. So:

- slower than the kernels explain: the model or its engine. A kernel more than 10 % off its baseline, or others on the
  CPU, bias the ratio by some 5 % (two kinds of work do not suffer alike): then only 10 % count.
- slower, and a kernel is certainly more than 10 % slower too: the device, its arithmetic or its memory.
- slower while others had the CPU: contention, or steal where the hypervisor took it.

Rounds of one process share its luck: where its code and its memory came to lie, in pages of which size. That makes some
1 % between processes, as much as there is between rounds of one, so five rounds of a worker that stays are less than
five. What is said must hold of the processes too, each by the median of its rounds.

Of few rounds a model that is slower by the whole effect is found every other time, since as often they make it look a
little faster than it is. So from MANY rounds on PART of the effect is enough: there are more where a few come near it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from edgemon.judge.baseline import Baseline, Round, processes, shared
from edgemon.judge.statistics import by_group, mann_whitney, ratio
from edgemon.judge.validity import CONTENDED, OFF

CERTAIN = 0.01
LARGE = 0.71
MANY, PART = 10, 2 / 3
COMPUTE = "compute"
DEVICE = {"compute": "device_slow", "memory": "memory_slow"}


Processes = tuple[Sequence[float], Sequence[float]]
"""Of each recent round and of each of the baseline's the process it came from; none where each had its own."""


class Trend(Enum):
    """Where a series went."""

    SAME = "same"
    SLOWER = "slower"
    FASTER = "faster"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Change:
    """Current over baseline with its 95 % bounds, and what can be said of it."""

    ratio: float
    low: float
    high: float
    trend: Trend


@dataclass(frozen=True, slots=True)
class Comparison:
    """What moved: the model's time, that over the compute kernel's, each kernel's; and the shares others had.

    `trend` is what is to be said of the probe, `cause` why. `processes` is how many the recent rounds came from.
    `clean` is that neither others nor a kernel that is off bias the ratio.
    """

    model: Change
    relative: Change | None
    references: Mapping[str, Change]
    run_delay: float
    steal: float
    trend: Trend
    cause: str
    kernels: Mapping[str, str] = field(default_factory=dict)
    processes: int = 0
    clean: bool = True

    def near(self, effect: float) -> bool:
        """Whether it is closer to being slower by the effect than to the baseline, and nothing biases it."""
        return self.clean and (self.relative or self.model).ratio >= 1 + effect / 2


def compare(recent: Sequence[Round], baseline: Baseline, effect: float) -> Comparison:
    """Compare; there are enough rounds of the baseline's fingerprint."""
    names = [
        n for n in baseline.references if all(n in shared(one.references, one.kernels, baseline) for one in recent)
    ]
    run_delay = sum(one.run_delay for one in recent) / len(recent)
    steal = sum(one.steal for one in recent) / len(recent)
    values, of = [one.value for one in recent], (processes(recent), baseline.processes)
    references = {n: change([one.references[n] for one in recent], baseline.references[n], OFF, of) for n in names}
    off = any(abs(math.log(one.ratio)) > math.log(1 + OFF) for one in references.values())
    others = "contention" if run_delay > CONTENDED else "steal" if steal > CONTENDED else ""
    clean = not (off or others)
    enough = effect * PART if clean and len(recent) >= MANY else effect
    limit = enough if clean else max(effect, OFF)
    relative = None
    if COMPUTE in references:
        per = [one.value / one.references[COMPUTE] for one in recent]
        before = [a / b for a, b in zip(baseline.rounds, baseline.references[COMPUTE], strict=True)]
        relative = change(per, before, limit, of)
    model = change(values, baseline.rounds, limit if others else enough, of)
    trend, cause = _decide(model, relative, references, others, limit)
    ran = len(set(of[0])) or len(recent)
    return Comparison(model, relative, references, run_delay, steal, trend, cause, baseline.kernels, ran, clean)


def change(current: Sequence[float], baseline: Sequence[float], effect: float, of: Processes = ((), ())) -> Change:
    """How a series changed; `of` are the processes its rounds came from.

    Slower or faster is said only when all agree: the change is at least the effect and its 95 % bound at least half of
    it, the exact Mann-Whitney p is below 1 %, and the rounds hardly overlap (A12 >= 0.71, a large effect by Vargha and
    Delaney); and all of that but the size holds of the processes' medians. A change that large without the certainty is
    unsure.
    """
    estimate, low, high = ratio(current, baseline)
    found = Change(estimate, low, high, Trend.UNSURE)
    if 1 / (1 + effect) < estimate < 1 + effect:
        return replace(found, trend=Trend.SAME)
    slower = estimate > 1
    sure = all(_sure(a, b, effect) if slower else _sure(b, a, effect) for a, b in _levels(current, baseline, of))
    return replace(found, trend=Trend.SLOWER if slower else Trend.FASTER) if sure else found


def _levels(
    current: Sequence[float], baseline: Sequence[float], of: Processes
) -> Iterator[tuple[Sequence[float], Sequence[float]]]:
    """The rounds; and where some share a process, the processes."""
    yield current, baseline
    if any(of):
        yield _grouped(current, of[0]), _grouped(baseline, of[1])


def _grouped(values: Sequence[float], of: Sequence[float]) -> Sequence[float]:
    return by_group(values, of) if of else values


def _sure(slow: Sequence[float], quick: Sequence[float], effect: float) -> bool:
    """Whether the first are certainly slower."""
    _, low, _ = ratio(slow, quick)
    a12, p = mann_whitney(slow, quick)
    return low > 1 + effect / 2 and p < CERTAIN and a12 >= LARGE


def _decide(
    model: Change, relative: Change | None, references: Mapping[str, Change], others: str, limit: float
) -> tuple[Trend, str]:
    if (relative or model).trend is Trend.SLOWER and _unexplained(model, references, limit):
        return Trend.SLOWER, others or "slower"
    if model.trend is Trend.SLOWER and others:
        return Trend.SLOWER, others
    slow = [name for name, one in references.items() if one.trend is Trend.SLOWER]
    if model.trend is Trend.SLOWER and slow:
        return Trend.SLOWER, DEVICE[COMPUTE if COMPUTE in slow else slow[0]]
    return _rest(model, relative or model, references, limit)


def _rest(model: Change, relative: Change, references: Mapping[str, Change], limit: float) -> tuple[Trend, str]:
    """Nothing is certainly slower: faster, the same, or unsure."""
    faster = model.ratio < 1 / (1 + limit / 2)
    if model.trend is Trend.FASTER and (relative.trend is Trend.FASTER or _any(references, Trend.FASTER)):
        return Trend.FASTER, "faster"
    if relative.trend is Trend.FASTER and faster:
        return Trend.FASTER, "faster"
    moved = faster or model.ratio > 1 + limit / 2
    if relative.trend in {Trend.UNSURE, Trend.SLOWER} and moved:
        return Trend.UNSURE, "noisy"
    if model.trend is Trend.SLOWER and _any(references, Trend.UNSURE):
        return Trend.UNSURE, "noisy"
    return Trend.SAME, "none"


def _any(references: Mapping[str, Change], trend: Trend) -> bool:
    return any(one.trend is trend for one in references.values())


def _unexplained(model: Change, references: Mapping[str, Change], limit: float) -> bool:
    """Whether the model is slower than the slowest kernel certainly is; a mix of both kinds of work lies between.

    Both kernels may be faster than at the baseline. One alone does not tell what the model would gain by that.
    """
    slowest = max((one.low for one in references.values()), default=1.0)
    explained = slowest if len(references) > 1 else max(1.0, slowest)
    return model.ratio > 1 and model.ratio / explained >= 1 + limit / 2
