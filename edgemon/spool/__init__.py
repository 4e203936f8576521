"""Store and forward: what waits for the receiver, in memory first, on flash when it has waited for long.

While the receiver takes everything nothing is written. What was not sent within `durability` (alerts: a second, probe
results: a minute) goes to disk, all of it in one frame, so that a batch every 10 s costs a write every 5 minutes. A
disk that is full, read-only or broken costs memory, never the daemon; it is tried again every minute.

Lane `spooling` writes (`keep`), lane `pushing` sends (`live`, `stored`, `sent`, `drop`), any thread puts: none waits
for the disk but those that write and read it.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Container, Iterator, Sequence

from edgemon import pushed
from edgemon.buffer import Buffer
from edgemon.metric import Reading
from edgemon.sinks.otlp.batch import SIGNALS, Batch
from edgemon.spool.pack import pack, unpack
from edgemon.spool.shelf import Block, Shelf
from edgemon.spool.waiting import GRADES, Entry, Waiting, frame

log = logging.getLogger("edgemon.spool")

STATES = ("disk", "memory")
SOON = (1.0, 60.0, float("inf"))
"""Seconds after which a batch of the grade is written, or durability if that is less."""
KEPT = (4.0, 4.0, 1.0)
"""How often the configured age a grade may reach."""
CHUNK = 1 << 20
"""Bytes of payloads in one frame: what is unpacked at once when they are sent."""
MOST = 1000
AGAIN = 60.0
TRIES = 3
Age = Callable[[str, int], "float | None"]
"""Seconds since a moment, given as a boot and nanoseconds of its CLOCK_BOOTTIME; None if that cannot be told."""


class Spool:
    """`state` is disk, or memory while the disk cannot be used."""

    def __init__(self, directory: str, limits: Buffer, age: Age, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits, self.errors, self.state = limits, 0, "disk"
        self._age, self._clock = age, clock
        self._waiting, self._shelf = Waiting(limits.memory), Shelf(directory, limits.disk)
        self._opened: tuple[Block, list[Entry]] | None = None
        self._adopted, self._checked = False, float("-inf")
        self._check()

    def put(self, batch: Batch) -> float:
        """Take a batch; never waits for a disk. Seconds in which `keep` should be called."""
        self._waiting.add(batch, self._clock())
        return 0.0 if self._much(self._waiting.pending(batch.grade)) else self._patience(batch.grade)

    def live(self, signals: Container[str] = SIGNALS, skip: Entry | None = None) -> Entry | None:
        """The oldest batch of these signals in memory, alerts first, that is not the one to skip."""
        return self._waiting.first(signals, skip)

    def stored(self, signals: Container[str] = SIGNALS, skip: Entry | None = None) -> Entry | None:
        """The oldest batch of these signals on disk, alerts first; None as well while it cannot be read."""
        while block := self._waiting.front(signals, skip):
            if (entries := self._read(block)) is None:
                return None
            for one in entries:
                if one.batch.signal in signals and one.number not in block.gone and one is not skip:
                    return one
            if entries:
                return None
        return None

    def sent(self, entry: Entry, rejected: int = 0) -> None:
        """The receiver took it, but for so many points."""
        self._finish(self._waiting.send(entry, rejected))

    def drop(self, entry: Entry, reason: str) -> None:
        """Give it up, for one of `ledger.REASONS`."""
        self._finish(self._waiting.give_up(entry, reason))

    def boots(self) -> list[tuple[str, int, int]]:
        """The boots of what is stored, in order, each with the first and the last moment of it."""
        found: dict[str, tuple[int, int]] = {}
        for block in sorted((one for one in self._waiting.blocks() if one.place), key=_order):
            first, last = found.pop(block.frame.boot, (block.frame.start, block.frame.end))
            found[block.frame.boot] = min(first, block.frame.start), max(last, block.frame.end)
        return [(boot, first, last) for boot, (first, last) in found.items()]

    def keep(self) -> float:
        """Write what has waited for long enough, give up what is too old; seconds until there may be more to do."""
        now = self._clock()
        if now - self._checked >= AGAIN:
            self._check()
            self._expire()
        return min(self._keep(grade, now) for grade in GRADES)

    def readings(self) -> Iterator[Reading]:
        """What waits, what became of the rest, and where it is kept; a disk that hangs holds nobody up here."""
        yield from self._waiting.readings()
        yield pushed.BYTES(self._shelf.size, "disk")
        yield pushed.LIMIT(self.limits.memory, "memory")
        yield pushed.LIMIT(self.limits.disk, "disk")
        yield pushed.OLDEST(self._oldest())
        for state in STATES:
            yield pushed.STATE(float(state == self.state), state)
        yield pushed.ERRORS(self.errors)
        yield pushed.DAMAGED(self._shelf.damaged)
        yield pushed.WRITTEN(self._shelf.written)

    def close(self) -> None:
        """Write all that waits and let go of the files."""
        self._check()
        for grade in GRADES:
            self._write(self._waiting.pending(grade))
        self._shelf.close()

    def _finish(self, block: Block | None) -> None:
        if block:
            self._opened = None
            self._shelf.forget(block)

    def _oldest(self) -> float | None:
        ages = [self._age(*moment) for moment in self._waiting.oldest()]
        return max((age for age in ages if age is not None), default=None)

    def _keep(self, grade: int, now: float) -> float:
        """Write the batches of a grade if it is time; seconds until it is, at most."""
        patience, waiting = self._patience(grade), self._waiting.pending(grade)
        if waiting and (self._much(waiting) or now - waiting[0].since >= patience):
            self._write(waiting)
            waiting = []
        return waiting[0].since + patience - now if waiting else AGAIN

    def _patience(self, grade: int) -> float:
        return min(SOON[grade], self.limits.durability)

    def _much(self, entries: Sequence[Entry]) -> bool:
        """Whether they are a frame already, or half of the memory there is."""
        return sum(len(one.batch.payload) for one in entries) >= min(CHUNK, self.limits.memory // 2)

    def _write(self, entries: Sequence[Entry]) -> None:
        for some in _chunks(entries):
            batches = [one.batch for one in some]
            block, body = Block(frame(batches)), pack(batches)
            block.left = list(block.frame.points)
            if not self._store(block, body):
                block.body = body
            if not self._waiting.settle(some, block):
                self._shelf.forget(block)

    def _store(self, block: Block, body: bytes) -> bool:
        """Put a block on disk, in the place of older ones that matter no more than it if there must be room."""
        if self.state == "memory":
            return False
        try:
            while self._shelf.size + self._shelf.need(block.frame.grade, len(body)) > self.limits.disk:
                if not (victims := self._shelf.victims(block.frame.grade)):
                    return False
                for one in victims:
                    self._discard(one, "full")
            self._shelf.put(block, body)
        except OSError as error:
            self._failed(error)
        return bool(block.place)

    def _discard(self, block: Block, reason: str) -> None:
        self._waiting.discard(block, reason)
        self._shelf.forget(block)

    def _expire(self) -> None:
        for block in self._waiting.blocks():
            age = self._age(block.frame.boot, block.frame.end)
            if age is not None and age > KEPT[block.frame.grade] * self.limits.age:
                self._discard(block, "age")

    def _read(self, block: Block) -> list[Entry] | None:
        """The batches of a block, none if it is damaged, in which case it is dropped; None if it cannot be read now."""
        if self._opened and self._opened[0] is block:
            return self._opened[1]
        try:
            batches = unpack(block.body or (block.place.read() if block.place else b""))
        except ValueError as error:
            log.warning("%s", error)
            self._shelf.damaged += 1
            self._discard(block, "damaged")
            return []
        except OSError as error:
            self.errors += 1
            block.tries += 1
            log.warning("%s", error)
            if block.tries < TRIES:
                return None
            self._discard(block, "damaged")
            return []
        entries = [Entry(batch, 0.0, number, block) for number, batch in enumerate(batches)]
        self._opened = block, entries
        return entries

    def _check(self) -> None:
        """See whether the disk can be used; return to it, and take up what an earlier run has left there."""
        self._checked = self._clock()
        try:
            self._shelf.check()
            if self.state == "memory":
                self._return()
        except OSError as error:
            self._failed(error)
        if not self._adopted:
            with contextlib.suppress(OSError):
                self._waiting.adopt(self._shelf.adopt())
                self._adopted = True

    def _return(self) -> None:
        """Bring to disk what was kept in memory."""
        self.state = "disk"
        self._shelf.tidy()
        for block in self._waiting.blocks():
            if block.body and not self._store(block, block.body):
                break
            if not self._waiting.holds(block):  # sent while it was written
                self._shelf.forget(block)
        if self.state == "disk":
            log.info("%s can be used now", self._shelf.directory)

    def _failed(self, error: OSError) -> None:
        self.errors += 1
        if self.state == "disk":
            log.warning("%s cannot be used, what waits is kept in memory: %s", self._shelf.directory, error)
        self.state = "memory"


def _order(block: Block) -> tuple[str, int]:
    return (block.place.path, block.place.at) if block.place else ("", 0)


def _chunks(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """The batches of one boot at a time, no more than fit into a frame."""
    some: list[Entry] = []
    for one in entries:
        size = sum(len(other.batch.payload) for other in some) + len(one.batch.payload)
        if some and (size > CHUNK or len(some) == MOST or one.batch.boot != some[0].batch.boot):
            yield some
            some = []
        some.append(one)
    if some:
        yield some
