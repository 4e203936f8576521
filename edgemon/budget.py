"""Budgets: what probes spent in the last hour, what that leaves, and how to make the rest last.

A run is let through only if it fits, at the most it has recently cost, into what is left of every hour that it would
be part of; so no hour exceeds its budget, but by what a run costs beyond anything seen before. One that alone costs
more than an hour's budget is let through after as many hours without any as pay for it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from edgemon.limits import Budget

HOUR = 3600.0
FREE = 0.75
"""Share of the budget that may go in one burst; what is left is then spread over the hour."""
RECENT = 5
"""Runs by whose dearest the next one is judged."""
RESOURCES = ("time", "cpu", "energy")


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds on the clock, CPU seconds, and joules where they are measured."""

    time: float = 0.0
    cpu: float = 0.0
    energy: float | None = None

    def of(self, resource: str) -> float:
        """What it cost of a resource; what is not measured is not counted."""
        return getattr(self, resource) or 0.0

    def __add__(self, other: Cost) -> Cost:
        energy = None if self.energy is None and other.energy is None else self.of("energy") + other.of("energy")
        return Cost(self.time + other.time, self.cpu + other.cpu, energy)


def dearest(costs: deque[Cost]) -> Cost:
    """The most any of these took of each resource."""
    joules = [one.energy for one in costs if one.energy is not None]
    return Cost(max(one.time for one in costs), max(one.cpu for one in costs), max(joules) if joules else None)


class Account:
    """The spending of one probe, or of all. `now` is seconds on a clock that never goes back."""

    def __init__(self, budget: Budget) -> None:
        self.limit(budget)
        self._spent: deque[tuple[float, Cost]] = deque()

    def limit(self, budget: Budget) -> None:
        """Set what may be spent in an hour; what was spent stays."""
        limits = {"time": budget.time * HOUR, "cpu": budget.cpu, "energy": budget.energy}
        self.limits = {resource: most for resource, most in limits.items() if most}

    def spend(self, now: float, cost: Cost) -> None:
        """Book a run that has ended now."""
        self._spent.append((now, cost))
        longest = max(
            [HOUR, *(HOUR * one.of(name) / most for _, one in self._spent for name, most in self.limits.items())]
        )
        while self._spent[0][0] <= now - longest:
            self._spent.popleft()

    def used(self, now: float, resource: str, span: float = HOUR) -> float:
        """What was spent of a resource in the time from `span` seconds ago."""
        return math.fsum(cost.of(resource) for at, cost in self._spent if at > now - span)

    def wait(self, now: float, expected: Cost) -> tuple[float, str]:
        """Seconds until a run of this cost fits, and the resource that it waits for; 0 and nothing when it fits now."""
        waits = [(self._wait(now, resource, expected.of(resource)), resource) for resource in self.limits]
        longest, resource = max(waits, default=(0.0, ""))
        return (longest, resource) if longest > 0 else (0.0, "")

    def spacing(self, now: float, expected: Cost) -> float:
        """Seconds from one run of this cost to the next that make what is left last; 0 while most is left."""
        return max([0.0, *(self._spacing(now, resource, expected.of(resource)) for resource in self.limits)])

    def shares(self, now: float) -> Iterator[tuple[str, float]]:
        """Each limited resource with the share of its budget used in the last hour; joules only where measured."""
        for resource, most in self.limits.items():
            if resource != "energy" or any(cost.energy is not None for _, cost in self._spent):
                yield resource, self.used(now, resource) / most

    def _wait(self, now: float, resource: str, cost: float) -> float:
        most = self.limits[resource]
        span, room = HOUR * max(1.0, cost / most), max(most, cost) - cost
        used = self.used(now, resource, span)
        if used <= room and (cost or used < most):
            return 0.0
        for at, one in self._spent:
            if at > now - span:
                used -= one.of(resource)
                if used <= room * (1 + 1e-12):
                    return at + span - now
        return 0.0

    def _spacing(self, now: float, resource: str, cost: float) -> float:
        most = self.limits[resource]
        used = self.used(now, resource) / most
        if used <= FREE:
            return 0.0
        pace = HOUR * cost / most  # at which this probe alone would use it all
        return min(pace * (1 - FREE) / max(1 - used, 0.01), max(HOUR, pace))
