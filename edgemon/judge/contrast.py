"""Runs side by side: how much slower or faster each is than the first, and what they differ in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgemon.judge.baseline import Baseline, differences, shared
from edgemon.judge.compare import COMPUTE, Change, change
from edgemon.judge.statistics import by_group, mann_whitney
from edgemon.probe.golden import distance


@dataclass(frozen=True, slots=True)
class Side:
    """Rounds of one probe on one device, under the name they were asked for by."""

    label: str
    rounds: Baseline


@dataclass(frozen=True, slots=True)
class Contrast:
    """One side against the first.

    `relative` is the model over the compute kernel, which other clocks and CPUs of one kind leave alone; `larger` the
    probability that a process of this side takes longer (A12), `p` that of a difference so large by chance (exact, of
    that direction); `outputs` the distance of the golden outputs, {} where both have none of the same inputs.
    """

    side: Side
    model: Change
    relative: Change | None
    references: Mapping[str, Change]
    larger: float
    p: float
    differences: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, float] = field(default_factory=dict)


def contrast(first: Side, side: Side, effect: float = 0.05) -> Contrast:
    """Hold a side against the first."""
    a, b = side.rounds, first.rounds
    names = shared(a.references, a.kernels, b)
    per = [_relative(one) for one in (a, b)] if COMPUTE in names else []
    of = (a.processes, b.processes)
    apart = [by_group(one.rounds, one.processes) if one.processes else one.rounds for one in (a, b)]
    larger, p = mann_whitney(*apart)
    _, other = mann_whitney(*reversed(apart))
    return Contrast(
        side=side,
        model=change(a.rounds, b.rounds, effect, of),
        relative=change(per[0], per[1], effect, of) if per else None,
        references={name: change(a.references[name], b.references[name], effect, of) for name in names},
        larger=larger,
        p=min(p, other),
        differences=differences(b.key, a.key),
        outputs=distance([list(map(dict, one)) for one in a.golden], [list(map(dict, one)) for one in b.golden]),
    )


def _relative(one: Baseline) -> list[float]:
    """Each round's model over its compute kernel."""
    return [model / kernel for model, kernel in zip(one.rounds, one.references[COMPUTE], strict=True)]


def contrasts(sides: Sequence[Side], effect: float = 0.05) -> list[Contrast]:
    """Every other side against the first."""
    return [contrast(sides[0], side, effect) for side in sides[1:]]
