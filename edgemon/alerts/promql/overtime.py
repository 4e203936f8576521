"""Functions of the values in a window, whenever they were: one series' samples, never fewer than one, to one value.

Each follows Prometheus 3 (promql/functions.go, 3.5) operation by operation, so that the results are the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from edgemon.alerts.promql.functions import ROOT
from edgemon.alerts.promql.values import kahan, summed

Values = Sequence[float]


def changes(values: Values) -> float:
    """How often the value changed; NaN to NaN is no change."""
    return float(sum(old != new and (old == old or new == new) for old, new in pairwise(values)))


def resets(values: Values) -> float:
    """How often the value fell."""
    return float(sum(new < old for old, new in pairwise(values)))


def total(values: Values) -> float:
    """The compensated sum."""
    result, lost = summed(values)
    return result if math.isinf(result) else result + lost


def mean(values: Values) -> float:
    """The compensated sum over the count, or the incremental mean where the sum would overflow."""
    result, lost = summed(values)
    if result - result == 0:
        return result / len(values) + lost / len(values)
    result, lost, count = values[0], 0.0, 1.0
    for index, value in enumerate(values[1:], 1):
        count = index + 1.0
        added, left = kahan(value, result, lost)
        if math.isinf(added):
            return _incremental(values, index, result / (count - 1), lost / (count - 1))
        result, lost = added, left
    return result / count + lost / count


def _incremental(values: Values, first: int, result: float, lost: float) -> float:
    for count, value in enumerate(values[first:], first + 1):
        share = (count - 1) / count
        result, lost = kahan(value / count, share * result, share * lost)
    return result + lost


def highest(values: Values) -> float:
    """The largest; NaN only where there is nothing else."""
    whole = sum(values)
    if whole == whole:
        return max(values)
    result = values[0]
    for value in values:
        if value > result or result != result:
            result = value
    return result


def lowest(values: Values) -> float:
    """The smallest; NaN only where there is nothing else."""
    whole = sum(values)
    if whole == whole:
        return min(values)
    result = values[0]
    for value in values:
        if value < result or result != result:
            result = value
    return result


def variance(values: Values) -> float:
    """The population variance by Welford's method with compensated sums."""
    middle = lost = squares = lost_squares = 0.0
    for count, value in enumerate(values, 1):
        off = value - (middle + lost)
        middle, lost = kahan(off / count, middle, lost)
        squares, lost_squares = kahan(off * (value - (middle + lost)), squares, lost_squares)
    return (squares + lost_squares) / len(values)


def deviation(values: Values) -> float:
    """The population standard deviation."""
    return ROOT(variance(values))


FUNCTIONS: dict[str, Callable[[Values], float]] = {
    "changes": changes,
    "resets": resets,
    "sum_over_time": total,
    "avg_over_time": mean,
    "max_over_time": highest,
    "min_over_time": lowest,
    "count_over_time": lambda values: float(len(values)),
    "last_over_time": lambda values: values[-1],
    "present_over_time": lambda _values: 1.0,
    "stdvar_over_time": variance,
    "stddev_over_time": deviation,
}
"""All but last_over_time take the name away."""
