"""A device whose clock a test turns: the real schedule on the real lane, with runs that take what the test says."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from edgemon.budget import Cost
from edgemon.config import Config, Probe
from edgemon.gates import Held
from edgemon.judge.verdict import State, Verdict
from edgemon.lanes import Job, Lane
from edgemon.limits import Gates, Total, Triggers
from edgemon.metric import Reading
from edgemon.schedule import Clocks, Schedule
from edgemon.store import Snapshot

HOUR, DAY = 3600.0, 86400.0
EPOCH = 1_767_225_600.0
"""2026-01-01T00:00:00Z, a Thursday."""
OK = Verdict(State.OK, "none", "")
SLOW = Verdict(State.DEGRADED, "slower", "")
FREE: dict[str, Any] = {"budget": Total(time=0.0, cpu=0.0)}


def snapshot(*readings: Reading, at: float = 0.0) -> Snapshot:
    """A snapshot of these."""
    return Snapshot(1, at, {(one.metric, one.labels): one.value for one in readings if one.value is not None})


@dataclass(frozen=True, slots=True)
class Ran:
    """One run."""

    name: str
    began: float
    ended: float
    cost: Cost
    trigger: str


class Device:
    """Turns its clock from turn to turn. Callbacks say what a run costs, what it finds, and what sensors tell."""

    def __init__(
        self,
        probes: Mapping[str, Probe],
        name: str = "device",
        cost: Callable[[str], Cost] = lambda _name: Cost(1.0, 0.5),
        **settings: Any,
    ) -> None:
        self.now, self.offset, self.chance = 0.0, 0.0, random.Random(1)
        self.cost = cost
        self.verdict: Callable[[str], Verdict] = lambda _name: OK
        self.sensors: Callable[[float], tuple[Reading, ...]] = lambda _now: ()
        self.runs: list[Ran] = []
        self.holds: list[tuple[float, str, Held]] = []
        self.config = Config(probes=probes, **{"triggers": Triggers(events=()), "gates": Gates(), **settings})
        clocks = Clocks(lambda: self.now, self.wall, time.localtime, self.chance.random)
        self.schedule, self.lane = Schedule(name, clocks), Lane("probing", lambda: self.now)
        self.schedule.follow(self.config, started=True)
        self.lane.set(
            [
                Job(one.name, one.probe.interval, partial(self._turn, one.name), 0, 0, one.cadence, one.probe.priority)
                for one in self.schedule.plans.values()
            ]
        )

    def wall(self) -> float:
        return EPOCH + self.now + self.offset

    def until(self, seconds: float) -> Device:
        """Let time pass."""
        while self.now < seconds:
            pause = self.lane.step()
            if pause != 0.0:
                self.now = min(seconds, self.now + (seconds if pause is None else pause))
        return self

    def call(self, name: str, event: str) -> bool:
        return self.schedule.plans[name].call(event)

    def times(self, name: str) -> list[float]:
        return [one.began for one in self.runs if one.name == name]

    def told(self) -> dict[str, dict[tuple[str, ...], float]]:
        """What the schedule exports, by metric and labels."""
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for metric, labels, value in self.schedule.readings():
            assert value is not None
            assert labels not in found.setdefault(metric.name, {})
            found[metric.name][labels] = value
        return found

    def _turn(self, name: str) -> None:
        plan = self.schedule.plans[name]
        self.schedule.see(replace(snapshot(*self.sensors(self.now)), at=self.now))
        held = self.schedule.held(plan)
        if held:
            self.holds.append((self.now, name, held))
            return
        began, cost = self.now, self.cost(name)
        self.now += cost.time
        plan.ran(cost, self.verdict(name))
        self.runs.append(Ran(name, began, self.now, cost, plan.cadence.trigger))
