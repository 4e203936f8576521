"""Quantiles of classic histograms: series of cumulative counts with their upper bound in the label `le`."""

from __future__ import annotations

import math
import re
import sys

from edgemon.alerts.promql.values import INF, NAN, Labels, Vector, divide, label, nameless, unique

TOLERANCE = 1e-12
DECIMAL = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|inf(inity)?)", re.ASCII | re.IGNORECASE)
Bucket = tuple[float, float]


def histogram_quantile(share: float, vector: Vector) -> Vector:
    """The quantile of each histogram; series without a number in `le` are left out."""
    found: dict[Labels, list[Bucket]] = {}
    for labels, count in vector:
        text = label(labels, "le")
        if DECIMAL.fullmatch(text):
            key = tuple(pair for pair in labels if pair[0] != "le")
            found.setdefault(key, []).append((float(text), count))
    return unique([(nameless(key), _quantile(share, buckets)) for key, buckets in found.items()])


def _quantile(share: float, buckets: list[Bucket]) -> float:
    if share != share:
        return NAN
    if share < 0 or share > 1:
        return math.copysign(INF, share)
    merged = _merge(sorted(buckets, key=lambda bucket: bucket[0]))
    if merged[-1][0] != INF or len(merged) < 2:
        return NAN
    bounds, counts = [bound for bound, _ in merged], _monotonic([count for _, count in merged])
    return _interpolate(share, bounds, counts) if counts[-1] else NAN


def _interpolate(share: float, bounds: list[float], counts: list[float]) -> float:
    rank = share * counts[-1]
    at = _search(counts, rank)
    if at == len(bounds) - 1:
        return bounds[-2]
    if at == 0 and bounds[0] <= 0:
        return bounds[0]
    start, count = 0.0, counts[at]
    if at > 0:
        start, count, rank = bounds[at - 1], count - counts[at - 1], rank - counts[at - 1]
    return start + (bounds[at] - start) * divide(rank, count)


def _search(counts: list[float], rank: float) -> int:
    """The first bucket but the last that reaches the rank; a bisection whose answer for NaN is Go's."""
    low, high = 0, len(counts) - 1
    while low < high:
        middle = (low + high) // 2
        if counts[middle] >= rank:
            high = middle
        else:
            low = middle + 1
    return low


def _merge(buckets: list[Bucket]) -> list[Bucket]:
    """Buckets with the same bound, as 1 and 1.0 are, become one."""
    merged = [buckets[0]]
    for bound, count in buckets[1:]:
        if bound == merged[-1][0]:
            merged[-1] = (bound, merged[-1][1] + count)
        else:
            merged.append((bound, count))
    return merged


def _monotonic(counts: list[float]) -> list[float]:
    """Counts that never fall; differences too small to be more than rounding are none."""
    result, before = counts[:1], counts[0]
    for count in counts[1:]:
        if count != before and (_almost(before, count) or count < before):
            result.append(before)
        else:
            result.append(count)
            before = count
    return result


def _almost(one: float, other: float) -> bool:
    if one != one and other != other:
        return True
    both, apart = abs(one) + abs(other), abs(one - other)
    if not one or not other or both < sys.float_info.min:
        return apart < TOLERANCE * sys.float_info.min
    return divide(apart, min(both, sys.float_info.max)) < TOLERANCE
