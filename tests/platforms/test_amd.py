"""AMD GPUs and NPUs, read from captures."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgemon import hardware
from edgemon.metric import Metric
from edgemon.platforms import Platform, amd
from tests import devices
from tests.devices import implausible, values, write
from tests.platforms import fuzz

Machine = Callable[[str], devices.Captured]

CARD = "/sys/class/drm/card0/device"
UEVENT = {f"{CARD}/uevent": "DRIVER=amdgpu\nPCI_ID=1002:1586\nPCI_SLOT_NAME=0000:c6:00.0\n"}
GPU, MEMORY = ("0000:c6:00.0", "AMD GPU", "gpu"), ("0000:c6:00.0/memory", "AMD GPU memory", "memory")
MINE = [device for device in devices.DEVICES if device.startswith("amd-")]
BOUNDS: dict[Metric, tuple[float, float]] = {
    hardware.UTILIZATION: (0, 1),
    hardware.FREQUENCY: (1e6, 1e12),
    hardware.FREQUENCY_LIMIT: (1e6, 1e12),
    hardware.ACCELERATOR_STATE: (0, 1),
}


@pytest.mark.parametrize("device", devices.DEVICES)
def test_every_capture_reads_as_its_golden_file_says(device: str, golden: Callable[[str, Platform], None]) -> None:
    golden(device, amd.PLATFORM)


@pytest.mark.parametrize("device", MINE)
def test_no_two_readings_of_a_capture_are_the_same_series(device: str, machine: Machine) -> None:
    readings = devices.sweep(machine(device), amd.PLATFORM)
    assert len({(reading.metric.name, reading.labels) for reading in readings}) == len(readings)


def test_load_is_a_share_and_memory_is_told_apart_from_gtt(machine: Machine) -> None:
    readings = devices.sweep(machine("amd-strix-halo"), amd.PLATFORM)
    assert values(readings, hardware.UTILIZATION)[GPU] == 0.98
    used = {labels[0]: value for labels, value in values(readings, hardware.MEMORY_USAGE).items()}
    assert used == {"0000:c6:00.0": 203452416, "0000:c6:00.0/gtt": 21474836480}


def test_a_serial_number_is_not_exported(machine: Machine) -> None:
    root = machine("amd-vega-procfs")
    write(Path(root.path), {f"{CARD}/unique_id": "0123456789abcdef"})
    assert not [r for r in devices.sweep(root, amd.PLATFORM) if "0123456789abcdef" in r.labels]


@pytest.mark.parametrize(
    ("text", "clocks"),
    [
        ("0: 852Mhz *\n1: 991Mhz\n2: 1630Mhz", (852e6, 852e6, 1630e6)),
        ("0: 600Mhz\n1: 2715Mhz *\n2: 2900Mhz", (2715e6, 600e6, 2900e6)),
        ("S: 19Mhz *\n0: 500Mhz\n1: 2575Mhz", (19e6, 500e6, 2575e6)),
        ("0: 0Mhz *\n1: 800Mhz", (None, None, 800e6)),
        ("8: 1725Mhz *", (1725e6, None, 1725e6)),
        ("junk", (None, None, None)),
        ("", (None, None, None)),
    ],
)
def test_the_clock_in_force_has_a_star_and_level_0_is_the_least(
    text: str, clocks: tuple[float | None, ...], tmp_path: Path
) -> None:
    root = write(tmp_path, {**UEVENT, f"{CARD}/pp_dpm_sclk": text})
    readings = list(amd.clocks(root))
    limits = {
        labels[3]: value for labels, value in values(readings, hardware.FREQUENCY_LIMIT).items() if labels[:3] == GPU
    }
    assert (values(readings, hardware.FREQUENCY)[GPU], limits["min"], limits["max"]) == clocks
    assert root.errors == ({"unparsable": 1} if text == "junk" else {})


def test_a_gpu_that_sleeps_is_off_and_nothing_that_wakes_it_is_read(machine: Machine) -> None:
    root = machine("amd-vega-procfs")
    write(Path(root.path), {f"{CARD}/power/runtime_status": "suspended"})
    woken = [f"{CARD}/gpu_busy_percent", f"{CARD}/pp_dpm_sclk", f"{CARD}/mem_info_vram_used"]
    root.failures = dict.fromkeys(woken, errno.EIO)
    readings = devices.sweep(root, amd.PLATFORM)
    assert {r.metric for r in readings} == {hardware.ACCELERATOR_INFO, hardware.ACCELERATOR_STATE}
    states = {labels[3]: value for labels, value in values(readings, hardware.ACCELERATOR_STATE).items()}
    assert states == {"ok": 0, "off": 1}


def test_ras_errors_are_summed_over_the_blocks_and_replays_are_their_own(tmp_path: Path) -> None:
    files = {"ras/umc_err_count": "ue: 1\nce: 20\n", "ras/gfx_err_count": "ue: 0\nce: 3\n", "pcie_replay_count": "7"}
    root = write(tmp_path, UEVENT | {f"{CARD}/{name}": text for name, text in files.items()})
    errors = values(list(amd.faults(root)), hardware.ACCELERATOR_ERRORS)
    assert {labels[2]: value for labels, value in errors.items()} == {
        "pcie_replay": 7,
        "corrected": 23,
        "uncorrected": 1,
    }


def test_a_busy_share_of_more_than_all_is_none(tmp_path: Path) -> None:
    root = write(tmp_path, {**UEVENT, f"{CARD}/gpu_busy_percent": "65535", f"{CARD}/mem_busy_percent": "40"})
    shares = values(list(amd.load(root)), hardware.UTILIZATION)
    assert shares == {GPU: None, MEMORY: 0.4}
    assert root.errors == {"implausible": 1}


def test_a_card_of_another_driver_and_a_connector_are_none(tmp_path: Path) -> None:
    other = {f"{CARD}/uevent": "DRIVER=nouveau\n", "/sys/class/drm/card1-DP-1/device/uevent": "DRIVER=amdgpu\n"}
    assert not amd.detect(write(tmp_path, other))


def test_the_npu_is_named_by_its_driver_or_else_by_its_id(machine: Machine, tmp_path: Path) -> None:
    root = machine("amd-strix-halo")
    infos = [labels for labels in values(list(amd.state(root)), hardware.ACCELERATOR_INFO) if labels[2] == "npu"]
    assert infos == [("0000:c7:00.1", "AMD NPU", "npu", "AMD", "RyzenAI-npu5", "amdxdna", "1.0.0.166")]
    accel = {"/sys/class/accel/accel0/device/uevent": "DRIVER=amdxdna\nPCI_ID=1022:1502\nPCI_SLOT_NAME=0000:06:00.1"}
    (info,) = values(list(amd.state(write(tmp_path, accel))), hardware.ACCELERATOR_INFO)
    assert info[4] == "XDNA"


FILES = [(device, entry.path) for device in MINE for entry in devices.entries(device) if not entry.target]
FUZZED = [(device, path) for device, path in FILES if not path.endswith("/") and "/hwmon" not in path]
GARBAGE = st.one_of(
    st.binary(max_size=80),
    st.integers(-(2**70), 2**70).map(lambda n: str(n).encode()),
    st.sampled_from([b"", b"\0" * 4096, b"\xff\xfe", b"nan", b"1e400", b"9" * 5000, b"-1", b"101", "٤٢".encode()]),
    st.sampled_from(
        [b"0: 0Mhz *", b"0: 999999Mhz *", b"ue: -1", b"DRIVER=amdgpu", b"DRIVER=amdgpu\nPCI_SLOT_NAME=/.."]
    ),
)


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, devices.Captured]:
    return fuzz.unpacked(tmp_path_factory, MINE)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.sampled_from(FUZZED), garbage=GARBAGE, fate=st.sampled_from(["write", "vanish", "EIO", "EPERM"]))
def test_no_contents_of_any_file_raise_or_become_an_implausible_number(
    place: tuple[str, str], garbage: bytes, fate: str, roots: dict[str, devices.Captured]
) -> None:
    device, path = place
    readings = fuzz.spoil(roots[device], path, garbage, fate, (amd.PLATFORM,))
    assert not [reading for reading in readings if implausible(reading)]
    for metric, (low, high) in BOUNDS.items():
        assert all(value is None or low <= value <= high for value in values(readings, metric).values())
