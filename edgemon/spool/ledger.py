"""What became of every point: collected = sent + buffered + dropped, for each signal, at any moment.

It counts from the start of the process. What is found on disk then was collected by an earlier one, and counts as
collected again: a counter that begins anew must begin with what it is going to account for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from edgemon import pushed
from edgemon.metric import Reading
from edgemon.sinks.otlp.batch import SIGNALS

REASONS = ("full", "age", "refused", "rejected", "too_old", "failed", "damaged")


class Ledger:
    """The counts; who calls it holds the spool's lock."""

    def __init__(self) -> None:
        self.collected, self.sent, self.buffered = Counter[str](), Counter[str](), Counter[str]()
        self.dropped = Counter[tuple[str, str]]()

    def collect(self, points: Sequence[int]) -> None:
        """Points by signal came in, and wait."""
        for signal, count in zip(SIGNALS, points, strict=True):
            self.collected[signal] += count
            self.buffered[signal] += count

    def send(self, signal: str, count: int, rejected: int) -> None:
        """The receiver took these points, but for the rejected ones."""
        rejected = min(rejected, count)
        self.buffered[signal] -= count
        self.sent[signal] += count - rejected
        self.dropped[signal, "rejected"] += rejected

    def drop(self, points: Sequence[int], reason: str) -> None:
        """Points by signal are given up."""
        for signal, count in zip(SIGNALS, points, strict=True):
            self.buffered[signal] -= count
            self.dropped[signal, reason] += count

    def readings(self) -> Iterator[Reading]:
        """The counts."""
        for signal in SIGNALS:
            yield pushed.POINTS(self.collected[signal], signal)
            yield pushed.SENT(self.sent[signal], signal)
            yield pushed.BUFFERED(self.buffered[signal], signal)
            for reason in REASONS:
                yield pushed.DROPPED(self.dropped[signal, reason], signal, reason)
