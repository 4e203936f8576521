"""From boot time to wall time: the times in a batch are moved when it is sent, as the clock is trusted only then.

Every time that is not known is 0 in OTLP, and stays 0. The official messages are walked by name, not by reflection,
which takes three times as long; a test holds the names against the descriptors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from edgemon.sinks.otlp.batch import Batch

REQUESTS: dict[str, Any] = {
    "metrics": ExportMetricsServiceRequest,
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
}
CLOCK = "edgemon.clock"
"""Attribute of a resource whose times are estimated: the clock was not set before that boot ended."""


def restamp(batch: Batch, offset: int, estimated: bool = False) -> bytes:
    """The payload with `offset` nanoseconds added to every time in it; no time becomes 0 or less.

    `estimated` adds the resource attribute edgemon.clock="estimated". ValueError when the payload is no such request.
    """
    try:
        request: Any = REQUESTS[batch.signal].FromString(batch.payload)
    except DecodeError as error:
        raise ValueError(str(error)) from None
    for one in MOVED[batch.signal](request):
        _move(one, offset)
    if estimated:
        for resource in resources(request):
            resource.attributes.add(key=CLOCK).value.string_value = "estimated"
    done: bytes = request.SerializeToString()
    return done


def resources(request: Any) -> Iterator[Any]:
    """The resource of each part of a request."""
    for _, parts in request.ListFields():
        for one in parts:
            yield one.resource


def _move(one: tuple[Any, tuple[str, ...]], offset: int) -> None:
    message, names = one
    for name in names:
        if at := getattr(message, name):
            setattr(message, name, max(1, at + offset))


Timed = Iterable[tuple[Any, tuple[str, ...]]]
POINT = ("start_time_unix_nano", "time_unix_nano")
SPAN = ("start_time_unix_nano", "end_time_unix_nano")
MOMENT = ("time_unix_nano",)
RECORD = ("time_unix_nano", "observed_time_unix_nano")


def _metrics(request: ExportMetricsServiceRequest) -> Timed:
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                yield from _points(metric)


def _points(metric: Metric) -> Timed:
    kind = metric.WhichOneof("data")
    if kind is None:
        return
    for point in getattr(metric, kind).data_points:
        yield point, POINT
        if kind != "summary":
            for exemplar in point.exemplars:
                yield exemplar, MOMENT


def _traces(request: ExportTraceServiceRequest) -> Timed:
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield span, SPAN
                for event in span.events:
                    yield event, MOMENT


def _logs(request: ExportLogsServiceRequest) -> Timed:
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                yield record, RECORD


MOVED: dict[str, Any] = {"metrics": _metrics, "traces": _traces, "logs": _logs}
