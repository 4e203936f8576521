"""A finding: a result with the verdict on it, as readings and in words."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgemon import config, inference
from edgemon.judge.baseline import Baseline
from edgemon.judge.statistics import enough, median, quantile
from edgemon.judge.verdict import CAUSES, State, Verdict
from edgemon.metric import Reading
from edgemon.probe.result import Outcome, Result

PERCENTILES = {"50": 0.50, "90": 0.90, "95": 0.95, "99": 0.99}


@dataclass(frozen=True, slots=True)
class Finding:
    """A result, what it ran on, and the verdict on it."""

    result: Result
    key: Mapping[str, str]
    fingerprint: str
    verdict: Verdict
    baseline: Baseline | None


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
    ordered = sorted(result.latencies)
    for label, share in PERCENTILES.items():
        if enough(len(ordered), share):
            yield inference.PROBE_LATENCY(quantile(ordered, share), name, label)
    yield inference.PROBE_SAMPLES(len(ordered), name)
    yield inference.PROBE_RUN_DELAY(result.run_delay, name)
    yield inference.PROBE_MEMORY(result.peak_memory, name)
    for stage, key in {"assigned": "placement", "executed": "executed"}.items():
        for provider, share in (facts.get(key) or {}).items():
            yield inference.PROBE_PLACEMENT(share, name, stage, provider)
    for measure, value in result.distance.items():
        yield inference.PROBE_DISTANCE(value, name, measure)
    for measure, value in result.reference.items():
        yield inference.PROBE_REFERENCE(value, name, probe.compare_with, measure)


def verdict_readings(finding: Finding, name: str) -> Iterator[Reading]:
    """What the verdict and its baseline say."""
    for state in State:
        yield inference.PROBE_VERDICT(float(state is finding.verdict.state), name, state.value)
    for cause in CAUSES:
        if cause == finding.verdict.cause:
            yield inference.PROBE_CAUSE(1.0, name, cause)
    yield inference.PROBE_SLOWDOWN(finding.verdict.slowdown, name)
    if finding.baseline:
        yield inference.PROBE_BASELINE(finding.baseline.median, name)
        yield inference.PROBE_BASELINE_AT(finding.baseline.at, name)


def sentence(finding: Finding) -> str:
    """A finding in one line, with the probe and the state of its verdict."""
    return f"{finding.result.probe}: {finding.verdict.state.value}: {summary(finding)}"


def summary(finding: Finding) -> str:
    """A finding in a few words: how long an inference takes, and what the verdict says of it."""
    latencies = finding.result.latencies
    head = f"{median(latencies) * 1000:.3f} ms (median of {len(latencies)}), " if latencies else ""
    return head + finding.verdict.text
