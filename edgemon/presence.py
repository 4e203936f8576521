"""What was here before: the accelerators of the last days and the starts of the last hour, remembered in the archive.

A card that is not there after a boot leaves no series that could say so, and a daemon that comes back again and again
looks well each time; both need somebody who remembers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from edgemon import catalog, hardware
from edgemon.archive import Archive
from edgemon.metric import Reading
from edgemon.store import Snapshot
from edgemon.sysfs import Root

DAY, HOUR = 86400.0, 3600.0
WEEK = 7 * DAY
"""Seconds for which an accelerator that is gone is missed."""
MOST = 100
"""Starts and accelerators that are remembered, at most."""


class Accelerators:
    """Those that are here, and those that were within a week; by their hw.id. Any thread may tell it to forget."""

    def __init__(self, archive: Archive, clock: Callable[[], float] = time.time) -> None:
        self._archive, self._clock = archive, clock
        self._seen: dict[str, tuple[str, str, float]] = {}
        with suppress(ValueError, TypeError, AttributeError):
            for ident, (name, kind, at) in (archive.remembered("accelerators") or {}).items():
                self._seen[str(ident)] = (str(name), str(kind), float(at))
        self._written, self._kept = self._clock() if self._seen else 0.0, set(self._seen)
        self._forget = False

    def forget(self) -> None:
        """Miss nothing that the next snapshot lacks: what is here then is what there is to be."""
        self._forget = True

    def see(self, snapshot: Snapshot) -> list[Reading]:
        """Take note of those in a snapshot; what is to be said of all."""
        now = self._clock()
        infos = [labels for metric, labels in snapshot.series if metric is hardware.ACCELERATOR_INFO]
        found = {ident: (name, kind, now) for ident, name, kind, *_ in infos}
        if self._forget:
            self._forget, self._seen = False, {}
        self._seen |= found
        for ident in [ident for ident, (_, _, at) in self._seen.items() if now - at > WEEK]:
            del self._seen[ident]
        if set(self._seen) != self._kept or now - self._written > DAY:  # not for each that comes and goes: flash wears
            self._archive.remember("accelerators", dict(list(self._seen.items())[-MOST:]))
            self._kept, self._written = set(self._seen), now
        return [
            hardware.ACCELERATOR_PRESENT(float(ident in found), ident, name, kind)
            for ident, (name, kind, _) in self._seen.items()
        ]


class Starts:
    """The daemon's starts, each with its boot, its time on CLOCK_BOOTTIME and its Unix time; made by a start."""

    def __init__(self, archive: Archive, root: Root) -> None:
        self._boot = (root.text("/proc/sys/kernel/random/boot_id") or "").strip()
        self._all = [(self._boot, *_now())]
        with suppress(ValueError, TypeError):
            before = [(str(mark), float(at), float(wall)) for mark, at, wall in archive.remembered("starts") or ()]
            self._all = [*before, *self._all][-MOST:]
        archive.remember("starts", self._all)

    def readings(self) -> Iterator[Reading]:
        """How many there were within the last hour; those of other boots by the wall clock, if that makes sense."""
        at, wall = _now()
        ages = [at - began if boot == self._boot else wall - then for boot, began, then in self._all]
        yield catalog.PROCESS_STARTS(sum(0 <= age < HOUR for age in ages))


def _now() -> tuple[float, float]:
    return time.clock_gettime(time.CLOCK_BOOTTIME), time.time()
