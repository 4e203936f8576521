"""What was here before: the accelerators of the last days, remembered in the archive.

A card that is not there after a boot leaves no series that could say so; it needs somebody who remembers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from edgemon import hardware
from edgemon.archive import Archive
from edgemon.metric import Reading
from edgemon.store import Snapshot

DAY = 86400.0
WEEK = 7 * DAY
"""Seconds for which an accelerator that is gone is missed."""
MOST = 100
"""Accelerators that are remembered, at most."""


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
