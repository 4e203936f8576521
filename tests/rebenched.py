"""A device whose probes take what a test says: real probers, archive and schedule, on a clock that the test turns."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgemon.alerts.flip import Flip, State
from edgemon.archive import Archive
from edgemon.budget import Cost
from edgemon.config import Config, Probe
from edgemon.finding import Finding
from edgemon.gates import Held
from edgemon.identity import device
from edgemon.judge.baseline import record
from edgemon.ledger import Moment
from edgemon.limits import Rebenchmark
from edgemon.metric import Reading
from edgemon.probe.result import Outcome, Request, Result
from edgemon.prober import Prober
from edgemon.rebenching import Rebenching
from edgemon.schedule import Clocks, Plan, Schedule
from edgemon.sysfs import Root
from tests.simulated import FREE, snapshot

EPOCH = 1_780_264_800.0
"""A Monday of 2026, at midnight in Berlin."""
PROBE = Probe(model="/a/model", runtime="fake")


class Device:
    """`took` gives the milliseconds of an inference by probe, `runs` what ran; each round takes `cost`."""

    def __init__(self, where: Path, *names: str, **settings: Any) -> None:
        probes = dict.fromkeys(names or ("a",), PROBE) | settings.pop("probes", {})
        self.config = Config(
            probes=probes, **{**FREE, "rebenchmark": Rebenchmark(**settings.pop("again", {})), **settings}
        )
        self.now, self.offset, self.cost = 0.0, 0.0, Cost(2.0, 1.0)
        self.took: dict[str, float] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.model, self.chance = "abc", random.Random(1)
        self.runs: list[str] = []
        self.root, self.archive = Root(str(where)), Archive(str(where / "state"))
        self.schedule = Schedule("device", Clocks(lambda: self.now, self.wall))
        self.schedule.follow(self.config)
        state = str(where / "state")
        self.probers = {name: Prober(name, one, self.archive, self.root, state) for name, one in probes.items()}
        for one in self.probers.values():
            one.ask = self._ask
        self.start()

    def start(self) -> None:
        """Begin, as after a restart: only the archive remembers."""
        self.it = Rebenching(self, self.archive, lambda: self.now, lambda: Moment(self.now, self.wall()))
        self.it.ledger.settings = self.config.rebenchmark

    def wall(self) -> float:
        return EPOCH + self.now + self.offset

    def until(self, seconds: float) -> Device:
        """Let time pass."""
        while (due := max(self.now, self.it.due())) <= seconds:
            self.now = due
            self.it.begin(self.now)
            self.it.turn()
        self.now = max(self.now, seconds)
        return self

    def see(self, *readings: Reading) -> None:
        """What the sensors say from now on."""
        self.schedule.see(snapshot(*readings, at=self.now))

    def learn(self, name: str = "a", milliseconds: float = 1.0) -> None:
        """Record a baseline of ten rounds."""
        self.took[name] = milliseconds
        self.archive.keep(record([self._result(name) for _ in range(10)], device(self.root)))
        self.now += 1

    def turns(self, count: int, name: str = "a") -> Finding:
        """So many ordinary runs; what the last one found."""
        for _ in range(count):
            finding = self.probers[name].run()
            self.now += 60
        return finding

    def fire(self, alert: str = "Slow", resolved: bool = False, **labels: str) -> Flip:
        """An alert that asks, or is over."""
        state = State.RESOLVED if resolved else State.FIRING
        flip = Flip({"alertname": alert, "action": "rebenchmark", **labels}, state, self.wall())
        self.it.heed([flip])
        return flip

    def told(self) -> dict[str, dict[tuple[str, ...], float | None]]:
        """What is exported, by metric and labels."""
        found: dict[str, dict[tuple[str, ...], float | None]] = {}
        for metric, labels, value in self.it.readings():
            assert labels not in found.setdefault(metric.name.removeprefix("edgemon."), {})
            found[metric.name.removeprefix("edgemon.")][labels] = value
        return found

    def alerts(self) -> set[tuple[str, ...]]:
        """What became of the alerts."""
        return set(self.told().get("rebenchmark.alert", {}))

    def plans(self) -> Mapping[str, Plan]:
        return dict(self.schedule.plans)

    def found(self, name: str) -> Finding | None:
        return self.probers[name].finding

    def hindered(self, name: str, despite: Sequence[str]) -> Held | None:
        return self.schedule.hindered(self.schedule.plans[name], despite)

    def round(self, name: str) -> Finding | None:
        finding = self.probers[name].run()
        self.now += self.cost.time
        self.schedule.plans[name].ran(self.cost, finding.verdict, turn=False)
        self.runs.append(name)
        return finding

    def _ask(self, request: Request, python: str = "", cancel: threading.Event | None = None) -> Result:
        assert (python, cancel) == ("", None)
        return self._result(request.probe)

    def _result(self, name: str) -> Result:
        """A round, off by up to 2 % by chance."""
        outcome = self.outcomes.get(name, Outcome.OK)
        one = self.took.get(name, 1.0) / 1000 * self.chance.uniform(0.98, 1.02)
        facts = {"runtime": "fake", "runtime_version": "1", "model_sha256": self.model}
        taken = [one] * 20 if outcome is Outcome.OK else []
        return Result(
            name, outcome, at=self.wall(), latencies=taken, corrected=taken, facts=facts, inferences=len(taken),
            wall_seconds=self.cost.time, cpu_seconds=self.cost.cpu,
        )  # fmt: skip
