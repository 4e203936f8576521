"""Power and energy: rails of chips, RAPL, supplies; which contains which."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgemon import catalog
from edgemon.platforms import Platform, power
from tests import devices
from tests.devices import implausible, values, write
from tests.platforms import fuzz
from tests.platforms.test_hwmon import FUZZED, GARBAGE

Machine = Callable[[str], devices.Captured]
MINE = [place for place in FUZZED if any(part in place[1] for part in ("power", "energy", "hwmon"))]


@pytest.mark.parametrize("device", devices.DEVICES)
def test_every_capture_reads_as_its_golden_file_says(device: str, golden: Callable[[str, Platform], None]) -> None:
    golden(device, power.PLATFORM)


@pytest.mark.parametrize("device", devices.DEVICES)
def test_no_two_readings_of_a_capture_are_the_same_series(device: str, machine: Machine) -> None:
    readings = devices.sweep(machine(device), power.PLATFORM)
    assert len({(reading.metric.name, reading.labels) for reading in readings}) == len(readings)


def test_power_is_the_input_or_else_the_average(tmp_path: Path) -> None:
    chip = "/sys/class/hwmon/hwmon0"
    files = {"name": "gpu", "power1_average": "9000000", "power2_input": "7500000", "power2_average": "7000000"}
    readings = list(power.rails(write(tmp_path, {f"{chip}/{name}": text for name, text in files.items()})))
    assert values(readings, catalog.POWER) == {
        ("gpu/power2", "gpu power2", ""): 7.5,
        ("gpu/power1", "gpu power1", ""): 9,
    }


def test_rapl_tells_which_counter_contains_which_and_dram_is_in_none(tmp_path: Path) -> None:
    files = {}
    for zone, name in (("0", "package-0"), ("0:0", "core"), ("0:1", "dram")):
        files[f"/sys/class/powercap/intel-rapl:{zone}/name"] = name
        files[f"/sys/class/powercap/intel-rapl:{zone}/energy_uj"] = "1500000"
        files[f"/sys/class/powercap/intel-rapl:{zone}/max_energy_range_uj"] = "262143328850"
    assert values(list(power.rapl(write(tmp_path, files))), catalog.ENERGY) == {
        ("intel-rapl:0", "package-0", ""): 1.5,
        ("intel-rapl:0:0", "core", "intel-rapl:0"): 1.5,
        ("intel-rapl:0:1", "dram", ""): 1.5,
    }


def test_rapl_beyond_its_own_range_is_no_energy(tmp_path: Path) -> None:
    zone = "/sys/class/powercap/intel-rapl:0"
    root = write(tmp_path, {f"{zone}/energy_uj": "262143328851", f"{zone}/max_energy_range_uj": "262143328850"})
    assert [reading.value for reading in power.rapl(root)] == [None]


def test_rapl_that_only_root_may_read_counts_eacces(machine: Machine) -> None:
    root = machine("x86-node-exporter")
    root.failures = {f"/sys/class/powercap/intel-rapl:{zone}/energy_uj": errno.EACCES for zone in ("0", "0:0")}
    assert [reading.value for reading in power.rapl(root)] == [None, None]
    assert root.errors == {"EACCES": 2}


def test_a_battery_tells_charge_state_and_power_and_a_mouse_does_not(tmp_path: Path, machine: Machine) -> None:
    root = machine("x86-node-exporter")
    readings = list(power.supplies(root))
    assert values(readings, catalog.BATTERY_CHARGE) == {("BAT0", "Battery"): 0.81}
    assert values(readings, catalog.SUPPLY_STATE) == {("BAT0", "Battery", "discharging"): 1}
    assert values(readings, catalog.SUPPLY_ONLINE) == {("AC", "Mains"): 0}
    assert values(readings, catalog.SUPPLY_POWER) == {("BAT0", "Battery"): 5.002}
    mouse = {"scope": "Device", "capacity": "50", "type": "Battery"}
    assert not list(power.supplies(write(tmp_path, {f"/sys/class/power_supply/m/{k}": v for k, v in mouse.items()})))


def test_psys_contains_every_other_domain_of_rapl(tmp_path: Path) -> None:
    files = {}
    for zone, name in (("0", "package-0"), ("0:0", "core"), ("0:1", "dram"), ("1", "psys")):
        files[f"/sys/class/powercap/intel-rapl:{zone}/name"] = name
        files[f"/sys/class/powercap/intel-rapl:{zone}/energy_uj"] = "1500000"
    found = values(list(power.rapl(write(tmp_path, files))), catalog.ENERGY)
    assert {labels[1]: labels[2] for labels in found} == {
        "package-0": "intel-rapl:1", "core": "intel-rapl:0", "dram": "intel-rapl:1", "psys": "",
    }  # fmt: skip


def test_an_apu_is_part_of_the_package_that_rapl_counts_and_a_card_is_not(tmp_path: Path) -> None:
    chips = {"0": "vddnb", "1": ""}
    files = {"/sys/class/powercap/intel-rapl:0/energy_uj": "1500000"}
    for number, label in chips.items():
        chip = f"/sys/class/hwmon/hwmon{number}"
        files |= {f"{chip}/name": "amdgpu", f"{chip}/power1_average": "9000000"}
        files |= {f"{chip}/in1_label": label} if label else {}
    found = values(list(power.rails(write(tmp_path, files))), catalog.POWER)
    assert {labels[2] for labels in found} == {"intel-rapl:0", ""}


def test_an_apu_whose_package_may_not_be_read_is_part_of_nothing(tmp_path: Path) -> None:
    chip = "/sys/class/hwmon/hwmon0"
    files = {f"{chip}/name": "amdgpu", f"{chip}/power1_average": "9000000", f"{chip}/in1_label": "vddnb"}
    root = write(tmp_path, {**files, "/sys/class/powercap/intel-rapl:0/energy_uj": "1500000"})
    root.failures = {"/sys/class/powercap/intel-rapl:0/energy_uj": errno.EACCES}
    found = values(list(power.rails(root)), catalog.POWER)
    assert {labels[2] for labels in found} == {""}
    assert not root.errors


def test_an_arc_cards_package_is_part_of_the_card_and_a_channel_with_both_is_one_rail(tmp_path: Path) -> None:
    chip = "/sys/class/hwmon/hwmon0"
    files = {"name": "xe", "energy1_input": "5000000", "energy1_label": "card", "energy2_input": "3000000"}
    files |= {"energy2_label": "pkg", "energy3_input": "1", "power3_input": "2"}
    readings = list(power.rails(write(tmp_path, {f"{chip}/{name}": text for name, text in files.items()})))
    assert values(readings, catalog.ENERGY) == {
        ("xe/energy1", "card", ""): 5,
        ("xe/energy2", "pkg", "xe/energy1"): 3,
        ("xe/power3", "xe energy3", ""): 1e-6,
    }
    assert [labels[0] for labels in values(readings, catalog.POWER)] == ["xe/power3"]


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, devices.Captured]:
    return fuzz.unpacked(tmp_path_factory, {device for device, _ in MINE})


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    place=st.sampled_from(MINE), garbage=GARBAGE, fate=st.sampled_from(["write", "write", "vanish", "EIO", "ENODATA"])
)
def test_no_contents_of_any_file_raise_or_become_an_implausible_number(
    place: tuple[str, str], garbage: bytes, fate: str, roots: dict[str, devices.Captured]
) -> None:
    """Garbage, a failing read, and a file that vanishes between listing and reading."""
    device, path = place
    readings = fuzz.spoil(roots[device], path, garbage, fate, (power.PLATFORM,))
    assert not [reading for reading in readings if implausible(reading)]
