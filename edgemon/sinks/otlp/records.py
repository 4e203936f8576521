"""Alerts that flip as log records: an event with its severity, its labels, and the probe round it is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1 import logs_pb2 as pb
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from edgemon.alerts.flip import Flip, State
from edgemon.alerts.notify import sentence
from edgemon.sinks.otlp.batch import FLIP, Batch
from edgemon.sinks.otlp.common import SCHEMA, SCOPE, clean, keyed
from edgemon.sinks.otlp.trace import Round

EVENT = "edgemon.alert"
SEVERITIES = {
    "critical": pb.SEVERITY_NUMBER_FATAL,
    "error": pb.SEVERITY_NUMBER_ERROR,
    "info": pb.SEVERITY_NUMBER_INFO,
    "none": pb.SEVERITY_NUMBER_INFO,
}
"""By the label severity; any other is a warning, and what is resolved is information."""


def logs(flip: Flip, at: int, rounds: Mapping[str, Round], resource: Resource, boot: str) -> Batch:
    """A flip that was announced at that moment on CLOCK_BOOTTIME; `rounds` are the last of each probe."""
    request = ExportLogsServiceRequest()
    whole = request.resource_logs.add(resource=resource, schema_url=SCHEMA)
    record = whole.scope_logs.add(scope=SCOPE, schema_url=SCHEMA).log_records.add(
        time_unix_nano=at, observed_time_unix_nano=at, event_name=EVENT, severity_number=severity(flip),
        severity_text=clean(flip.labels.get("severity", "")), body=AnyValue(string_value=clean(sentence(flip))),
        attributes=keyed(dict(_attributes(flip))),
    )  # fmt: skip
    if about := rounds.get(flip.labels.get("probe", "")):
        record.trace_id, record.span_id = about.trace, about.span
    return Batch("logs", FLIP, boot, at, at, 1, request.SerializeToString())


def severity(flip: Flip) -> pb.SeverityNumber.ValueType:
    """OpenTelemetry's severity of a flip."""
    if flip.state is State.RESOLVED:
        return pb.SEVERITY_NUMBER_INFO
    return SEVERITIES.get(flip.labels.get("severity", ""), pb.SEVERITY_NUMBER_WARN)


def _attributes(flip: Flip) -> Iterator[tuple[str, Any]]:
    yield "edgemon.alert.name", flip.alertname
    yield "edgemon.alert.state", flip.state.value
    yield "edgemon.alert.fingerprint", flip.fingerprint
    yield "edgemon.alert.value", float(flip.value)
    if flip.state is State.RESOLVED and 0 < flip.starts_at <= flip.ends_at:
        yield "edgemon.alert.duration", flip.ends_at - flip.starts_at
    for name, value in sorted(flip.labels.items()):
        if name != "alertname":
            yield f"edgemon.alert.label.{name}", value
    for name, value in sorted(flip.annotations.items()):
        yield f"edgemon.alert.annotation.{name}", value
