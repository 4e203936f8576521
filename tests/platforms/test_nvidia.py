"""NVIDIA GPUs: what becomes of NVML's answers. NVML itself is tested in tests/sources."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemon import catalog, hardware
from edgemon.collect import take
from edgemon.metric import Metric, Reading, State
from edgemon.platforms import Platform, Sensor, nvidia
from tests import devices
from tests.devices import implausible, values, write

Machine = Callable[[str], devices.Captured]

MINE = [device for device in devices.DEVICES if device.startswith("nvidia-")]
KEY, HERE = "edgemon.sources.nvml.read()", {"/proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX  595.80  x\n"}
FULL: dict[str, Any] = {
    **dict.fromkeys((*nvidia.VALUES, *nvidia.RAIL, *nvidia.FAULTS, "reasons", "reasons_supported"), 1),
    "id": "0000:01:00.0",
    "name": "GPU",
    "pci_id": "10de:1eb8",
    "vbios": "90",
    "mig": 0,
}
BOUNDS: dict[Metric, tuple[float, float]] = {
    hardware.UTILIZATION: (0, 1),
    hardware.FREQUENCY: (0, 1e11),
    hardware.FREQUENCY_LIMIT: (0, 1e11),
    hardware.THROTTLED: (0, 1),
    catalog.TEMPERATURE: (0, 250),
    catalog.POWER: (0, 1e5),
}


def answering(folder: Path, answer: object, **files: str) -> devices.Captured:
    """A machine with the driver, whose NVML gives the answer."""
    return write(folder, {**HERE, **files, "/calls.json": json.dumps({KEY: answer})})


def causes(raw: object, able: object, folder: Path) -> dict[str, float | None]:
    gpu = {"id": "0000:01:00.0", "name": "GPU", "reasons": raw, "reasons_supported": able}
    found = values(list(nvidia.gpu(answering(folder, {"gpus": [gpu]}))), hardware.THROTTLED)
    return {labels[2]: value for labels, value in found.items()}


def states(readings: list[Reading]) -> set[tuple[str, str]]:
    found = values(readings, hardware.ACCELERATOR_STATE)
    return {(labels[0], labels[3]) for labels, value in found.items() if value}


@pytest.mark.parametrize("device", devices.DEVICES)
def test_every_capture_reads_as_its_golden_file_says(device: str, golden: Callable[[str, Platform], None]) -> None:
    golden(device, nvidia.PLATFORM)


@pytest.mark.parametrize("device", MINE)
def test_no_two_readings_of_a_capture_are_the_same_series(device: str, machine: Machine) -> None:
    readings = devices.sweep(machine(device), nvidia.PLATFORM)
    assert len({(reading.metric.name, reading.labels) for reading in readings}) == len(readings)


def test_percent_milliwatts_millijoules_and_megahertz_become_base_units(tmp_path: Path) -> None:
    gpu = {"id": "0000:01:00.0", "name": "GPU", "utilization": 37, "power": 26780, "energy": 1500, "clock_sm": 585}
    root = answering(tmp_path, {"gpus": [gpu]})
    readings = [*nvidia.gpu(root), *nvidia.power(root)]
    found = {reading.metric: reading.value for reading in readings if reading.value is not None}
    assert found == {
        hardware.UTILIZATION: 0.37,
        catalog.POWER: 26.78,
        catalog.ENERGY: 1.5,
        hardware.FREQUENCY: pytest.approx(585e6),
    }


def test_an_encoder_works_at_its_own_rate(machine: Machine) -> None:
    shares = values(list(nvidia.gpu(machine("nvidia-l40s"))), hardware.UTILIZATION)
    assert {(labels[0][12:], labels[2]): value for labels, value in shares.items()} == {
        ("", "gpu"): 0.09,
        ("/memory", "memory"): 0.02,
        ("/encoder", "codec"): 0.59,
        ("/decoder", "codec"): 0.0,
    }


def test_the_limits_are_told_by_what_happens_at_them(machine: Machine) -> None:
    limits = values(list(nvidia.gpu(machine("nvidia-tesla-t4"))), catalog.TEMPERATURE_LIMIT)
    assert {labels[2]: value for labels, value in limits.items()} == {
        "high.degraded": 85,
        "throttled": 93,
        "high.critical": 96,
    }


@pytest.mark.parametrize(
    ("reasons", "on"),
    [
        (0x0, set()),
        (0x1, set()),
        (0x2, {"software"}),
        (0x4, {"power"}),
        (0x8, {"hardware"}),
        (0x10, {"software"}),
        (0x20, {"thermal"}),
        (0x40, {"thermal"}),
        (0x80, {"power"}),
        (0x100, {"software"}),
        (0x200, {"hardware"}),
        (0x400, {"hardware"}),
        (0x48, {"thermal"}),
        (0x88, {"power"}),
        (0x24, {"thermal", "power"}),
        (0x8000, set()),
    ],
)
def test_every_reason_has_its_cause_and_idle_has_none(reasons: int, on: set[str], tmp_path: Path) -> None:
    found = causes(reasons, 0x1FF, tmp_path)
    assert {cause for cause, value in found.items() if value} == on
    assert set(found) == {"thermal", "power", "software", "hardware"}


def test_a_cause_that_the_gpu_cannot_report_is_left_out(tmp_path: Path) -> None:
    assert causes(0x4, 0x7, tmp_path) == {"power": 1, "software": 0}


def test_a_gpu_without_reasons_has_no_causes(tmp_path: Path) -> None:
    assert causes(None, 0x1FF, tmp_path) == {}


def test_a_mig_card_is_seen_and_has_no_utilisation_of_its_own(machine: Machine) -> None:
    readings = devices.sweep(machine("nvidia-a100-mig"), nvidia.PLATFORM)
    (info,) = values(readings, hardware.ACCELERATOR_INFO)
    assert info[4] == "10de:20b2 mig"
    assert not values(readings, hardware.UTILIZATION)


def test_a_library_that_does_not_match_the_driver_is_an_error_of_the_sensor_and_a_failed_gpu(machine: Machine) -> None:
    root = machine("nvidia-mismatch")
    sweep = take("nvidia.gpu", Sensor("gpu", nvidia.gpu), root)
    assert (sweep.state, dict(sweep.errors)) == (State.ERROR, {"nvml_lib_rm_version_mismatch": 1})
    readings = list(nvidia.state(root))
    assert states(readings) == {("0000:01:00.0", "failed")}
    assert {labels[1] for labels in values(readings, hardware.ACCELERATOR_INFO)} == {"NVIDIA GeForce RTX 3060"}


def test_a_lost_gpu_is_failed_and_the_other_goes_on(tmp_path: Path) -> None:
    lost = {"id": "0000:02:00.0", "name": "GPU", "error": "gpu_is_lost"}
    root = answering(tmp_path, {"driver": "595.80", "gpus": [{**FULL, "failures": {"timeout": 2}}, lost]})
    readings = list(nvidia.gpu(root))
    assert {r.labels[0][:12] for r in readings if r.value is not None} == {"0000:01:00.0"}
    assert root.errors == {"nvml_gpu_is_lost": 1, "nvml_timeout": 2}
    assert states(list(nvidia.state(root))) == {("0000:01:00.0", "ok"), ("0000:02:00.0", "failed")}


def test_a_jetsons_own_gpu_is_left_to_its_platform_and_a_card_in_it_is_not(tmp_path: Path) -> None:
    own = {"id": "0000:00:00.0", "name": "Orin (nvgpu)", "utilization": 5}
    tegra = {"/proc/device-tree/compatible": "nvidia,p3737-0000+p3701-0000\0nvidia,tegra234\0"}
    root = answering(tmp_path, {"gpus": [own, FULL]}, **tegra)
    assert {r.labels[0][:12] for r in devices.sweep(root, nvidia.PLATFORM)} == {"0000:01:00.0"}


def test_without_the_binding_the_driver_still_tells_which_gpus_there_are(machine: Machine) -> None:
    root = machine("nvidia-tesla-t4")
    Path(root.path, "calls.json").unlink()
    assert not list(nvidia.gpu(root))
    readings = list(nvidia.state(root))
    assert {r.metric for r in readings} == {hardware.ACCELERATOR_INFO}
    assert readings[0].labels[5:] == ("515.105.01", "90.04.84.00.06")


def test_a_gpu_that_sleeps_is_off_and_nvml_is_not_asked(machine: Machine) -> None:
    root = machine("nvidia-tesla-t4")
    write(Path(root.path), {"/sys/bus/pci/drivers/nvidia/0000:00:1e.0/power/runtime_status": "suspended"})
    root.failures = {"/calls.json": errno.EIO}
    readings = devices.sweep(root, nvidia.PLATFORM)
    assert {r.metric for r in readings} == {hardware.ACCELERATOR_INFO, hardware.ACCELERATOR_STATE}
    assert states(readings) == {("0000:00:1e.0", "off")}


def test_no_serial_number_is_exported(machine: Machine) -> None:
    readings = [r for device in MINE for r in devices.sweep(machine(device), nvidia.PLATFORM)]
    assert not [r for r in readings if any("GPU-" in label for label in r.labels)]


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=30) | st.just(10**400),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=8), some, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@given(
    answer=st.one_of(
        JUNK,
        st.fixed_dictionaries({"gpus": JUNK}, optional={"error": JUNK, "driver": JUNK}),
        st.dictionaries(st.sampled_from([*FULL, "error", "failures"]), JUNK, max_size=4).map(
            lambda odd: {"driver": "595.80", "gpus": [FULL | odd]}
        ),
    )
)
def test_no_answer_raises_or_becomes_an_implausible_number(answer: object, place: Path) -> None:
    root = answering(place, json.loads(json.dumps(answer)))
    readings = devices.sweep(root, nvidia.PLATFORM)
    assert not [reading for reading in readings if implausible(reading)]
    for metric, (low, high) in BOUNDS.items():
        assert all(value is None or low <= value <= high for value in values(readings, metric).values())
    assert all(isinstance(label, str) and label.isprintable() for reading in readings for label in reading.labels)


@given(garbage=st.binary(max_size=200))
def test_no_contents_of_the_drivers_files_raise(garbage: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = devices.unpack("nvidia-mismatch", tmp_path_factory.mktemp("fuzz"))
    for file in Path(root.path, "proc/driver/nvidia").rglob("*"):
        if file.is_file():
            file.write_bytes(garbage)
    assert not [reading for reading in devices.sweep(root, nvidia.PLATFORM) if implausible(reading)]
