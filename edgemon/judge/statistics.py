"""Statistics on small samples, distribution-free and exact: order statistics, Mann-Whitney, Hodges-Lehmann.

The unit is the round (one run of a probe), never the single inference: rounds differ from one another more than
inferences within a round do, and pooling them finds differences where there are none. For the same reason rounds of one
process count as one where that matters (`compare`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two middle ones; ValueError when there is none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("median of nothing")
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the sorted values do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def enough(count: int, share: float, confidence: float = 0.95) -> bool:
    """Whether `count` samples can bound the quantile from above: some sample lies beyond it with this confidence."""
    return 1 - share**count >= confidence


def bounds(count: int, share: float, confidence: float = 0.95) -> tuple[int | None, int | None]:
    """Ranks, from 1, of the two samples that bound a quantile; None where `count` samples do not bound it.

    Distribution-free: how many of n samples lie below the quantile is binomial. The lower rank is the largest that
    lies above the quantile in at most half of the cases left to chance, the upper the smallest that lies below it so.
    """
    tail, deviation = (1 - confidence) / 2, math.sqrt(count * share * (1 - share))
    start = max(0, math.floor(count * share - 12 * deviation))  # what lies before has no mass worth adding
    low, below = start or None, 0.0
    for rank in range(start + 1, count + 1):
        below += _binomial(count, rank - 1, share)
        if below <= tail:
            low = rank
        if below >= 1 - tail:
            return low, rank
    return low, None


def _binomial(count: int, hits: int, share: float) -> float:
    logarithm = math.lgamma(count + 1) - math.lgamma(hits + 1) - math.lgamma(count - hits + 1)
    return math.exp(logarithm + hits * math.log(share) + (count - hits) * math.log1p(-share))


def spread(values: Sequence[float]) -> float:
    """The robust coefficient of variation: the interquartile range, as a normal's deviation, over the median."""
    ordered = sorted(values)
    middle = median(ordered)
    return (quantile(ordered, 0.75) - quantile(ordered, 0.25)) / 1.349 / middle if middle > 0 else 0.0


@lru_cache(maxsize=32)
def _arrangements(first: int, second: int) -> tuple[int, ...]:
    """For each u, the number of ways the two samples can interleave to give U = u: a Gaussian binomial coefficient.

    Its coefficients are those of the product of (1 - q^(second + i)) / (1 - q^i) for i from 1 to first (Andrews, The
    Theory of Partitions, theorem 3.1), each factor a pass over the list.
    """
    counts = [1] + [0] * (first * second)
    for one in range(1, first + 1):
        for u in range(len(counts) - 1, second + one - 1, -1):
            counts[u] -= counts[u - second - one]
        for u in range(one, len(counts)):
            counts[u] += counts[u - one]
    return tuple(counts)


def by_group(values: Sequence[float], groups: Sequence[object]) -> list[float]:
    """The median of each group, in the order in which the groups first appear."""
    members: dict[object, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        members.setdefault(group, []).append(value)
    return [median(one) for one in members.values()]


def mann_whitney(current: Sequence[float], baseline: Sequence[float]) -> tuple[float, float]:
    """A12, the probability that a current value exceeds a baseline one, and the exact one-sided p of so large a U.

    Ties count half to A12 and not at all to U, which makes p larger, never smaller. Up to 50 values a side.
    """
    above = sum(a > b for a in current for b in baseline)
    ties = sum(a == b for a in current for b in baseline)
    ways = _arrangements(len(current), len(baseline))
    return (above + ties / 2) / (len(current) * len(baseline)), sum(ways[above:]) / sum(ways)


def ratio(current: Sequence[float], baseline: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Current over baseline: Hodges-Lehmann's estimate on logarithms, with its exact confidence bounds.

    The bounds are (0, inf) where the samples are too small for that confidence.
    """
    shifts = sorted(math.log(a / b) for a in current for b in baseline)
    ways = _arrangements(len(current), len(baseline))
    total, tail, cut = sum(ways), 0, 0
    while (tail + ways[cut]) / total <= (1 - confidence) / 2:
        tail, cut = tail + ways[cut], cut + 1
    estimate = math.exp(median(shifts))
    if cut == 0:
        return estimate, 0.0, math.inf
    return estimate, math.exp(shifts[cut - 1]), math.exp(shifts[len(shifts) - cut])
