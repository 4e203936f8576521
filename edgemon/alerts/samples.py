"""What rules write: recorded series and ALERTS, kept as Prometheus keeps them, one sample an evaluation.

Unlike the snapshots of `promql.select`, where a series that is not in the newest is gone, a series written here stands
for five minutes after its last sample, unless it was ended with a marker.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterator

from edgemon.alerts.promql.history import bits
from edgemon.alerts.promql.select import LOOKBACK, Selector, Source
from edgemon.alerts.promql.values import NAME, STALE, STALE_BITS, Labels, Window, label

TRIM = 64
"""Samples of a series between two trimmings."""


def stale(value: float) -> bool:
    """Whether it is the marker of an end."""
    return math.isnan(value) and bits(value) == STALE_BITS


class Series:
    """The samples of one series: times in milliseconds, and values, a marker where it ended."""

    __slots__ = ("ended", "labels", "times", "values")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.times, self.values = array("q"), array("d")
        self.ended = False
        """Whether any sample is a marker."""

    def append(self, at: int, value: float) -> None:
        """Add a sample; one that is not newer than the last takes its place."""
        if self.times and at <= self.times[-1]:
            self.values[-1] = value
        else:
            self.times.append(at)
            self.values.append(value)
        self.ended = self.ended or stale(value)

    def trim(self, oldest: int) -> None:
        """Let go of what is older."""
        if (gone := bisect_right(self.times, oldest)) >= TRIM or gone == len(self.times):
            del self.times[:gone], self.values[:gone]

    def last(self, at: int) -> tuple[float, int] | None:
        """The sample that stands for the series at a time, and its time."""
        index = bisect_right(self.times, at) - 1
        if index < 0 or self.times[index] <= at - LOOKBACK:
            return None
        value = self.values[index]
        return None if stale(value) else (value, self.times[index])

    def window(self, start: int, end: int) -> Window | None:
        """The samples after `start` and up to `end`."""
        low, high = bisect_right(self.times, start), bisect_right(self.times, end)
        times, values = self.times[low:high], self.values[low:high]
        if self.ended:
            kept = [index for index, value in enumerate(values) if not stale(value)]
            times, values = array("q", [times[one] for one in kept]), array("d", [values[one] for one in kept])
        return Window(self.labels, times, values) if values else None


class Samples(Source):
    """The series of a device as rules see them: its snapshots, and what rules wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.written: dict[str, dict[Labels, Series]] = {}
        """By name, then by labels."""
        self.kept = LOOKBACK
        """How many milliseconds of what rules wrote are kept."""

    def write(self, labels: Labels, at: int, value: float) -> None:
        """Add a sample at a time in milliseconds."""
        family = self.written.setdefault(label(labels, NAME), {})
        found = family.get(labels)
        if found is None:
            found = family[labels] = Series(labels)
        found.append(at, value)

    def end(self, labels: Labels, at: int) -> None:
        """End a series with a marker."""
        self.write(labels, at, STALE)

    def trim(self, now: int) -> None:
        """Let go of what no rule looks back on."""
        for name, family in list(self.written.items()):
            for labels, series in list(family.items()):
                series.trim(now - self.kept)
                if not series.times:
                    del family[labels]
            if not family:
                del self.written[name]

    def instant(self, selector: Selector, at: int) -> Iterator[tuple[Labels, float, int]]:
        """Labels, value and time of the newest sample of each series at a time in milliseconds."""
        if self.at >= 0:
            yield from super().instant(selector, at)
        for series in self._chosen(selector):
            if found := series.last(at):
                yield series.labels, *found

    def windows(self, selector: Selector, start: int, end: int) -> Iterator[Window]:
        """The samples of each series after `start` and up to `end`."""
        if self.at >= 0:
            yield from super().windows(selector, start, end)
        for series in self._chosen(selector):
            if found := series.window(start, end):
                yield found

    def _chosen(self, selector: Selector) -> Iterator[Series]:
        written = self.written
        families = [written.get(selector.name, {})] if selector.name is not None else list(written.values())
        return (one for family in families for one in list(family.values()) if selector.matches(one.labels))
