"""What the tests of the spool share: batches like a device's, a clock that a test sets, an account that must add up."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from edgemon import pushed
from edgemon.buffer import Buffer
from edgemon.sinks.otlp.batch import SIGNALS, TELEMETRY, Batch
from edgemon.spool import Spool

BOOT = "0b5e7f0c-8a51-4a47-9a4e-5d1f5c8f1c11"
SECOND = 10**9


class Clock:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def batch(number: int, size: int = 400, grade: int = TELEMETRY, signal: str = "metrics", boot: str = BOOT) -> Batch:
    """A batch of its number, 10 s after the one before; like the next one but for a time and some values."""
    at, chance = number * 10 * SECOND, random.Random(number)
    payload = bytearray(struct.pack("<QQ", number, at) + common(size))
    for _ in range(size // 40):
        payload[16 + chance.randrange(size)] ^= chance.randrange(256)
    return Batch(signal, grade, boot, at, at + 1, 1 + number % 7, bytes(payload))


@lru_cache(maxsize=1000)
def common(size: int) -> bytes:
    """What batches of this size have in common."""
    return random.Random(size).randbytes(size)


def number_of(one: Batch) -> int:
    """The number a batch was made with; AssertionError if it is not what was made then."""
    number = int(struct.unpack_from("<Q", one.payload)[0])
    assert one == batch(number, len(one.payload) - 16, one.grade, one.signal, one.boot)
    return number


def spool(where: Path, clock: Clock | None = None, **limits: float) -> Spool:
    """A spool on a directory, with a clock that stands still."""
    clock = clock or Clock()
    settings = Buffer(**limits)  # type: ignore[arg-type]
    return Spool(str(where), settings, lambda _boot, end: clock.now - end / SECOND, clock)


def account(one: Spool) -> dict[str, float]:
    """Collected, sent, buffered and dropped points of all signals, dropped ones by reason as well; they must add up."""
    found: dict[str, float] = dict.fromkeys(("collected", "sent", "buffered", "dropped"), 0)
    names = {pushed.POINTS: "collected", pushed.SENT: "sent", pushed.BUFFERED: "buffered", pushed.DROPPED: "dropped"}
    by: dict[str, float] = dict.fromkeys(SIGNALS, 0)
    for metric, labels, value in one.readings():
        if name := names.get(metric):
            assert value is not None
            assert value >= 0
            found[name] += value
            by[labels[0]] += value if name == "collected" else -value
            if name == "dropped" and value:
                found[labels[1]] = found.get(labels[1], 0) + value
    assert set(by.values()) == {0}, by
    return found


def reading(one: Spool, metric: object, *labels: str) -> float | None:
    """The value of one series."""
    return next(value for found, names, value in one.readings() if found is metric and names == labels)


def drain(one: Spool) -> Iterator[int]:
    """Send all that waits, and give the numbers of it in the order in which it was sent."""
    while entry := one.live() or one.stored():
        one.sent(entry)
        yield number_of(entry.batch)


def files(where: Path) -> list[Path]:
    """The spool's files."""
    return sorted(where.glob("*.spool"))
