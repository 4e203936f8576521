"""Running sensors: a failing one degrades alone, a hanging one is abandoned, and each says so."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from edgemon import catalog
from edgemon.collect import Collector, Runner, Source, take
from edgemon.metric import Reading, State
from edgemon.platforms import Platform, Sensor
from edgemon.sysfs import Root
from tests.running import until


def good(root: Root) -> Iterator[Reading]:
    yield catalog.UPTIME(1.0)


def broken(root: Root) -> Iterator[Reading]:
    yield catalog.UPTIME(1.0)
    raise ValueError("no such register")


def nothing(root: Root) -> Iterator[Reading]:
    yield catalog.UPTIME(None)


def garbage(root: Root) -> Iterator[Reading]:
    yield catalog.UPTIME(float("nan"))
    yield catalog.LOAD_1M(float("inf"))


def denied(root: Root) -> Iterator[Reading]:
    raise PermissionError(13, "denied")
    yield


def fifo(root: Root) -> Iterator[Reading]:
    yield catalog.TEMPERATURE(root.number("/fifo"), "hung", "", "")


def platform(*sensors: Callable[[Root], Iterable[Reading]]) -> Platform:
    return Platform("test", lambda root: True, tuple(Sensor(one.__name__, one) for one in sensors))


class Published:
    """What a collector published, by source."""

    def __init__(self) -> None:
        self.sources: dict[str, list[Reading]] = {}

    def __call__(self, source: str, readings: Iterable[Reading]) -> None:
        self.sources[source] = list(readings)

    def state(self, sensor: str) -> str:
        (state,) = [
            labels[2]
            for metric, labels, value in self.sources["edgemon.sensors"]
            if metric is catalog.SENSOR_STATE and labels[1] == sensor and value == 1
        ]
        return state


@pytest.mark.parametrize(
    ("sensor", "state"),
    [(good, State.OK), (broken, State.ERROR), (nothing, State.ABSENT), (garbage, State.ABSENT), (denied, State.DENIED)],
)
def test_each_way_a_sensor_can_go_has_a_state(sensor: Callable[[Root], Iterable[Reading]], state: State) -> None:
    assert take("test", Sensor("s", sensor), Root()).state is state


def test_what_a_sensor_gave_before_it_broke_is_kept() -> None:
    sweep = take("test", Sensor("broken", broken), Root())
    assert [reading.value for reading in sweep.readings] == [1.0]
    assert sweep.errors == {"ValueError": 1}


def test_a_broken_sensor_costs_no_other() -> None:
    published = Published()
    Collector([platform(broken, good)], Root(), publish=published).sweep()
    assert (published.state("broken"), published.state("good")) == ("error", "ok")
    assert published.sources["test.good"]


def test_a_failing_sensor_is_asked_less_and_less_often() -> None:
    source, pauses = Source("test", Sensor("broken", broken)), []
    for _ in range(12):
        source.note(take("test.broken", source.sensor, Root()), 0.0)
        pauses.append(source.due)
    assert pauses == sorted(pauses)
    assert pauses[0] < 2
    assert 250 < pauses[-1] <= 300


def test_a_sensor_that_recovers_is_asked_every_sweep_again() -> None:
    source = Source("test", Sensor("good", good))
    source.failures = 9
    source.note(take("test.good", source.sensor, Root()), 100.0)
    assert source.failures == 0
    assert source.due == pytest.approx(100, abs=0.01)


@pytest.fixture
def hung(tmp_path: Path) -> Iterator[Path]:
    """A root with a FIFO: opening it for reading blocks until somebody writes."""
    os.mkfifo(tmp_path / "fifo")
    yield tmp_path
    os.close(os.open(tmp_path / "fifo", os.O_RDWR | os.O_NONBLOCK))


def test_a_hung_read_costs_no_other_sensor_and_says_so(hung: Path) -> None:
    published = Published()
    collector = Collector([platform(fifo, good)], Root(str(hung)), timeout=0.1, publish=published)
    collector.sweep()
    assert (published.state("fifo"), published.state("good")) == ("timeout", "ok")
    assert published.sources["test.good"]


def test_a_collector_that_is_stopped_as_it_hands_over_a_sweep_does_not_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload does that: the thread that reads is gone before it is given anything."""
    collector, give = Collector([platform(good)], Root(str(tmp_path)), timeout=0.05), Runner.give
    collector.sweep()

    def late(runner: Runner, batch: deque[Source]) -> None:
        collector.stop()
        runner.join(60)
        give(runner, batch)

    monkeypatch.setattr(Runner, "give", late)
    collector.sources[0].due = 0.0
    sweep = threading.Thread(target=collector.sweep, daemon=True)
    sweep.start()
    sweep.join(60)
    assert not sweep.is_alive()


def test_a_hung_sensor_keeps_one_thread_however_many_sweeps_follow(hung: Path) -> None:
    collector = Collector([platform(fifo, good)], Root(str(hung)), timeout=0.05)
    collector.sweep()
    before = threading.active_count()
    for _ in range(20):
        collector.sources[1].due = 0.0
        collector.sweep()
    assert threading.active_count() == before


def test_a_sensor_that_returns_from_a_hang_is_asked_again(hung: Path) -> None:
    published = Published()
    collector = Collector([platform(fifo, good)], Root(str(hung)), timeout=0.1, publish=published)
    collector.sweep()
    source = collector.sources[0]
    assert source.hung
    writer = os.open(hung / "fifo", os.O_WRONLY)
    os.write(writer, b"7\n")
    os.close(writer)
    for _ in range(200):
        if not source.hung:
            break
        threading.Event().wait(0.01)
    (hung / "fifo").rename(hung / "pipe")
    (hung / "fifo").write_text("21")
    source.due = 0.0
    collector.sweep()
    assert published.state("fifo") == "ok"
    (hung / "fifo").unlink()
    (hung / "pipe").rename(hung / "fifo")


def test_two_hung_sensors_cost_the_third_nothing(hung: Path) -> None:
    def other(root: Root) -> Iterator[Reading]:
        yield catalog.LOAD_1M(root.number("/fifo"))

    published = Published()
    Collector([platform(fifo, other, good)], Root(str(hung)), timeout=0.05, publish=published).sweep()
    states = [published.state(name) for name in ("fifo", "other", "good")]
    assert states == ["timeout", "timeout", "ok"]


def rail(root: Root) -> Iterator[Reading]:
    yield catalog.POWER(5.0, "VDD_IN", "VDD_IN", "")


def metered(published: Published) -> Collector:
    """A rail that may be sampled all the time, and a sensor that is no rail."""
    sensors = (Sensor("rail", rail, power=0.001), Sensor("good", good))
    return Collector([Platform("test", lambda _: True, sensors)], Root(), publish=published)


def test_a_sample_reads_power_only_and_publishes_the_energy_that_comes_of_it() -> None:
    published = Published()
    collector = metered(published)
    collector.sweep()
    (before,) = [one for one in published.sources["test.rail"] if one.metric is catalog.ENERGY]
    asked = {source.name: source.asked for source in collector.sources}
    collector.sources[0].asked -= 1.0
    collector.sample()
    (after,) = [one for one in published.sources["test.rail"] if one.metric is catalog.ENERGY]
    assert (before.value, before.labels) == (0, ("VDD_IN", "VDD_IN", ""))
    assert (after.value or 0) > 0
    assert [source.asked > asked[source.name] for source in collector.sources] == [True, False]


def test_a_rail_is_sampled_no_more_often_than_its_hardware_has_a_value() -> None:
    collector = Collector([Platform("test", lambda _: True, (Sensor("rail", rail, power=3600),))], Root())
    collector.sweep()
    asked = collector.sources[0].asked
    collector.sample()
    assert collector.sources[0].asked == asked


def test_a_rail_that_fails_is_not_sampled() -> None:
    collector = Collector([Platform("test", lambda _: True, (Sensor("denied", denied, power=0.001),))], Root())
    collector.sweep()
    asked = collector.sources[0].asked
    collector.sample()
    assert collector.sources[0].asked == asked


def test_power_is_sampled_briskly_for_as_long_as_asked() -> None:
    published = Published()
    collector = metered(published)
    collector.sweep()
    with collector.briskly(0.001):
        until(lambda: published.sources["test.rail"][1].value)
    until(lambda: not [one for one in threading.enumerate() if one.name == "edgemon-power"])


def test_platforms_come_and_go_and_what_stays_keeps_its_state_and_its_counts() -> None:
    published: dict[str, list[Reading]] = {}
    stays, goes, comes = (
        Platform("stays", bool, (Sensor("bad", broken), Sensor("new", good))),
        Platform("goes", bool, (Sensor("one", good),)),
        Platform("comes", bool, (Sensor("one", good),)),
    )
    collector = Collector([stays, goes], Root(), publish=lambda name, found: published.update({name: list(found)}))
    collector.sweep()
    kept = collector.sources[0]
    collector.adopt([comes, stays])
    assert published["goes.one"] == []
    assert kept in collector.sources
    assert (kept.failures, kept.errors) == (1, {"ValueError": 1})
    collector.sweep()
    assert len(published["comes.one"]) == 1
    assert {one.labels[0] for one in published["edgemon.sensors"]} == {"comes", "stays"}
    collector.stop()
