"""Coral Edge TPUs, read from captures of real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgemon import catalog, hardware
from edgemon.metric import Reading
from edgemon.platforms import Platform, coral
from tests import devices
from tests.devices import values, write
from tests.platforms import fuzz

Machine = Callable[[str], devices.Captured]

HOSTS = [device for device in devices.DEVICES if device.startswith("coral-")]
APEX = "/sys/class/apex/apex_0"
FIRST, SECOND = ("0000:01:00.0", "apex_0"), ("0000:02:00.0", "apex_1")
GARBAGE = st.one_of(
    st.binary(max_size=80),
    st.integers(-(2**70), 2**70).map(lambda n: str(n).encode()),
    st.sampled_from([b"", b"\0", b"\0" * 4096, b"\xff\xfe\xfd", b"nan", b"inf", b"1e400", b"0x1f", b"9" * 5000]),
    st.sampled_from(
        [b"-89700", b"-87900", b"-1", b"4294967295", b"151000", b"1\n2", b"ALIVE", b"DEAD", b"18d1", b"9302"]
    ),
)


def states(root: devices.Captured) -> dict[str, str]:
    """State of each device by its id."""
    readings = values(list(coral.devices(root)), hardware.ACCELERATOR_STATE)
    return {labels[0]: labels[3] for labels in readings}


@pytest.mark.parametrize("device", devices.DEVICES)
def test_every_capture_reads_as_its_golden_file_says(device: str, golden: Callable[[str, Platform], None]) -> None:
    golden(device, coral.PLATFORM)


@pytest.mark.parametrize("device", HOSTS)
def test_no_two_readings_of_a_capture_are_the_same_series(device: str, machine: Machine) -> None:
    root = machine(device)
    assert coral.detect(root)
    readings = devices.sweep(root, coral.PLATFORM)
    assert len({(reading.metric.name, reading.labels) for reading in readings}) == len(readings)


@pytest.mark.parametrize("device", ["vm", "jetson-orin-nx", "raspberry-pi-5", "x86-node-exporter"])
def test_a_machine_without_an_edge_tpu_has_none(device: str, machine: Machine) -> None:
    assert not coral.detect(machine(device))


def test_a_usb_accelerator_is_unready_until_its_firmware_is_loaded(machine: Machine) -> None:
    root = machine("coral-usb")
    assert states(root) == {"usb-1-1": "ok", "usb-2-1": "unready"}
    write(
        Path(root.path), {"/sys/bus/usb/devices/2-1/idVendor": "18d1\n", "/sys/bus/usb/devices/2-1/idProduct": "9302\n"}
    )
    assert states(root) == {"usb-1-1": "ok", "usb-2-1": "ok"}


def test_another_device_of_the_same_usb_vendor_is_no_accelerator(tmp_path: Path) -> None:
    port = "/sys/bus/usb/devices/1-1"
    assert not coral.detect(write(tmp_path, {f"{port}/idVendor": "18d1\n", f"{port}/idProduct": "4ee7\n"}))


def test_a_chip_without_driver_is_unready(machine: Machine) -> None:
    assert states(machine("coral-unbound")) == {"0000:02:00.0": "unready"}


def test_a_chip_with_driver_is_told_once(machine: Machine) -> None:
    root = machine("coral-in-tree")
    bus = "/sys/bus/pci/devices/0000:02:00.0"
    write(Path(root.path), {f"{bus}/vendor": "0x1ac1\n", f"{bus}/device": "0x089a\n", f"{bus}/driver/new_id": ""})
    assert states(root) == {"0000:02:00.0": "ok"}


def test_the_in_tree_driver_has_no_thermometer_and_that_is_no_error(machine: Machine) -> None:
    root = machine("coral-in-tree")
    assert not [reading for reading in coral.temperature(root) if reading.value is not None]
    assert not [reading for reading in coral.limits(root) if reading.value is not None]
    assert not root.errors


def test_a_chip_off_the_bus_has_no_temperature_and_has_failed_though_it_says_alive(machine: Machine) -> None:
    root = machine("coral-pcie")
    readings = list(coral.temperature(root))
    assert values(readings, catalog.TEMPERATURE) == {(*FIRST, ""): 44.55, (*SECOND, ""): None}
    assert values(readings, hardware.THROTTLED) == {(*FIRST, "thermal"): 0}
    assert root.errors == {"implausible": 1}
    assert states(root) == {"0000:01:00.0": "ok", "0000:02:00.0": "failed"}


@pytest.mark.parametrize("raw", ["-89700", "-87900", "150250", "65535000"])
def test_a_sentinel_is_no_temperature(raw: str, tmp_path: Path) -> None:
    root = write(tmp_path, {f"{APEX}/temp": raw})
    assert [reading.value for reading in coral.temperature(root)] == [None]


@pytest.mark.parametrize(("status", "state"), [("ALIVE", "ok"), ("DEAD", "failed"), ("LAMED", "failed")])
def test_the_state_is_the_drivers(status: str, state: str, tmp_path: Path) -> None:
    assert states(write(tmp_path, {f"{APEX}/status": f"{status}\n"})) == {"apex_0": state}


@pytest.mark.parametrize(
    ("temp", "throttled", "clock"),
    [
        ("10300", 0, 500e6),
        ("84550", 0, 500e6),
        ("84800", 1, 250e6),
        ("89800", 1, 125e6),
        ("94550", 1, 125e6),
        ("94800", 1, 62.5e6),
        ("105050", 1, 62.5e6),
    ],
)
def test_each_trip_point_halves_the_clock(temp: str, throttled: float, clock: float, machine: Machine) -> None:
    root = machine("coral-pcie-hot")
    readings = list(coral.temperature(write(Path(root.path), {f"{APEX}/temp": temp})))
    assert values(readings, hardware.THROTTLED) == {(*FIRST, "thermal"): throttled}
    limits = values(readings, hardware.FREQUENCY_LIMIT)
    assert limits == {(*FIRST, "tpu", "throttled"): clock, (*FIRST, "tpu", "max"): 500e6}


def test_a_driver_that_never_looks_never_throttles(machine: Machine) -> None:
    root = machine("coral-pcie-hot")
    write(Path(root.path), {f"{APEX}/temp_poll_interval": "0\n"})
    assert values(list(coral.temperature(root)), hardware.THROTTLED) == {(*FIRST, "thermal"): 0}


@pytest.mark.parametrize("missing", [*coral.TRIPS, "temp_poll_interval", "temp"])
def test_throttling_is_not_derived_from_less_than_everything(missing: str, machine: Machine) -> None:
    root = machine("coral-pcie-hot")
    Path(root.path, APEX.strip("/"), missing).unlink()
    assert not values(list(coral.temperature(root)), hardware.THROTTLED)


def test_a_warning_that_is_not_enabled_is_no_limit(machine: Machine) -> None:
    limits = values(list(coral.limits(machine("coral-pcie-hot"))), catalog.TEMPERATURE_LIMIT)
    assert limits == {
        (*FIRST, "throttled"): 84.8,
        (*FIRST, "throttled.quarter"): 89.8,
        (*FIRST, "throttled.eighth"): 94.8,
        (*FIRST, "high.critical"): 109.8,
    }


def test_a_device_keeps_its_identity_when_the_driver_renumbers_it(machine: Machine) -> None:
    root = machine("coral-pcie-hot")
    Path(root.path, "sys/class/apex/apex_0").rename(Path(root.path, "sys/class/apex/apex_3"))
    assert {reading.labels[0] for reading in coral.temperature(devices.Captured(root.path))} == {FIRST[0]}


def test_the_atlas_of_coral_reefs_is_named_and_googles_pycoral_is_not(tmp_path: Path) -> None:
    assert not coral.warning([str(tmp_path)])
    write(tmp_path, {"/pycoral/__init__.py": "raise SystemExit('imported')"})
    assert "not Google's" in coral.warning([str(tmp_path)])
    write(tmp_path, {"/pycoral/utils/edgetpu.py": ""})
    assert not coral.warning([str(tmp_path)])


def test_a_pycoral_that_is_a_single_file_is_not_googles(tmp_path: Path) -> None:
    write(tmp_path, {"/pycoral.py": ""})
    assert "not Google's" in coral.warning([str(tmp_path)])


def implausible(reading: Reading) -> bool:
    """The tests' own bounds: an Edge TPU is slower than 1 GHz and not hotter than 150 °C."""
    top = {catalog.TEMPERATURE: 150.0, catalog.TEMPERATURE_LIMIT: 150.0, hardware.FREQUENCY_LIMIT: 1e9}
    return devices.implausible(reading) or (reading.value or 0) > top.get(reading.metric, float("inf"))


FILES = [(device, entry.path) for device in HOSTS for entry in devices.entries(device)]


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, devices.Captured]:
    return fuzz.unpacked(tmp_path_factory, HOSTS)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    place=st.sampled_from(FILES), garbage=GARBAGE, fate=st.sampled_from(["write", "write", "vanish", "EIO", "EBUSY"])
)
def test_no_contents_of_any_file_raise_or_become_an_implausible_number(
    place: tuple[str, str], garbage: bytes, fate: str, roots: dict[str, devices.Captured]
) -> None:
    """Garbage, a failing read, and a file that vanishes between listing and reading."""
    device, path = place
    readings = fuzz.spoil(roots[device], path, garbage, fate, (coral.PLATFORM,))
    assert not [reading for reading in readings if implausible(reading)]
