"""Gates: what the sensors say holds a probe, what they do not say holds nothing, and what is over holds no longer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edgemon import catalog, hardware
from edgemon.cadence import LOOK
from edgemon.config import Probe
from edgemon.gates import Pressure, View, closed
from edgemon.limits import REASONS, Gates
from edgemon.metric import Reading
from edgemon.platforms import hwmon, jetson, linux, raspberrypi
from edgemon.store import Store
from tests.simulated import FREE, HOUR, Device, snapshot

ALWAYS = Gates(boot=0.0)
NOON = time.strptime("2026-06-03 12:00", "%Y-%m-%d %H:%M")
"""A Wednesday."""
ZONE = ("cpu-thermal", "cpu-thermal")


def heat(celsius: float) -> Reading:
    return catalog.TEMPERATURE(celsius, *ZONE, "")


def limit(celsius: float, kind: str) -> Reading:
    return catalog.TEMPERATURE_LIMIT(celsius, *ZONE, kind)


def throttle(cause: str, on: float = 1.0) -> Reading:
    return hardware.THROTTLED(on, "soc", "SoC", cause)


def battery(charge: float, state: str) -> tuple[Reading, ...]:
    labels = ("BAT0", "Battery")
    return catalog.BATTERY_CHARGE(charge, *labels), catalog.SUPPLY_STATE(1.0, *labels, state)


def held(*readings: Reading, gates: Gates = ALWAYS, probe: Probe | None = None) -> list[str]:
    view = View(snapshot(*readings), Pressure(), NOON)
    return [str(one) for one in closed(gates, probe or Probe(), view)]


def gates(**settings: Any) -> Gates:
    return replace(ALWAYS, **settings)


CLOSED: list[tuple[Gates, tuple[Reading, ...], str]] = [
    (gates(temperature=80.0), (heat(81.2),), "hot (81 °C, limit 80 °C, cpu-thermal)"),
    (ALWAYS, (heat(95.0), limit(90.0, "high.critical"), limit(95.0, "throttled")),
     "hot (95 °C, limit 95 °C, cpu-thermal)"),
    (gates(temperature=90.0), (heat(86.0), limit(85.0, "throttled")), "hot (86 °C, limit 85 °C, cpu-thermal)"),
    (ALWAYS, (throttle("thermal"), throttle("power", 0.0)), "throttled (SoC: thermal)"),
    (ALWAYS, (catalog.MEMORY_AVAILABLE(100 << 20),), "memory (100 MiB available, 128 MiB wanted)"),
    (gates(load=1.5), (catalog.LOAD_1M(7.0), *(catalog.CPU_TIME(1.0, str(n), "user") for n in range(4))),
     "load (1.75 per CPU, limit 1.5)"),
    (ALWAYS, battery(0.15, "discharging"), "battery (15% left, on battery, 20% wanted)"),
    (ALWAYS, (catalog.BATTERY_CHARGE(0.15, "B", "Battery"), catalog.SUPPLY_ONLINE(0.0, "AC", "Mains")),
     "battery (15% left, on battery, 20% wanted)"),
    (gates(battery=1.0), battery(1.0, "discharging"), "battery (100% left, on battery, 100% wanted)"),
    (gates(only=("02:00-05:00",)), (), "window (only 02:00-05:00)"),
    (gates(never=("Sat,Sun", "Mon-Fri 08:00-18:00")), (), "window (not Mon-Fri 08:00-18:00)"),
    (gates(boot=60.0), (catalog.UPTIME(42.0),), "boot (up for 42 s of 60 s)"),
]  # fmt: skip
OPEN: list[tuple[Gates, tuple[Reading, ...]]] = [
    (Gates(), ()),
    (gates(temperature=80.0), (heat(79.9),)),
    (ALWAYS, (heat(200.0),)),
    (gates(trip_points=False), (heat(95.0), limit(90.0, "throttled"))),
    (ALWAYS, (heat(60.0), limit(50.0, "high.degraded"), limit(60.0, "high.critical"))),
    (ALWAYS, (throttle("software"), throttle("thermal", 0.0))),
    (gates(throttled=False), (throttle("thermal"),)),
    (ALWAYS, (catalog.MEMORY_AVAILABLE(129 << 20),)),
    (ALWAYS, (catalog.LOAD_1M(700.0), catalog.CPU_TIME(1.0, "0", "user"))),
    (ALWAYS, battery(0.15, "charging")),
    (ALWAYS, battery(0.25, "discharging")),
    (ALWAYS, (catalog.BATTERY_CHARGE(0.15, "B", "Battery"), catalog.SUPPLY_ONLINE(1.0, "AC", "Mains"))),
    (gates(only=("02:00-05:00", "Wed 10:00-13:00")), ()),
    (gates(boot=60.0), (catalog.UPTIME(61.0),)),
]


@pytest.mark.parametrize(("settings", "readings", "said"), CLOSED)
def test_a_closed_gate_says_why_with_the_numbers(settings: Gates, readings: tuple[Reading, ...], said: str) -> None:
    assert held(*readings, gates=settings) == [said]


@pytest.mark.parametrize(("settings", "readings"), OPEN)
def test_what_is_within_bounds_or_not_known_holds_nothing(settings: Gates, readings: tuple[Reading, ...]) -> None:
    assert held(*readings, gates=settings) == []


@pytest.mark.parametrize(("settings", "readings", "said"), CLOSED)
def test_a_probe_may_run_despite_any_gate(settings: Gates, readings: tuple[Reading, ...], said: str) -> None:
    """By its name; the others hold it as before."""
    reason = said.partition(" ")[0]
    others = tuple(one for one in REASONS if one != reason)
    assert held(*readings, gates=settings, probe=Probe(despite=(reason,))) == []
    assert held(*readings, gates=settings, probe=Probe(despite=others)) == [said]


def test_a_probe_has_windows_of_its_own_within_those_of_all() -> None:
    assert held(gates=gates(only=("08:00-18:00",)), probe=Probe(only=("13:00-14:00",))) == ["window (only 13:00-14:00)"]
    assert held(probe=Probe(never=("Wed",))) == ["window (not Wed)"]


def pressed(share: float, resource: str = "memory", seconds: float = 30.0) -> Pressure:
    """Pressure after so many seconds of sweeps every second, in which tasks waited that share of the time."""
    pressure = Pressure()
    for second in range(int(seconds)):
        waited = catalog.PRESSURE_TIME(1000.0 + share * max(0, second - 15), resource, "some")
        pressure.see(replace(snapshot(waited, catalog.PRESSURE_TIME(0.0, resource, "full")), at=float(second)))
    return pressure


def test_pressure_is_what_psi_counted_in_the_last_ten_seconds() -> None:
    """Though there was none before."""
    assert pressed(0.3).share("memory") == pytest.approx(0.3)
    view = View(snapshot(), pressed(0.3), NOON)
    (held,) = closed(ALWAYS, Probe(), view)
    assert str(held) == "pressure (tasks wait for memory 30% of the time, limit 20%)"
    assert not list(closed(gates(memory_pressure=0.0), Probe(), view))
    assert not list(closed(gates(cpu_pressure=0.1), Probe(), View(snapshot(), pressed(0.1), NOON)))
    assert list(closed(gates(io_pressure=0.1), Probe(), View(snapshot(), pressed(0.2, "io"), NOON)))


def test_pressure_is_not_known_from_one_snapshot_nor_without_psi() -> None:
    assert pressed(0.5, seconds=1).share("memory") is None
    assert pressed(0.5).share("cpu") is None


@pytest.mark.parametrize(
    ("name", "platforms", "reasons"),
    [
        ("raspberry-pi-5-hot", (hwmon, linux, raspberrypi), {"throttled"}),
        ("jetson-agx-orin-jp6-hot", (hwmon, linux, jetson), {"throttled"}),
        ("jetson-agx-orin-jp5", (hwmon, linux, jetson), set()),  # a network chip of 96 °C that calls 60 its most
        ("raspberry-pi-4", (hwmon, linux, raspberrypi), set()),
        ("jetson-orin-nx", (hwmon, linux, jetson), set()),
    ],
)
def test_captured_devices_are_gated_by_their_own_limits(
    name: str, platforms: tuple[Any, ...], reasons: set[str], machine: Callable[[str], Any]
) -> None:
    """With the settings as they come: the hot ones hold probes, the cool ones do not."""
    root, store = machine(name), Store()
    for module in platforms:
        for sensor in module.PLATFORM.sensors:
            store.put(f"{module.PLATFORM.name}.{sensor.name}", sensor.read(root))
    view = View(store.commit(), Pressure(), NOON)
    assert {one.reason for one in closed(ALWAYS, Probe(), view)} == reasons


def test_a_hot_device_is_not_probed_and_goes_on_within_seconds_of_being_cool() -> None:
    """An hour of heat costs an hour of turns, each counted once; then the probe runs as before."""
    device = Device({"a": Probe()}, gates=gates(temperature=80.0), **FREE)
    device.sensors = lambda now: (heat(85.0 if HOUR <= now < 2 * HOUR else 60.0),)
    device.until(3 * HOUR)
    assert not [at for at in device.times("a") if HOUR <= at < 2 * HOUR]
    after = min(at for at in device.times("a") if at >= 2 * HOUR)
    assert after <= 2 * HOUR + LOOK + 1
    assert {held.reason for _, _, held in device.holds} == {"hot"}
    assert device.told()["edgemon.probe.skipped"] == {("a", "hot"): pytest.approx(60, abs=1)}
    assert device.lane.missed == 0
    assert len(device.runs) == pytest.approx(120, abs=2)


def test_a_probe_that_is_held_holds_no_other() -> None:
    probes = {"hot": Probe(), "asked": Probe(despite=("hot",))}
    device = Device(probes, gates=gates(temperature=80.0), **FREE)
    device.sensors = lambda _now: (heat(85.0),)
    device.until(HOUR)
    assert not device.times("hot")
    assert len(device.times("asked")) == pytest.approx(60, abs=1)


def test_an_event_while_a_gate_is_closed_is_answered_when_it_opens() -> None:
    device = Device({"a": Probe(interval=6 * HOUR)}, gates=gates(temperature=80.0), **FREE)
    device.sensors = lambda now: (heat(85.0 if now < 500 else 60.0),)
    device.until(100)
    assert device.call("a", "model")
    device.until(1000)
    (run,) = [one for one in device.runs if one.began >= 100]
    assert run.trigger == "model"
    assert 500 <= run.began <= 500 + LOOK


def test_throttling_that_begins_is_measured_once_and_then_left_alone() -> None:
    """What it costs is what that run is to tell; all later ones wait until the device is itself again."""
    device = Device({"a": Probe()}, gates=gates(temperature=80.0, throttled=True), **FREE)
    device.sensors = lambda now: (
        (heat(85.0), hardware.THROTTLED(1.0, "soc", "soc", "thermal")) if 600 <= now < HOUR else (heat(60.0),)
    )
    device.until(601)
    assert device.call("a", "throttling_began")
    device.until(HOUR)
    hot = [one for one in device.runs if one.began >= 600]
    assert [one.trigger for one in hot] == ["throttling_began"]
    device.until(2 * HOUR)
    assert len(device.runs) > len(hot) + 60
