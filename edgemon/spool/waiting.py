"""What waits, wherever it is: batches in memory one by one, blocks of them, and the account of both under one lock."""

from __future__ import annotations

import threading
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from edgemon import pushed
from edgemon.metric import Reading
from edgemon.sinks.otlp.batch import FLIP, PROBE, SIGNALS, TELEMETRY, Batch
from edgemon.spool.ledger import Ledger
from edgemon.spool.segment import Frame
from edgemon.spool.shelf import Block

GRADES = (FLIP, PROBE, TELEMETRY)


@dataclass(slots=True, eq=False)
class Entry:
    """A batch that waits: in memory, or one of a block, with its number there or everywhere.

    `stamp` is the offset it was sent with, should it have to be sent again: the same point at the same time is one.
    """

    batch: Batch
    since: float
    number: int
    block: Block | None = None
    tries: int = 0
    strikes: int = 0
    stamp: tuple[int, bool] | None = None


class Waiting:
    """Any thread may call it, and none waits for a disk here."""

    def __init__(self, memory: int) -> None:
        self._memory, self._numbers, self._lock = memory, count(), threading.Lock()
        self._ledger = Ledger()
        self._pending: dict[int, dict[int, Entry]] = {grade: {} for grade in GRADES}
        self._blocks: dict[int, list[Block]] = {grade: [] for grade in GRADES}

    def add(self, batch: Batch, now: float) -> None:
        """Take a batch that is not empty; what there is no memory for is dropped, the least grade's oldest first."""
        if not batch.points:
            return
        with self._lock:
            entry = Entry(batch, now, next(self._numbers))
            self._pending[batch.grade][entry.number] = entry
            self._ledger.collect(points(batch))
            self._trim()

    def adopt(self, blocks: Iterable[Block]) -> None:
        """Take what an earlier run has left, in front of all."""
        with self._lock:
            for block in reversed(list(blocks)):
                self._blocks[block.frame.grade].insert(0, block)
                self._ledger.collect(block.left)

    def pending(self, grade: int) -> list[Entry]:
        """The batches in memory, oldest first."""
        with self._lock:
            return list(self._pending[grade].values())

    def first(self, signals: Container[str], skip: Entry | None = None) -> Entry | None:
        """The oldest batch of these signals in memory, alerts first, that is not the one to skip."""
        with self._lock:
            for some in self._pending.values():
                for one in some.values():
                    if one.batch.signal in signals and one is not skip:
                        return one
        return None

    def blocks(self) -> list[Block]:
        """All blocks, alerts first, then oldest first."""
        with self._lock:
            return [block for blocks in self._blocks.values() for block in blocks]

    def front(self, signals: Container[str], skip: Entry | None = None) -> Block | None:
        """The oldest block with something of these signals other than the one to skip, alerts first."""
        with self._lock:
            for blocks in self._blocks.values():
                for block in blocks:
                    alone = skip and skip.block is block and len(block.gone) == block.frame.batches - 1
                    wanted = (left for signal, left in zip(SIGNALS, block.left, strict=True) if signal in signals)
                    if any(wanted) and not alone:
                        return block
        return None

    def oldest(self) -> list[tuple[str, int]]:
        """Boot and end of the oldest of each grade, stored and not."""
        with self._lock:
            stored = [blocks[0].frame for blocks in self._blocks.values() if blocks]
            batches = [next(iter(some.values())).batch for some in self._pending.values() if some]
        return [(one.boot, one.end) for one in stored] + [(one.boot, one.end) for one in batches]

    def settle(self, entries: Sequence[Entry], block: Block) -> bool:
        """The batches are a block now, less those that were dealt with meanwhile; False if those were all."""
        with self._lock:
            pending = self._pending[block.frame.grade]
            for number, entry in enumerate(entries):
                if pending.pop(entry.number, None) is None:
                    block.gone |= {number}
                    block.left[SIGNALS.index(entry.batch.signal)] -= entry.batch.points
                entry.block, entry.number = block, number
            if wanted := len(block.gone) < len(entries):
                self._blocks[block.frame.grade].append(block)
            self._trim()
            return wanted

    def send(self, entry: Entry, rejected: int = 0) -> Block | None:
        """The receiver took it, but for so many points; its block, if that is done with."""
        with self._lock:
            if self._leave(entry):
                self._ledger.send(entry.batch.signal, entry.batch.points, rejected)
            return self._done(entry.block)

    def give_up(self, entry: Entry, reason: str) -> Block | None:
        """Drop it, for one of `ledger.REASONS`; its block, if that is done with."""
        with self._lock:
            if self._leave(entry):
                self._ledger.drop(points(entry.batch), reason)
            return self._done(entry.block)

    def discard(self, block: Block, reason: str) -> None:
        """Drop what is left of a block."""
        with self._lock:
            self._discard(block, reason)

    def holds(self, block: Block) -> bool:
        """Whether something of it is still wanted."""
        with self._lock:
            return block in self._blocks[block.frame.grade]

    def readings(self) -> Iterator[Reading]:
        """The account, all of one moment."""
        with self._lock:
            return iter([*self._ledger.readings(), pushed.BYTES(self._held(), "memory")])

    def _leave(self, entry: Entry) -> bool:
        """Take it out; False if it is out already."""
        if (block := entry.block) is None:
            return self._pending[entry.batch.grade].pop(entry.number, None) is not None
        if entry.number in block.gone or block not in self._blocks[block.frame.grade]:
            return False
        block.gone |= {entry.number}
        block.left[SIGNALS.index(entry.batch.signal)] -= entry.batch.points
        return True

    def _done(self, block: Block | None) -> Block | None:
        if not block or len(block.gone) < block.frame.batches or block not in self._blocks[block.frame.grade]:
            return None
        self._blocks[block.frame.grade].remove(block)
        return block

    def _discard(self, block: Block, reason: str) -> None:
        if block in self._blocks[block.frame.grade]:
            self._blocks[block.frame.grade].remove(block)
            self._ledger.drop(block.left, reason)

    def _held(self) -> int:
        batches = sum(len(one.batch.payload) for some in self._pending.values() for one in some.values())
        return batches + sum(len(block.body) for blocks in self._blocks.values() for block in blocks)

    def _trim(self) -> None:
        """Drop what is too much for the memory."""
        excess = self._held() - self._memory
        for grade in reversed(GRADES):
            for block in [one for one in self._blocks[grade] if one.body]:
                if excess > 0:
                    excess -= len(block.body)
                    self._discard(block, "full")
            while excess > 0 and self._pending[grade]:
                entry = self._pending[grade].pop(next(iter(self._pending[grade])))
                excess -= len(entry.batch.payload)
                self._ledger.drop(points(entry.batch), "full")


def points(batch: Batch) -> tuple[int, int, int]:
    """The points of a batch by signal."""
    return frame([batch]).points


def frame(batches: Sequence[Batch]) -> Frame:
    """What the head of a frame says of batches of one grade and one boot."""
    first = batches[0]
    counts = [sum(one.points for one in batches if one.signal == signal) for signal in SIGNALS]
    start, end = min(one.start for one in batches), max(one.end for one in batches)
    return Frame(first.grade, len(batches), (counts[0], counts[1], counts[2]), start, end, first.boot)
