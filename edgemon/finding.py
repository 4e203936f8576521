"""A finding: a result with the verdict on it, as readings and in words."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from edgemon import catalog, config, inference, promises
from edgemon.judge import diagnosis
from edgemon.judge.baseline import Baseline
from edgemon.judge.diagnosis import Cause
from edgemon.judge.statistics import bounds, enough, median, quantile
from edgemon.judge.validity import Grade, Validity
from edgemon.judge.verdict import CAUSES, State, Verdict
from edgemon.metric import Metric, Reading
from edgemon.probe.result import Outcome, Result

PERCENTILES = {"50": 0.50, "90": 0.90, "95": 0.95, "99": 0.99}


@dataclass(frozen=True, slots=True)
class Finding:
    """A result, what it ran on, the verdict on it with its causes, and how far the run itself can be trusted."""

    result: Result
    key: Mapping[str, str]
    fingerprint: str
    verdict: Verdict
    baseline: Baseline | None
    validity: Validity | None = None
    causes: tuple[Cause, ...] = ()


def result_readings(result: Result, mark: str, probe: config.Probe, replayed: bool = False) -> Iterator[Reading]:
    """What one result says; in a replay it was measured on another device than the one that is shown."""
    name, facts = result.probe, result.facts
    model = probe.model.partition("?")[0] if "://" in probe.model else os.path.basename(probe.model)
    yield inference.PROBE_INFO(
        1.0, name, probe.runtime, str(facts.get("runtime_version", "")), model,
        str(facts.get("model_sha256", ""))[:12], mark, "true" if facts.get("simulated") or replayed else "",
    )  # fmt: skip
    for outcome in Outcome:
        yield inference.PROBE_OUTCOME(float(outcome is result.outcome), name, outcome.value)
    if result.at:
        yield inference.PROBE_LAST_RUN(result.at, name)
    steady = median(result.latencies) if result.latencies else None
    phases = {
        "import": result.import_seconds,
        "load": result.load_seconds,
        "first": result.first_seconds,
        "idle_start": result.idle_seconds,
        "steady": steady,
        **result.phases,
    }
    for phase, seconds in phases.items():
        yield inference.PROBE_DURATION(seconds, name, phase)
    yield from _latencies(name, sorted(result.latencies))
    yield from _deadline(name, result.latencies, probe.deadline)
    yield inference.PROBE_RUN_DELAY(result.run_delay, name)
    yield inference.PROBE_STEAL(result.witnesses.get("steal"), name)
    for kernel, seconds in result.kernels.items():
        yield inference.PROBE_KERNEL(seconds, name, kernel)
    yield inference.PROBE_MEMORY(result.peak_memory, name)
    if "confined" in facts:
        yield catalog.PROBE_CONFINED(float(facts["confined"]), name)
    for stage, key in {"assigned": "placement", "executed": "executed"}.items():
        for provider, share in (facts.get(key) or {}).items():
            yield inference.PROBE_PLACEMENT(share, name, stage, provider)
    for measure, value in result.distance.items():
        yield inference.PROBE_DISTANCE(value, name, measure)
    for measure, value in result.reference.items():
        yield inference.PROBE_REFERENCE(value, name, probe.compare_with, measure)


def energy_readings(name: str, joules: Mapping[str, float], operations: float | None = None) -> Iterator[Reading]:
    """What an inference, of so many operations, took of energy, as last metered; a net below its doubt is none."""
    if not joules:
        return
    gross, net, error = joules["gross"], joules["net"], joules["error"]
    yield inference.PROBE_ENERGY(gross, name, "gross")
    yield inference.PROBE_ENERGY_ERROR(error, name)
    yield inference.PROBE_IDLE_POWER(joules["idle"], name)
    if operations:
        yield inference.PROBE_OPERATIONS_PER_JOULE(operations / gross, name, "gross")
    if net > error:
        if operations:
            yield inference.PROBE_OPERATIONS_PER_JOULE(operations / net, name, "net")
        yield inference.PROBE_ENERGY(net, name, "net")
        yield inference.PROBE_PER_JOULE(1 / net, name)


def _latencies(name: str, ordered: Sequence[float]) -> Iterator[Reading]:
    """Percentiles that the sample is large enough for, and their bounds where it has them."""
    for label, share in PERCENTILES.items():
        if enough(len(ordered), share):
            yield inference.PROBE_LATENCY(quantile(ordered, share), name, label)
        for bound, rank in zip(("low", "high"), bounds(len(ordered), share), strict=True):
            if rank:
                yield inference.PROBE_LATENCY_BOUND(ordered[rank - 1], name, label, bound)
    yield inference.PROBE_SAMPLES(len(ordered), name)


def _deadline(name: str, latencies: Sequence[float], deadline: float) -> Iterator[Reading]:
    """What an inference may take, where somebody said so, and the share of those that took longer."""
    if deadline:
        yield promises.DEADLINE(deadline, name)
        yield promises.DEADLINE_MISSED(late(latencies, deadline), name)


def late(latencies: Sequence[float], deadline: float) -> float | None:
    """The share of inferences that took longer than the deadline; None without either."""
    return sum(one > deadline for one in latencies) / len(latencies) if deadline and latencies else None


def verdict_readings(finding: Finding, name: str) -> Iterator[Reading]:
    """What the verdict and its baseline say."""
    for state in State:
        yield inference.PROBE_VERDICT(float(state is finding.verdict.state), name, state.value)
    for cause in CAUSES:
        if cause == finding.verdict.cause:
            yield inference.PROBE_CAUSE(1.0, name, cause, "")
    for rank, one in enumerate(finding.causes, 1):
        yield inference.PROBE_CAUSE(1.0, name, one.name, one.strength.value)
        yield promises.CAUSE_RANK(rank, name, one.name, one.strength.value)
    yield from _changes(finding.verdict, name, "pinned" if finding.baseline else "rolling")
    yield inference.PROBE_RELATIVE(finding.verdict.relative, name)
    for kernel, slowdown in finding.verdict.references.items():
        yield inference.PROBE_KERNEL_SLOWDOWN(slowdown, name, kernel)
    if finding.validity:
        for grade in Grade:
            yield inference.PROBE_VALIDITY(float(grade is finding.validity.grade), name, grade.value)
        for reason in finding.validity.reasons:
            yield inference.PROBE_DOUBT(1.0, name, reason)
    if finding.baseline:
        yield from _past(finding.baseline, name)


def _past(baseline: Baseline, name: str) -> Iterator[Reading]:
    """What a pinned baseline holds."""
    yield inference.PROBE_BASELINE(baseline.median, name)
    yield inference.PROBE_BASELINE_ENERGY(baseline.joules, name)
    yield inference.PROBE_BASELINE_AT(baseline.at, name)
    for phase, seconds in baseline.phases.items():
        yield promises.BASELINE_PHASE(seconds, name, phase)


def _changes(verdict: Verdict, name: str, against: str) -> Iterator[Reading]:
    """How the probe changed against its baseline, against itself, and over the last change of its fingerprint."""
    yield inference.PROBE_SLOWDOWN(verdict.slowdown, name, against)
    yield from _bounds(verdict.low, verdict.high, promises.SLOWDOWN_BOUND, name, against)
    if verdict.drift and against == "pinned":
        yield inference.PROBE_SLOWDOWN(verdict.drift.ratio, name, "rolling")
    if verdict.turn:
        yield inference.PROBE_EPOCH_AT(verdict.turn.since, name)
        yield inference.PROBE_EPOCH_CHANGE(verdict.turn.change.ratio, name)
        yield from _bounds(verdict.turn.change.low, verdict.turn.change.high, inference.PROBE_EPOCH_BOUND, name)


def _bounds(low: float | None, high: float | None, metric: Metric, *labels: str) -> Iterator[Reading]:
    """Both bounds of a change; samples that are too few have none."""
    if low and high and 0 < low <= high < math.inf:
        yield metric(low, *labels, "low")
        yield metric(high, *labels, "high")


def sentence(finding: Finding) -> str:
    """A finding in one line, with the probe, the state of its verdict and its causes."""
    why = diagnosis.summary(finding.causes)
    return f"{finding.result.probe}: {finding.verdict.state.value}: {summary(finding)}{f'; {why}' if why else ''}"


def summary(finding: Finding) -> str:
    """A finding in a few words: how long an inference takes, and what the verdict says of it."""
    latencies = finding.result.latencies
    head = f"{median(latencies) * 1000:.3f} ms (median of {len(latencies)}), " if latencies else ""
    return head + finding.verdict.text
