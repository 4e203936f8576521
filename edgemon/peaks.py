"""What a device could compute at most, by its data sheet: the denominator of a utilisation.

Operations per second, two for each multiply-accumulate as data sheets count them, and dense: where a vendor prints the
figure for 2:4 sparse weights, the dense one is used, as printed or half of it. A device is known by what the platforms
export of it. A module is taken at its largest power mode. What is not here, or differs between boards that look alike
(Jetson Xavier NX, the NPUs of Ryzen 7040 and 8040, a Hailo that only its PCI number tells of), has no peak: `peak:` of
a probe gives one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from edgemon import catalog, hardware
from edgemon.identity import cpu, model
from edgemon.metric import Reading
from edgemon.sysfs import Root

T = 1e12


@dataclass(frozen=True, slots=True)
class Peak:
    """Operations per second by precision, the power that goes with them in watts, and where that is written."""

    name: str
    operations: Mapping[str, float]
    source: str
    watts: float | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A peak, the kind of device (hw.type), a pattern for the device and one for the board, and bounds of the memory.

    `memory` is what the kernel manages, in GB: modules that differ only in size tell themselves apart by it.
    """

    kind: str
    peak: Peak
    device: str = ""
    board: str = ""
    memory: tuple[float, float] = (0, 1e9)


ORIN_NANO = "NVIDIA Jetson Orin Nano Series Data Sheet DS-11105-001 v1.1: dense INT8; FP16 half, Ampere tensor cores"
SUPER = "NVIDIA developer blog, Jetson Orin Nano Developer Kit gets a Super boost, December 2024: dense INT8; FP16 half"
ORIN_NX = "NVIDIA Jetson Orin NX Series Data Sheet DS-10712-001 v1.7, February 2026: sparse INT8 of GPU and DLA, halved"
AGX_ORIN = "NVIDIA Jetson AGX Orin Series Data Sheet DS-10662-001 v1.8: sparse INT8 of GPU and DLA, halved"
CORAL = "Coral USB Accelerator datasheet 1.4: 4 TOPS (int8), 2 TOPS per watt"
HAT = "Raspberry Pi documentation, AI HAT+, October 2024"
STRIX = "AMD product specifications, Ryzen AI 300 and Ryzen AI Max: NPU up to 50 TOPS (INT8)"


def _gpu(name: str, int8: float, source: str, watts: float | None = None) -> Peak:
    """A GPU whose tensor cores compute FP16 at half the rate of INT8."""
    return Peak(name, {"int8": int8 * T, "float16": int8 * T / 2}, source, watts)


def _int8(name: str, tops: float, source: str, watts: float | None = None) -> Peak:
    return Peak(name, {"int8": tops * T}, source, watts)


TABLE: tuple[Entry, ...] = (
    Entry("gpu", _gpu("Jetson Orin Nano 8GB Super", 33, SUPER, 25), board="Orin Nano.*Super", memory=(5, 1e9)),
    Entry("gpu", _gpu("Jetson Orin Nano 8GB", 20, ORIN_NANO, 15), board="Orin Nano(?!.*Super)", memory=(5, 1e9)),
    Entry("gpu", _gpu("Jetson Orin Nano 4GB", 10, ORIN_NANO, 10), board="Orin Nano(?!.*Super)", memory=(0, 5)),
    Entry("gpu", _gpu("Jetson Orin NX 16GB Super", 38.5, ORIN_NX, 40), board="Orin NX.*Super", memory=(10, 1e9)),
    Entry("gpu", _gpu("Jetson Orin NX 8GB Super", 38.5, ORIN_NX, 40), board="Orin NX.*Super", memory=(0, 10)),
    Entry("gpu", _gpu("Jetson Orin NX 16GB", 30, ORIN_NX, 25), board="Orin NX(?!.*Super)", memory=(10, 1e9)),
    Entry("gpu", _gpu("Jetson Orin NX 8GB", 25, ORIN_NX, 20), board="Orin NX(?!.*Super)", memory=(0, 10)),
    Entry("gpu", _gpu("Jetson AGX Orin", 85, AGX_ORIN, 60), board="AGX Orin Developer Kit"),
    Entry("gpu", _gpu("Jetson AGX Orin 64GB", 85, AGX_ORIN, 60), board="AGX Orin(?! Dev)", memory=(40, 1e9)),
    Entry("gpu", _gpu("Jetson AGX Orin 32GB", 54, AGX_ORIN, 40), board="AGX Orin(?! Dev)", memory=(0, 40)),
    Entry("dla", _int8("Jetson Orin NX 16GB Super, one DLA", 20, ORIN_NX), board="Orin NX.*Super", memory=(10, 1e9)),
    Entry("dla", _int8("Jetson Orin NX 8GB Super DLA", 20, ORIN_NX), board="Orin NX.*Super", memory=(0, 10)),
    Entry("dla", _int8("Jetson Orin NX, one DLA", 10, ORIN_NX), board="Orin NX(?!.*Super)"),
    Entry("dla", _int8("Jetson AGX Orin, one DLA", 26.25, AGX_ORIN), board="AGX Orin Developer Kit"),
    Entry("dla", _int8("Jetson AGX Orin 64GB, one DLA", 26.25, AGX_ORIN), board="AGX Orin(?! Dev)", memory=(40, 1e9)),
    Entry("gpu", Peak("Jetson AGX Thor", {"float8e4m3fn": 517 * T, "float4e2m1": 1035 * T},
                      "NVIDIA Jetson Thor specifications, T5000: dense FP8 and FP4", 130), board="AGX Thor|tegra264"),
    Entry("gpu", Peak("Jetson AGX Xavier", {"int8": 22 * T, "float16": 11 * T},
                      "NVIDIA Jetson AGX Xavier specifications: 512 Volta cores, 64 tensor cores", 30),
          board="AGX Xavier|Jetson-AGX"),
    Entry("dla", _int8("Jetson AGX Xavier, one DLA", 5.7,
                       "NVIDIA Jetson AGX Orin technical brief: AGX Xavier 11.4 dense INT8 TOPS of two DLAs"),
          board="AGX Xavier|Jetson-AGX"),
    Entry("gpu", Peak("Jetson TX2", {"float16": 1.33 * T, "float32": 0.665 * T},
                      "NVIDIA Jetson TX2 specifications: FP16; FP32 half, 256 Pascal cores", 15), board="TX2|tegra186"),
    Entry("gpu", Peak("Jetson Nano", {"float16": 0.472 * T, "float32": 0.236 * T},
                      "NVIDIA Jetson Nano specifications: FP16; FP32 half, 128 Maxwell cores", 10),
          board="Jetson Nano"),
    Entry("tpu", _int8("Coral Edge TPU", 4, CORAL, 2), device="Coral|apex"),
    Entry("npu", _int8("Hailo-8L", 13, HAT), device="Hailo.*HAILO8L"),
    Entry("npu", _int8("Hailo-8", 26, HAT), device="Hailo.*HAILO8$"),
    Entry("npu", Peak("Hailo-10H", {"int8": 20 * T, "int4": 40 * T}, "Hailo-10H product brief: 40 TOPS INT4, 20 INT8"),
          device="Hailo.*HAILO10H"),
    Entry("npu", Peak("RK3588 NPU, three cores", {"int8": 6 * T, "float16": 3 * T},
                      "Rockchip RK3588 TRM: 1024 INT8 or 512 FP16 MACs a cycle and core, 1 GHz"), device="rk3588"),
    Entry("npu", _int8("RK3576 NPU, two cores", 6, "Rockchip RK3576 brief datasheet V1.2"), device="rk3576"),
    Entry("npu", _int8("RK3566 NPU", 0.8, "Rockchip RK3566 product page: 0.8 TOPS"), device="rk3566"),
    Entry("npu", _int8("Intel NPU, Meteor Lake", 11.5, "Intel, Core Ultra series 1: NPU 11.5 TOPS (INT8)"),
          device="Meteor Lake"),
    Entry("npu", _int8("Intel NPU, Lunar Lake", 48, "Intel, Core Ultra 200V: NPU 48 TOPS (INT8)"), device="Lunar Lake"),
    Entry("npu", _int8("AMD NPU, XDNA 2", 50, STRIX), device="RyzenAI-npu[45]"),
    Entry("vision", Peak("Myriad X", {"float16": T}, "Intel article 672695, November 2018: 1 TOPS of its two NCEs"),
          device="Myriad X"),
)  # fmt: skip
LANES: Mapping[str, tuple[str, Mapping[str, int], str]] = {
    "0xd03": ("Cortex-A53", {"float32": 8}, "LLVM's scheduling model: one FMLA of four lanes a cycle"),
    "0xd08": ("Cortex-A72", {"float32": 8}, "LLVM's scheduling model: one FMLA of four lanes a cycle"),
    "0xd0b": ("Cortex-A76", {"float32": 16, "float16": 32, "int8": 64},
              "Arm Cortex-A76 Software Optimization Guide: two FMLA or SDOT of 128 bits a cycle"),
}  # fmt: skip
"""Operations of one core in one cycle by CPU part (/proc/cpuinfo): NEON lanes times instructions times two."""
ENGINES = (
    ("tpu", ("edgetpu", "edge_tpu", "tpu")),
    ("dla", ("dla",)),
    ("npu", ("npu", "hailo", "qnn", "vitisai", "rknn")),
    ("vision", ("myriad", "hddl")),
    ("gpu", ("gpu", "cuda", "tensorrt", "migraphx", "rocm")),
    ("cpu", ("cpu", "xnnpack")),
)
"""What the name of an execution provider, a device or a delegate says of the hardware it stands for."""


@dataclass(frozen=True, slots=True)
class Device:
    """What this machine is made of, as far as a peak depends on it: accelerators by kind, board, memory in GB."""

    accelerators: tuple[tuple[str, str], ...] = ()
    board: str = ""
    memory: float = 0.0
    part: str = ""
    clock: float = 0.0
    cores: int = field(default=0)


def device_of(root: Root, readings: Iterable[Reading]) -> Device:
    """The device from what its platforms read."""
    accelerators, boards, memory = [], [model(root)[1]], 0.0
    for reading in readings:
        if reading.metric is hardware.ACCELERATOR_INFO:
            _, name, kind, vendor, version, *_ = reading.labels
            accelerators.append((kind, f"{vendor} {name} {version}"))
        elif reading.metric is hardware.BOARD_INFO:
            boards.append(" ".join(reading.labels[:2]))
        elif reading.metric is catalog.MEMORY_LIMIT:
            memory = (reading.value or 0.0) / 1e9
    part, _, count = cpu(root).partition(" x")
    limits = root.glob("/sys/devices/system/cpu/cpufreq/policy*/cpuinfo_max_freq")
    clocks = {root.fixed_number(path, 1000.0) for path in limits}
    clock = (clocks.pop() or 0.0) if len(clocks) == 1 else 0.0
    return Device(tuple(accelerators), " ".join(boards), memory, part, clock, int(count or 0))


def kind_of(engine: str) -> str:
    """The kind of hardware (hw.type) an execution provider, device or delegate stands for; empty when unknown."""
    name = engine.lower()
    return next((kind for kind, words in ENGINES if any(word in name for word in words)), "")


def peak_of(kind: str, device: Device, threads: int) -> Peak | None:
    """The peak of the hardware of a kind; None when it is not known, or when there is more than one."""
    if kind == "cpu":
        return _cpu(device, threads)
    found = {entry.peak.name: entry.peak for entry in TABLE if entry.kind == kind and _matches(entry, device)}
    return next(iter(found.values())) if len(found) == 1 else None


def _matches(entry: Entry, device: Device) -> bool:
    low, high = entry.memory
    if entry.board:
        return bool(re.search(entry.board, device.board)) and low <= device.memory < high
    return any(kind == entry.kind and re.search(entry.device, text) for kind, text in device.accelerators)


def _cpu(device: Device, threads: int) -> Peak | None:
    """NEON's peak on so many cores of one kind; other CPUs have the measured roof."""
    if device.part not in LANES or not device.clock:
        return None
    name, lanes, source = LANES[device.part]
    cores = min(threads, device.cores)
    rates = {precision: each * device.clock * cores for precision, each in lanes.items()}
    return Peak(f"{name} x{cores} at {device.clock / 1e9:g} GHz", rates, source)
