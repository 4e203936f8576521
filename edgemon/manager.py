"""The main thread's side of a service: it waits for signals, and tells the service manager how the daemon does.

READY=1 after the first snapshot, STATUS= in one line, WATCHDOG=1 only while everything moves, RELOADING=1 around a
reload, STOPPING=1 and more time while the end takes it. Without a service manager it only waits.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edgemon.sdnotify import notify, watchdog

log = logging.getLogger("edgemon")

STUCK = 60.0
"""Seconds over its own bound after which a lane counts as stuck where no watchdog says how many."""
LOOK = 10.0
"""Seconds between two looks at how the daemon does, at most."""
WAKE = 0


class Manager:
    """`ready`, `stuck` (which lane does not move, in words, or nothing) and `status` are asked each time anew."""

    def __init__(self, ready: Callable[[], bool], stuck: Callable[[], str], status: Callable[[], str]) -> None:
        self._ready, self._stuck, self._status = ready, stuck, status
        self._asked, self._ask = os.pipe()
        os.set_blocking(self._asked, False)
        os.set_blocking(self._ask, False)
        self._said = self._complained = ""
        self._announced = False
        self._numbers: set[int] = set()
        self.watchdog = watchdog()
        self._told = bool(os.environ.get("NOTIFY_SOCKET"))

    def listen(self) -> None:
        """Let each signal put its number into the pipe that the main thread reads.

        A handler that sets an Event can meet the main thread inside that Event's lock and never return; a signal that
        comes just before a lock is waited for would be seen only with the next one. A pipe knows neither.
        """
        signal.set_wakeup_fd(self._ask, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _frame: self._numbers.add(number))

    def deafen(self) -> None:
        """Listen no more."""
        signal.set_wakeup_fd(-1)

    def ask(self, number: int = WAKE) -> None:
        """What a signal of that number asks for; with 0 to look at how the daemon does, the first snapshot say."""
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes all the same
            os.write(self._ask, bytes([number]))

    def reloads(self) -> Iterator[None]:
        """One for each time the configuration is to be read again, until the daemon is told to end."""
        while True:
            self._look()
            self._numbers |= self._wait()
            if self._numbers & {signal.SIGTERM, signal.SIGINT}:
                return
            if signal.SIGHUP in self._numbers:
                self._numbers.discard(signal.SIGHUP)
                yield

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Tell that a reload goes on for as long as the block runs; the old configuration serves meanwhile."""
        if self._announced:
            notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            if self._announced:
                notify("READY=1")

    def stopping(self, seconds: float, what: str) -> None:
        """Tell that the end has come, what it takes, and ask for so many seconds from now on for it."""
        notify("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}", f"STATUS=stopping: {what}")

    def patience(self) -> float:
        """Seconds over its own bound after which a lane counts as stuck: those of the watchdog, where there is one."""
        return self.watchdog or STUCK

    def _wait(self) -> set[int]:
        reader = select.poll()
        reader.register(self._asked, select.POLLIN)
        pause = min(LOOK, self.watchdog / 3 or LOOK)
        if reader.poll(pause * 1000 if self._told else None):
            with contextlib.suppress(BlockingIOError):
                return set(os.read(self._asked, 4096))
        return set()

    def _look(self) -> None:
        """Say once that it is ready, and what has changed since the last look; feed the watchdog if all is well."""
        if not self._told or not self._ready():
            return
        stuck = self._stuck()
        said = [] if self._announced else ["READY=1"]
        said += [] if stuck or not self.watchdog else ["WATCHDOG=1"]
        status = stuck or self._status()
        said += [f"STATUS={status}"] if status != self._said else []
        if not said or notify(*said):
            self._announced, self._said = True, status
        if stuck and not self._complained:
            log.error("%s", stuck + "; the watchdog is no longer fed" * bool(self.watchdog), extra={"event": "stuck"})
        self._complained = stuck
