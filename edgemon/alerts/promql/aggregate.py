"""Aggregations: a vector to one value a group, or to the k first of each group."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from edgemon.alerts.promql.functions import ROOT
from edgemon.alerts.promql.overtime import highest, lowest, mean
from edgemon.alerts.promql.values import (
    NAME,
    NAN,
    NOWHERE,
    EvaluationError,
    Labels,
    Vector,
    labelset,
    number,
    quantile,
    summed,
)

Key = Callable[[Labels], Labels]


def grouping(names: Sequence[str], without: bool) -> Key:
    """From a series' labels to its group's."""
    chosen = frozenset([*names, NAME] if without else names)
    if not chosen:
        return lambda _labels: NOWHERE
    known: dict[Labels, Labels] = {}

    def group(labels: Labels) -> Labels:
        found = known.get(labels)
        if found is None:
            if len(known) > 10_000:
                known.clear()
            found = known[labels] = tuple([pair for pair in labels if (pair[0] in chosen) is not without])
        return found

    return group


def grouped(vector: Vector, key: Key) -> dict[Labels, list[float]]:
    """The values of each group, in the order they came."""
    groups: dict[Labels, list[float]] = {}
    for labels, value in vector:
        groups.setdefault(key(labels), []).append(value)
    return groups


def total(values: Sequence[float]) -> float:
    """The compensated sum."""
    result, lost = summed(values)
    return result + lost


def variance(values: Sequence[float]) -> float:
    """The population variance by Welford's method, without compensation as in Prometheus."""
    middle = values[0]
    squares = 0.0 if math.isfinite(middle) else NAN
    for count, value in enumerate(values[1:], 2):
        off = value - middle
        middle += off / count
        squares += off * (value - middle)
    return squares / len(values)


REDUCERS: dict[str, Callable[[Sequence[float]], float]] = {
    "sum": total,
    "avg": mean,
    "min": lowest,
    "max": highest,
    "count": lambda values: float(len(values)),
    "group": lambda _values: 1.0,
    "stdvar": variance,
    "stddev": lambda values: ROOT(variance(values)),
}
PARAMETRIC = ("topk", "bottomk", "quantile", "count_values")
"""Aggregations that take another argument before the vector."""


def quantiles(share: float, vector: Vector, key: Key) -> Vector:
    """The quantile of each group."""
    return [(labels, quantile(share, values)) for labels, values in grouped(vector, key).items()]


def count_values(name: str, vector: Vector, names: Sequence[str], without: bool) -> Vector:
    """How often each value occurs in each group, the value in a label."""
    key = grouping(names if without else [*names, name], without)
    named = [(labelset({**dict(labels), name: number(value)}), value) for labels, value in vector]
    return [(labels, float(len(values))) for labels, values in grouped(named, key).items()]


def ranked(count: float, vector: Vector, key: Key, top: bool) -> Vector:
    """The largest (or smallest) of each group, best first, NaN last; of equals Prometheus' choice."""
    if not -(2.0**63) <= count < 2.0**63:
        if count < 1 or not vector:
            return []
        raise EvaluationError(f"Scalar value {_go(count)} overflows int64")
    size = min(int(count), len(vector))
    if size < 1:
        return []
    heaps: dict[Labels, _Heap] = {}
    for labels, value in vector:
        heaps.setdefault(key(labels), _Heap(size, top)).offer(labels, value)
    return [item for heap in heaps.values() for item in heap.ordered()]


def _go(value: float) -> str:
    return "NaN" if value != value else f"{value:+}".capitalize() if math.isinf(value) else f"{value:g}"


class _Heap:
    """The best so far, the worst of them first: a binary heap with the moves of Go's container/heap.

    Which of equal values stays depends on those moves.
    """

    def __init__(self, size: int, top: bool) -> None:
        self.size, self.top = size, top
        self.items: Vector = []

    def worse(self, one: float, other: float) -> bool:
        return one != one or (one < other if self.top else one > other)

    def offer(self, labels: Labels, value: float) -> None:
        if len(self.items) < self.size:
            self.items.append((labels, value))
            self._up(len(self.items) - 1)
            return
        worst = self.items[0][1]
        if (worst < value if self.top else worst > value) or (worst != worst and value == value):
            self.items[0] = (labels, value)
            self._down()

    def _up(self, at: int) -> None:
        items = self.items
        while at > 0:
            parent = (at - 1) // 2
            if not self.worse(items[at][1], items[parent][1]):
                return
            items[at], items[parent] = items[parent], items[at]
            at = parent

    def _down(self) -> None:
        items, at, end = self.items, 0, len(self.items)
        while (child := 2 * at + 1) < end:
            if child + 1 < end and self.worse(items[child + 1][1], items[child][1]):
                child += 1
            if not self.worse(items[child][1], items[at][1]):
                return
            items[at], items[child] = items[child], items[at]
            at = child

    def ordered(self) -> Iterable[tuple[Labels, float]]:
        """Best first, NaN last."""
        sign = -1.0 if self.top else 1.0
        return sorted(self.items, key=lambda item: (item[1] != item[1], sign * item[1]))
