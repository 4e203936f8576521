"""What a moment of CLOCK_BOOTTIME is in wall time, once somebody vouches for that.

Everything pushed carries boot time, which no step, suspend or wrong RTC changes, and the id of its boot. An anchor says
what to add. It comes from NTP (adjtimex(2) without STA_UNSYNC, or timesyncd's mark), else from the Date the receiver
answers with, else, after a while, from the wall clock as it is. A better one takes the place of a lesser one, for all
that was not sent yet; one as good, when a clock in order is set again, holds from then on. While there is none nothing
is sent. Steps of a wall clock that nobody vouches for change nothing: the anchor stands.

Between steps wall time and boot time run at one pace (both are disciplined by NTP), so an anchor is never adjusted a
little: a batch that is sent twice carries the same times twice.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

from edgemon import pushed
from edgemon.almanac import Almanac, Anchor, Grade
from edgemon.metric import Reading
from edgemon.platforms.linux import SYNCHRONISED, UNSYNC

log = logging.getLogger("edgemon.clock")

SECOND = 10**9
STEP = SECOND // 2
"""A wall clock that moved by more against boot time was set."""
APART = 2 * SECOND
"""How far the receiver's clock may be from an anchor it has given: it tells whole seconds, and the way takes time."""
FUTURE = 300 * SECOND
"""No sample is sent that is further ahead of the receiver's clock."""
ASK = 30.0
"""Seconds between two questions to the kernel while it does not vouch for the clock."""
SAYS = {Grade.NTP: "NTP", Grade.SERVER: "the receiver's clock", Grade.WALL: "nothing but the machine's clock"}
BUILT = 1_780_000_000 * SECOND
"""May 2026: no clock that is right says less."""


def read() -> tuple[int, int]:
    """CLOCK_BOOTTIME and CLOCK_REALTIME of one moment, in nanoseconds: of five pairs the closest."""
    best = (1 << 62, 0, 0)
    for _ in range(5):
        before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        wall = time.time_ns()
        took = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - before
        best = min(best, (took, before + took // 2, wall))
    return best[1], best[2]


def kernel() -> bool | None:
    """Whether NTP keeps the wall clock; None where nobody says."""
    from edgemon.sources.timex import status  # noqa: PLC0415 - ctypes, which the clock's sensor loads as well

    with contextlib.suppress(OSError):
        return not status()["status"] & UNSYNC
    return True if os.path.exists(SYNCHRONISED) else None


class Clock:
    """The anchors of this boot and of those before, of which something waits. Any thread may ask."""

    def __init__(
        self,
        boot: str,
        almanac: Almanac,
        patience: float,
        read: Callable[[], tuple[int, int]] = read,
        kernel: Callable[[], bool | None] = kernel,
    ) -> None:
        self.boot, self.steps, self.stepped = boot, 0, 0.0
        self._almanac, self._patience, self._read, self._kernel = almanac, patience * SECOND, read, kernel
        self._lock = threading.RLock()
        self._at, wall = read()
        self._offset, self._began = wall - self._at, self._at
        self._asked: int | None = None
        self._server: tuple[int, int] | None = None

    @property
    def grade(self) -> Grade:
        """Who vouches for the time of this boot."""
        return self._almanac.last(self.boot).grade

    def look(self) -> None:
        """See whether the wall clock was set, and who vouches for it. For one thread at a time; it may take a while."""
        with self._lock:
            at, wall = self._read()
            offset, before = wall - at, self._at + 1
            stepped = abs(offset - self._offset) > STEP
            if stepped:
                self.steps, self.stepped = self.steps + 1, self.stepped + abs(offset - self._offset) / SECOND
            self._at, self._offset = at, offset
            doubtful = wall >= BUILT and self._doubtful(at, stepped)
        kept = doubtful and self._kernel() is True
        with self._lock:
            if kept:
                self._anchor(Anchor(before, offset, Grade.NTP), STEP)
            elif self.grade <= Grade.SERVER and self._server:
                self._from_server(before, *self._server)
            elif self.grade <= Grade.WALL and at - self._began >= self._patience and wall >= self._floor():
                self._anchor(Anchor(before, offset, Grade.WALL), STEP)
        self._almanac.save()

    def heard(self, date: float | None) -> None:
        """The receiver's Date, just now."""
        if date is not None and date * SECOND >= BUILT:
            with self._lock:
                self._server = int((date + 0.5) * SECOND), self._read()[0]
            self.look()

    def offset(self, boot: str, end: int) -> tuple[int, bool] | None:
        """What to add to the times of a batch that ends then, and whether that is an estimate; None while not known."""
        with self._lock:
            anchors = self._almanac.of(boot)
            if not anchors or anchors[-1].grade is Grade.NONE:
                return None
            one = anchors[max(0, bisect_right([anchor.since for anchor in anchors], end) - 1)]
            return one.offset, one.grade is Grade.ESTIMATED

    def ahead(self, end: int, offset: int) -> float:
        """Seconds until a batch with this end and offset may be sent, its receiver's clock being where it is."""
        with self._lock:
            if not self._server:
                return 0.0
            now = self._server[0] + self._read()[0] - self._server[1]
            return max(0, end + offset - now - FUTURE) / SECOND

    def age(self, boot: str, end: int) -> float | None:
        """Seconds since a moment of a boot; None if that cannot be told."""
        with self._lock:
            now = self._read()[0]
            if boot == self.boot:
                return max(0, now - end) / SECOND
            here, there = self.offset(self.boot, now), self.offset(boot, end)
            return max(0, now + here[0] - end - there[0]) / SECOND if here and there else None

    def remember(self, boots: Sequence[tuple[str, int, int]]) -> None:
        """Of these boots, oldest first with the first and last moment of each, something waits: place them in time.

        One whose clock was never set ended before the next began, and is placed as late as that allows, but not before
        the end of the one before.
        """
        with self._lock:
            if self.grade is Grade.NONE:
                return
            limit, placed = self.offset(self.boot, 0), []
            for boot, first, last in reversed([one for one in boots if one[0] != self.boot]):
                if not self._almanac.of(boot) and limit:
                    least = self._end_before(boots, boot)
                    offset = max(limit[0] - last, least - first)
                    placed.append((boot, Anchor(0, offset, Grade.ESTIMATED)))
                    limit = offset, True
                else:
                    limit = self.offset(boot, 0) or limit
            self._almanac.keep({boot for boot, _, _ in boots} | {self.boot}, placed)
        self._almanac.save()

    def readings(self) -> Iterator[Reading]:
        """What the clock is worth."""
        with self._lock:
            now, grade, here = self._read()[0], self.grade, self.offset(self.boot, self._at)
            server = self._server[0] + now - self._server[1] if self._server else 0
        for one in (Grade.NONE, Grade.WALL, Grade.SERVER, Grade.NTP):
            yield pushed.CLOCK_STATE(float(one is grade), one.name.lower())
        yield pushed.CLOCK_STEPS(self.steps)
        yield pushed.CLOCK_STEP(self.stepped)
        if server and here:
            yield pushed.CLOCK_DIFFERENCE((now + here[0] - server) / SECOND)

    def _doubtful(self, at: int, stepped: bool) -> bool:
        """Whether to ask if NTP keeps the clock: it is not what the anchor says, or nothing as good says anything."""
        last = self._almanac.last(self.boot)
        if last.grade is Grade.NTP and abs(self._offset - last.offset) <= STEP:
            return False
        if not stepped and self._asked is not None and at - self._asked < ASK * SECOND:
            return False
        self._asked = at
        return True

    def _from_server(self, since: int, date: int, at: int) -> None:
        """Take the receiver's word: for the wall clock, if that agrees, else for its own time."""
        offset = date - at
        if abs(self._offset - offset) <= APART:
            offset = self._offset
        self._anchor(Anchor(since, offset, Grade.SERVER), APART)

    def _anchor(self, new: Anchor, tolerance: int) -> None:
        """Put an anchor in force, if it differs from the one that is or is better."""
        last = self._almanac.last(self.boot)
        if last.grade is Grade.NONE or new.grade > last.grade:
            same = abs(new.offset - last.offset) <= tolerance and last.grade is not Grade.NONE
            self._set([Anchor(0, last.offset if same else new.offset, new.grade)])
        elif abs(new.offset - last.offset) > tolerance:
            self._set([*self._almanac.of(self.boot), new])

    def _set(self, anchors: Sequence[Anchor]) -> None:
        vouched = anchors[-1].grade > Grade.WALL
        self._almanac.set(self.boot, anchors, self._at + anchors[-1].offset if vouched else 0)
        log.info("the time of what is pushed is vouched for by %s", SAYS[anchors[-1].grade])

    def _floor(self) -> int:
        return max(BUILT, self._almanac.latest())

    def _end_before(self, boots: Sequence[tuple[str, int, int]], boot: str) -> int:
        """The end, in wall time, of what is known before a boot."""
        end = 0
        for name, _, last in boots:
            if name == boot:
                break
            if found := self.offset(name, last):
                end = max(end, last + found[0])
        return end
