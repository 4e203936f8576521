"""What is known of the time of each boot, kept in a small file: replaced whole, and checked when it is read."""

from __future__ import annotations

import json
import logging
import os
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from edgemon.spool.segment import sync

log = logging.getLogger("edgemon.clock")

AGAIN = 60.0


class Grade(IntEnum):
    """Who vouches for an anchor; more is better."""

    NONE = 0
    ESTIMATED = 1
    WALL = 2
    SERVER = 3
    NTP = 4


class Anchor(NamedTuple):
    """From this moment of CLOCK_BOOTTIME on, wall time is boot time and this offset; nanoseconds."""

    since: int
    offset: int
    grade: Grade


UNKNOWN = Anchor(0, 0, Grade.NONE)


class Almanac:
    """The anchors of each boot, by its id. One thread changes and saves, any reads. A damaged file is an empty one."""

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self.errors, self._clock = path, 0, clock
        self._boots: dict[str, tuple[Anchor, ...]] = {}
        self._latest, self._dirty, self._tried = 0, False, float("-inf")
        try:
            self._load()
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError) as error:
            self.errors += 1
            log.warning("%s cannot be used, the times of earlier boots are estimated: %s", path, error)

    def of(self, boot: str) -> tuple[Anchor, ...]:
        """The anchors of a boot, in order."""
        return self._boots.get(boot, ())

    def last(self, boot: str) -> Anchor:
        """The anchor in force at the end of a boot."""
        return anchors[-1] if (anchors := self.of(boot)) else UNKNOWN

    def latest(self) -> int:
        """A moment, in wall time, that has certainly passed."""
        return self._latest

    def set(self, boot: str, anchors: Sequence[Anchor], now: int = 0) -> None:
        """Replace the anchors of a boot; `now` is a wall time that somebody vouches for."""
        self._boots, self._latest = {**self._boots, boot: tuple(anchors)}, max(self._latest, now)
        self._dirty = True

    def keep(self, boots: Iterable[str], more: Iterable[tuple[str, Anchor]]) -> None:
        """Add an anchor for each of these, and forget all boots that are not named."""
        wanted, added = set(boots), {boot: (anchor,) for boot, anchor in more}
        kept = {boot: anchors for boot, anchors in {**self._boots, **added}.items() if boot in wanted}
        self._dirty = self._dirty or kept != self._boots
        self._boots = kept

    def save(self) -> None:
        """Write what changed; what cannot be written is tried again after a minute. May wait for the disk."""
        if not self._dirty or self._clock() - self._tried < AGAIN:
            return
        self._dirty = False
        text = json.dumps({"latest": self._latest, "boots": self._boots})
        try:
            self._write(f"{zlib.crc32(text.encode()):08x} {text}\n".encode())
        except OSError as error:
            self._dirty, self._tried, self.errors = True, self._clock(), self.errors + 1
            log.warning("%s cannot be written: %s", self.path, error)

    def _write(self, data: bytes) -> None:
        os.makedirs(os.path.dirname(self.path), mode=0o750, exist_ok=True)
        with open(f"{self.path}.new", "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{self.path}.new", self.path)
        sync(os.path.dirname(self.path))

    def _load(self) -> None:
        with open(self.path, "rb") as file:
            check, _, text = file.read().partition(b" ")
        if int(check, 16) != zlib.crc32(text.rstrip(b"\n")):
            raise ValueError("its checksum is wrong")
        said = json.loads(text)
        self._latest = int(said["latest"])
        self._boots = {
            boot: tuple(Anchor(int(since), int(offset), Grade(grade)) for since, offset, grade in anchors)
            for boot, anchors in said["boots"].items()
        }
