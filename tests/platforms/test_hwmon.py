"""The kernel's hardware classes, read from captures of real machines."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgemon import catalog
from edgemon.platforms import Platform, hwmon, linux
from tests import devices
from tests.devices import implausible, values, write
from tests.platforms import fuzz

Machine = Callable[[str], devices.Captured]

GARBAGE = st.one_of(
    st.binary(max_size=80),
    st.integers(-(2**70), 2**70).map(lambda n: str(n).encode()),
    st.sampled_from(
        [b"", b"\0", b"\0" * 4096, b"\xff\xfe\xfd", b"nan", b"inf", b"1e400", b"0x1f", b"1_000", b"9" * 5000]
    ),
    st.sampled_from([b"-256000", b"-127000", b"65535", b"65261850", b"4294967295", b"-1\n", b"1\n2\n", "٤٢".encode()]),
    st.sampled_from([b"enabled", b"disabled", b"0 1", b"passive", b"acpitz"]),
)


@pytest.mark.parametrize("device", devices.DEVICES)
def test_every_capture_reads_as_its_golden_file_says(device: str, golden: Callable[[str, Platform], None]) -> None:
    golden(device, hwmon.PLATFORM)


@pytest.mark.parametrize("device", devices.DEVICES)
def test_no_two_readings_of_a_capture_are_the_same_series(device: str, machine: Machine) -> None:
    readings = devices.sweep(machine(device), hwmon.PLATFORM)
    assert len({(reading.metric.name, reading.labels) for reading in readings}) == len(readings)


def test_a_zone_that_fails_with_eagain_or_einval_is_absent_and_counted(machine: Machine) -> None:
    root = machine("thermal-errors")
    assert values(list(hwmon.thermal(root)), catalog.TEMPERATURE) == {
        ("thermal_zone2", "thermal_zone2", ""): None,
        ("thermal_zone10", "thermal_zone10", ""): None,
    }
    assert root.errors == {"EAGAIN": 1, "EINVAL": 1}


def test_a_cooling_device_that_fails_with_einval_is_absent_and_counted(machine: Machine) -> None:
    root = machine("thermal-errors")
    assert next(hwmon.cooling(root)).value is None
    assert root.errors == {"EINVAL": 1}


def test_the_pmic_of_a_jetson_nano_has_no_temperature_though_it_says_100(machine: Machine) -> None:
    zones = values(list(hwmon.thermal(machine("jetson-nano-jp4"))), catalog.TEMPERATURE)
    assert zones["PMIC-Die", "PMIC-Die", ""] is None
    assert zones["CPU-therm", "CPU-therm", ""] == 24.5


def test_a_chip_that_repeats_a_thermal_zone_is_left_out(machine: Machine) -> None:
    readings = devices.sweep(machine("raspberry-pi-5"), hwmon.PLATFORM)
    names = [labels[0] for labels, value in values(readings, catalog.TEMPERATURE).items() if value == 25.4]
    assert names == ["cpu-thermal"]


def test_a_chip_without_a_device_that_repeats_a_zone_is_left_out_on_old_kernels(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "/sys/class/thermal/thermal_zone0/type": "cpu-thermal",
            "/sys/class/thermal/thermal_zone0/temp": "40000",
            "/sys/class/hwmon/hwmon0/name": "cpu_thermal",
            "/sys/class/hwmon/hwmon0/temp1_input": "40000",
        },
    )
    assert not list(hwmon.sensors(root))


def test_a_chip_that_repeats_a_battery_is_left_out(machine: Machine) -> None:
    root = machine("x86-node-exporter")
    place = Path(root.path, "sys/class/hwmon/hwmon11")
    write(place, {"name": "BAT0", "in0_input": "11660"})
    (place / "device").symlink_to("../../power_supply/BAT0")
    assert not [reading for reading in hwmon.sensors(root) if reading.labels[1].startswith("BAT0")]


def test_a_type_that_cannot_be_shown_is_no_label(tmp_path: Path) -> None:
    zone = "/sys/class/thermal/thermal_zone0"
    root = write(tmp_path, {f"{zone}/type": "a\0b\nc", f"{zone}/temp": "20000"})
    assert [reading.labels[0] for reading in hwmon.thermal(root)] == ["thermal_zone0"]


def test_the_shunt_voltages_and_sums_of_an_ina3221_are_no_voltages(machine: Machine) -> None:
    readings = list(hwmon.sensors(machine("jetson-orin-nx")))
    assert {labels[1] for labels in values(readings, catalog.VOLTAGE)} == {"VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"}
    assert sum(value or 0 for value in values(readings, catalog.CURRENT).values()) == pytest.approx(1.822)


def test_the_fourth_voltage_of_another_chip_is_one(machine: Machine) -> None:
    readings = list(hwmon.sensors(machine("raspberry-pi-5")))
    assert values(readings, catalog.VOLTAGE)["rp1_adc/in4", "rp1_adc in4", "rp1_adc"] == 1.45


def test_equal_chips_without_a_device_are_told_apart_by_order(machine: Machine) -> None:
    readings = list(hwmon.sensors(machine("x86-nvme-pair")))
    composite = [labels[0] for labels in values(readings, catalog.TEMPERATURE) if labels[1] == "Composite"]
    assert composite == ["nvme#0/temp1", "nvme#1/temp1"]


def test_a_chip_keeps_its_identity_when_the_kernel_renumbers_it(machine: Machine) -> None:
    root = machine("x86-node-exporter")
    before = values(list(hwmon.sensors(root)), catalog.TEMPERATURE)
    place = Path(root.path, "sys/class/hwmon")
    for old, new in (("hwmon0", "spare"), ("hwmon8", "hwmon0"), ("spare", "hwmon8")):
        (place / old).rename(place / new)
    assert values(list(hwmon.sensors(devices.Captured(root.path))), catalog.TEMPERATURE) == before


@pytest.mark.parametrize(
    ("kind", "status", "read"),
    [("0x030000", "active", True), ("0x030000", "suspended", False), ("0x038000", "suspended", False),
     ("0x030000", "", True), ("0x010802", "suspended", True)],
)  # fmt: skip
def test_the_chip_of_a_gpu_that_sleeps_is_left_alone(kind: str, status: str, read: bool, tmp_path: Path) -> None:
    """Reading it would wake the GPU; an NVMe drive (class 01) that is suspended answers without that."""
    gpu, chip = "/sys/devices/pci0000:00/0000:03:00.0", "/sys/class/hwmon/hwmon0"
    files = {f"{gpu}/class": kind, f"{gpu}/power/runtime_status": status}
    root = write(
        tmp_path, {**files, f"{chip}/name": "amdgpu", f"{chip}/temp1_input": "40000", f"{chip}/temp1_crit": "1"}
    )
    (tmp_path / chip[1:] / "device").symlink_to(tmp_path / gpu[1:])
    touched = {f"{chip}/temp1_input": errno.EIO, f"{chip}/temp1_crit": errno.EIO}
    root.failures = {} if read else touched
    found = [*hwmon.sensors(root), *hwmon.limits(root)]
    assert {reading.labels[0] for reading in found} == ({"amdgpu-0000:03:00.0/temp1"} if read else set())
    assert not root.errors


def test_a_limit_an_nvme_drive_never_set_is_no_limit(machine: Machine) -> None:
    readings = list(hwmon.limits(machine("x86-nvme-pair")))
    limits = values(readings, catalog.TEMPERATURE_LIMIT)
    assert {labels[0] for labels in limits} == {"nvme#0/temp1", "nvme#1/temp1"}
    assert limits["nvme#0/temp1", "Composite", "high.critical"] == 84.85


def test_trip_points_become_limits_and_the_lowest_of_a_kind_counts(tmp_path: Path) -> None:
    trips = [
        ("active", 40000),
        ("passive", 85000),
        ("passive", 75000),
        ("passive", 80000),
        ("hot", 95000),
        ("critical", 105000),
    ]
    files = {"/sys/class/thermal/thermal_zone0/type": "soc"}
    for n, (kind, temp) in enumerate([*trips, ("critical", -274000), ("passive", 0)]):
        files[f"/sys/class/thermal/thermal_zone0/trip_point_{n}_type"] = kind
        files[f"/sys/class/thermal/thermal_zone0/trip_point_{n}_temp"] = str(temp)
    assert values(list(hwmon.limits(write(tmp_path, files))), catalog.TEMPERATURE_LIMIT) == {
        ("soc", "soc", "throttled"): 75,
        ("soc", "soc", "high.degraded"): 95,
        ("soc", "soc", "high.critical"): 105,
    }


def test_a_disabled_zone_is_absent_and_equal_types_are_numbered(tmp_path: Path) -> None:
    files = {}
    for n, mode in enumerate(("enabled", "disabled", "enabled")):
        files[f"/sys/class/thermal/thermal_zone{n}/type"] = "acpitz"
        files[f"/sys/class/thermal/thermal_zone{n}/mode"] = mode
        files[f"/sys/class/thermal/thermal_zone{n}/temp"] = f"{n + 30}000"
    zones = values(list(hwmon.thermal(write(tmp_path, files))), catalog.TEMPERATURE)
    assert {labels[0]: value for labels, value in zones.items()} == {"acpitz#0": 30, "acpitz#2": 32}


@pytest.mark.parametrize("raw", ["-256000", "-127000", "-273150", "250001", "65535", "4294967295", "-2147483648"])
def test_a_sentinel_is_no_temperature(raw: str, tmp_path: Path) -> None:
    root = write(tmp_path, {"/sys/class/thermal/thermal_zone0/temp": raw})
    assert [reading.value for reading in hwmon.thermal(root)] == [None]
    assert root.errors == {"implausible": 1}


def test_a_sleeping_powerclamp_has_no_level(machine: Machine) -> None:
    levels = values(list(hwmon.cooling(machine("x86-procfs"))), catalog.COOLING_LEVEL)
    assert levels["intel_powerclamp", "intel_powerclamp"] is None
    assert levels["Processor", "Processor"] == 0


def test_a_channel_with_a_fault_is_absent_and_a_fan_is_read_as_rpm_and_share(tmp_path: Path) -> None:
    chip = "/sys/class/hwmon/hwmon0"
    files = {"name": "fan", "fan1_input": "-1", "fan2_input": "1200", "pwm1": "51", "pwm1_enable": "1"}
    files |= {"temp1_input": "20000", "temp1_fault": "1", "temp2_input": "21000", "temp2_fault": "0"}
    readings = list(hwmon.sensors(write(tmp_path, {f"{chip}/{name}": text for name, text in files.items()})))
    assert values(readings, catalog.FAN_SPEED) == {
        ("fan/fan1", "fan fan1", "fan"): None,
        ("fan/fan2", "fan fan2", "fan"): 1200,
    }
    assert values(readings, catalog.FAN_RATIO) == {("fan/pwm1", "fan pwm1", "fan"): 0.2}
    assert list(values(readings, catalog.TEMPERATURE).values()) == [None, 21]


@pytest.mark.parametrize(
    ("life", "share"), [("0x01 0x0a", [0.1, 1.0]), ("0x0b 0x00", [1.1, None]), ("0x0c", [None]), ("junk", []), ("", [])]
)
def test_flash_wear_is_the_upper_end_of_its_step(life: str, share: list[float | None], tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "/sys/block/mmcblk0/device/life_time": life,
            "/sys/block/mmcblk0/device/pre_eol_info": "0x02",
            "/sys/block/mmcblk0boot0/device/life_time": life,
        },
    )
    readings = list(hwmon.wear(root))
    assert list(values(readings, catalog.DISK_WEAR).values()) == share
    assert values(readings, catalog.DISK_PRE_EOL) == {("mmcblk0",): 2}


FILES = [(device, entry) for device in devices.DEVICES for entry in devices.entries(device)]
FUZZED = [(d, e.path) for d, e in FILES if not (e.target or e.path.endswith("/") or e.path == "/calls.json")]


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, devices.Captured]:
    return fuzz.unpacked(tmp_path_factory, devices.DEVICES)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    place=st.sampled_from(FUZZED), garbage=GARBAGE, fate=st.sampled_from(["write", "write", "vanish", "EIO", "ENODATA"])
)
def test_no_contents_of_any_file_raise_or_become_an_implausible_number(
    place: tuple[str, str], garbage: bytes, fate: str, roots: dict[str, devices.Captured]
) -> None:
    """Garbage, a failing read, and a file that vanishes between listing and reading."""
    device, path = place
    readings = fuzz.spoil(roots[device], path, garbage, fate, (linux.PLATFORM, hwmon.PLATFORM))
    assert not [reading for reading in readings if implausible(reading)]
