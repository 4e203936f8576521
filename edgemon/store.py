"""The store: the latest readings of every source, and the immutable snapshot that sinks and rules read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from edgemon.metric import Distribution, Kind, Metric, Reading
from edgemon.sketch import Exponential

Series = tuple[Metric, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every series at one moment, each once; `at` is CLOCK_BOOTTIME, `number` grows with every snapshot.

    Histograms stand apart, so that who reads numbers need not know of them.
    """

    number: int = 0
    at: float = 0.0
    series: Mapping[Series, float] = field(default_factory=dict)
    histograms: Mapping[Series, Exponential] = field(default_factory=dict)


class Store:
    """Sources put their readings, whole; a commit makes them the snapshot. Any thread may do either."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sources: dict[str, tuple[Reading | Distribution, ...]] = {}
        self.snapshot = Snapshot()

    def put(self, source: str, readings: Iterable[Reading | Distribution]) -> None:
        """Replace the readings of a source: what it no longer gives disappears instead of freezing."""
        kept = tuple(readings)
        with self._lock:
            self._sources[source] = kept

    def readings(self) -> list[Reading]:
        """The series of the snapshot, as they were taken."""
        return [Reading(metric, labels, value) for (metric, labels), value in self.snapshot.series.items()]

    def commit(self) -> Snapshot:
        """Publish a new snapshot; of a series given by two sources the first is kept.

        A counter that falls by less than 1 % is held: the kernel's idle and iowait times step back a little
        (Documentation/filesystems/proc.rst), and Prometheus would take that for a restart from zero.
        """
        with self._lock:
            before = self.snapshot.series.get
            series: dict[Series, float] = {}
            histograms: dict[Series, Exponential] = {}
            for readings in self._sources.values():
                for metric, labels, value in readings:
                    if value is None:
                        continue
                    if isinstance(value, Exponential):
                        histograms.setdefault((metric, labels), value)
                        continue
                    if metric.kind is Kind.COUNTER:
                        last = before((metric, labels), 0.0)
                        value = last if 0.99 * last <= value < last else value  # noqa: PLW2901
                    series.setdefault((metric, labels), value)
            at = time.clock_gettime(time.CLOCK_BOOTTIME)
            self.snapshot = Snapshot(self.snapshot.number + 1, at, series, histograms)
            return self.snapshot
