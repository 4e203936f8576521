"""How counters and histograms are told: since when they count, and in delta what came since the last push."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from edgemon.metric import Metric
from edgemon.sketch import Exponential
from edgemon.store import Series

BOOT = 1
"""Boot on CLOCK_BOOTTIME, in nanoseconds; 0 would be no time."""
READ = ("system.", "hw.", "edgemon.cpu.", "edgemon.pressure.", "edgemon.accelerator.", "edgemon.throttle.")
"""What the kernel, a driver or a firmware counts since boot. Everything else edgemon counts, since it started."""


@dataclass(frozen=True, slots=True)
class Span:
    """What to tell of a counter: from when, and how much."""

    start: int
    value: float


@dataclass(frozen=True, slots=True)
class Spread:
    """What to tell of a histogram."""

    start: int
    value: Exponential


def read(metric: Metric) -> bool:
    """Whether a counter is read from the device, and not edgemon's own."""
    return metric.name.startswith(READ)


class Counting:
    """Remembers what was told of each counter. `began` is when edgemon started, on CLOCK_BOOTTIME, nanoseconds."""

    def __init__(self, began: int) -> None:
        self.temporality = "cumulative"
        self._began = began
        self._counts: dict[Series, float] = {}
        self._spreads: dict[Series, Exponential] = {}
        self._starts: dict[Series, int] = {}
        self._told: dict[Series, int] = {}

    def delta(self, metric: Metric) -> bool:
        """Whether a counter is told in delta."""
        return self.temporality == "delta" or (self.temporality == "lowmemory" and not read(metric))

    def count(self, series: Series, value: float, at: int) -> Span | None:
        """A counter now; in delta nothing for the first look at one whose past others may have told."""
        before = self._counts.get(series)
        self._counts[series] = value
        start = self._start(series, before is not None and value < before, at)
        if not self.delta(series[0]):
            return Span(start, value)
        if before is None and read(series[0]):
            return None
        return Span(start, value - before if before is not None and value >= before else value)

    def spread(self, series: Series, value: Exponential, at: int) -> Spread:
        """A histogram now."""
        before = self._spreads.get(series)
        self._spreads[series] = value
        start = self._start(series, before is not None and value.count < before.count, at)
        if not self.delta(series[0]) or before is None or value.count < before.count:
            return Spread(start, value)
        return Spread(start, less(value, before))

    def prune(self, live: Collection[Series]) -> None:
        """Forget series that are no more, once they are many: one that comes back soon has gone on counting."""
        if len(self._told) > 2 * len(live) + 1000:
            known: tuple[dict[Series, Any], ...] = (self._counts, self._spreads, self._starts, self._told)
            for kept in known:
                for series in kept.keys() - live:
                    del kept[series]

    def _start(self, series: Series, reset: bool, at: int) -> int:
        """Since when it counts: after a reset since the last look at it, in delta always."""
        before, self._told[series] = self._told.get(series), at
        if before and (reset or self.delta(series[0])):
            self._starts[series] = before
        return min(self._starts.get(series, self.beginning(series[0])), at)

    def beginning(self, metric: Metric) -> int:
        """Since when a sum counts that has never begun anew."""
        return BOOT if read(metric) else self._began


def less(value: Exponential, before: Exponential) -> Exponential:
    """What came to a distribution since it was `before`."""
    counts = list(value.counts)
    for index, count in enumerate(before.counts, before.offset - value.offset):
        counts[index] -= count
    return Exponential(value.scale, value.offset, tuple(counts), value.zeros - before.zeros, value.sum - before.sum)
