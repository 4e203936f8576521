"""The probing side of the daemon: probers and their plans on one serial lane; findings go to the store and the log."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from edgemon import config
from edgemon.alerts.flip import Flip
from edgemon.archive import Archive
from edgemon.asking import model_path
from edgemon.budget import HOUR, Cost
from edgemon.energy import Meter, total
from edgemon.events import Events
from edgemon.finding import Finding, sentence
from edgemon.gates import Held
from edgemon.history import Chronicle
from edgemon.identity import instance
from edgemon.judge.verdict import State
from edgemon.lanes import Job, Lane
from edgemon.probe.result import Outcome, Result
from edgemon.prober import REMEMBERED, Prober
from edgemon.rebenching import Rebenching
from edgemon.residence import Residence
from edgemon.schedule import Plan, Schedule
from edgemon.store import Snapshot, Store
from edgemon.sysfs import Root
from edgemon.values import duration

log = logging.getLogger("edgemon")

Look = Callable[[], Snapshot]
SAMPLED = 0.25
"""Seconds in which power is sampled once more after a run."""


@dataclass(frozen=True, slots=True)
class Energy:
    """What the device used while a probe ran: `briskly` samples its power often for as long as it is entered."""

    meter: Meter
    briskly: Callable[[], AbstractContextManager[None]]

    def used(self, result: Result) -> float | None:
        """Joules of the whole device from the start of a run to its end; None where it does not measure them."""
        if not result.boottime or not result.wall_seconds:
            return None
        spent = total(self.meter.spent(result.boottime, result.boottime + result.wall_seconds))
        return spent.joules if spent else None


class Probing:
    """Runs the probes of the configuration in force when their plans say so."""

    def __init__(
        self, store: Store, archive: Archive, root: Root, state: str, energy: Energy, look: Look | None = None
    ) -> None:
        self.lane = Lane("probing")
        self.probers: list[Prober] = []
        self._store, self._archive, self._root, self._state = store, archive, root, state
        self._energy, self._look = energy, look
        self._schedule = Schedule(instance(root))
        self._events, self._started, self._seen = Events(), False, False
        self._swap, self.cancel = threading.Lock(), threading.Event()
        self._said: dict[str, Held] = {}
        self._told: set[str] = set()
        self._residences: list[Residence] = []
        self._chronicle, self.rebenching = Chronicle(archive), Rebenching(self, archive)
        self.told: Callable[[Finding], None] = _nobody
        """Who else hears of what a run has found, once that is in the store."""

    def follow(self, settings: config.Config) -> None:
        """Probe what a configuration says; a probe that is as before goes on as before."""
        before = {one.name: one for one in self.probers}
        with self._swap:
            fresh, self._started = not self._started, True
            self.probers = [
                before[name]
                if name in before and before[name].probe == probe
                else Prober(name, probe, self._archive, self._root, self._state, self._energy.meter)
                for name, probe in settings.probes.items()
            ]
            for one in self.probers:
                one.hardware, one.look = self._store.readings, self._look
            self._settle(before)
            self._put_workers()
            for name in before.keys() - settings.probes.keys():
                self._store.put(f"probe.{name}", ())
            self._schedule.follow(settings, fresh)
            if fresh:
                self._schedule.remember({one.name: self._past(one.name) for one in self.probers})
            about = {name: (model_path(one.model), one.runtime, one.python) for name, one in settings.probes.items()}
            self._store.put("edgemon.schedule", self._schedule.readings())
            self._events.follow(about)
            self._heeded = frozenset(settings.triggers.events)
        self.rebenching.ledger.settings = settings.rebenchmark
        again = Job("rebenchmark", self.rebenching.interval, self._rebenchmark, pace=self.rebenching)
        self.lane.set([*(self._job(one, self._schedule.plans[one.name]) for one in self.probers), again])

    def _settle(self, before: Mapping[str, Prober]) -> None:
        """A residence for the worker of each new probe; those of probes that are no more, or are others now, close."""
        homes = {one.name: one for one in self._residences}
        kept = {one.name: homes[one.name] for one in self.probers if before.get(one.name) is one}
        for name, home in homes.items():
            if name not in kept:
                home.close()
        self._residences[:] = [
            kept.get(one.name) or Residence(one.name, one.probe, self._residences) for one in self.probers
        ]
        for one, home in zip(self.probers, self._residences, strict=True):
            one.ask = home.run

    def _past(self, name: str) -> list[tuple[float, Cost]]:
        """Age and cost of the runs of the last hour that the archive knows; one from the future is of now."""
        ages = [(max(0.0, time.time() - result.at), result) for _, result in self._archive.results(name, REMEMBERED)]
        return [(age, _cost(result, self._energy.used(result))) for age, result in ages if age < HOUR]

    def _job(self, prober: Prober, plan: Plan) -> Job:
        every, priority = prober.probe.interval, prober.probe.priority
        return Job(prober.name, every, lambda: self._turn(prober, plan), pace=plan.cadence, priority=priority)

    def see(self, snapshot: Snapshot) -> None:
        """Take note of what a sweep has found: it may hold probes, or call for one. The first lets probing begin."""
        with self._swap:
            self._schedule.see(snapshot)
            called = [(name, event) for name, event in self._events.look(snapshot) if event in self._heeded]
            called = [(name, event) for name, event in called if self._schedule.plans[name].call(event)]
            self._store.put("edgemon.schedule", self._schedule.readings())
            for home in self._residences:
                home.tend(self._schedule.short())
            self._put_workers()
        for name, event in called:
            log.info("probe %s: called for by %s", name, event.replace("_", " "))
        if called:
            self.lane.wake()
        if not self._seen:
            self._seen = True
            self.lane.start()

    def heed(self, flips: Sequence[Flip]) -> None:
        """Take note of flips of alerts: some ask for a re-benchmark."""
        self._chronicle.flips(flips)
        if self.rebenching.heed(flips):
            self.lane.wake()

    def plans(self) -> Mapping[str, Plan]:
        """The plans of all probes."""
        with self._swap:
            return dict(self._schedule.plans)

    def found(self, name: str) -> Finding | None:
        """What the last run of a probe found."""
        return next((one.finding for one in self.probers if one.name == name), None)

    def hindered(self, name: str, despite: Sequence[str]) -> Held | None:
        """What would hold a run of a probe that is no turn of its own."""
        with self._swap:
            plan = self._schedule.plans.get(name)
            return (
                self._schedule.hindered(plan, despite) if plan else Held("stopping", "there is no such probe any more")
            )

    def round(self, name: str) -> Finding | None:
        """Run a probe now, out of turn."""
        with self._swap:
            pairs = zip(self.probers, self._residences, strict=True)
            found = next(((*pair, self._schedule.plans[name]) for pair in pairs if pair[0].name == name), None)
        if found is None:
            return None
        prober, home, plan = found
        home.renew("rebenchmark")  # rounds of one process share its luck
        finding = self._probe(prober, plan, turn=False)
        self._publish(prober, finding)
        return finding

    def stop(self, patience: float) -> None:
        """Run no other probe, and wait for the one that runs, which `cancel` kills."""
        self.lane.stop(patience)
        for home in self._residences:
            home.close()

    def states(self) -> list[tuple[str, Finding | None, Held | None]]:
        """Name, last finding and what it waits for, of every probe."""
        with self._swap:
            return [(one.name, one.finding, self._schedule.plans[one.name].waits) for one in self.probers]

    def _turn(self, prober: Prober, plan: Plan) -> None:
        """One turn of a probe: held, or run."""
        with self._swap:
            if prober not in self.probers:
                return
            held = self._schedule.held(plan)
        self._say(prober.name, held)
        self._publish(prober, self._probe(prober, plan) if held is None else None)

    def _rebenchmark(self) -> None:
        """A turn of the re-benchmarks."""
        self.rebenching.turn()
        self._store.put("edgemon.rebenchmark", self.rebenching.readings())
        self._store.commit()

    def _publish(self, prober: Prober, finding: Finding | None) -> None:
        with self._swap:
            if prober in self.probers:
                self._store.put(f"probe.{prober.name}", prober.readings())
                self._store.put("edgemon.schedule", self._schedule.readings())
                self._put_workers()
                self._store.commit()
        if finding:
            self.told(finding)

    def _put_workers(self) -> None:
        self._store.put("edgemon.workers", [one for home in self._residences for one in home.readings()])

    def _probe(self, prober: Prober, plan: Plan, turn: bool = True) -> Finding:
        before = prober.finding
        with self._energy.briskly():
            finding = prober.run(self.cancel)
            if plan.limited("energy"):
                self.cancel.wait(SAMPLED)  # until a sample after the end tells what was used up to it
        result = finding.result
        with self._swap:
            if result.outcome is not Outcome.SKIPPED:
                cost = _cost(result, self._energy.used(result))
                plan.ran(cost, finding.verdict, turn)
                self._say_budget(plan, cost)
            elif turn:
                plan.put_off()
        self._chronicle.verdict(finding)
        if not self.cancel.is_set() and (before is None or _gist(before) != _gist(finding)):
            advice = f" ({finding.verdict.advice})" if finding.verdict.advice else ""
            about = {"event": "verdict", "probe": prober.name}
            log.log(_level(finding), "probe %s%s", sentence(finding), advice, extra=about)
        return finding

    def _say(self, name: str, held: Held | None) -> None:
        """Say why a probe waits once, until the reason is another, and that it goes on."""
        before = self._said.pop(name, None)
        if held:
            self._said[name] = held
            if before is None or before.reason != held.reason:
                self._once(f"{name}.{held.reason}", not held.reason.startswith("budget"), f"probe {name} waits: {held}")
        elif before and not before.reason.startswith("budget"):
            log.info("probe %s goes on: no longer %s", name, before.reason)

    def _say_budget(self, plan: Plan, cost: Cost) -> None:
        """Say once that a budget makes a probe rare, until it no longer does, and that one cannot be kept to."""
        name, every = plan.name, plan.probe.interval
        if plan.spacing > 1.1 * every:
            text = f"probe {name}: the budget allows one every {duration(round(plan.spacing))}, not {duration(every)}"
            self._once(f"{name}.spacing", False, text)
        elif not plan.spacing:
            self._told -= {one for one in self._told if one.startswith(f"{name}.")} - {f"{name}.energy"}
        if cost.energy is None and plan.limited("energy"):
            why = "no power sensor, or too short a run"
            self._once(f"{name}.energy", False, f"probe {name}: its joules are not known ({why}) and not limited")

    def _once(self, key: str, again: bool, text: str) -> None:
        if again or key not in self._told:
            log.info("%s", text)
        self._told.add(key)


def _nobody(_finding: Finding) -> None:
    return None


def _cost(result: Result, joules: float | None) -> Cost:
    return Cost(result.wall_seconds or 0.0, result.cpu_seconds or 0.0, joules)


def _gist(finding: Finding) -> tuple[State, str]:
    """What is worth a line in the log when it changes: the verdict and its foremost cause."""
    return finding.verdict.state, finding.causes[0].name if finding.causes else ""


def _level(finding: Finding) -> int:
    return logging.WARNING if finding.verdict.state in {State.DEGRADED, State.FAILING} else logging.INFO
