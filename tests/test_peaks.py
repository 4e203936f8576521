"""Data sheet peaks: each entry has a source, and every captured device finds its own and no other's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgemon import hardware
from edgemon.metric import Reading
from edgemon.peaks import LANES, TABLE, Device, device_of, kind_of, peak_of
from edgemon.sysfs import Root

DEVICES = Path(__file__).parent / "devices"


def captured(name: str, memory: float = 8e9) -> Device:
    """The device of a capture, from what the platforms export of it (its golden file)."""
    readings: list[Reading] = []
    for line in (DEVICES / f"{name}.prom").read_text().splitlines():
        labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
        if line.startswith("edgemon_accelerator_info{"):
            wanted = [
                "hw_id",
                "hw_name",
                "hw_type",
                "hw_vendor",
                "hw_model",
                "hw_driver_version",
                "hw_firmware_version",
            ]
            readings.append(hardware.ACCELERATOR_INFO(1.0, *[labels.get(key, "") for key in wanted]))
        elif line.startswith("edgemon_board_info{"):
            readings.append(hardware.BOARD_INFO(1.0, *[labels.get(key, "") for key in ("model", "soc", "release")]))
    made = device_of(Root("/nowhere"), readings)
    return Device(made.accelerators, made.board, memory / 1e9)


@pytest.mark.parametrize(
    ("capture", "kind", "name", "tops"),
    [
        ("coral-pcie", "tpu", "Coral Edge TPU", 4),
        ("coral-usb", "tpu", "Coral Edge TPU", 4),
        ("hailo-8l-pi5", "npu", "Hailo-8L", 13),
        ("rock-5b", "npu", "RK3588 NPU, three cores", 6),
        ("intel-core-ultra", "npu", "Intel NPU, Meteor Lake", 11.5),
        ("amd-strix-halo", "npu", "AMD NPU, XDNA 2", 50),
        ("jetson-agx-orin-jp6-hot", "gpu", "Jetson AGX Orin", 85),
        ("jetson-orin-nano-jp5", "gpu", "Jetson Orin Nano 8GB", 20),
    ],
)
def test_a_captured_device_finds_its_peak(capture: str, kind: str, name: str, tops: float) -> None:
    peak = peak_of(kind, captured(capture), 1)
    assert peak is not None
    assert (peak.name, peak.operations["int8"]) == (name, tops * 1e12)


def test_two_accelerators_of_a_kind_with_different_peaks_have_none() -> None:
    """A Hailo-8 beside a Hailo-10H: which of them ran is not known here."""
    assert peak_of("npu", captured("hailo-8-and-10h"), 1) is None


@pytest.mark.parametrize(
    ("capture", "kind"),
    [("intel-arc-xe", "gpu"), ("vm", "gpu"), ("raspberry-pi-5", "gpu"), ("vm", "cpu"), ("hailo-8l-mismatch", "npu")],
)
def test_what_is_not_in_the_table_has_no_peak(capture: str, kind: str) -> None:
    assert peak_of(kind, captured(capture), 1) is None


@pytest.mark.parametrize(
    ("board", "memory", "name"),
    [
        ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", 7.9, "Jetson Orin Nano 8GB Super"),
        ("NVIDIA Jetson Orin Nano Developer Kit", 3.9, "Jetson Orin Nano 4GB"),
        ("NVIDIA Jetson Orin NX Engineering Reference Developer Kit", 15.9, "Jetson Orin NX 16GB"),
        ("NVIDIA Jetson Orin NX Engineering Reference Developer Kit Super", 7.9, "Jetson Orin NX 8GB Super"),
        ("NVIDIA Jetson AGX Orin Developer Kit", 31.0, "Jetson AGX Orin"),
        ("Some Carrier Jetson AGX Orin", 31.0, "Jetson AGX Orin 32GB"),
        ("NVIDIA Jetson Nano Developer Kit", 4.1, "Jetson Nano"),
    ],
)
def test_modules_that_share_a_name_are_told_apart_by_memory_and_super(board: str, memory: float, name: str) -> None:
    """The names as device trees spell them; the developer kit with 32 GB has all of the big module's cores."""
    peak = peak_of("gpu", Device((), board, memory), 1)
    assert peak is not None
    assert peak.name == name


def test_a_cpu_s_peak_is_lanes_times_clock_times_threads(tmp_path: Path) -> None:
    """Four Cortex-A76 at 2.4 GHz: two FMLA of four float32 lanes a cycle are 16 operations; two threads, two cores."""
    policy = tmp_path / "sys/devices/system/cpu/cpufreq/policy0"
    policy.mkdir(parents=True)
    (policy / "cpuinfo_max_freq").write_text("2400000\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor : 0\nCPU part : 0xd0b\n" * 4)
    device = device_of(Root(str(tmp_path)), ())
    one, two, many = (peak_of("cpu", device, threads) for threads in (1, 2, 64))
    assert one and two and many  # noqa: PT018
    assert one.operations["float32"] == 16 * 2.4e9
    assert two.operations == {key: 2 * value for key, value in one.operations.items()}
    assert many.operations["int8"] == 4 * 64 * 2.4e9
    assert "x4 at 2.4 GHz" in many.name


@pytest.mark.parametrize(
    ("engine", "kind"),
    [
        ("CPUExecutionProvider", "cpu"),
        ("CUDAExecutionProvider", "gpu"),
        ("TensorrtExecutionProvider", "gpu"),
        ("GPU.0", "gpu"),
        ("NPU", "npu"),
        ("Hailo", "npu"),
        ("libedgetpu.so.1", "tpu"),
        ("XNNPACK", "cpu"),
        ("OpenVINOExecutionProvider", ""),
        ("Simulated", ""),
    ],
)
def test_an_engine_s_name_tells_the_kind_of_hardware_or_nothing(engine: str, kind: str) -> None:
    assert kind_of(engine) == kind


def test_every_number_has_a_source_and_is_dense_and_plausible() -> None:
    for entry in TABLE:
        assert entry.peak.source
        assert all(1e11 <= rate <= 2e15 for rate in entry.peak.operations.values())
        assert "float32" not in entry.peak.operations or entry.peak.operations["float32"] < 1e12
        assert bool(entry.device) != bool(entry.board)
    assert all(source for _, _, source in LANES.values())
