"""Lanes: named threads, each over the jobs that are due, on the monotonic clock.

A job's turns lie on a grid that starts when it is added, so that neither its duration nor its jitter ever adds up,
unless it has a pace of its own; a turn that finds the lane still busy is left out and counted, never caught up on.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from edgemon import catalog
from edgemon.metric import Reading

log = logging.getLogger("edgemon.lanes")


class Pace(Protocol):
    """When the turns of a job come. Asked under the lane's lock, so it only computes."""

    interval: float

    def due(self) -> float:
        """When the next turn comes, on the lane's clock."""

    def begin(self, now: float) -> int:
        """Take the turn; how many were left out before it because the lane was busy."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do every `interval` seconds, first after `delay`, each turn off the grid by up to `jitter` of it.

    A `pace` says when instead. Of jobs due at once the one of the highest `priority` comes first, but none waits longer
    than its interval for that.
    """

    name: str
    interval: float
    action: Callable[[], None]
    delay: float = 0.0
    jitter: float = 0.0
    pace: Pace | None = None
    priority: int = 0


class Grid:
    """The pace of a job that has none of its own."""

    def __init__(self, job: Job, now: float, chance: Callable[[], float]) -> None:
        self.interval, self._jitter, self._chance = job.interval, job.interval * job.jitter, chance
        self._slot = self._due = now + job.delay

    def due(self) -> float:
        """The place on the grid, off by the jitter."""
        return self._due

    def begin(self, now: float) -> int:
        """Go to the next place on the grid that is still to come; how many have passed."""
        passed = max(0, int((now - self._slot) // self.interval))
        self._slot += (passed + 1) * self.interval
        self._due = self._slot + self._jitter * (2 * self._chance() - 1)
        return passed


@dataclass(slots=True)
class _Turn:
    job: Job
    pace: Pace
    order: int

    def rank(self, now: float) -> tuple[bool, int, float, int]:
        """Who has waited for an interval comes first, then who has priority, then who has waited longest."""
        due = self.pace.due()
        late = now - due >= self.pace.interval
        return (not late, 0 if late else -self.job.priority, due, self.order)


class Lane:
    """One thread that does one job at a time. `clock` gives seconds that never go back."""

    def __init__(
        self, name: str, clock: Callable[[], float] = time.monotonic, chance: Callable[[], float] = random.random
    ) -> None:
        self.name = name
        self._clock, self._chance = clock, chance
        self._turns: list[_Turn] = []
        self._order = itertools.count()
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name=f"edgemon-{name}", daemon=True)
        self.runs = self.missed = self.failures = 0
        self.lag = 0.0
        self._began: tuple[str, float] | None = None
        self._moved = 0.0

    def set(self, jobs: list[Job]) -> None:
        """Replace all jobs; their grids start now."""
        with self._wake:
            now = self._clock()
            paces = [job.pace or Grid(job, now, self._chance) for job in jobs]
            self._turns = [_Turn(job, pace, next(self._order)) for job, pace in zip(jobs, paces, strict=True)]
            self._wake.notify()

    def wake(self) -> None:
        """Look again at what is due: a pace has changed."""
        with self._wake:
            self._wake.notify()

    def start(self) -> None:
        """Begin working."""
        self._thread.start()

    def stop(self, patience: float) -> bool:
        """Take no further job and wait `patience` seconds for the one in hand; whether it ended."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join(patience)
        return not self._thread.is_alive()

    def step(self) -> float | None:
        """Do the job that is due, if one is; seconds until the next one, None when there are none."""
        with self._wake:
            now = self._clock()
            pause = self._pause(now)
            if pause is None or pause > 0:
                return pause
            turn = min((turn for turn in self._turns if turn.pace.due() <= now), key=lambda turn: turn.rank(now))
            self.lag = now - turn.pace.due()
            self.missed += turn.pace.begin(now)
            turn.order = next(self._order)
        self._do(turn.job)
        return 0.0

    def readings(self) -> Iterator[Reading]:
        """How the lane does."""
        yield catalog.LANE_RUNS(self.runs, self.name)
        yield catalog.LANE_MISSED(self.missed, self.name)
        yield catalog.LANE_LAG(self.lag, self.name)
        yield catalog.LANE_FAILURES(self.failures, self.name)

    def busy(self) -> tuple[str, float] | None:
        """The job in hand and the seconds it has taken so far."""
        began = self._began
        return (began[0], self._clock() - began[1]) if began else None

    def stuck(self, bound: float) -> str:
        """Why it does not move although a job has been in hand, or due, for longer than `bound` seconds; else nothing.

        Never waits for the lane.
        """
        if self._thread.ident is None or self._stopping:
            return ""
        if not self._thread.is_alive():
            return f"lane {self.name} has ended"
        if busy := self.busy():
            return f"lane {self.name} is stuck in {busy[0]} for {busy[1]:.0f} s" if busy[1] > bound else ""
        now = self._clock()
        idle = now - max(self._moved, min((turn.pace.due() for turn in self._turns), default=now))
        return f"lane {self.name} is stuck: what is due has waited for {idle:.0f} s" if idle > bound else ""

    def _do(self, job: Job) -> None:
        self._began = (job.name, self._clock())
        try:
            job.action()
        except Exception:  # seam: a job that fails costs its own turn, and is counted
            self.failures += 1
            log.exception("%s failed in lane %s", job.name, self.name)
        self._moved, self._began = self._clock(), None
        self.runs += 1

    def _pause(self, now: float) -> float | None:
        """Seconds until the next turn, 0 if one is due, None when there are no jobs."""
        first = min((turn.pace.due() for turn in self._turns), default=None)
        return None if first is None else max(0.0, first - now)

    def _work(self) -> None:
        with contextlib.suppress(OSError), open(f"/proc/self/task/{threading.get_native_id()}/comm", "w") as name:
            name.write(self.name)  # what `top -H` shows
        while not self._stopping:
            if self.step() == 0.0:
                continue
            with self._wake:  # asked again under the lock: what was set or woken since then is not slept through
                pause = self._pause(self._clock())
                if pause != 0.0 and not self._stopping:
                    self._wake.wait(pause)
