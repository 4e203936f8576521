"""Functions of range vectors: the samples of one series in a window, never empty, to one value or to none.

Each follows Prometheus 3 (promql/functions.go, 3.5) operation by operation, so that the results are the same bits.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from operator import add, mul
from typing import NamedTuple, TypeAlias

from edgemon.alerts.promql import overtime
from edgemon.alerts.promql.values import NAN, divide, quantile, summed


class Span(NamedTuple):
    """The window asked for, and when the expression is evaluated: milliseconds. `scalar` is the other argument."""

    start: int
    end: int
    at: int
    scalar: float = NAN


Times: TypeAlias = "array[int]"
Values: TypeAlias = "array[float]"
Function: TypeAlias = "Callable[[Times, Values, Span], float | None]"


def _extrapolated(times: Times, values: Values, span: Span, counter: bool) -> tuple[float, float] | None:
    """The change over the samples, resets undone, and the factor that stretches it over the window."""
    count = len(values) - 1
    if count < 1:
        return None
    result, first = values[-1] - values[0], values[0]
    if counter:
        before = first
        for value in values:
            if value < before:
                result += before
            before = value
    to_start, to_end = (times[0] - span.start) / 1000, (span.end - times[-1]) / 1000
    sampled = (times[-1] - times[0]) / 1000
    average = sampled / count
    threshold = average * 1.1
    if to_start >= threshold:
        to_start = average / 2
    if counter and result > 0 and first >= 0:
        to_zero = sampled * (first / result)
        to_start = min(to_start, to_zero)
    if to_end >= threshold:
        to_end = average / 2
    return result, (sampled + to_start + to_end) / sampled


def rate(times: Times, values: Values, span: Span) -> float | None:
    """Increase a second."""
    found = _extrapolated(times, values, span, True)
    return found and found[0] * (found[1] / ((span.end - span.start) / 1000))


def increase(times: Times, values: Values, span: Span) -> float | None:
    """How much a counter grew."""
    found = _extrapolated(times, values, span, True)
    return found and found[0] * found[1]


def delta(times: Times, values: Values, span: Span) -> float | None:
    """How much a gauge changed."""
    found = _extrapolated(times, values, span, False)
    return found and found[0] * found[1]


def idelta(_times: Times, values: Values, _span: Span) -> float | None:
    """The difference of the last two samples."""
    return values[-1] - values[-2] if len(values) > 1 else None


def irate(times: Times, values: Values, _span: Span) -> float | None:
    """The growth between the last two samples, a second."""
    if len(values) < 2:
        return None
    change = values[-1] if values[-1] < values[-2] else values[-1] - values[-2]
    return change / ((times[-1] - times[-2]) / 1000)


def _regression(times: Times, values: Values, origin: int) -> tuple[float, float]:
    """Slope and intercept of least squares, with compensated sums."""
    if all(value == values[0] for value in values):
        return (NAN, NAN) if math.isinf(values[0]) else (0.0, values[0])
    count, past = float(len(values)), [(time - origin) / 1000 for time in times]
    x, y, xy, xx = (add(*summed(terms)) for terms in (past, values, [*map(mul, past, values)], [*map(mul, past, past)]))
    slope = divide(xy - x * y / count, xx - x * x / count)
    return slope, y / count - slope * x / count


def deriv(times: Times, values: Values, _span: Span) -> float | None:
    """The slope a second."""
    return _regression(times, values, times[0])[0] if len(values) > 1 else None


def predict_linear(times: Times, values: Values, span: Span) -> float | None:
    """The value some seconds from now."""
    if len(values) < 2:
        return None
    slope, intercept = _regression(times, values, span.at)
    return slope * span.scalar + intercept


def _timeless(function: Callable[[Values], float]) -> Function:
    return lambda _times, values, _span: function(values)


FUNCTIONS: dict[str, Function] = {
    "rate": rate,
    "increase": increase,
    "delta": delta,
    "idelta": idelta,
    "irate": irate,
    "deriv": deriv,
    "predict_linear": predict_linear,
    "quantile_over_time": lambda _times, values, span: quantile(span.scalar, values),
    **{name: _timeless(function) for name, function in overtime.FUNCTIONS.items()},
}
"""Range vector to instant vector. All but last_over_time take the name away."""
