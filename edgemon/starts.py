"""How often the daemon starts, and whether that is a crash loop, which safe mode breaks: sensing and alerts, no probes.

Five starts after crashes within 15 minutes are one. Counted on the clock since boot and within one boot, so that
neither a wrong clock nor a device that is switched on and off all day counts. A daemon that comes back again and again
looks well each time: so the starts of the last hour are remembered, in the archive.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from edgemon import catalog
from edgemon.archive import Archive
from edgemon.metric import Reading

NAME = "starts"
HOUR = 3600.0
KEPT = 100
"""Starts that are remembered, at most."""
MOST, SPAN = 5, 900.0
"""Starts after a crash within so many seconds that are a loop."""
CALM = 3600.0
"""Seconds after which probes are tried again."""
BEFORE = ("stop", "crash", "boot")


def _now() -> tuple[float, float]:
    return time.clock_gettime(time.CLOCK_BOOTTIME), time.time()


class Starts:
    """The daemon's starts, each with its boot, its time on CLOCK_BOOTTIME and its Unix time; made by a start."""

    def __init__(self, archive: Archive, boot: str, now: Callable[[], tuple[float, float]] = _now) -> None:
        self._archive, self._boot, self._now = archive, boot, now
        at, wall = now()
        self._began, self._all = at, [(boot, at, wall)]
        self._counts = dict.fromkeys(BEFORE, 0)
        self._crashes: list[float] = []
        with suppress(ValueError, TypeError, KeyError):  # what a broken disk has changed is nothing
            self._remember(archive.remembered(NAME) or {})
        self.safe = len(self._crashes) >= MOST
        self._save(running=True)

    def _remember(self, before: dict[str, Any]) -> None:
        """Take over what the last run has left, and count this start."""
        counts = {one: int(before["counts"][one]) for one in BEFORE}
        every = [(str(boot), float(at), float(wall)) for boot, at, wall in before["all"]]
        crashes = [float(at) for at in before["crashes"] if 0 <= self._began - float(at) <= SPAN]
        after = "boot" if every[-1:] and every[-1][0] != self._boot else "crash" if before["running"] else "stop"
        self._counts, self._all = {**counts, after: counts[after] + 1}, [*every, *self._all][-KEPT:]
        self._crashes = [*crashes, self._began] if after == "crash" else []

    def settled(self) -> bool:
        """Whether safe mode is to end; a run that lasts makes an end of a loop as well. To be asked every minute."""
        lasted = self._now()[0] - self._began
        if self._crashes and not self.safe and lasted > SPAN:
            self._crashes = []
            self._save(running=True)
        return self.safe and lasted >= CALM

    def leave(self) -> None:
        """Try probes again; one more crash within 15 minutes is enough to come back."""
        if self.safe:
            self.safe, self._began = False, self._now()[0]
            self._crashes = [self._began] * (MOST - 1)
            self._save(running=True)

    def why(self) -> str:
        """Safe mode in a sentence."""
        text = f"safe mode: {len(self._crashes)} starts after crashes in {SPAN / 60:.0f} minutes; probes are off for "
        return text + f"{CALM / 60:.0f} minutes, or until a reload or an ordinary restart"

    def ended(self) -> None:
        """The daemon ends as it was told to."""
        self._save(running=False)

    def readings(self) -> Iterator[Reading]:
        """Starts by what was before, those of the last hour, and whether probes are off.

        Those of other boots count by the wall clock, if that makes sense.
        """
        at, wall = self._now()
        ages = [at - began if boot == self._boot else wall - then for boot, began, then in self._all]
        yield catalog.PROCESS_STARTS(sum(0 <= age < HOUR for age in ages))
        yield catalog.SAFE_MODE(float(self.safe))
        for after, count in self._counts.items():
            yield catalog.RESTARTS(count, after)

    def _save(self, running: bool) -> None:
        found = {"all": self._all, "counts": self._counts, "crashes": self._crashes, "running": running}
        self._archive.remember(NAME, found)
