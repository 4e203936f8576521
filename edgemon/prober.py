"""Probing: from a probe's configuration to findings, one run at a time."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from edgemon import config, efficiency, inference
from edgemon.archive import Archive, alone
from edgemon.finding import Finding, result_readings, verdict_readings
from edgemon.identity import device
from edgemon.judge.baseline import Baseline, Round, fingerprint, key_of, round_of
from edgemon.judge.validity import usable, validity
from edgemon.judge.verdict import judge
from edgemon.metric import Distribution, Reading
from edgemon.peaks import Device, device_of
from edgemon.probe import supervisor
from edgemon.probe.result import Outcome, Request, Result, Tolerance
from edgemon.sketch import Sketch
from edgemon.sysfs import Root

MODELS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "models")
SEEDS = [0, 1]
REMEMBERED = 100


def model_path(model: str) -> str:
    """The file a probe's model: means."""
    return os.path.join(MODELS, "mobilenet.onnx") if model == config.EMBEDDED else model


def request(name: str, probe: config.Probe, baseline: Baseline | None = None, record: bool = False) -> Request:
    """What the worker is told: the configuration, and the golden outputs of the baseline or of the embedded model."""
    golden, digest = [], ""
    if probe.model == config.EMBEDDED:
        with open(os.path.join(MODELS, "mobilenet.golden.json"), encoding="utf-8") as file:
            embedded = json.load(file)
        golden, digest = embedded["outputs"], embedded["model_sha256"]
    elif baseline and _same_inputs(baseline, probe):
        golden, digest = [[dict(one) for one in tensors] for tensors in baseline.golden], baseline.key.get("model", "")
    return Request(
        probe=name,
        runtime=probe.runtime,
        model=model_path(probe.model),
        seeds=SEEDS,
        shapes={key: list(shape) for key, shape in probe.shapes.items()},
        providers=list(probe.providers),
        threads=probe.threads,
        options=dict(probe.options),
        samples=probe.samples,
        seconds=probe.seconds,
        idle=probe.idle,
        timeout=probe.timeout,
        memory=probe.memory,
        golden=golden,
        golden_digest=digest,
        tolerance=Tolerance(probe.tolerance.max_abs, probe.tolerance.cosine, probe.tolerance.top1),
        record=record,
    )


def _same_inputs(baseline: Baseline, probe: config.Probe) -> bool:
    """Whether the golden outputs are for inputs of the configured shapes."""
    shapes = json.loads(baseline.key.get("options", "{}")).get("shapes", {})
    return bool(shapes == {key: list(shape) for key, shape in probe.shapes.items()})


class Prober:
    """Runs one configured probe and remembers how it has been doing."""

    def __init__(self, name: str, probe: config.Probe, archive: Archive, root: Root, state: str) -> None:
        self.name, self.probe = name, probe
        self.finding: Finding | None = None
        self._archive, self._root, self._state = archive, root, state
        self._rounds: deque[Round] | None = None
        self._runs: Counter[Outcome] = Counter()
        self._skipped: Counter[str] = Counter()
        self._cpu = self._wall = 0.0
        self._sketch = Sketch()
        self._succeeded: float | None = None
        self._counted: tuple[str, object] = ("", None)
        self.hardware: Callable[[], Iterable[Reading]] = tuple
        """What the platforms read of this device, for its peak; nothing unless somebody gives it."""

    def run(self, cancel: threading.Event | None = None, record: bool = False) -> Finding:
        """Probe now, judge, remember. When another process probes on this state directory the turn is skipped."""
        with alone(self._state, "probe") as held:
            baseline = self._archive.baseline(self.name)
            if held:
                asked = replace(request(self.name, self.probe, baseline, record), counted=self._counted[0])
                result = self._dissected(supervisor.run(asked, self.probe.python, cancel))
            else:
                result = Result(self.name, Outcome.SKIPPED, "another edgemon probes on this device", "busy")
        finding = self.judge(result)
        self._note(finding)
        return finding

    def judge(self, result: Result) -> Finding:
        """The verdict on a result, which becomes one of the rounds if it is ok."""
        key = key_of(result, device(self._root)) if result.facts else {}
        mark = fingerprint(key) if key else ""
        baseline = self._archive.baseline(self.name, mark)
        rounds = self._history()
        if result.outcome is Outcome.OK and usable(result):
            rounds.append(round_of(result, mark))
        verdict = judge(result, list(rounds), baseline, key, self.probe.effect)
        return Finding(result, key, mark, verdict, baseline, validity(result, baseline))

    def _dissected(self, result: Result) -> Result:
        """The result with what its model is made of, which a worker tells once for each digest."""
        digest, told = result.facts.get("model_sha256", ""), result.facts.get("anatomy")
        if told:
            self._counted = (digest, told)
        elif digest and digest == self._counted[0]:
            return replace(result, facts={**result.facts, "anatomy": self._counted[1]})
        return result

    def _history(self) -> deque[Round]:
        if self._rounds is None:
            kept = self._archive.results(self.name, REMEMBERED)
            rounds = (
                round_of(result, mark) for mark, result in kept if result.outcome is Outcome.OK and usable(result)
            )
            self._rounds = deque(rounds, maxlen=REMEMBERED)
        return self._rounds

    def _note(self, finding: Finding) -> None:
        result, before = finding.result, self.finding
        if result.outcome is Outcome.SKIPPED:
            self._skipped["stopping" if result.stage != "busy" else "busy"] += 1
            self.finding = before or finding
            return
        self._archive.add(result, finding.fingerprint)
        self._runs[result.outcome] += 1
        self._cpu += result.cpu_seconds or 0.0
        self._wall += result.wall_seconds or 0.0
        self._sketch.add(result.latencies)
        if result.outcome is Outcome.OK:
            self._succeeded = result.at
        self.finding = finding
        if before and before.verdict.state is not finding.verdict.state:
            self._archive.flush()

    def device(self) -> Device:
        """What the probe ran on; in a replay not the device that is shown."""
        return device_of(self._root, self.hardware()) if self._root.live else Device()

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
        if self._succeeded is not None:
            yield inference.PROBE_LAST_SUCCESS(self._succeeded, name)
        if self.finding:
            yield from result_readings(self.finding.result, self.finding.fingerprint, self.probe, not self._root.live)
            yield from verdict_readings(self.finding, name)
            yield from efficiency.readings(self.finding.result, self.probe, self.device())
