"""The push side of the daemon: snapshots, probe rounds and flips become OTLP batches on a lane of their own.

Whoever sees, probes or flips only leaves it in a queue: neither encoding nor a disk that is slow to take a batch holds
up the lanes that measure. OpenTelemetry's messages are imported when something is first pushed: 4.5 MB.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgemon import config, identity, pushed
from edgemon.alerts.flip import Flip
from edgemon.dispatch import Dispatch
from edgemon.finding import Finding
from edgemon.lanes import Job, Lane
from edgemon.metric import Reading
from edgemon.probe.result import Outcome
from edgemon.push import Otlp
from edgemon.sinks.otlp.batch import Batch
from edgemon.store import Snapshot
from edgemon.sysfs import Root

if TYPE_CHECKING:
    from edgemon.sinks.otlp.metrics import Metrics
    from edgemon.sinks.otlp.trace import Round

IDLE = 60.0
WAITING = 100
"""Snapshots, rounds and flips that may wait to be encoded; of more the oldest are missed, and counted."""
EARLY = 0.5
"""Share of the time between two sweeps by which one may come too early for a push: the nearest is taken."""


@dataclass(frozen=True, slots=True)
class Flipped:
    """A flip and when it was announced: CLOCK_BOOTTIME, nanoseconds."""

    flip: Flip
    at: int


Item = Snapshot | Finding | Flipped


class Pushing:
    """Makes batches for one configuration at a time and has them sent; without an endpoint it does nothing."""

    interval = IDLE

    def __init__(self, root: Root, dispatch: Dispatch) -> None:
        self.lane = Lane("encoding")
        self._root, self._dispatch, self._boot = root, dispatch, dispatch.boot
        self._began = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._queue: deque[Item] = deque()
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._settings, self._signals = Otlp(), frozenset[str]()
        self._metrics: Metrics | None = None
        self._resource: Any = None
        self._due = self._seen = self._since = 0.0
        self._rounds: dict[str, Round] = {}
        self._recent: list[Round] = []
        self._missed = self._failed = self._series = self._omitted = 0
        self._started = False

    def follow(self, settings: config.Config) -> None:
        """Push what a configuration says."""
        with self._turn:
            self._settings, self._signals = settings.otlp, frozenset(settings.otlp.pushed())
            self._due = 0.0
            self._dispatch.follow(settings.otlp)
            if not self._signals:
                return
            import edgemon.sinks.otlp.records  # noqa: F401, PLC0415 - while there are descriptors to read it (and trace)
            from edgemon.sinks.otlp.common import resource  # noqa: PLC0415 - OpenTelemetry's messages
            from edgemon.sinks.otlp.metrics import Metrics  # noqa: PLC0415

            attributes = {**identity.attributes(self._root), **settings.otlp.resource}
            self._resource = resource(attributes)
            self._metrics = self._metrics or Metrics(self._boot, self._began)
            self._metrics.follow(settings.otlp, attributes)
        if not self._started:
            self._started = True
            self.lane.set([Job("encode", IDLE, self._work, pace=self)])
            self.lane.start()

    def see(self, snapshot: Snapshot) -> None:
        """A sweep has ended: its snapshot is pushed if it is time."""
        at, every = snapshot.at, self._settings.interval
        pace, self._seen = at - self._seen, at
        if "metrics" in self._signals and at >= self._due - EARLY * min(pace, every):
            self._due = self._due + every if self._due + every > at else at + every
            self._leave([snapshot])

    def probed(self, finding: Finding) -> None:
        """A probe has run."""
        if self._signals & {"metrics", "traces"} and finding.result.outcome is not Outcome.SKIPPED:
            self._leave([finding])

    def flipped(self, flips: Iterable[Flip]) -> None:
        """Alerts have flipped."""
        if "logs" in self._signals:
            at = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            self._leave([Flipped(one, at) for one in flips])

    def readings(self) -> Iterator[Reading]:
        """What is pushed."""
        if self._signals:
            yield from self.lane.readings()
            yield from self._dispatch.readings()
            yield pushed.SERIES(self._series)
            yield pushed.OMITTED(self._omitted)
            yield pushed.MISSED(self._missed + self._failed)

    def stop(self, patience: float) -> None:
        """Make what waits ready, and end; what is not sent is written."""
        if self._started and self.lane.stop(patience):
            self._work()
        self._dispatch.stop(patience)

    def lanes(self) -> list[Lane]:
        """The lanes that must move."""
        return [self.lane, *self._dispatch.lanes()]

    def due(self) -> float:
        """The pace of the lane: since something waits, or much later."""
        return self._since if self._queue else time.monotonic() + IDLE

    def begin(self, _now: float) -> int:
        """Take the turn; none is missed, since they come as there is something to do."""
        return 0

    def _leave(self, items: Iterable[Item]) -> None:
        with self._lock:
            self._since = self._since if self._queue else time.monotonic()
            self._queue.extend(items)
            while len(self._queue) > WAITING:
                self._queue.popleft()
                self._missed += 1
        self.lane.wake()

    def _work(self) -> None:
        with self._turn:
            while self._queue:
                with self._lock:
                    item = self._queue.popleft()
                self._made(item)

    def _made(self, item: Item) -> None:
        """Make batches of it; what cannot be made one is missed, and counted as such."""
        done = False
        try:
            for batch in self._batches(item):
                self._dispatch.put(batch)
            done = True
        finally:
            self._failed += not done

    def _batches(self, item: Item) -> Iterable[Batch]:
        if isinstance(item, Snapshot):
            return self._measured(item)
        if isinstance(item, Finding):
            return self._traced(item)
        from edgemon.sinks.otlp.records import logs  # noqa: PLC0415

        return [logs(item.flip, item.at, self._rounds, self._resource, self._boot)] if "logs" in self._signals else []

    def _measured(self, snapshot: Snapshot) -> Iterable[Batch]:
        if self._metrics is None or "metrics" not in self._signals:
            return ()
        told = self._metrics.tell(snapshot, self._recent)
        self._recent = []
        self._series, self._omitted = told.series, told.omitted
        return told.batches

    def _traced(self, finding: Finding) -> Iterable[Batch]:
        from edgemon.sinks.otlp.trace import round_of, traces  # noqa: PLC0415

        one = round_of(finding.result, identity.instance(self._root))
        if "traces" not in self._signals:
            self._recent.append(replace(one, latencies=()))  # exemplars would lead nowhere
            return ()
        self._recent.append(one)
        self._rounds[one.probe] = one
        return [traces(finding, one, self._resource, self._boot)]
