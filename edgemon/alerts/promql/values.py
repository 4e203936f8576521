"""What expressions work on: label sets, vectors, windows of samples, and arithmetic that never raises.

Prometheus is written in Go, whose floating-point functions return NaN or an infinity where Python's raise. What is here
gives the same bits, except for the last one or two of exp, log, pow and the trigonometric functions, which the two
languages take from different libraries.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

Labels = tuple[tuple[str, str], ...]
"""Pairs of name and value, sorted by name, `__name__` among them; no value is empty."""
Vector = list[tuple[Labels, float]]

NAME = "__name__"
RESERVED = frozenset({NAME, "__type__", "__unit__"})
NOWHERE: Labels = ()
NAN, INF = math.nan, math.inf
STALE_BITS = 0x7FF0000000000002
"""The NaN that Prometheus writes where a series ends (model/value)."""
STALE: float = struct.unpack("=d", struct.pack("=Q", STALE_BITS))[0]
SAME = "vector cannot contain metrics with the same labelset"


class EvaluationError(ValueError):
    """An expression that cannot be evaluated on the series of this moment, with Prometheus' own words for it."""


class Window(NamedTuple):
    """The samples of one series in a range: times in milliseconds (int64) and values (float64), equally many."""

    labels: Labels
    times: array[int]
    values: array[float]


def labelset(pairs: Mapping[str, str] | Iterable[tuple[str, str]]) -> Labels:
    """Sorted, without empty values."""
    return tuple(sorted((name, value) for name, value in dict(pairs).items() if value))


@lru_cache(maxsize=8192)
def nameless(labels: Labels) -> Labels:
    """The labels without the name (and the type and unit) of the metric."""
    return tuple([pair for pair in labels if pair[0] not in RESERVED])


def label(labels: Labels, name: str) -> str:
    """A label's value, empty where there is none."""
    for key, value in labels:
        if key == name:
            return value
    return ""


def unique(vector: Vector) -> Vector:
    """The vector, or EvaluationError when a label set occurs twice in it."""
    if len(vector) > 1 and len({labels for labels, _ in vector}) < len(vector):
        raise EvaluationError(SAME)
    return vector


def shown(labels: Labels) -> str:
    """`name{label="value"}`, as a selector has it."""
    pairs = braced([pair for pair in labels if pair[0] != NAME])
    return label(labels, NAME) + (pairs if pairs != "{}" or not label(labels, NAME) else "")


def braced(labels: Iterable[tuple[str, str]]) -> str:
    """`{name="value", …}`, the name of the metric among them."""
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels) + "}"


def number(value: float) -> str:
    """The shortest decimal without an exponent that reads back as the value: Go's FormatFloat(value, 'f', -1, 64)."""
    if value != value:
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    sign, text = ("-", repr(value)[1:]) if math.copysign(1.0, value) < 0 else ("", repr(value))
    digits, _, exponent = text.partition("e")
    whole, _, part = digits.partition(".")
    part = "" if part == "0" else part
    shift = int(exponent or 0)
    if shift > 0:
        whole, part = whole + part[:shift].ljust(shift, "0"), part[shift:]
    elif shift < 0:
        whole, part = "0", (whole + part).rjust(len(part) - shift, "0")
    return sign + whole + (f".{part}" if part else "")


def kahan(inc: float, total: float, lost: float) -> tuple[float, float]:
    """Add to a sum, and what rounding lost to its compensation: Neumaier's variant of Kahan's summation."""
    new = total + inc
    if new in {INF, -INF}:
        return new, 0.0
    if abs(total) >= abs(inc):
        return new, lost + ((total - new) + inc)
    return new, lost + ((inc - new) + total)


def summed(values: Sequence[float]) -> tuple[float, float]:
    """What `kahan` makes of all the values from zero on: the sum and its compensation."""
    result = lost = 0.0
    for value in values:
        new = result + value
        if abs(result) >= abs(value):
            lost += (result - new) + value
        else:
            lost += (value - new) + result
        result = new
    if result - result == 0:
        return result, lost
    result = lost = 0.0
    for value in values:  # it overflows somewhere
        result, lost = kahan(value, result, lost)
    return result, lost


def divide(left: float, right: float) -> float:
    """IEEE 754 division."""
    if right:
        return left / right
    if left != left or not left or right != right:
        return NAN
    return math.copysign(INF, left) * math.copysign(1.0, right)


def modulo(left: float, right: float) -> float:
    """The remainder with the sign of the dividend."""
    return NAN if math.isinf(left) or not right else math.fmod(left, right)


def power(left: float, right: float) -> float:
    """C99's pow."""
    try:
        return math.pow(left, right)
    except OverflowError:
        return -INF if left < 0 and right % 2 == 1 else INF
    except ValueError:  # a negative number to a fraction, or zero to a negative
        odd = right % 2 == 1
        return NAN if left else math.copysign(INF, left) if odd else INF


def floor(value: float) -> float:
    """The largest whole number below or at the value, zeros with their sign."""
    if not math.isfinite(value) or abs(value) >= 2**52:
        return value
    return math.copysign(math.floor(value), value) if 0 <= value < 1 else float(math.floor(value))


def ceil(value: float) -> float:
    """The smallest whole number above or at the value, zeros with their sign."""
    return -floor(-value)


def highest(left: float, right: float) -> float:
    """Go's math.Max: an infinity wins over NaN, NaN over a number, +0 over -0."""
    if INF in {left, right}:
        return INF
    if left != left or right != right:
        return NAN
    if not left and not right:
        return right if math.copysign(1.0, left) < 0 else left
    return max(right, left)


def lowest(left: float, right: float) -> float:
    """Go's math.Min."""
    return -highest(-left, -right)


def guarded(function: Callable[[float], float], at: Mapping[float, float] | None = None) -> Callable[[float], float]:
    """A function of Python's math: its poles as given, NaN where it is not defined, +Inf where it overflows."""
    poles = at or {}

    def safe(value: float) -> float:
        try:
            return function(value)
        except ValueError:
            return poles.get(value, NAN)
        except OverflowError:
            return poles.get(math.copysign(INF, value), INF)

    return safe


def quantile(share: float, values: Sequence[float]) -> float:
    """The interpolated quantile; NaNs count as the smallest values."""
    whole = sum(values)
    ordered = sorted(values) if whole == whole else sorted(values, key=lambda value: (value == value, value))
    if not ordered or share != share:
        return NAN
    if share < 0 or share > 1:
        return math.copysign(INF, share)
    rank = share * (len(ordered) - 1)
    low = math.floor(rank)
    high = min(len(ordered) - 1, low + 1)
    weight = rank - floor(rank)
    return ordered[low] * (1 - weight) + ordered[high] * weight
