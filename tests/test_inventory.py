"""The inventory: sensors read for a person who waits, and what to do about each trouble."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from edgemon import catalog, hardware
from edgemon.doctor import Severity, groups
from edgemon.inventory import remedy, source, take_stock, timely
from edgemon.metric import Reading, State, Sweep
from edgemon.platforms import Platform, Sensor, discover
from edgemon.survey import present
from edgemon.sysfs import Root
from tests.devices import DEVICES
from tests.doctor import captured

KNOWN = Platform(
    "known", bool, (),
    {"EPROTO": "by error", "heat denied": "by sensor", "denied": "by state", "heat absent": "get it",
     "load sysfs": "by source"},
)  # fmt: skip
PLAIN = Platform("plain", bool, ())
FALLBACK = (hardware.SENSOR_SOURCE(1, "known", "heat", "sysfs"),)


@pytest.mark.parametrize(
    ("sensor", "state", "errors", "readings", "expected"),
    [
        ("heat", State.DENIED, {"EACCES": 1}, (), "by sensor"),
        ("load", State.DENIED, {"EACCES": 1}, (), "by state"),
        ("load", State.ERROR, {"EPROTO": 1}, (), "by error"),
        ("load", State.OK, {"EPROTO": 1}, FALLBACK, "by error"),
        ("load", State.OK, {}, FALLBACK, "by source"),
        ("load", State.OK, {"EACCES": 1}, FALLBACK, "by state"),
        ("heat", State.OK, {}, FALLBACK, ""),
        ("load", State.OK, {}, (), ""),
        ("heat", State.ABSENT, {}, (), "get it"),
        ("load", State.ABSENT, {}, (), ""),
    ],
)
def test_the_remedy_is_the_sensors_then_the_errors_then_the_states_then_the_sources(
    sensor: str, state: State, errors: dict[str, int], readings: tuple[Reading, ...], expected: str
) -> None:
    assert remedy(KNOWN, Sweep(sensor, 0.0, readings, state, errors=errors)) == expected


@pytest.mark.parametrize("state", [State.DENIED, State.TIMEOUT, State.ERROR])
def test_a_platform_without_remedies_has_a_general_one(state: State) -> None:
    assert remedy(PLAIN, Sweep("heat", 0.0, (), state))


def test_a_sensor_that_hangs_is_left_behind() -> None:
    """The next one is read all the same."""
    hold = threading.Event()

    def hang(_root: Root) -> Iterator[Reading]:
        hold.wait(30)
        yield catalog.UPTIME(1)

    sweep = timely(Sensor("hang", hang), Root(), 0.05)
    hold.set()
    assert (sweep.state, sweep.errors) == (State.TIMEOUT, {"ETIMEDOUT": 1})
    assert timely(Sensor("fine", lambda _root: [catalog.UPTIME(1)]), Root()).state is State.OK


def test_the_source_is_told_where_a_sensor_has_a_choice() -> None:
    stock = captured("jetson-orin-jtop").stock
    gpu, cpu = stock.named("jetson", "gpu"), stock.named("linux", "cpu")
    assert gpu is not None
    assert (source(gpu), source(cpu) if cpu else "") == ("jtop", "")
    assert stock.named("jetson", "nothing") is None


def test_an_accelerator_has_its_state_and_what_to_do() -> None:
    (chip,) = captured("coral-unbound").stock.accelerators()
    assert (chip.type, chip.id, chip.vendor, chip.state) == ("tpu", "0000:02:00.0", "Google", "unready")
    assert "gasket-dkms" in chip.remedy
    ok, waiting = captured("coral-usb").stock.accelerators()
    assert {(ok.state, bool(ok.remedy)), (waiting.state, bool(waiting.remedy))} == {("ok", False), ("unready", True)}


@pytest.mark.parametrize("device", DEVICES)
def test_every_recorded_device_can_be_examined_and_what_is_bad_has_evidence_and_a_remedy(device: str) -> None:
    patient = captured(device)
    for found in groups.examine(patient).findings.values():
        for one in found:
            assert one.what
            assert one.evidence
            assert one.severity in {Severity.OK, Severity.NOTE} or one.remedy, one


def test_remedies_are_for_sensors_and_states_that_there_are() -> None:
    """A remedy under a misspelt key would never be shown."""
    states = {state.value for state in State}
    for platform in discover().values():
        names = {sensor.name for sensor in platform.sensors}
        for key in platform.remedies:
            sensor, _, state = key.rpartition(" ")
            assert not sensor or state not in states or sensor in names, f"{platform.name}: {key}"


def test_a_live_machine_is_taken_stock_of() -> None:
    stock = take_stock(present(discover(), Root(), ()), Root())
    assert stock.of(catalog.MEMORY_LIMIT)[0].value > 0
    assert str(stock.of(catalog.MEMORY_LIMIT)[0]).startswith("system_memory_limit_bytes{} ")
    assert stock.platform("linux") is not None
