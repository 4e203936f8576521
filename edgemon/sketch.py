"""Distributions without keeping the values: OpenTelemetry's exponential histogram of a fixed scale.

Bucket i holds the values in (base**i, base**(i + 1)], base = 2**(1 / 2**scale): see the data model,
opentelemetry.io/docs/specs/otel/metrics/data-model, ExponentialHistogram. At scale 3 a bucket is 9 % wide.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

SCALE = 3
CLASSIC = 1
"""Scale of the classic buckets: powers of the square root of two."""
STEPS = range(-34, 8)
BOUNDS = tuple(2.0 ** (step / 2**CLASSIC) for step in STEPS)
"""Their upper bounds, from 8 microseconds to 11 seconds: always the same ones, so that any two can be added."""


@dataclass(frozen=True, slots=True)
class Exponential:
    """`counts` are those of the buckets from `offset` on, `zeros` of the values that are not above zero."""

    scale: int
    offset: int
    counts: tuple[int, ...]
    zeros: int
    sum: float

    @property
    def count(self) -> int:
        """Values altogether."""
        return self.zeros + sum(self.counts)

    def classic(self) -> Iterator[tuple[float, int]]:
        """Upper bound and count of the values up to it, for each of BOUNDS and infinity: every bound is a bucket's."""
        below, index = self.zeros, 0
        for step, bound in zip(STEPS, BOUNDS, strict=True):
            end = (step << (self.scale - CLASSIC)) - self.offset
            while index < min(end, len(self.counts)):
                below += self.counts[index]
                index += 1
            yield bound, below
        yield math.inf, self.count


class Sketch:
    """Counts values for as long as it lives, in the memory of its buckets."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._zeros, self._sum, self.count = 0, 0.0, 0

    def add(self, values: Iterable[float]) -> None:
        """Count values."""
        for value in values:
            if value > 0:
                self._counts[math.ceil(math.log2(value) * 2**SCALE) - 1] += 1
            else:
                self._zeros += 1
            self._sum += value
            self.count += 1

    def exponential(self) -> Exponential:
        """What was counted so far."""
        low, high = min(self._counts, default=0), max(self._counts, default=-1)
        counts = tuple(self._counts[index] for index in range(low, high + 1))
        return Exponential(SCALE, low, counts, self._zeros, self._sum)
