"""Metrics over OTLP, held against OpenTelemetry's own SDK and encoder, field by field."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.semconv.schemas import Schemas

from edgemon import catalog, identity, inference
from edgemon.collect import Collector
from edgemon.metric import Distribution, Kind, Reading
from edgemon.platforms import discover
from edgemon.push import Otlp
from edgemon.sinks.otlp.batch import PROBE, TELEMETRY
from edgemon.sinks.otlp.common import SCHEMA
from edgemon.sinks.otlp.metrics import Metrics, Told
from edgemon.sinks.otlp.trace import Round
from edgemon.sketch import Sketch
from edgemon.store import Snapshot, Store
from tests.devices import Captured
from tests.sinks.otlp.sdk import Official, normal

SECOND = 1_000_000_000
WHO = {"service.name": "edgemon", "service.instance.id": "1-2"}
ROUND = Round("a", b"t" * 16, b"s" * 8, 90 * SECOND, 95 * SECOND, 94 * SECOND, (0.002, 0.009))


def snap(*readings: Reading | Distribution, at: float = 100.0, store: Store | None = None) -> Snapshot:
    """A snapshot of these readings at a moment."""
    store = store or Store()
    store.put("test", readings)
    one = store.commit()
    return Snapshot(one.number, at, one.series, one.histograms)


def told(**settings: Any) -> Metrics:
    made = Metrics("boot", 10 * SECOND)
    made.follow(Otlp(endpoint="http://127.0.0.1:4318", **settings), WHO)
    return made


def request(said: Told, which: int = 0) -> ExportMetricsServiceRequest:
    return ExportMetricsServiceRequest.FromString(said.batches[which].payload)


def points(said: Told) -> dict[str, Any]:
    """Every point by its metric's name and its attributes' values."""
    found = {}
    for batch in said.batches:
        for metric in (
            ExportMetricsServiceRequest.FromString(batch.payload).resource_metrics[0].scope_metrics[0].metrics
        ):
            for point in getattr(metric, str(metric.WhichOneof("data"))).data_points:
                values = [one.value.string_value or str(one.value.int_value) for one in point.attributes]
                found["/".join([metric.name, *values])] = point
    return found


def every() -> Iterable[Reading]:
    """A reading of each metric that can have one, with a value of its own."""
    for number, metric in enumerate(one for one in catalog.ALL if one.kind is not Kind.HISTOGRAM):
        yield metric(number + 0.5, *(f"{name}-é" if "logical" not in name else "3" for name in metric.labels))


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_every_catalogued_metric_is_what_the_sdk_makes_of_it(temporality: str) -> None:
    """Names, units, descriptions, kinds, temporality, monotonicity, attributes and their types, values: two pushes."""
    store, pushed = Store(), told(temporality=temporality)
    latest = snap(*every(), at=100.0, store=store)
    official = Official(lambda: latest, WHO, delta=temporality == "delta")
    official.instruments(catalog.ALL)
    first, theirs = pushed.tell(latest), official.request()
    if temporality == "cumulative":
        assert normal(request(first)) == normal(theirs)
    latest = snap(*(one._replace(value=2 * (one.value or 0)) for one in every()), at=110.0, store=store)
    assert normal(request(pushed.tell(latest))) == normal(official.request())


@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_histograms_are_what_the_sdk_makes_of_the_same_values(temporality: str, explicit: bool) -> None:
    """Buckets, zeros, sum and count, of values over nine powers of ten and none, in two pushes.

    All are dyadic: their sum is the same in any order.
    """
    sketch, values = Sketch(), [0.0, 2**-20, 3 * 2**-13, 13 * 2**-12, 13 * 2**-12, 0.25, 0.5, 1.0, 7.875, 1000.0]
    official = Official(Snapshot, WHO, temporality == "delta", explicit)
    pushed = told(temporality=temporality, histogram="explicit" if explicit else "exponential")
    for part in (values[3:8], values):
        sketch.add(part)
        official.record(inference.PROBE_INFERENCE, ["a"], part)
        ours = pushed.tell(snap(inference.PROBE_INFERENCE.distribution(sketch.exponential(), "a")))
        assert normal(request(ours)) == normal(official.request())


def test_a_real_machine_is_told_alike_by_both(machine: Callable[[str], Captured]) -> None:
    """Every series of a captured Jetson, with its resource."""
    root, store = machine("jetson-orin-nano-jp6-load"), Store()
    Collector([one for one in discover([]).values() if one.detect(root)], root, publish=store.put).sweep()
    store.put("self", [identity.target(root)])
    latest = store.commit()
    official = Official(lambda: latest, identity.attributes(root))
    official.instruments({metric for metric, _ in latest.series})
    pushed = Metrics("boot", 10 * SECOND)
    pushed.follow(Otlp(endpoint="http://127.0.0.1:4318"), identity.attributes(root))
    said = pushed.tell(latest)
    assert normal(request(said)) == normal(official.request())
    assert said.series == said.batches[0].points == len(latest.series) - 1 > 50


def test_the_resource_is_target_info(machine: Callable[[str], Captured]) -> None:
    """Name for name and value for value: what is pulled and what is pushed say the same of who exports."""
    root = machine("raspberry-pi-5")
    reading = identity.target(root)
    assert dict(zip(reading.metric.labels, reading.labels, strict=True)) == identity.attributes(root)
    assert identity.attributes(root)["edgemon.simulated"] == ("" if root.live else "true")


def test_points_have_their_moment_and_counters_their_beginning() -> None:
    """Boot time in nanoseconds; what the kernel counts began with the boot, what edgemon counts with edgemon."""
    found = points(
        told().tell(snap(catalog.UPTIME(5.0), catalog.DISK_IO(7.0, "sda", "read"), catalog.LANE_RUNS(3, "x")))
    )
    assert {one.time_unix_nano for one in found.values()} == {100 * SECOND}
    assert found["system.uptime"].start_time_unix_nano == 0
    assert found["system.disk.io/sda/read"].start_time_unix_nano == 1
    assert found["edgemon.lane.runs/x"].start_time_unix_nano == 10 * SECOND


def test_a_counter_that_begins_anew_says_so() -> None:
    """After a reset it counts from the last moment at which the old one was seen."""
    pushed, store = told(), Store()
    for at, value, start in (
        (100.0, 50.0, 1),
        (110.0, 60.0, 1),
        (120.0, 5.0, 110 * SECOND),
        (130.0, 6.0, 110 * SECOND),
    ):
        point = points(pushed.tell(snap(catalog.DISK_IO(value, "sda", "read"), at=at, store=store)))
        assert point["system.disk.io/sda/read"].as_double == value
        assert point["system.disk.io/sda/read"].start_time_unix_nano == start


def test_deltas_add_up_and_join_without_a_gap() -> None:
    """What the kernel counted before edgemon looked is not told, for the run before may have told it."""
    pushed = told(temporality="delta")
    seen = []
    for at, value in ((100.0, 50.0), (110.0, 60.0), (120.0, 60.0), (130.0, 5.0)):
        readings = (catalog.DISK_IO(value, "sda", "read"), catalog.LANE_RUNS(value, "x"))
        found = points(pushed.tell(snap(*readings, at=at)))
        seen.append([
            (one.start_time_unix_nano // SECOND, one.time_unix_nano // SECOND, one.as_double)
            for one in (found.get("system.disk.io/sda/read"), found["edgemon.lane.runs/x"]) if one
        ])  # fmt: skip
    assert seen == [
        [(10, 100, 50.0)],
        [(100, 110, 10.0), (100, 110, 10.0)],
        [(110, 120, 0.0), (110, 120, 0.0)],
        [(120, 130, 5.0), (120, 130, 5.0)],
    ]


def test_lowmemory_is_delta_for_what_edgemon_counts_only() -> None:
    pushed = told(temporality="lowmemory")
    said = request(pushed.tell(snap(catalog.DISK_IO(7.0, "sda", "read"), catalog.LANE_RUNS(3, "x"))))
    kinds = {one.name: one.sum.aggregation_temporality for one in said.resource_metrics[0].scope_metrics[0].metrics}
    assert kinds == {
        "system.disk.io": pb.AGGREGATION_TEMPORALITY_CUMULATIVE,
        "edgemon.lane.runs": pb.AGGREGATION_TEMPORALITY_DELTA,
    }


def test_a_series_that_is_no_more_is_flagged_once() -> None:
    """NO_RECORDED_VALUE, without a value: the receiver ends the series at once instead of minutes later."""
    pushed, sketch = told(), Sketch()
    sketch.add([0.1])
    gone = (
        catalog.TEMPERATURE(40.0, "a", "a", ""),
        catalog.LANE_RUNS(3, "x"),
        inference.PROBE_INFERENCE.distribution(sketch.exponential(), "a"),
    )
    stays = catalog.UPTIME(5.0)
    pushed.tell(snap(stays, *gone))
    found = points(pushed.tell(snap(stays, at=110.0)))
    flags = {name: one.flags for name, one in found.items()}
    names = {"hw.temperature/a/a", "edgemon.lane.runs/x", "edgemon.probe.inference.duration/a"}
    assert flags == {"system.uptime": 0, **dict.fromkeys(names, pb.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK)}
    assert not found["hw.temperature/a/a"].HasField("as_double")
    assert set(points(pushed.tell(snap(stays, at=120.0)))) == {"system.uptime"}


def test_after_a_round_the_probes_have_a_batch_of_their_own_that_is_kept_longer() -> None:
    pushed, latency = told(), inference.PROBE_DURATION(0.002, "a", "steady")
    (usual,) = pushed.tell(snap(catalog.UPTIME(5.0), latency)).batches
    assert (usual.grade, usual.points, usual.boot) == (TELEMETRY, 2, "boot")
    said = pushed.tell(snap(catalog.UPTIME(6.0), latency), [ROUND])
    assert [(one.grade, one.points, one.start, one.end) for one in said.batches] == [
        (PROBE, 1, 100 * SECOND, 100 * SECOND), (TELEMETRY, 1, 100 * SECOND, 100 * SECOND),
    ]  # fmt: skip
    assert said.series == 2


def test_exemplars_lead_from_the_histogram_to_the_round() -> None:
    sketch = Sketch()
    sketch.add([0.002, 0.009])
    both = [inference.PROBE_INFERENCE.distribution(sketch.exponential(), name) for name in ("a", "b")]
    found = points(told().tell(snap(*both), [ROUND]))
    seen = [(one.as_double, one.trace_id, one.span_id, one.time_unix_nano)
            for one in found["edgemon.probe.inference.duration/a"].exemplars]  # fmt: skip
    assert seen == [(0.002, b"t" * 16, b"s" * 8, 94 * SECOND), (0.009, b"t" * 16, b"s" * 8, 94 * SECOND)]
    assert not found["edgemon.probe.inference.duration/b"].exemplars


def test_metrics_are_chosen_by_name_and_a_series_no_longer_chosen_ends() -> None:
    pushed = told(include=("hw.*", "system.uptime"), exclude=("*.limit",))
    all_of_it = (
        catalog.UPTIME(5.0), catalog.LOAD_1M(1.0), catalog.TEMPERATURE(40.0, "a", "a", ""),
        catalog.TEMPERATURE_LIMIT(90.0, "a", "a", "max"),
    )  # fmt: skip
    assert set(points(pushed.tell(snap(*all_of_it)))) == {"system.uptime", "hw.temperature/a/a"}
    pushed.follow(Otlp(endpoint="http://127.0.0.1:4318", include=("hw.*",)), WHO)
    found = points(pushed.tell(snap(*all_of_it)))
    assert {name: one.flags for name, one in found.items()} == {
        "system.uptime": 1, "hw.temperature/a/a": 0, "hw.temperature.limit/a/a/max": 0,
    }  # fmt: skip


def test_of_too_many_series_the_probes_come_first_and_the_rest_is_counted() -> None:
    many = [catalog.TEMPERATURE(40.0, str(number), "", "") for number in range(5)]
    said = told(series=3).tell(snap(*many, inference.PROBE_DURATION(0.002, "a", "steady")))
    assert (said.series, said.omitted) == (3, 3)
    assert "edgemon.probe.duration/a/steady" in points(said)


def test_a_name_that_is_not_utf_8_is_told_as_on_the_metrics_page() -> None:
    found = points(told().tell(snap(catalog.TEMPERATURE(40.0, "a\udcff", "", ""))))
    assert set(found) == {r"hw.temperature/a\udcff"}


def test_names_of_the_conventions_are_of_the_schema_that_is_named() -> None:
    """The installed conventions know that version."""
    assert SCHEMA in {one.value for one in Schemas}
