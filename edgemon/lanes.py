"""Lanes: named threads, each over a heap of due jobs, on the monotonic clock.

A job's turns lie on a grid that starts when it is added, so that neither its duration nor its jitter ever adds up; a
turn that finds the lane still busy is left out and counted, never caught up on.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from edgemon import catalog
from edgemon.metric import Reading

log = logging.getLogger("edgemon.lanes")


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do every `interval` seconds, first after `delay`, each turn off the grid by up to `jitter` of it."""

    name: str
    interval: float
    action: Callable[[], None]
    delay: float = 0.0
    jitter: float = 0.0


@dataclass(order=True, slots=True)
class _Turn:
    due: float
    order: int
    grid: float = field(compare=False)
    job: Job = field(compare=False)


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

    def set(self, jobs: list[Job]) -> None:
        """Replace all jobs; their grids start now."""
        with self._wake:
            now = self._clock()
            self._turns = [_Turn(now + job.delay, next(self._order), now + job.delay, job) for job in jobs]
            heapq.heapify(self._turns)
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
            if not self._turns or self._turns[0].due > now:
                return self._turns[0].due - now if self._turns else None
            turn = heapq.heappop(self._turns)
            self.lag = now - turn.due
            self._plan(turn, now)
            heapq.heappush(self._turns, turn)
        self._do(turn.job)
        return 0.0

    def readings(self) -> Iterator[Reading]:
        """How the lane does."""
        yield catalog.LANE_RUNS(self.runs, self.name)
        yield catalog.LANE_MISSED(self.missed, self.name)
        yield catalog.LANE_LAG(self.lag, self.name)
        yield catalog.LANE_FAILURES(self.failures, self.name)

    def _plan(self, turn: _Turn, now: float) -> None:
        """Move the turn to the next place on its grid that is still to come."""
        job = turn.job
        passed = max(0, int((now - turn.grid) // job.interval))
        self.missed += passed
        turn.grid += (passed + 1) * job.interval
        turn.due = turn.grid + job.interval * job.jitter * (2 * self._chance() - 1)
        turn.order = next(self._order)

    def busy(self) -> tuple[str, float] | None:
        """The job in hand and the seconds it has taken so far."""
        began = self._began
        return (began[0], self._clock() - began[1]) if began else None

    def _do(self, job: Job) -> None:
        self._began = (job.name, self._clock())
        try:
            job.action()
        except Exception:  # seam: a job that fails costs its own turn, and is counted
            self.failures += 1
            log.exception("%s failed in lane %s", job.name, self.name)
        self._began = None
        self.runs += 1

    def _work(self) -> None:
        while not self._stopping:
            pause = self.step()
            with self._wake:
                if pause != 0.0 and not self._stopping:
                    self._wake.wait(pause)
