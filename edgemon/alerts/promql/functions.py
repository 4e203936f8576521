"""Functions of instant vectors that work on each value, and dates."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from edgemon.alerts.promql.values import INF, NAN, ceil, divide, floor, guarded, highest, lowest

ROOT = guarded(math.sqrt)


def _logarithm(function: Callable[[float], float]) -> Callable[[float], float]:
    return guarded(function, {0.0: -INF})


def sign(value: float) -> float:
    """1, -1, or the value itself where it is a zero or NaN."""
    return math.copysign(1.0, value) if value < 0 or value > 0 else value


def rounded(value: float, to: float = 1.0) -> float:
    """To the nearest multiple, halves up."""
    inverse = divide(1.0, to)
    return divide(floor(value * inverse + 0.5), inverse)


def clamp(value: float, least: float, most: float) -> float:
    """Between two bounds."""
    return highest(least, lowest(most, value))


PLAIN: dict[str, Callable[[float], float]] = {
    "abs": abs,
    "ceil": ceil,
    "floor": floor,
    "exp": guarded(math.exp),
    "sqrt": ROOT,
    "ln": _logarithm(math.log),
    "log2": _logarithm(math.log2),
    "log10": _logarithm(math.log10),
    "sgn": sign,
    "sin": guarded(math.sin),
    "cos": guarded(math.cos),
    "tan": guarded(math.tan),
    "asin": guarded(math.asin),
    "acos": guarded(math.acos),
    "atan": math.atan,
    "sinh": guarded(math.sinh, {-INF: -INF}),
    "cosh": guarded(math.cosh, {-INF: INF}),
    "tanh": math.tanh,
    "asinh": math.asinh,
    "acosh": guarded(math.acosh),
    "atanh": guarded(math.atanh, {1.0: INF, -1.0: -INF}),
    "deg": lambda value: value * 180 / math.pi,
    "rad": lambda value: value * math.pi / 180,
}
"""Of one value."""

SCALED: dict[str, Callable[..., float]] = {
    "round": rounded,
    "clamp": clamp,
    "clamp_min": lambda value, least: clamp(value, least, INF),
    "clamp_max": lambda value, most: clamp(value, -INF, most),
}
"""Of one value and some scalars."""

MONTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _days(at: time.struct_time) -> int:
    leap = at.tm_year % 4 == 0 and (at.tm_year % 100 != 0 or at.tm_year % 400 == 0)
    return MONTHS[at.tm_mon - 1] + (at.tm_mon == 2 and leap)


PARTS: dict[str, Callable[[time.struct_time], int]] = {
    "year": lambda at: at.tm_year,
    "month": lambda at: at.tm_mon,
    "day_of_month": lambda at: at.tm_mday,
    "day_of_year": lambda at: at.tm_yday,
    "day_of_week": lambda at: (at.tm_wday + 1) % 7,
    "days_in_month": _days,
    "hour": lambda at: at.tm_hour,
    "minute": lambda at: at.tm_min,
}
"""Of a time in UTC."""


def date(part: Callable[[time.struct_time], int], seconds: float) -> float:
    """A part of the time so many seconds after 1970; NaN for what is no time."""
    try:
        return float(part(time.gmtime(int(seconds))))
    except (ValueError, OverflowError, OSError):
        return NAN
