"""Conditions: what a look takes from a snapshot, how looks make a run and runs a baseline, and what is kept of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from edgemon import catalog, hardware
from edgemon.capture import load
from edgemon.conditions import WORKER, Conditions, over, typical
from edgemon.look import MOST, seen
from edgemon.metric import Reading
from edgemon.platforms import discover
from edgemon.probe.result import Outcome, Result
from edgemon.replay import Replay
from edgemon.store import Snapshot, Store
from edgemon.watch import watched
from tests import devices
from tests.devices import DEVICES, HERE

GPU = ("gpu", "Tesla", "gpu")


def snapshot(readings: Iterable[Reading], at: float = 100.0) -> Snapshot:
    return Snapshot(1, at, {(one.metric, one.labels): one.value for one in readings if one.value is not None})


def test_a_look_takes_what_a_latency_depends_on() -> None:
    look = seen(
        snapshot(
            [
                catalog.TEMPERATURE(81.5, "cpu", "cpu", ""),
                catalog.TEMPERATURE_LIMIT(95.0, "cpu", "cpu", "high.critical"),
                catalog.TEMPERATURE_LIMIT(80.0, "cpu", "cpu", "throttled"),
                catalog.CPU_SPEED_LIMIT(2e9, "policy0", "max"),
                catalog.CPU_SPEED_LIMIT(1e9, "policy0", "throttled"),
                catalog.CPU_SPEED_LIMIT(3e9, "policy4", "max"),
                *(catalog.CPU_FREQUENCY(hertz, str(cpu)) for cpu, hertz in enumerate((9e8, 8e8, 1e9, 7e8, 2.5e9, 2e9))),
                hardware.FREQUENCY(5e8, *GPU),
                hardware.FREQUENCY_LIMIT(1e9, *GPU, "max"),
                hardware.THROTTLED(1.0, "soc/cap", "cap", "thermal"),
                hardware.THROTTLED(0.0, "soc/volt", "volt", "undervoltage"),
                catalog.COOLING_LEVEL(2.0, "cpufreq-cpu0", "cpufreq-cpu0"),
                catalog.COOLING_LEVEL(3.0, "pwm-fan", "pwm-fan"),
                hardware.THROTTLE_EVENTS(7.0, "oc2", "oc2", "power"),
                catalog.CPU_THROTTLES(2.0, "0", "core"),
                catalog.CPU_THROTTLES(3.0, "1", "core"),
                catalog.PRESSURE_TIME(5.0, "cpu", "some"),
                hardware.ACCELERATOR_ERRORS(4.0, "gpu", "gpu", "uncorrected"),
                catalog.MEMORY_LIMIT(8e9),
                catalog.MEMORY_AVAILABLE(2e9),
                hardware.POWER_MODE(1.0, "nvpmodel", "MAXN"),
                catalog.CPU_GOVERNOR(1.0, "policy0", "schedutil"),
                hardware.ACCELERATOR_INFO(1.0, *GPU, "NVIDIA", "T4", "515.105", "90.04"),
                hardware.ACCELERATOR_STATE(0.0, *GPU, "failed"),
                hardware.ACCELERATOR_STATE(1.0, *GPU, "ok"),
                hardware.ACCELERATOR_INFO(1.0, "npu", "npu", "npu", "Hailo", "8", "", ""),
                hardware.ACCELERATOR_INFO(1.0, "nvdec", "nvdec", "codec", "NVIDIA", "", "", ""),
                hardware.UTILIZATION(0.25, *GPU),
                hardware.LINK_WIDTH(1.0, "gpu"),
                hardware.LINK_WIDTH_LIMIT(4.0, "gpu"),
                hardware.LINK_TRANSFERS(5e9, "gpu"),
                hardware.LINK_TRANSFERS_LIMIT(8e9, "gpu"),
                catalog.SUPPLY_ONLINE(0.0, "AC", "Mains"),
                catalog.SUPPLY_STATE(1.0, "BAT0", "Battery", "discharging"),
                catalog.SENSOR_STATE(1.0, "linux", "cpu", "ok"),
                catalog.SENSOR_STATE(1.0, "hailo", "chip", "denied"),
            ]
        )
    )
    assert look == Conditions(
        seconds=100.0,
        looks=1,
        uptime=100.0,
        temperatures={"cpu": 81.5},
        limits={"cpu": (80.0, "throttled")},
        clocks={"policy0": (1e9, 2e9, 1e9), "policy4": (2.5e9, 3e9, 0.0), "gpu": (5e8, 1e9, 0.0)},
        throttled={"thermal soc/cap": 1.0, "cooling cpufreq-cpu0": 1.0},
        counters={
            "pressure cpu some": 5.0,
            "throttle thermal cpu": 5.0,
            "throttle power oc2": 7.0,
            "error uncorrected gpu": 4.0,
        },
        memory={"available": 0.25},
        modes={"nvpmodel": "MAXN"},
        governors={"policy0": "schedutil"},
        states={"gpu": "ok", "npu": "present"},
        drivers={"gpu": "515.105 90.04"},
        busy={"gpu": 0.25},
        links={"gpu": (1.0, 4.0, 5e9, 8e9)},
        supplies={"AC": "offline", "BAT0": "discharging"},
        failing={"hailo.chip": "denied"},
    )


def test_what_nobody_told_is_not_there() -> None:
    assert seen(Snapshot(at=5.0)).to_json() == {"seconds": 5.0, "looks": 1, "uptime": 5.0}
    assert Conditions().rate("pressure cpu some") is None


def test_of_many_temperatures_those_with_the_least_headroom_are_kept() -> None:
    heats = [catalog.TEMPERATURE(40.0 + zone / 10, f"zone{zone}", "", "") for zone in range(200)]
    limits = [catalog.TEMPERATURE_LIMIT(45.0, "zone7", "", "high.critical")]
    clocks = [hardware.FREQUENCY(1e9, f"gpu{number}", "", "gpu") for number in range(300)]
    look = seen(snapshot([*heats, *limits, *clocks]))
    assert len(look.temperatures) == len(look.clocks) == MOST
    assert list(look.temperatures)[:2] == ["zone7", "zone199"]


@pytest.mark.parametrize("device", DEVICES)
def test_every_captured_device_fits_in_two_kilobytes_and_comes_back_from_json(device: str) -> None:
    root = Replay(load(str(HERE / f"{device}.capture")))
    found = [reading for one in discover().values() if one.detect(root) for reading in devices.sweep(root, one)]
    look = seen(snapshot(found))
    text = json.dumps(look.to_json())
    assert len(text) < 2048
    assert Conditions.from_json(json.loads(text)) == look


def look(at: float, **more: Any) -> Conditions:
    return Conditions(seconds=at, looks=1, uptime=at, **more)


def test_a_run_has_the_extremes_of_its_looks_and_what_counters_grew() -> None:
    looks = [
        look(100.0, temperatures={"cpu": 60.0}, clocks={"p": (5e8, 2e9, 0.0)}, memory={"available": 0.5},
             counters={"pressure cpu some": 10.0, "throttle power oc": 3.0}, busy={"gpu": 0.1}, modes={"m": "15W"}),
        look(101.0, temperatures={"cpu": 81.0}, clocks={"p": (2e9, 2e9, 0.0)}, memory={"available": 0.2},
             throttled={"thermal cap": 1.0}, busy={"gpu": 0.9}),
        look(104.0, temperatures={"cpu": 79.0}, clocks={"p": (9e8, 2e9, 0.0)}, memory={"available": 0.4},
             counters={"pressure cpu some": 11.0, "throttle power oc": 3.0}, modes={"m": "MAXN"}, busy={"gpu": 0.9}),
    ]  # fmt: skip
    run = over(looks, clock=1.4e9)
    assert (run.seconds, run.looks, run.uptime) == (4.0, 3, 104.0)
    assert (run.temperatures, run.memory, run.busy) == ({"cpu": 81.0}, {"available": 0.2}, {"gpu": 0.1})
    assert run.clocks == {"p": (2e9, 2e9, 0.0), WORKER: (1.4e9, 0.0, 0.0)}
    assert run.counters == {"pressure cpu some": 1.0}  # what did not grow is left out, but no pressure is a value
    assert run.rate("pressure cpu some") == 0.25
    assert run.active("thermal") == {"cap": pytest.approx(1 / 3, rel=1e-5)}
    assert run.modes == {"m": "MAXN"}


def test_several_runs_are_their_medians_and_what_their_counters_grew_in_sum() -> None:
    runs = [
        Conditions(4.0, 5, 100.0 + at, {"cpu": heat}, counters={"throttle power oc": n, "pressure io some": 1.0})
        for at, heat, n in ((0.0, 50.0, 1.0), (1.0, 51.0, 0.0), (2.0, 70.0, 2.0))
    ]
    both = typical(runs)
    assert both.temperatures == {"cpu": 51.0}
    assert both.grown("throttle power") == {"oc": 3.0}
    assert both.rate("pressure io some") == 0.25


BAD: list[Any] = [
    [], "x", {"temperatures": 3}, {"temperatures": {"cpu": "hot"}}, {"clocks": {"p": [1.0]}}, {"links": {"p": 1}},
    {"limits": {"cpu": []}}, {"seconds": "x"}, {"modes": [1]},
]  # fmt: skip


@pytest.mark.parametrize("data", BAD)
def test_what_are_no_conditions_is_refused(data: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        assert Conditions.from_json(data) is None


json_values = some.recursive(
    some.none() | some.booleans() | some.floats() | some.text(max_size=3),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ["seconds", "temperatures", "limits", "clocks", "throttled", "counters", "modes", "links", "new"]


@given(some.dictionaries(some.sampled_from(FIELDS), json_values))
def test_whatever_an_archive_holds_is_conditions_or_refused(data: dict[str, Any]) -> None:
    try:
        found = Conditions.from_json(data)
    except (TypeError, ValueError):
        return
    assert all(len(one) == 3 for one in found.clocks.values())
    assert all(len(one) == 4 for one in found.links.values())


class Looking:
    """A device that gets warmer with every look."""

    def __init__(self) -> None:
        self.store, self.looks = Store(), 0

    def __call__(self) -> Snapshot:
        self.looks += 1
        self.store.put("a", [catalog.TEMPERATURE(50.0 + self.looks, "cpu", "", "")])
        return self.store.commit()


def result() -> Result:
    return Result("a", Outcome.OK, witnesses={"clock_begin": 1e9, "clock_end": 2e9})


def test_a_run_is_looked_at_before_during_and_after() -> None:
    looking, enough = Looking(), 0

    def run() -> Result:
        nonlocal enough
        while looking.looks < 3:
            enough += 1
        return result()

    found = Conditions.from_json(watched(run, looking, every=0.001).conditions)
    assert found.looks == looking.looks >= 4
    assert found.temperatures == {"cpu": 50.0 + looking.looks}
    assert found.clocks[WORKER][0] == 1.5e9


def test_a_run_that_nobody_watches_has_no_conditions() -> None:
    assert watched(result, None) == result()


def test_a_run_that_raises_is_watched_no_longer() -> None:
    looking = Looking()

    def run() -> Result:
        raise KeyboardInterrupt

    action: Callable[[], Result] = run
    with pytest.raises(KeyboardInterrupt):
        watched(action, looking, every=1000.0)
    assert looking.looks == 1
