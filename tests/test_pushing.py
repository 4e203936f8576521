"""The push side of the daemon: what sweeps, probes and alerts give becomes batches, and costs nobody else a moment."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from edgemon import catalog, inference, pushed
from edgemon.config import Config
from edgemon.dispatch import Dispatch
from edgemon.finding import Finding
from edgemon.judge.verdict import State, Verdict
from edgemon.probe.result import Outcome, Result
from edgemon.push import Otlp
from edgemon.pushing import WAITING, Pushing
from edgemon.sinks.otlp.batch import FLIP, PROBE, TELEMETRY, Batch
from edgemon.sketch import Sketch
from edgemon.store import Snapshot
from edgemon.sysfs import Root
from tests.alerts.flips import flip
from tests.running import HERE, until
from tests.sinks.otlp.test_metrics import snap

URL = "http://127.0.0.1:4318"
NOW = time.clock_gettime(time.CLOCK_BOOTTIME)


class Kept(Dispatch):
    """Keeps what is to be sent; with `hold` it takes nothing until that is released."""

    def __init__(self) -> None:
        super().__init__("/nowhere")
        self.batches: list[Batch] = []
        self.hold = threading.Event()
        self.hold.set()

    def follow(self, settings: Otlp) -> None:
        """It sends nowhere."""

    def put(self, batch: Batch) -> None:
        self.hold.wait(60)
        self.batches.append(batch)

    def of(self, signal: str) -> list[Batch]:
        return [one for one in self.batches if one.signal == signal]


@pytest.fixture
def kept() -> Iterator[Kept]:
    it = Kept()
    yield it
    it.hold.set()


@pytest.fixture
def pushing(kept: Kept) -> Iterator[Pushing]:
    it = Pushing(Root(), kept)
    it.follow(settings())
    yield it
    kept.hold.set()
    it.stop(60)


def settings(**otlp: Any) -> Config:
    return Config(otlp=Otlp(**{"endpoint": URL, **otlp}))


def at(seconds: float) -> Snapshot:
    return snap(catalog.UPTIME(seconds), at=NOW + seconds)


def finding(outcome: Outcome = Outcome.OK, name: str = "cam") -> Finding:
    result = Result(name, outcome, at=1e9 + NOW, boottime=NOW, wall_seconds=0.5, latencies=[0.1, 0.2, 0.3])
    return Finding(result, {}, "mark", Verdict(State.OK, "none", "as before"), None)


def times(batches: list[Batch]) -> list[int]:
    return [round(one.end / 1e9 - NOW) for one in batches]


def test_a_sweep_that_is_due_is_pushed(kept: Kept, pushing: Pushing) -> None:
    """At the interval, whatever the pace of the sweeps: the nearest is taken."""
    for second in (0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33):
        pushing.see(at(second))
    until(lambda: times(kept.of("metrics")) == [0, 9, 21, 30])
    (boot,) = {one.boot for one in kept.batches}
    assert boot == Root().text("/proc/sys/kernel/random/boot_id") != ""
    assert {(one.grade, one.points) for one in kept.batches} == {(TELEMETRY, 1)}


def test_sweeps_rarer_than_pushes_are_all_pushed_and_a_sleep_is_not_caught_up_on(kept: Kept, pushing: Pushing) -> None:
    pushing.follow(settings(interval=1.0))
    for second in (0, 10, 20.3, 29.9, 7200, 7210):
        pushing.see(at(second))
    until(lambda: times(kept.of("metrics")) == [0, 10, 20, 30, 7200, 7210])


def test_a_round_is_a_trace_and_the_probes_series_follow_in_a_batch_of_their_own(kept: Kept, pushing: Pushing) -> None:
    """With exemplars that lead to it, once."""
    sketch = Sketch()
    sketch.add([0.1, 0.2])
    series = inference.PROBE_INFERENCE.distribution(sketch.exponential(), "cam"), catalog.UPTIME(5.0)
    pushing.probed(finding())
    pushing.see(snap(*series, at=NOW + 10))
    pushing.see(snap(*series, at=NOW + 20))
    until(lambda: len(kept.batches) == 4)
    assert [(one.signal, one.grade, one.points) for one in kept.batches] == [
        ("traces", PROBE, 1), ("metrics", PROBE, 1), ("metrics", TELEMETRY, 1), ("metrics", TELEMETRY, 2),
    ]  # fmt: skip
    counts = [len(exemplars(one)) for one in kept.of("metrics")]
    assert counts == [2, 0, 0]


def exemplars(batch: Batch) -> list[Any]:
    (scope,) = ExportMetricsServiceRequest.FromString(batch.payload).resource_metrics[0].scope_metrics
    return [
        one for metric in scope.metrics for point in metric.exponential_histogram.data_points for one in point.exemplars
    ]


def test_a_turn_left_out_is_no_round(kept: Kept, pushing: Pushing) -> None:
    pushing.probed(finding(Outcome.SKIPPED))
    pushing.probed(finding(Outcome.CRASHED))
    until(lambda: len(kept.of("traces")) == 1)


def test_flips_become_log_records(kept: Kept, pushing: Pushing) -> None:
    pushing.flipped([flip("A"), flip("B", "resolved")])
    until(lambda: [(one.signal, one.grade, one.points) for one in kept.batches] == [("logs", FLIP, 1)] * 2)


@pytest.mark.parametrize("signal", ["metrics", "traces", "logs"])
def test_each_signal_can_be_switched_off(kept: Kept, pushing: Pushing, signal: str) -> None:
    pushing.follow(settings(**{signal: False}))
    give(pushing)
    until(lambda: {one.signal for one in kept.batches} == {"metrics", "traces", "logs"} - {signal})
    if signal == "traces":
        assert not [one for batch in kept.of("metrics") for one in exemplars(batch)]


def give(pushing: Pushing) -> None:
    pushing.probed(finding())
    pushing.flipped([flip()])
    pushing.see(at(10))


def test_without_an_endpoint_it_is_not_there(kept: Kept) -> None:
    """No lane, no metric, and no module of OpenTelemetry's in the process."""
    it = Pushing(Root(), kept)
    it.follow(Config())
    give(it)
    it.stop(1)
    assert (kept.batches, list(it.readings())) == ([], [])
    code = """
import sys
from edgemon import daemon, dispatch, pushing
from edgemon.config import Config
from edgemon.sysfs import Root
pushing.Pushing(Root(), dispatch.Dispatch('/nowhere')).follow(Config())
print(sorted(name for name in sys.modules if name.startswith(("opentelemetry", "google", "grpc", "ssl"))))
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_an_endpoint_that_is_taken_away_ends_it_and_one_that_comes_begins_it(kept: Kept, pushing: Pushing) -> None:
    pushing.follow(settings(endpoint=""))
    give(pushing)
    pushing.follow(settings())
    give(pushing)
    until(lambda: len(kept.of("logs")) == 1)
    assert (len(kept.of("metrics")), len(kept.of("traces"))) == (1, 1)


def test_a_disk_that_hangs_holds_nobody_up_and_what_is_missed_is_counted(kept: Kept, pushing: Pushing) -> None:
    """Sweeps, probes and rules only leave what they have; the newest is kept."""
    kept.hold.clear()
    pushing.flipped([flip("first")])
    until(pushing.lane.busy)
    for number in range(WAITING + 7):
        pushing.flipped([flip(str(number))])
    assert {one.value for one in pushing.readings() if one.metric is pushed.MISSED} == {7}
    kept.hold.set()
    until(lambda: len(kept.batches) == WAITING + 1)
    assert b"alert 6 firing" not in b"".join(one.payload for one in kept.batches)


def test_what_cannot_be_encoded_costs_itself_alone(kept: Kept, pushing: Pushing) -> None:
    bad = replace(finding(), result=replace(finding().result, windows={"steady": ["x", "y"]}))  # type: ignore[list-item]
    pushing.probed(bad)
    pushing.flipped([flip("A")])
    until(lambda: len(kept.of("logs")) == 1)
    assert (pushing.lane.failures, kept.of("traces")) == (1, [])
    assert {one.value for one in pushing.readings() if one.metric is pushed.MISSED} == {1}


def test_stopping_makes_ready_what_waits(kept: Kept) -> None:
    it = Pushing(Root(), kept)
    it.follow(settings())
    assert it.lane.stop(60)
    give(it)
    assert kept.batches == []
    it.stop(60)
    assert {one.signal for one in kept.batches} == {"metrics", "traces", "logs"}


def test_it_says_how_many_series_it_pushes_and_leaves_out(kept: Kept, pushing: Pushing) -> None:
    pushing.follow(settings(series=1))
    pushing.see(snap(catalog.UPTIME(1.0), catalog.LOAD_1M(1.0), catalog.LOAD_5M(1.0), at=NOW))
    until(lambda: kept.batches)
    said = {one.metric: one.value for one in pushing.readings()}
    assert (said[pushed.SERIES], said[pushed.OMITTED], said[pushed.MISSED]) == (1, 2, 0)


def test_attributes_of_the_resource_can_be_set(kept: Kept, pushing: Pushing) -> None:
    pushing.follow(settings(resource={"service.name": "camera", "site": "oslo"}))
    pushing.see(at(10))
    until(lambda: kept.batches)
    (whole,) = ExportMetricsServiceRequest.FromString(kept.batches[0].payload).resource_metrics
    told = {one.key: one.value.string_value for one in whole.resource.attributes}
    assert (told["service.name"], told["site"], told["os.type"]) == ("camera", "oslo", "linux")
