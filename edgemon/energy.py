"""Energy: joule counters for what tells only its power, and what was used between two moments.

Power is integrated over its samples by the trapezoidal rule. What it did between two samples nobody knows; as long as
it went from one to the other without turning back, the integral is off by at most half their difference times the time
between them. These bounds add up in `edgemon.energy.error`. Time over which samples are too far apart is not guessed:
it is left out and counted in `edgemon.energy.unmeasured.time`.

Where the hardware counts joules itself (RAPL, NVML, hwmon's energyN) its counter is taken as it is and only remembered.
Nothing is added twice: a rail whose hw.parent is another rail is part of it, and only rails without a parent add up.
"""

from __future__ import annotations

import bisect
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from edgemon import catalog, hardware
from edgemon.metric import Reading

LONGEST = 3.0
"""Periods between two samples after which the time between them counts as unmeasured."""
REMEMBERED = 600
"""Samples kept of each rail: a minute at ten a second, ten minutes at one."""
LEAST = 4
"""Samples a window must hold, for a rail to say anything about it."""


class Sample(NamedTuple):
    """Joules and seconds unmeasured up to a moment (CLOCK_BOOTTIME, s), with the bound of the error in joules.

    `step` is the error of the time since the sample before it.
    """

    at: float
    joules: float
    unmeasured: float = 0.0
    error: float = 0.0


class Spent(NamedTuple):
    """Energy used in a window and the most it can be off, in joules."""

    joules: float
    error: float


@dataclass(slots=True)
class Rail:
    """One rail: its labels (hw.id, hw.name, hw.parent), its last power or count, and its samples.

    `counted` says that the hardware counts; `last` is then its counter in joules, else watts.
    """

    labels: tuple[str, ...]
    counted: bool
    last: float
    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def add(self, at: float, value: float, longest: float) -> None:
        """Take a sample: watts, or the count of the hardware. One that is not later than the last is left out."""
        before = self.samples[-1]
        seconds = at - before.at
        if seconds <= 0:
            return
        joules, error = self._between(value, seconds)
        lost = seconds > longest or joules < 0
        self.last = value
        self.samples.append(
            Sample(at, before.joules, before.unmeasured + seconds, before.error)
            if lost
            else Sample(at, before.joules + joules, before.unmeasured, before.error + error)
        )

    def _between(self, value: float, seconds: float) -> tuple[float, float]:
        """Joules since the last sample; negative for a counter that wrapped or began anew."""
        if self.counted:
            return value - self.last, 0.0
        return max(0.0, (self.last + value) / 2 * seconds), abs(value - self.last) / 2 * seconds

    def spent(self, begin: float, end: float) -> Spent | None:
        """Energy between two moments; None where samples do not span them, are too few, or have a gap."""
        times = [sample.at for sample in self.samples]
        first, last = bisect.bisect_right(times, begin) - 1, bisect.bisect_left(times, end)
        if first < 0 or last >= len(times) or last - first - 1 < LEAST:
            return None
        if self.samples[first].unmeasured != self.samples[last].unmeasured:
            return None
        one, other = self._at(first, begin), self._at(last - 1, end)
        within = self.samples[last].error - self.samples[first].error
        return Spent(other.joules - one.joules, within + one.error + other.error)

    def _at(self, index: int, moment: float) -> Spent:
        """Joules up to a moment between sample `index` and the next, on a straight line, and how far off that can be.

        Of an integral the bound of the whole step holds for any part of it. A counter may have taken its step anywhere.
        """
        one, other = self.samples[index], self.samples[index + 1]
        share = (moment - one.at) / (other.at - one.at)
        step = other.joules - one.joules
        doubt = max(share, 1 - share) * step if self.counted and 0 < share < 1 else 0.0
        return Spent(one.joules + share * step, doubt)


class Meter:
    """All rails of a device. Any thread may ask while another adds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rails: dict[str, Rail] = {}

    def add(self, readings: Iterable[Reading], at: float, period: float) -> list[Reading]:
        """Take the powers and energies of a pass at a moment; the energy readings that come of it.

        `period` is the time between two passes in seconds, as it is meant to be.
        """
        known = [one for one in readings if one.metric in {catalog.POWER, catalog.ENERGY} and one.value is not None]
        counted = {one.labels[0] for one in known if one.metric is catalog.ENERGY}
        taken: list[Reading] = []
        with self._lock:
            for one in known:
                rail = self._take(one, at, period, counted)
                if rail and not rail.counted:
                    taken += integrated(rail)
        return taken

    def _take(self, one: Reading, at: float, period: float, counted: set[str]) -> Rail | None:
        """The rail that a reading is a sample of; None for a power whose energy the hardware counts."""
        ident, value, hard = one.labels[0], one.value or 0.0, one.metric is catalog.ENERGY
        rail = self._rails.get(ident)
        if not hard and (ident in counted or (rail is not None and rail.counted)):
            return None
        if rail is None or rail.counted is not hard:
            rail = self._rails[ident] = Rail(one.labels, hard, value)
            rail.samples.append(Sample(at, 0.0))
        else:
            rail.labels = one.labels
            rail.add(at, value, LONGEST * period)
        return rail

    def measures(self) -> bool:
        """Whether there is anything that tells power or energy."""
        return bool(self._rails)

    def spent(self, begin: float, end: float) -> dict[tuple[str, ...], Spent]:
        """Energy of each rail between two moments, by its labels, as far as its samples tell."""
        with self._lock:
            found = [(rail.labels, rail.spent(begin, end)) for rail in self._rails.values()]
        return {labels: spent for labels, spent in found if spent is not None}


def total(spent: Mapping[tuple[str, ...], Spent]) -> Spent | None:
    """The sum of the rails that no other contains; None without one, or where the parent of a rail is not known."""
    idents = {labels[0] for labels in spent}
    roots = [one for labels, one in spent.items() if not labels[2]]
    if not roots or any(labels[2] and labels[2] not in idents for labels in spent):
        return None
    return Spent(sum(one.joules for one in roots), sum(one.error for one in roots))


def integrated(rail: Rail) -> Iterator[Reading]:
    """The counters of a rail whose power is integrated."""
    sample = rail.samples[-1]
    yield catalog.ENERGY(sample.joules, *rail.labels)
    yield hardware.ENERGY_ERROR(sample.error, rail.labels[0])
    yield hardware.ENERGY_UNMEASURED(sample.unmeasured, rail.labels[0])
