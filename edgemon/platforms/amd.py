"""AMD GPUs (amdgpu) and the NPU of Ryzen AI processors (amdxdna), from sysfs.

Temperature, power, voltage and fan are a hwmon chip and read there. hw.id is the PCI address; `unique_id`, a serial
number, is not exported. Why a GPU throttles stands only in `gpu_metrics`, which is binary, and is not read. A GPU that
is suspended is `off` and left asleep: reading its load or clocks would wake it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from edgemon import hardware
from edgemon.metric import Reading
from edgemon.platforms import Platform, Sensor
from edgemon.sysfs import Root

LEVEL = re.compile(r"(\w{1,3}): *(\d{1,6}) ?Mhz *(\*?)", re.ASCII | re.IGNORECASE)
COUNT = re.compile(r"(ue|ce): (\d{1,15})", re.ASCII)
ERRORS = {"ue": "uncorrected", "ce": "corrected"}
NPUS = {"1022:1502": "XDNA", "1022:17F0": "XDNA 2"}
"""PCI ids of drivers/accel/amdxdna/amdxdna_pci_drv.c: Phoenix and Hawk Point; Strix, Krackan and Strix Halo."""


class Device(NamedTuple):
    """Where a device is in sysfs, its PCI address, and its vendor and device id."""

    path: str
    ident: str
    model: str


def devices(root: Root, pattern: str, driver: str) -> Iterator[Device]:
    """The devices of a class that a driver holds; connectors (`card0-DP-1`) are no devices."""
    for path in root.glob(pattern):
        lines = (root.fixed(f"{path}/device/uevent") or "").splitlines()
        facts = dict(line.split("=", 1) for line in lines if "=" in line and line.isprintable())
        if facts.get("DRIVER") == driver and "-" not in path.rpartition("/")[2]:
            ident = facts.get("PCI_SLOT_NAME") or path.rpartition("/")[2]
            yield Device(f"{path}/device", ident[:64], facts.get("PCI_ID", "")[:16])


def gpus(root: Root) -> list[Device]:
    """/sys/class/drm/card*."""
    return list(devices(root, "/sys/class/drm/card*", "amdgpu"))


def npus(root: Root) -> list[Device]:
    """/sys/class/accel/accel*."""
    return list(devices(root, "/sys/class/accel/accel*", "amdxdna"))


def detect(root: Root) -> bool:
    """A GPU or an NPU with its driver."""
    return bool(gpus(root) or npus(root))


def number(root: Root, path: str, per: float, most: float) -> float | None:
    """The number in a file in base units; an implausible one is counted."""
    raw = root.number(path)
    if raw is None or 0 <= raw / per <= most:
        return None if raw is None else raw / per
    root.errors["implausible"] += 1
    return None


def title(root: Root, path: str, otherwise: str) -> str:
    """A name as the driver gives it, if it can be shown."""
    text = root.fixed(path)
    return text[:64] if text and text.isprintable() else otherwise


def load(root: Root) -> Iterator[Reading]:
    """device/{gpu,mem}_busy_percent, %; mem_info_{vram,gtt}_{used,total}, bytes (Documentation/gpu/amdgpu).

    The SMU's average load of the engines and of the memory controller. GTT is system memory the GPU may map: on an
    APU, whose VRAM is a small share set in the firmware, models live there.
    """
    for path, ident, _ in gpus(root):
        if root.asleep(path):
            continue
        core, memory = (ident, "AMD GPU", "gpu"), (f"{ident}/memory", "AMD GPU memory", "memory")
        yield hardware.UTILIZATION(number(root, f"{path}/gpu_busy_percent", 100, 1), *core)
        yield hardware.UTILIZATION(number(root, f"{path}/mem_busy_percent", 100, 1), *memory)
        for area, labels in (("vram", core), ("gtt", (f"{ident}/gtt", "AMD GPU GTT", "memory"))):
            yield hardware.MEMORY_USAGE(number(root, f"{path}/mem_info_{area}_used", 1, 1e15), *labels)
            yield hardware.MEMORY_LIMIT(number(root, f"{path}/mem_info_{area}_total", 1, 1e15), *labels)


def clocks(root: Root) -> Iterator[Reading]:
    """device/pp_dpm_{sclk,mclk}, a line a level in MHz, `*` after the one in force (Documentation/gpu/amdgpu).

    Newer GPUs have no fixed levels: they write the least and the most, and the clock of now between them. A line `S:`
    is the clock of deep sleep.
    """
    for path, ident, _ in gpus(root):
        if root.asleep(path):
            continue
        for file, part, name, kind in (("sclk", "", "AMD GPU", "gpu"), ("mclk", "/memory", "AMD GPU memory", "memory")):
            labels = (ident + part, name, kind)
            now, least, most = levels(root, f"{path}/pp_dpm_{file}")
            yield hardware.FREQUENCY(now, *labels)
            yield hardware.FREQUENCY_LIMIT(least, *labels, "min")
            yield hardware.FREQUENCY_LIMIT(most, *labels, "max")


def levels(root: Root, path: str) -> tuple[float | None, float | None, float | None]:
    """The clock of now, the least and the most, in Hz; a level of 0 is one that is off and has no clock."""
    text = root.text(path) or ""
    found = [match for match in map(LEVEL.fullmatch, map(str.strip, text.splitlines())) if match]
    if text and not found:
        root.errors["unparsable"] += 1
    clock = [float(match[2]) * 1e6 or None for match in found if match[3]]
    fixed = {match[1]: float(match[2]) * 1e6 for match in found if match[1].isdecimal() and float(match[2])}
    return clock[0] if clock else None, fixed.get("0"), max(fixed.values(), default=None)


def faults(root: Root) -> Iterator[Reading]:
    """device/pcie_replay_count; device/ras/*_err_count, `ue: 0` and `ce: 0` a block (Documentation/gpu/amdgpu/ras.rst).

    RAS counts are summed over the blocks of the chip (umc is the memory). Only server cards have them.
    """
    for path, ident, _ in gpus(root):
        if root.asleep(path):
            continue
        replays = number(root, f"{path}/pcie_replay_count", 1, 1e15)
        yield hardware.ACCELERATOR_ERRORS(replays, ident, "gpu", "pcie_replay")
        counts = COUNT.findall(" ".join(root.text(file) or "" for file in root.glob(f"{path}/ras/*_err_count")))
        for kind in {kind for kind, _ in counts}:
            total = sum(int(count) for name, count in counts if name == kind)
            yield hardware.ACCELERATOR_ERRORS(total, ident, "gpu", ERRORS[kind])


def state(root: Root) -> Iterator[Reading]:
    """Which GPUs and NPUs there are: uevent, product_name and vbios_version; the NPU's vbnv and fw_version.

    An in-tree driver has no version but the kernel's, so its name stands there. The NPU sleeps whenever it has no work,
    which is no fault; amdxdna has no counter of its work.
    """
    for path, ident, model in gpus(root):
        labels = (ident, "AMD GPU", "gpu")
        product, bios = title(root, f"{path}/product_name", model), title(root, f"{path}/vbios_version", "")
        yield hardware.ACCELERATOR_INFO(1.0, *labels, "AMD", product, "amdgpu", bios)
        off = root.asleep(path)
        yield hardware.ACCELERATOR_STATE(float(not off), *labels, "ok")
        yield hardware.ACCELERATOR_STATE(float(off), *labels, "off")
    for path, ident, model in npus(root):
        labels = (ident, "AMD NPU", "npu")
        product, firmware = title(root, f"{path}/vbnv", NPUS.get(model, model)), title(root, f"{path}/fw_version", "")
        yield hardware.ACCELERATOR_INFO(1.0, *labels, "AMD", product, "amdxdna", firmware)
        yield hardware.ACCELERATOR_STATE(1.0, *labels, "ok")


PLATFORM = Platform(
    "amd",
    detect,
    (
        Sensor("load", load),
        Sensor("clocks", clocks),
        Sensor("faults", faults, every=60),
        Sensor("state", state, every=10),
    ),
)
