"""Probing: from a probe's configuration to a finding, and from findings to readings."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgemon import catalog, config
from edgemon.archive import Archive, alone
from edgemon.identity import device
from edgemon.judge.baseline import Baseline, Round, fingerprint, key_of, round_of
from edgemon.judge.statistics import enough, median, quantile
from edgemon.judge.verdict import CAUSES, State, Verdict, judge
from edgemon.metric import Reading
from edgemon.probe import supervisor
from edgemon.probe.result import Outcome, Request, Result, Tolerance
from edgemon.sysfs import Root

MODELS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "models")
SEEDS = [0, 1]
PERCENTILES = {"50": 0.50, "90": 0.90, "95": 0.95, "99": 0.99}
REMEMBERED = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """A result, what it ran on, and the verdict on it."""

    result: Result
    key: Mapping[str, str]
    fingerprint: str
    verdict: Verdict
    baseline: Baseline | None


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
        self._succeeded: float | None = None

    def run(self, cancel: threading.Event | None = None, record: bool = False) -> Finding:
        """Probe now, judge, remember. When another process probes on this state directory the turn is skipped."""
        with alone(self._state, "probe") as held:
            baseline = self._archive.baseline(self.name)
            if held:
                asked = request(self.name, self.probe, baseline, record)
                result = supervisor.run(asked, self.probe.python, cancel)
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
        if result.outcome is Outcome.OK:
            rounds.append(round_of(result, mark))
        verdict = judge(result, list(rounds), baseline, key, self.probe.effect)
        return Finding(result, key, mark, verdict, baseline)

    def _history(self) -> deque[Round]:
        if self._rounds is None:
            kept = self._archive.results(self.name, REMEMBERED)
            rounds = (round_of(result, mark) for mark, result in kept if result.outcome is Outcome.OK)
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
        if result.outcome is Outcome.OK:
            self._succeeded = result.at
        self.finding = finding
        if before and before.verdict.state is not finding.verdict.state:
            self._archive.flush()

    def readings(self) -> Iterator[Reading]:
        """Everything known of the probe."""
        name = self.name
        for outcome in Outcome:
            if outcome is not Outcome.SKIPPED:
                yield catalog.PROBE_RUNS(self._runs[outcome], name, outcome.value)
        for reason, count in self._skipped.items():
            yield catalog.PROBE_SKIPPED(count, name, reason)
        yield catalog.PROBE_CPU(self._cpu, name)
        yield catalog.PROBE_WALL(self._wall, name)
        if self._succeeded is not None:
            yield catalog.PROBE_LAST_SUCCESS(self._succeeded, name)
        if self.finding:
            yield from result_readings(self.finding.result, self.finding.fingerprint, self.probe, not self._root.live)
            yield from verdict_readings(self.finding, name)


def result_readings(result: Result, mark: str, probe: config.Probe, replayed: bool = False) -> Iterator[Reading]:
    """What one result says; in a replay it was measured on another device than the one that is shown."""
    name, facts = result.probe, result.facts
    model = os.path.basename(probe.model)
    yield catalog.PROBE_INFO(
        1.0, name, probe.runtime, str(facts.get("runtime_version", "")), model,
        str(facts.get("model_sha256", ""))[:12], mark, "true" if facts.get("simulated") or replayed else "",
    )  # fmt: skip
    for outcome in Outcome:
        yield catalog.PROBE_OUTCOME(float(outcome is result.outcome), name, outcome.value)
    if result.at:
        yield catalog.PROBE_LAST_RUN(result.at, name)
    steady = median(result.latencies) if result.latencies else None
    phases = {
        "import": result.import_seconds,
        "load": result.load_seconds,
        "first": result.first_seconds,
        "idle_start": result.idle_seconds,
        "steady": steady,
    }
    for phase, seconds in phases.items():
        yield catalog.PROBE_DURATION(seconds, name, phase)
    ordered = sorted(result.latencies)
    for label, share in PERCENTILES.items():
        if enough(len(ordered), share):
            yield catalog.PROBE_LATENCY(quantile(ordered, share), name, label)
    yield catalog.PROBE_SAMPLES(len(ordered), name)
    yield catalog.PROBE_RUN_DELAY(result.run_delay, name)
    yield catalog.PROBE_MEMORY(result.peak_memory, name)
    for provider, share in facts.get("placement", {}).items():
        yield catalog.PROBE_PLACEMENT(share, name, provider)
    for measure, value in result.distance.items():
        yield catalog.PROBE_DISTANCE(value, name, measure)


def verdict_readings(finding: Finding, name: str) -> Iterator[Reading]:
    """What the verdict and its baseline say."""
    for state in State:
        yield catalog.PROBE_VERDICT(float(state is finding.verdict.state), name, state.value)
    for cause in CAUSES:
        if cause == finding.verdict.cause:
            yield catalog.PROBE_CAUSE(1.0, name, cause)
    yield catalog.PROBE_SLOWDOWN(finding.verdict.slowdown, name)
    if finding.baseline:
        yield catalog.PROBE_BASELINE(finding.baseline.median, name)
        yield catalog.PROBE_BASELINE_AT(finding.baseline.at, name)


def sentence(finding: Finding) -> str:
    """A finding in one line, with the probe and the state of its verdict."""
    return f"{finding.result.probe}: {finding.verdict.state.value}: {summary(finding)}"


def summary(finding: Finding) -> str:
    """A finding in a few words: how long an inference takes, and what the verdict says of it."""
    latencies = finding.result.latencies
    head = f"{median(latencies) * 1000:.3f} ms (median of {len(latencies)}), " if latencies else ""
    return head + finding.verdict.text
