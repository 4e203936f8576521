"""Probing: from a probe's configuration to findings, one run at a time."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from edgemon import config, efficiency, inference
from edgemon.archive import Archive, alone
from edgemon.asking import cache, outputs_of, request
from edgemon.conditions import Conditions, typical
from edgemon.energy import Meter, total
from edgemon.finding import Finding, energy_readings, result_readings, verdict_readings
from edgemon.identity import device
from edgemon.judge.baseline import Baseline, Round, conditions, differences, fingerprint, key_of, round_of
from edgemon.judge.case import NOTHING, Case
from edgemon.judge.diagnosis import diagnose
from edgemon.judge.epoch import MOST, RECENT
from edgemon.judge.joules import joules
from edgemon.judge.validity import usable, validity
from edgemon.judge.verdict import doubtful, interval, judge
from edgemon.metric import Distribution, Reading
from edgemon.peaks import Device, device_of
from edgemon.probe import supervisor
from edgemon.probe.result import Outcome, Request, Result
from edgemon.sketch import Sketch
from edgemon.store import Snapshot
from edgemon.sysfs import Root
from edgemon.watch import watched

log = logging.getLogger("edgemon.prober")

REMEMBERED = 100
METERED, METER_EVERY = 1.0, 600.0
"""Seconds for which the model runs alone so that its energy is metered, and how often that is worth it."""
SKIPS = {"busy": "busy", "device_busy": "device_busy"}
"""The reason of a skipped run by the stage it got to."""


class Prober:
    """Runs one configured probe and remembers how it has been doing."""

    def __init__(
        self,
        name: str,
        probe: config.Probe,
        archive: Archive,
        root: Root,
        state: str,
        meter: Meter | None = None,
    ) -> None:
        self.name, self.probe = name, probe
        self.finding: Finding | None = None
        self._archive, self._root, self._state, self._meter = archive, root, state, meter
        self._metered = -math.inf
        self._seen: deque[tuple[str, Conditions]] = deque(maxlen=RECENT + MOST)
        self._rounds: deque[Round] | None = None
        self._runs: Counter[Outcome] = Counter()
        self._skipped: Counter[str] = Counter()
        self._cpu = self._wall = 0.0
        self._sketch = Sketch()
        self._joules: Mapping[str, float] = {}
        self._succeeded: float | None = None
        self._counted: tuple[str, object] = ("", None)
        self.hardware: Callable[[], Iterable[Reading]] = tuple
        """What the platforms read of this device, for its peak; nothing unless somebody gives it."""
        self._told: float | None = None
        self._executed: tuple[tuple[str, Any], dict[str, float | None]] | None = None
        self.look: Callable[[], Snapshot] | None = None
        """Reads the device before, during and after a run; nobody does unless somebody gives it."""
        self.ask = supervisor.run
        """Who runs a request: a worker for each, unless somebody gives another."""

    def run(self, cancel: threading.Event | None = None, record: bool = False, faults: bool | None = None) -> Finding:
        """Probe now, judge, remember. When another process probes on this state directory the turn is skipped.

        Faulty requests are sent to an endpoint when asked for, or when it is their turn among the runs.
        """
        every = self.probe.endpoint.faults_every
        turn = bool(every) and (sum(self._runs.values()) + 1) % every == 0
        with alone(self._state, "probe") as held:
            baseline = self._archive.baseline(self.name)
            if held:
                result = self._asked(baseline, record, turn if faults is None else faults, cancel)
            else:
                result = Result(self.name, Outcome.SKIPPED, "another edgemon probes on this device", "busy")
        finding = self.judge(result)
        self._note(finding)
        return finding

    def _asked(self, baseline: Baseline | None, record: bool, faults: bool, cancel: threading.Event | None) -> Result:
        """What a worker answers, or why it cannot be asked."""
        try:
            asked = self._request(baseline, record, faults)
        except OSError as error:  # no descriptor is left, say
            at, boottime = time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)
            detail = f"cannot be asked: {error.filename}: {(error.strerror or str(error)).lower()}"
            return Result(self.name, Outcome.FAILED, detail, "start", at, boottime)
        result = watched(lambda: self.ask(asked, self.probe.python, cancel), self.look)
        return self._dissected(self._with_joules(result))

    def _meterable(self, record: bool) -> bool:
        """Whether to meter energy in the next run: where there is a meter, and now and then, since it takes time."""
        due = record or time.monotonic() - self._metered >= METER_EVERY
        return self._root.live and self._meter is not None and self._meter.measures() and due

    def _with_joules(self, result: Result) -> Result:
        """The result with the energy of an inference among its facts, if that was metered."""
        meter = self._meter
        used = joules(result, lambda begin, end: total(meter.spent(begin, end))) if meter else None
        if used is None:
            return result
        self._metered = time.monotonic()
        return replace(result, facts={**result.facts, "joules": asdict(used)})

    def _request(self, baseline: Baseline | None, record: bool, faults: bool) -> Request:
        """What to ask now: of a first run also where the time goes; and how far another probe's outputs are."""
        asked = request(self.name, self.probe, baseline, record, faults)
        other = self._archive.baseline(self.probe.compare_with) if self.probe.compare_with else None
        return replace(
            asked,
            counted=self._counted[0],
            cache=cache(self._state, self.name),
            profile=record or self.finding is None,
            reference=outputs_of(other) if other else [],
            energy=METERED if self._meterable(record) and not asked.rate else 0.0,
            reference_inputs=other.key.get("inputs", "") if other else "",
            fresh=self.finding is not None and doubtful(self.finding.verdict),
        )

    def judge(self, result: Result) -> Finding:
        """The verdict on a result, which becomes one of the rounds if it is ok."""
        key = key_of(result, device(self._root)) if result.facts else {}
        mark = fingerprint(key) if key else ""
        result = self._with_executed(result, mark)
        baseline = self._archive.baseline(self.name, mark)
        rounds = self._history()
        if result.outcome is Outcome.OK and usable(result):
            self._remember(rounds, mark, result)
        verdict = judge(result, list(rounds), baseline, key, self.probe.effect)
        recent = [one for one in rounds if one.fingerprint == mark][-RECENT:]
        now, before = self._conditions(result, mark)
        causes = diagnose(Case(result, verdict, baseline, key, recent, now, before))
        if causes:
            verdict = replace(verdict, advice=causes[0].step)
        return Finding(result, key, mark, verdict, baseline, validity(result, baseline), causes)

    def _conditions(self, result: Result, mark: str) -> tuple[Conditions, Conditions]:
        """Those of the recent rounds, which the verdict is on, or of a run that is none; and of the rounds before."""
        seen = [one for other, one in self._seen if other == mark]
        before = typical(seen[:-RECENT]) if seen[:-RECENT] else NOTHING
        if result.outcome is Outcome.OK and seen:
            return typical(seen[-RECENT:]), before
        return conditions([result]) or NOTHING, before

    def _remember(self, rounds: deque[Round], mark: str, result: Result) -> None:
        """One more round, with its conditions."""
        rounds.append(round_of(result, mark))
        seen = conditions([result])
        if seen:
            self._seen.append((mark, seen))

    def _dissected(self, result: Result) -> Result:
        """The result with what its model is made of, which a worker tells once for each digest."""
        digest, told = result.facts.get("model_sha256", ""), result.facts.get("anatomy")
        if told:
            self._counted = (digest, told)
        elif digest and digest == self._counted[0]:
            return replace(result, facts={**result.facts, "anatomy": self._counted[1]})
        return result

    def _with_executed(self, result: Result, mark: str) -> Result:
        """The result with where the time goes, as the last run that was asked told, if nothing has changed since."""
        like = mark, result.facts.get("placement")
        if result.facts.get("executed"):
            self._executed = like, result.facts["executed"]
        elif self._executed and self._executed[0] == like:
            return replace(result, facts={**result.facts, "executed": self._executed[1]})
        return result

    def _history(self) -> deque[Round]:
        if self._rounds is None:
            self._rounds = deque(maxlen=REMEMBERED)
            for mark, result in self._archive.results(self.name, REMEMBERED):
                if result.outcome is Outcome.OK and usable(result):
                    self._remember(self._rounds, mark, result)
        return self._rounds

    def _note(self, finding: Finding) -> None:
        result, before = finding.result, self.finding
        if result.outcome is Outcome.SKIPPED:
            self._skipped[SKIPS.get(result.stage, "stopping")] += 1
            self.finding = before or finding
            return
        self._archive.add(result, finding.fingerprint, finding.key)
        self._tell(finding)
        self._runs[result.outcome] += 1
        self._cpu += result.cpu_seconds or 0.0
        self._wall += result.wall_seconds or 0.0
        self._sketch.add(result.latencies)
        self._joules = result.facts.get("joules") or self._joules
        if result.outcome is Outcome.OK:
            self._succeeded = result.at
        self.finding = finding
        if before and before.verdict.state is not finding.verdict.state:
            self._archive.flush()

    def _operations(self) -> float | None:
        return efficiency.operations(self.finding.result) if self.finding else None

    def device(self) -> Device:
        """What the probe ran on; in a replay not the device that is shown."""
        return device_of(self._root, self.hardware()) if self._root.live else Device()

    def _tell(self, finding: Finding) -> None:
        """Say once what a new epoch brought, and what began it."""
        turn = finding.verdict.turn
        if turn is None or turn.since == self._told:
            return
        first, self._told = self._told is None and self.finding is None, turn.since
        if not first:  # after a restart it has been said before
            changes = differences(self._archive.key(turn.before), finding.key)
            why = "; ".join(f"{name} {said}" for name, said in changes.items())
            log.warning("probe %s: %s since a change of %s", self.name, interval(turn.change), why)

    def readings(self) -> Iterator[Reading | Distribution]:
        """Everything known of the probe."""
        name = self.name
        for outcome in Outcome:
            if outcome is not Outcome.SKIPPED:
                yield inference.PROBE_RUNS(self._runs[outcome], name, outcome.value)
        for reason, count in self._skipped.items():
            yield inference.PROBE_SKIPPED(count, name, reason)
        yield inference.PROBE_CPU(self._cpu, name)
        yield inference.PROBE_WALL(self._wall, name)
        if self._sketch.count:
            yield inference.PROBE_INFERENCE.distribution(self._sketch.exponential(), name)
        yield from energy_readings(name, self._joules, self._operations())
        if self._succeeded is not None:
            yield inference.PROBE_LAST_SUCCESS(self._succeeded, name)
        if self.finding:
            yield from result_readings(self.finding.result, self.finding.fingerprint, self.probe, not self._root.live)
            yield from verdict_readings(self.finding, name)
            yield from efficiency.readings(self.finding.result, self.probe, self.device())
