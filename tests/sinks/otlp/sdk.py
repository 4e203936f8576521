"""OpenTelemetry's own SDK and encoder, fed with a snapshot: what edgemon's messages are held against."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk import metrics as sdk
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import (
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    View,
)
from opentelemetry.sdk.resources import Resource

from edgemon import __version__, catalog
from edgemon.metric import Kind, Metric
from edgemon.sinks.otlp.common import SCHEMA
from edgemon.sketch import BOUNDS, SCALE
from edgemon.store import Snapshot

Now = Callable[[], Snapshot]


class Official:
    """A meter provider whose instruments observe whatever snapshot is the latest."""

    def __init__(self, latest: Now, attributes: dict[str, str], delta: bool = False, explicit: bool = False) -> None:
        temporality: dict[type, AggregationTemporality] = {
            sdk.ObservableCounter: AggregationTemporality.DELTA,
            sdk.Histogram: AggregationTemporality.DELTA,
        }
        self._reader = InMemoryMetricReader(temporality if delta else {})
        buckets = ExplicitBucketHistogramAggregation(BOUNDS) if explicit else None
        view = buckets or ExponentialBucketHistogramAggregation(max_size=1000, max_scale=SCALE)
        self._provider = sdk.MeterProvider(
            [self._reader],
            Resource({name: value for name, value in attributes.items() if value}, SCHEMA),
            views=[View(instrument_type=sdk.Histogram, aggregation=view)],
            exemplar_filter=sdk.AlwaysOffExemplarFilter(),
        )
        self._meter = self._provider.get_meter("edgemon", __version__, SCHEMA)
        self._latest = latest

    def instruments(self, metrics: Iterable[Metric]) -> None:
        """One of the right kind for each metric."""
        for metric in metrics:
            kind = {
                Kind.COUNTER: self._meter.create_observable_counter,
                Kind.GAUGE: self._meter.create_observable_gauge,
                Kind.UPDOWN: self._meter.create_observable_up_down_counter,
                Kind.INFO: self._meter.create_observable_up_down_counter,
            }.get(metric.kind)
            if kind and metric is not catalog.TARGET_INFO:
                kind(metric.name, [self._observer(metric)], metric.unit, metric.help)

    def record(self, metric: Metric, labels: Sequence[str], values: Iterable[float]) -> None:
        """Values of a histogram."""
        histogram = self._meter.create_histogram(metric.name, metric.unit, metric.help)
        for value in values:
            histogram.record(value, _attributes(metric, labels))

    def request(self) -> ExportMetricsServiceRequest:
        """What the official exporter would send now."""
        data = self._reader.get_metrics_data()
        assert data
        return encode_metrics(data)

    def _observer(self, metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            for (one, labels), value in self._latest().series.items():
                if one is metric:
                    yield Observation(float(value), _attributes(metric, labels))

        return observe


def _attributes(metric: Metric, labels: Sequence[str]) -> dict[str, Any]:
    told = zip(metric.labels, labels, strict=True)
    return {name: int(one) if name == "cpu.logical_number" else one for name, one in told if one}


def normal(request: ExportMetricsServiceRequest) -> dict[str, Any]:
    """Everything in a request by name and attributes, in no order; what the two are free to choose is left out.

    Free are the moments of observation (whether there are any is not), the extremes of a histogram, which
    edgemon does not keep, and whether empty buckets at either end are written down.
    """
    (whole,) = request.resource_metrics
    (scope,) = whole.scope_metrics
    found: dict[str, Any] = {
        "resource": sorted(
            (one.key, one.value.WhichOneof("value"), str(one.value)) for one in whole.resource.attributes
        ),
        "schema": (whole.schema_url, scope.schema_url),
        "scope": (scope.scope.name, scope.scope.version),
    }
    for metric in scope.metrics:
        kind = metric.WhichOneof("data")
        data = getattr(metric, str(kind))
        head = {one.name: value for one, value in data.ListFields() if one.name != "data_points"}
        points = {}
        for point in data.data_points:
            assert point.time_unix_nano
            assert bool(point.start_time_unix_nano) == (kind != "gauge")
            for free in ("time_unix_nano", "start_time_unix_nano"):
                point.ClearField(free)
            for free in ("min", "max"):
                if free in {one.name for one in point.DESCRIPTOR.fields}:
                    point.ClearField(free)
            if kind == "exponential_histogram":
                _trim(point)
            key = tuple(sorted((one.key, str(one.value)) for one in point.attributes))
            point.ClearField("attributes")
            points[key] = point
        found[metric.name] = (metric.unit, metric.description, kind, head, points)
    return found


def _trim(point: Any) -> None:
    """Take empty buckets off both ends."""
    for side in ("positive", "negative"):
        buckets = getattr(point, side)
        counts = list(buckets.bucket_counts)
        full = [index for index, count in enumerate(counts) if count]
        offset = buckets.offset
        point.ClearField(side)
        if full:
            getattr(point, side).offset = offset + full[0]
            getattr(point, side).bucket_counts.extend(counts[full[0] : full[-1] + 1])
