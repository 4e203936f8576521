"""Probe rounds as traces: one span a round, with a child for each phase of which the worker told begin and end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Exemplar
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from edgemon import inference
from edgemon.digest import digest
from edgemon.finding import Finding
from edgemon.judge.statistics import median
from edgemon.probe.result import Outcome, Result
from edgemon.sinks.otlp.batch import PROBE, Batch
from edgemon.sinks.otlp.common import SCHEMA, SCOPE, clean, keyed, nanoseconds

INTERNAL = Span.SPAN_KIND_INTERNAL
SAMPLED = 1
"""The W3C trace flag: this span is recorded."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round of a probe, and the span it is. Identifiers follow from the device, the probe and the moment, so that
    a round told twice is the same span."""

    probe: str
    trace: bytes
    span: bytes
    start: int
    end: int
    steady: int
    latencies: tuple[float, ...]


def round_of(result: Result, device: str) -> Round:
    """The span of a result; times are CLOCK_BOOTTIME, nanoseconds. Of the latencies the median and the longest."""
    start = nanoseconds(result.boottime)
    end = max(start, nanoseconds(result.boottime + (result.wall_seconds or 0.0)))
    steady = result.windows.get("steady")
    ordered = sorted(result.latencies)
    chosen = {ordered[len(ordered) // 2], ordered[-1]} if ordered else set()
    mark = f"{device}/{result.probe}/{result.at}/{start}"
    return Round(
        result.probe, digest(mark, 16), digest(f"{mark}/round", 8), start, end,
        nanoseconds(steady[1]) if steady else end, tuple(sorted(chosen)),
    )  # fmt: skip


def exemplars(rounds: Sequence[Round], probe: str) -> list[Exemplar]:
    """Inferences of these rounds of a probe, each with the span it is in."""
    return [
        Exemplar(time_unix_nano=one.steady, as_double=seconds, trace_id=one.trace, span_id=one.span)
        for one in rounds
        if one.probe == probe
        for seconds in one.latencies
    ]


def traces(finding: Finding, one: Round, resource: Resource, boot: str) -> Batch:
    """A round as a batch."""
    request = ExportTraceServiceRequest()
    whole = request.resource_spans.add(resource=resource, schema_url=SCHEMA)
    spans = whole.scope_spans.add(scope=SCOPE, schema_url=SCHEMA).spans
    result = finding.result
    spans.add(
        trace_id=one.trace, span_id=one.span, name=f"probe {one.probe}", kind=INTERNAL, flags=SAMPLED,
        start_time_unix_nano=one.start, end_time_unix_nano=one.end,
        attributes=keyed(dict(_attributes(finding))), status=_status(result),
    )  # fmt: skip
    for name, (begin, end) in sorted(result.windows.items(), key=lambda pair: pair[1]):
        failed = name == result.stage and result.outcome is not Outcome.OK
        spans.add(
            trace_id=one.trace, span_id=digest(f"{one.span.hex()}/{name}", 8), parent_span_id=one.span, name=name,
            kind=INTERNAL, flags=SAMPLED, start_time_unix_nano=nanoseconds(begin),
            end_time_unix_nano=max(nanoseconds(begin), nanoseconds(end)), attributes=keyed(_phase(name, result)),
            status=_status(result) if failed else None,
        )  # fmt: skip
    return Batch("traces", PROBE, boot, one.start, one.end, len(spans), request.SerializeToString())


def greeting(resource: Resource, boot: str, at: int) -> Batch:
    """A span that says nothing but that this device can send one."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add(resource=resource, schema_url=SCHEMA).scope_spans.add(scope=SCOPE).spans
    spans.add(
        trace_id=digest(f"{boot}/{at}", 16), span_id=digest(f"{boot}/{at}", 8), name="edgemon otlp test",
        kind=INTERNAL, flags=SAMPLED, start_time_unix_nano=at, end_time_unix_nano=at,
    )  # fmt: skip
    return Batch("traces", PROBE, boot, at, at, 1, request.SerializeToString())


def _status(result: Result) -> Status | None:
    """An error with what is known of it; otherwise unset, as the conventions want of a success."""
    if result.outcome is Outcome.OK:
        return None
    return Status(code=Status.STATUS_CODE_ERROR, message=clean(result.detail))


def _attributes(finding: Finding) -> Iterator[tuple[str, Any]]:
    """What is a metric, too, has its name."""
    result, verdict = finding.result, finding.verdict
    facts = result.facts
    yield "edgemon.probe.name", result.probe
    yield inference.PROBE_OUTCOME.name, result.outcome.value
    yield "error.type", "" if result.outcome is Outcome.OK else result.outcome.value
    yield "edgemon.probe.stage", "" if result.outcome is Outcome.OK else result.stage
    yield "edgemon.probe.runtime", str(facts.get("runtime", ""))
    yield "edgemon.probe.runtime.version", str(facts.get("runtime_version", ""))
    yield "edgemon.probe.model.digest", str(facts.get("model_sha256", ""))[:12]
    yield "edgemon.probe.fingerprint", finding.fingerprint
    yield "edgemon.probe.simulated", bool(facts.get("simulated")) or None
    yield inference.PROBE_VERDICT.name, verdict.state.value
    yield "edgemon.probe.verdict.text", verdict.text
    yield inference.PROBE_CAUSE.name, finding.causes[0].name if finding.causes else verdict.cause
    yield inference.PROBE_SLOWDOWN.name, verdict.slowdown
    yield inference.PROBE_VALIDITY.name, finding.validity.grade.value if finding.validity else ""
    yield inference.PROBE_MEMORY.name, result.peak_memory
    yield inference.PROBE_CPU.name, result.cpu_seconds
    for provider, share in (facts.get("placement") or {}).items():
        yield f"{inference.PROBE_PLACEMENT.name}.{provider}", float(share)


def _phase(name: str, result: Result) -> dict[str, Any]:
    if name != "steady" or not result.latencies:
        return {}
    return {
        inference.PROBE_SAMPLES.name: len(result.latencies),
        "edgemon.probe.latency.median": median(result.latencies),
        "edgemon.probe.latency.least": min(result.latencies),
        "edgemon.probe.latency.most": max(result.latencies),
        inference.PROBE_RUN_DELAY.name: result.run_delay,
    }
