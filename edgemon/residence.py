"""Where a probe's worker lives: for one run, or from run to run where that is cheaper and does no harm.

A worker that stays saves the import of the engine and the load of the model, 0.25 s of CPU and more each time, and
costs memory for as long as it stays. Engines do not give memory back within a process: so it leaves from time to time.
Rounds of one process also share its luck (`judge.compare`): so it leaves after a few rounds, and when a verdict is in
doubt each round comes from a process of its own until it is not.
"""

from __future__ import annotations

import glob
import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from edgemon import catalog, config
from edgemon.events import Mark, Packages, stamp
from edgemon.judge.baseline import HOST
from edgemon.judge.placement import is_cpu
from edgemon.metric import Reading
from edgemon.probe import supervisor
from edgemon.probe.result import Outcome, Request, Result
from edgemon.probe.witness import available
from edgemon.values import duration

log = logging.getLogger("edgemon.residence")

OFTEN = 180.0
"""Seconds between two runs up to which starting a worker each time costs more than keeping one."""
SHARE, ALL, MOST = 0.10, 0.25, 8
"""Of the memory that would be available without resident workers one may hold so much, all together so much; and how
many there may be."""
AGE = 3600.0
GROWTH = 32 << 20
"""Bytes that a worker may grow, or half of what it was after its first round if that is more."""
EACH = frozenset(
    {"golden", "golden_digest", "golden_inputs", "reference", "reference_inputs", "tolerance", "samples", "seconds",
     "idle", "kernel_share", "energy", "timeout", "record", "counted", "until", "rate", "faults", "profile", "fresh"}
)  # fmt: skip
"""What of a request may differ from round to round."""
APART = ("record", "until", "faults", "profile", "fresh")
"""What is asked of a worker that is then gone."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Whether a worker stays, and why, in words."""

    stays: bool
    why: str

    def __str__(self) -> str:
        return f"{'resident' if self.stays else 'ephemeral'} ({self.why})"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known when a worker is chosen: bytes that this one needs, that the others hold, that would be available
    without any; how many others there are; accelerators that the model ran on; whether memory is short."""

    need: int = 0
    held: int = 0
    total: int = 0
    others: int = 0
    accelerators: Sequence[str] = ()
    short: bool = False


def choose(probe: config.Probe, now: Circumstances) -> Choice:
    """Resident or ephemeral, by the configuration and the circumstances."""
    if probe.runtime in config.TRANSIENT:
        return Choice(False, f"{probe.runtime} keeps no model in the worker")
    if probe.worker == "ephemeral":
        return Choice(False, "configured")
    if now.short:
        return Choice(False, "memory is short")
    if now.others >= MOST:
        return Choice(False, f"{now.others} others are resident")
    return Choice(True, "configured") if probe.worker == "resident" else _auto(probe, now)


def _auto(probe: config.Probe, now: Circumstances) -> Choice:
    every = probe.calm_interval or probe.interval
    rhythm = f"a run every {duration(every)}"
    if every > OFTEN:
        return Choice(False, f"{rhythm}, from {duration(OFTEN)} on none stays")
    if now.accelerators:
        return Choice(False, f"would keep {', '.join(now.accelerators)} from others")
    if now.need > SHARE * now.total:
        return Choice(False, f"{now.need >> 20} MiB are more than {SHARE:.0%} of the memory available")
    if now.need + now.held > ALL * now.total:
        return Choice(False, f"with the others {now.need + now.held >> 20} MiB, {ALL:.0%} of the memory available")
    return Choice(True, rhythm + (f", {now.need >> 20} MiB" if now.need else ""))


def accelerators(result: Result) -> tuple[str, ...]:
    """What the model was asked to run on beside the host's CPU: engines hold on to it, and some let nobody else in."""
    return tuple(one for one in result.facts.get("requested", ()) if not is_cpu(one) and one not in HOST)


class Residence:
    """The worker of one probe; `neighbours` are those of all probes."""

    def __init__(
        self,
        name: str,
        probe: config.Probe,
        neighbours: list[Residence],
        clock: Callable[[], float] = time.monotonic,
        free: Callable[[], int] = available,
    ) -> None:
        self.name, self.choice = name, Choice(False, "not run yet")
        self._probe, self._neighbours, self._clock, self._free = probe, neighbours, clock, free
        self._worker: supervisor.Worker | None = None
        self._lock = threading.Lock()
        self._short = self._closed = False
        self._mark: Mark = ()
        self._packages = Packages(probe.runtime, probe.python)
        self._began = 0.0
        self._need = self._first = 0
        self._accelerators: tuple[str, ...] = ()
        self._left: Counter[str] = Counter()

    def run(self, request: Request, python: str = "", cancel: threading.Event | None = None) -> Result:
        """One run, as `supervisor.run`, in the worker that is here or in a new one."""
        with self._lock:
            mark = self._marks(request, python)
            self._leave(self._unfit() or ("changed" if mark != self._mark else "doubt" if request.fresh else ""))
            self._choose()
            if not self.choice.stays:
                self._leave("memory" if self._short else "room")
            worker, self._mark = self._worker or supervisor.Worker(python), mark
            stays = self.choice.stays and not any(request.to_json().get(name) for name in APART)
            result = worker.ask(request, cancel, stays)
            self._keep(worker, result)
        return result

    def tend(self, short: bool) -> None:
        """Look after a worker that waits, without waiting for one that runs; give it back when memory is short."""
        self._short = short
        if self._lock.acquire(blocking=False):
            try:
                self._leave(self._unfit() or ("memory" if short else ""))
            finally:
                self._lock.release()

    def renew(self, reason: str) -> None:
        """Let the next run have a process of its own."""
        with self._lock:
            self._leave(reason)

    def close(self) -> None:
        """The worker leaves: now, or when it has answered."""
        self._closed = True
        self.tend(self._short)

    def memory(self) -> int:
        """Resident bytes of a worker that stays."""
        worker = self._worker
        return worker.memory() if worker else 0

    def readings(self) -> Iterator[Reading]:
        """What stays, and why workers have left."""
        worker = self._worker
        if worker:
            yield catalog.PROBE_WORKER_ROUNDS(worker.rounds, self.name)
            yield catalog.PROBE_WORKER_MEMORY(worker.memory(), self.name)
        for reason, count in self._left.items():
            yield catalog.PROBE_WORKER_LEFT(count, self.name, reason)

    def _choose(self) -> None:
        others = [size for one in self._neighbours if one is not self and (size := one.memory())]
        held, total = sum(others), self._free() + sum(others) + self.memory()
        now = Circumstances(self._need, held, total, len(others), self._accelerators, self._short)
        before, self.choice = self.choice, choose(self._probe, now)
        if before.stays is not self.choice.stays or not self._mark:
            log.debug("probe %s: worker %s", self.name, self.choice)

    def _keep(self, worker: supervisor.Worker, result: Result) -> None:
        """Keep a worker that has stayed, unless it should not have."""
        known, self._worker = self._worker, worker if worker.idle() else None
        self._accelerators = accelerators(result) if result.outcome is Outcome.OK else self._accelerators
        if self._worker is None:
            self._count("outcome" if known and result.outcome is not Outcome.OK else "")
            return
        self._need = worker.memory()
        if worker.rounds == 1:
            self._began, self._first = self._clock(), self._need
        self._leave("anatomy" if "anatomy" in result.facts else self._unfit())
        self._choose()
        if not self.choice.stays:
            self._leave("room")

    def _unfit(self) -> str:
        """Why the worker that waits must not stay, if so."""
        worker = self._worker
        if worker is None:
            return ""
        if not worker.idle():
            return "died"
        if worker.memory() - self._first > max(GROWTH, self._first // 2):
            return "growth"
        if self._clock() - self._began >= AGE:
            return "age"
        return "rounds" if worker.rounds >= self._probe.recycle else "closed" if self._closed else ""

    def _leave(self, reason: str) -> None:
        worker = self._worker
        if not reason or worker is None:
            return
        log.debug("probe %s: its worker leaves after %d rounds: %s", self.name, worker.rounds, reason)
        self._worker = None
        worker.end(0.2)
        self._count(reason)

    def _count(self, reason: str) -> None:
        if reason:
            self._left[reason] += 1

    def _marks(self, request: Request, python: str) -> Mark:
        """What a loaded model depends on: settings, its files, the engine's version."""
        fixed = {name: value for name, value in request.to_json().items() if name not in EACH}
        beside = glob.escape(os.path.splitext(request.model)[0]) + ".*"  # weights may be in a file of their own
        files = sorted({*glob.glob(beside), request.model, *(path for one in request.inputs for path in one.values())})
        stamps = tuple((path, stamp(path)) for path in files)
        return (json.dumps(fixed, sort_keys=True), python, stamps, self._packages.mark())
