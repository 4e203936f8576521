"""A short memory of the series that rules look back on: one row of times shared by all, one column of values a series.

Every snapshot stamps all its series alike, so a sample costs the 8 bytes of its value. Where a series has no sample at
a time, its column holds a marker: STALE where it ended (nothing of it is seen after that), GAP where nothing was said.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator

from edgemon.alerts.promql.values import STALE, STALE_BITS, Labels, Window
from edgemon.store import Series

GAP_BITS = 0x7FF8000000000004
GAP: float = struct.unpack("=d", struct.pack("=Q", GAP_BITS))[0]
MARKERS = frozenset({STALE_BITS, GAP_BITS})
TRIM = 64
"""Rows between two trimmings; a column is at most so much longer than what is asked of it."""


def bits(value: float) -> int:
    """The 64 bits of a float, which tell one NaN from another."""
    whole: int = struct.unpack("=Q", struct.pack("=d", value))[0]
    return whole


class Column:
    """The values of one series from row `first` on; `marked` is the last row that holds a marker, or -1."""

    __slots__ = ("depth", "first", "labels", "marked", "values")

    def __init__(self, labels: Labels, first: int, depth: int) -> None:
        self.labels, self.first, self.depth = labels, first, depth
        self.values = array("d")
        self.marked = -1

    @property
    def end(self) -> int:
        """The row after the last."""
        return self.first + len(self.values)

    def mark(self, marker: float, count: int = 1) -> None:
        """Append markers."""
        self.values.extend([marker] * count)
        self.marked = self.end - 1


class History:
    """Rows about `spacing` milliseconds apart at least. A row is opened, series are put into it, and it is closed."""

    def __init__(self, spacing: int = 0) -> None:
        self.spacing = spacing
        self.times = array("q")
        self.first = 0
        self.columns: dict[str, dict[Series, Column]] = {}
        """By the name of the metric in Prometheus."""
        self.version = 0
        """Changes when columns come or go."""
        self._trimmed = 0

    @property
    def end(self) -> int:
        """The row after the last."""
        return self.first + len(self.times)

    def open(self, at: int) -> bool:
        """Begin a row at a time in milliseconds; False when it is too close to the last, or not after it."""
        if self.times and at < self.times[-1] + max(1, self.spacing * 9 // 10):  # snapshots are never quite on time
            return False
        self.times.append(at)
        return True

    def put(self, series: Series, labels: Labels, value: float, depth: int) -> None:
        """The value of a series in the open row; `depth` is how many milliseconds of it are kept."""
        family = self.columns.setdefault(series[0].prometheus, {})
        column = family.get(series)
        row = self.end - 1
        if column is None:
            column = family[series] = Column(labels, row, depth)
            self.version += 1
        elif row > column.end:
            column.mark(GAP, row - column.end)
        column.depth = depth
        column.values.append(value)
        if value != value and bits(value) in MARKERS:
            column.marked = row

    def close(self) -> None:
        """End the row: a series that was in the row before and is not in this one ends with a marker."""
        row = self.end - 1
        for family in self.columns.values():
            for column in family.values():
                if column.end == row and column.marked != row - 1:
                    column.mark(STALE)
        if row - self._trimmed >= TRIM:
            self.trim()

    def trim(self) -> None:
        """Let go of what is older than each series' depth, and of series nothing is left of."""
        self._trimmed, now, longest = self.end - 1, self.times[-1], 0
        for name, family in list(self.columns.items()):
            for series, column in list(family.items()):
                longest = max(longest, column.depth)
                oldest = self.first + bisect_right(self.times, now - column.depth)
                if oldest >= column.end:
                    del family[series]
                    self.version += 1
                elif oldest > column.first:
                    del column.values[: oldest - column.first]
                    column.first = oldest
            if not family:
                del self.columns[name]
        gone = bisect_right(self.times, now - longest)
        del self.times[:gone]
        self.first += gone

    def samples(self) -> int:
        """How many values are kept, markers included."""
        return sum(len(column.values) for family in self.columns.values() for column in family.values())


def last(history: History, columns: list[Column], at: int, lookback: int) -> Iterator[tuple[Labels, float, int]]:
    """Of each series the newest sample at or before a time and less than `lookback` older: labels, value, time."""
    row = history.first + bisect_right(history.times, at) - 1
    oldest = history.first + bisect_right(history.times, at - lookback)
    for column in columns:
        here = min(row, column.end - 1)
        while here >= max(oldest, column.first):
            value = column.values[here - column.first]
            kind = bits(value) if value != value else 0
            if kind == STALE_BITS:
                break
            if kind != GAP_BITS:
                yield column.labels, value, history.times[here - history.first]
                break
            here -= 1


def windows(history: History, columns: list[Column], start: int, end: int) -> Iterator[Window]:
    """Of each series the samples after `start` and up to `end`, where there are any."""
    low, high = bisect_right(history.times, start), bisect_right(history.times, end)
    times, oldest, newest = history.times[low:high], history.first + low, history.first + high
    for column in columns:
        shift = column.first - oldest
        values = column.values[max(0, -shift) : max(0, newest - column.first)]
        if not values:
            continue
        mine = times if len(values) == len(times) else times[max(0, shift) : max(0, shift) + len(values)]
        if column.marked >= oldest:
            mine, values = _unmarked(mine, values)
        if values:
            yield Window(column.labels, mine, values)


def _unmarked(times: array[int], values: array[float]) -> tuple[array[int], array[float]]:
    kinds = memoryview(values.tobytes()).cast("Q")
    kept = [index for index, kind in enumerate(kinds) if kind not in MARKERS]
    return array("q", [times[index] for index in kept]), array("d", [values[index] for index in kept])
