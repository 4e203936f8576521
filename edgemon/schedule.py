"""The schedule: for each probe a plan of when it runs, made of its cadence, the gates and the budgets.

Pure: clocks, chance and snapshots come from outside, so that days can be played through in a test. The one lane that
runs probes asks `held` when a turn comes, and says `ran` after a run; the sensing lane says `see` after each sweep.
"""

from __future__ import annotations

import math
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from edgemon import config, inference
from edgemon.budget import HOUR, RECENT, Account, Cost, dearest
from edgemon.cadence import LOOK, Cadence
from edgemon.digest import digest
from edgemon.gates import Held, Pressure, View, closed, short
from edgemon.judge.verdict import State, Verdict
from edgemon.limits import Gates, Total
from edgemon.metric import Reading
from edgemon.store import Snapshot
from edgemon.values import duration

HOPELESS = frozenset({"no_baseline", "skipped"})
"""Causes of an undecided verdict that no further run removes."""
DOUBTFUL = frozenset({State.UNDECIDED, State.DEGRADED, State.FAILING})
HEAT = ("throttled", "hot")
"""Gates that do not hold the run which the beginning of throttling calls for."""
FIRST = 1.0
"""Seconds to the first run, and from one probe's to the next one's."""
SIZES = {"time": "{:.1%} of the time", "cpu": "{:g} CPU seconds an hour", "energy": "{:g} J an hour"}


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds that never go back, Unix time, local time, and chance from 0 to 1."""

    now: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    local: Callable[[float], time.struct_time] = time.localtime
    chance: Callable[[], float] = random.random


class Plan:
    """When one probe runs, and what keeps it from running."""

    def __init__(self, name: str, probe: config.Probe, cadence: Cadence, total: Account, clocks: Clocks) -> None:
        self.name, self.probe, self.cadence = name, probe, cadence
        self.waits: Held | None = None
        self.queued = math.inf
        """Since when it has waited for a budget."""
        self.own = Account(probe.budget)
        self._total, self._clocks = total, clocks
        self._costs: deque[Cost] = deque(maxlen=RECENT)
        self._skipped: Counter[str] = Counter()
        self._triggered: Counter[str] = Counter()
        self._known: tuple[State, str] | None = None
        self._began = self.spacing = 0.0

    def held(self, gates: Gates, view: View, ahead: Cost) -> Held | None:
        """What holds the turn that has come, if anything does; the turn is then put off and counted.

        `ahead` is what must be left of the budget of all for a probe that has waited longer.
        """
        self._began = self._clocks.now()
        asked = self.cadence.trigger == "throttling_began"  # what throttling costs is what this run is to tell
        probe = replace(self.probe, despite=(*self.probe.despite, *HEAT)) if asked else self.probe
        pause, self.waits = 0.0, next(closed(gates, probe, view), None)
        if not self.waits:
            pause, self.waits = self.short(ahead)
        self.queued = min(self.queued, self._began) if pause else math.inf
        if self.waits:
            self.skip(self.waits.reason, self.cadence.hold(self._began, max(LOOK, min(pause, 6 * LOOK))))
        return self.waits

    def skip(self, reason: str, turns: int = 1) -> None:
        """Count turns that were left out."""
        self._skipped[reason] += turns

    def put_off(self) -> None:
        """Put off a turn that came to nothing: another edgemon probes, or this one is stopping."""
        self.cadence.hold(self._clocks.now())

    def ran(self, cost: Cost, verdict: Verdict, turn: bool = True) -> None:
        """Book a run and plan the next; one that was no turn, as a round of a re-benchmark is, answers no event."""
        now = self._clocks.now()
        self._began = self._began if turn else now - cost.time
        self._costs.append(cost)
        for account in (self.own, self._total):
            account.spend(now, cost)
        if turn and self.cadence.trigger:
            self._triggered[self.cadence.trigger] += 1
        self._judge(verdict)
        self.spacing = max(one.spacing(now, self.expected()) for one in (self.own, self._total))
        self.cadence.ran(now, self._began, self.spacing)

    def remember(self, age: float, cost: Cost) -> None:
        """Take over what a run has cost so many seconds ago; older ones come first."""
        self._costs.append(cost)
        self.own.spend(self._clocks.now() - age, cost)

    def limited(self, resource: str) -> bool:
        """Whether a budget limits this resource."""
        return resource in self.own.limits or resource in self._total.limits

    def call(self, event: str, delay: float = 0.0) -> bool:
        """Let an event call for a run; whether it is heeded."""
        heeded = self.cadence.call(self._clocks.now(), event, delay)
        if not heeded:
            self.skip("gap")
        return heeded

    def readings(self) -> Iterator[Reading]:
        """When it runs next, at what interval, what called for it, and what kept it from running."""
        now = self._clocks.now()
        yield inference.PROBE_INTERVAL(self.cadence.interval, self.name)
        yield inference.PROBE_NEXT(round(self._clocks.wall() + self.cadence.due() - now), self.name)
        for reason, count in self._skipped.items():
            yield inference.PROBE_SKIPPED(count, self.name, reason)
        for event, count in self._triggered.items():
            yield inference.PROBE_TRIGGERED(count, self.name, event)
        for resource, share in self.own.shares(now):
            yield inference.PROBE_BUDGET(share, self.name, resource)

    def expected(self) -> Cost:
        """What the next run may cost; before the first, what it is allowed to."""
        return dearest(self._costs) if self._costs else Cost(self.probe.seconds + self.probe.idle, self.probe.seconds)

    def short(self, ahead: Cost) -> tuple[float, Held | None]:
        """Seconds until its own budget and that of all probes have room for a run, and which has not."""
        now, cost = self._clocks.now(), self.expected()
        own, total = self.own.wait(now, cost), self._total.wait(now, cost + ahead)
        (seconds, resource), account = (own, self.own) if own[0] >= total[0] else (total, self._total)
        if not resource:
            return 0.0, None
        most = account.limits[resource] / (HOUR if resource == "time" else 1)
        whose = "its own" if account is self.own else "all probes together"
        text = f"{SIZES[resource].format(most)} for {whose} is used up for {duration(max(1.0, round(seconds)))}"
        return seconds, Held(f"budget_{resource}", text)

    def _judge(self, verdict: Verdict) -> None:
        doubtful = verdict.state in DOUBTFUL and verdict.cause not in HOPELESS
        now = (verdict.state, verdict.cause)
        self.cadence.judge(doubtful, now != self._known, verdict.state in {State.OK, State.IMPROVED})
        self._known = now


class Schedule:
    """The plans of all probes."""

    def __init__(self, device: str, clocks: Clocks | None = None) -> None:
        self._device, self.clocks = device, clocks or Clocks()
        self._gates = Gates()
        self._pressure, self._snapshot = Pressure(), Snapshot()
        self.total = Account(Total())
        self.plans: dict[str, Plan] = {}

    def follow(self, settings: config.Config, started: bool = False) -> None:
        """Plan the probes of a configuration; what of it is as before keeps its plan."""
        self._gates = settings.gates
        self.total.limit(settings.budget)
        before, places = self.plans, phases(self._device, settings.probes)
        self.plans = {}
        for name, probe in settings.probes.items():
            known = before.get(name)
            kept = known if known and known.probe == probe else self._new(name, probe, settings, places[name])
            kept.cadence.triggers = settings.triggers
            self.plans[name] = kept
        fresh = [plan for name, plan in self.plans.items() if plan is not before.get(name)]
        event = "start" if started else "reload"
        for number, plan in enumerate(fresh):
            if event in settings.triggers.events:
                plan.call(event, FIRST + number)

    def remember(self, past: Mapping[str, Iterable[tuple[float, Cost]]]) -> None:
        """Take over what the runs of each probe cost before this process began, by their age in seconds.

        A daemon that is restarted again and again has no new budget each time.
        """
        every = sorted(
            ((age, name, cost) for name, costs in past.items() for age, cost in costs), key=lambda one: -one[0]
        )
        for age, name, cost in every:
            self.plans[name].remember(age, cost)
            self.total.spend(self.clocks.now() - age, cost)

    def see(self, snapshot: Snapshot) -> None:
        """Take note of a new snapshot."""
        self._snapshot = snapshot
        self._pressure.see(snapshot)

    def short(self) -> bool:
        """Whether memory is short now, by the gates."""
        return short(self._gates, View(self._snapshot, self._pressure, self.clocks.local(self.clocks.wall())))

    def hindered(self, plan: Plan, despite: Sequence[str] = ()) -> Held | None:
        """What would hold a run that is no turn of the probe, such as a round of a re-benchmark; nothing is counted."""
        probe = replace(plan.probe, despite=(*plan.probe.despite, *despite))
        return next(closed(self._gates, probe, self._view(plan)), None) or plan.short(Cost())[1]

    def _view(self, plan: Plan) -> View:
        return View(self._snapshot, self._pressure, self.clocks.local(self.clocks.wall()), plan.cadence.phase)

    def held(self, plan: Plan) -> Held | None:
        """What holds a turn that has come; the turn is then put off and counted."""
        view = self._view(plan)
        others = [one for one in self.plans.values() if one.queued < plan.queued and one is not plan]
        first = min(others, key=lambda one: one.queued, default=None)
        return plan.held(self._gates, view, first.expected() if first else Cost())

    def readings(self) -> Iterator[Reading]:
        """Every plan, and the budget of all."""
        for plan in self.plans.values():
            yield from plan.readings()
        for resource, share in self.total.shares(self.clocks.now()):
            yield inference.PROBE_BUDGET(share, "", resource)

    def _new(self, name: str, probe: config.Probe, settings: config.Config, phase: float) -> Plan:
        cadence = Cadence(probe, settings.triggers, phase, self.clocks.now(), self.clocks.chance)
        return Plan(name, probe, cadence, self.total, self.clocks)


def phases(device: str, probes: Mapping[str, config.Probe]) -> dict[str, float]:
    """The place of each probe in its interval: from the device's identity, those of one interval evenly apart."""
    first = int.from_bytes(digest(f"phase/{device}"), "big") / (1 << 48)
    places = {}
    for every in {probe.interval for probe in probes.values()}:
        group = [name for name, probe in probes.items() if probe.interval == every]
        places.update({name: (first + number / len(group)) % 1 for number, name in enumerate(group)})
    return places
