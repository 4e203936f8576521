"""NVIDIA GPUs of a PC, server or edge box (GeForce, RTX, Tesla, L and A series): NVML through nvidia-ml-py.

hw.id is the PCI address as the kernel writes it: it names the slot, which a person can find and every other tool knows
(lspci, /proc/driver/nvidia/gpus, DCGM). The UUID names the card for ever, and such serial numbers are not exported.
The proprietary driver registers no hwmon chip, so temperature, power and fan come from here, under the same hw.id.

On a Jetson NVML lists the integrated GPU and supports little of it: platform jetson reads that one. A MIG-enabled card
is seen and left as it is; NVML then has no utilisation for the whole. NVML would wake a sleeping GPU, so it is not
asked while all are asleep. What it cannot say is in the sensor's errors as `nvml_<code>`: after a driver update
`nvml_lib_rm_version_mismatch` ("Driver/library version mismatch") until the module is reloaded or the machine reboots.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from edgemon import catalog, hardware
from edgemon.metric import Metric, Reading
from edgemon.platforms import Platform, Sensor
from edgemon.sysfs import Root

DRIVER = "/proc/driver/nvidia"
VENDOR = "NVIDIA"


class Value(NamedTuple):
    """A field of NVML as a reading: raw units per base unit, the most it can be, what follows the labels' id and name.

    `part` is the part of the GPU with its hw.type; the memory and the codecs work at their own rate.
    """

    metric: Metric
    per: float
    most: float
    part: str = ""
    kind: str = "gpu"
    more: tuple[str, ...] = ()


VALUES: dict[str, Value] = {
    "utilization": Value(hardware.UTILIZATION, 100, 1),  # % of the time a kernel ran
    "utilization_memory": Value(hardware.UTILIZATION, 100, 1, "/memory", "memory"),  # % of the time it moved data
    "utilization_encoder": Value(hardware.UTILIZATION, 100, 1, "/encoder", "codec"),
    "utilization_decoder": Value(hardware.UTILIZATION, 100, 1, "/decoder", "codec"),
    "memory_used": Value(hardware.MEMORY_USAGE, 1, 1e15),
    "memory_total": Value(hardware.MEMORY_LIMIT, 1, 1e15),
    "clock_sm": Value(hardware.FREQUENCY, 1e-6, 1e11),  # MHz
    "clock_memory": Value(hardware.FREQUENCY, 1e-6, 1e11, "/memory", "memory"),
    "max_clock_sm": Value(hardware.FREQUENCY_LIMIT, 1e-6, 1e11, more=("max",)),
    "max_clock_memory": Value(hardware.FREQUENCY_LIMIT, 1e-6, 1e11, "/memory", "memory", ("max",)),
    "temperature": Value(catalog.TEMPERATURE, 1, 250, more=("",)),
    "temperature_gpu_max": Value(catalog.TEMPERATURE_LIMIT, 1, 250, more=("high.degraded",)),  # software slows down
    "temperature_slowdown": Value(catalog.TEMPERATURE_LIMIT, 1, 250, more=("throttled",)),  # hardware halves the clock
    "temperature_shutdown": Value(catalog.TEMPERATURE_LIMIT, 1, 250, more=("high.critical",)),
    "fan": Value(catalog.FAN_RATIO, 100, 1, more=("",)),  # %
}
RAIL: dict[str, Value] = {
    "power": Value(catalog.POWER, 1e3, 1e5, more=("",)),  # mW, the whole board
    "energy": Value(catalog.ENERGY, 1e3, 1e13, more=("",)),  # mJ since the driver was loaded
}
FAULTS = {"ecc_corrected": "corrected", "ecc_uncorrected": "uncorrected", "replays": "pcie_replay"}
THERMAL, BRAKE = 0x20 | 0x40, 0x80
CAUSES = {
    "thermal": THERMAL,  # software and hardware thermal slowdown
    "power": 0x4 | BRAKE,  # power cap; external power brake (PSU)
    "software": 0x2 | 0x10 | 0x100,  # clocks set by the user, in step with another GPU, or for the display
    "hardware": 0x8 | 0x200 | 0x400,  # slowdown without a finer reason; board limit, reliability
}


def detect(root: Root) -> bool:
    """The kernel driver is loaded."""
    return root.exists(f"{DRIVER}/version")


def asleep(root: Root, place: str = "*:*") -> bool:
    """Whether every GPU of the driver is suspended: /sys/bus/pci/drivers/nvidia/*/power/runtime_status."""
    found = root.glob(f"/sys/bus/pci/drivers/nvidia/{place}/power/runtime_status")
    return bool(found) and all(root.text(path) == "suspended" for path in found)


def answer(root: Root, ask: str = "read") -> dict[str, Any]:
    """What NVML says (`sources.nvml`), with nothing but GPUs in `gpus`; {} where it is not asked or not there."""
    found = {} if asleep(root) else root.call(f"edgemon.sources.nvml.{ask}")
    if not isinstance(found, dict):
        return {}
    gpus = found.get("gpus")
    known = [gpu for gpu in gpus if isinstance(gpu, dict)] if isinstance(gpus, list) else []
    return {**found, "gpus": [gpu for gpu in known if ours(root, gpu)]}


def ours(root: Root, gpu: dict[str, Any]) -> bool:
    """Not the integrated GPU of a Jetson, which has no memory of its own."""
    return (
        "memory_total" in gpu
        or "error" in gpu
        or "nvidia,tegra" not in (root.fixed("/proc/device-tree/compatible") or "")
    )


def said(value: object) -> str:
    """A name or version that can be shown, or nothing."""
    return value[:64] if isinstance(value, str) and value.isprintable() else ""


def count(root: Root, code: object, times: object = 1) -> None:
    """Add to the sensor's errors."""
    if code and isinstance(code, str) and code.isidentifier():
        root.errors[f"nvml_{code[:40]}"] += times if isinstance(times, int) and 0 < times < 100 else 1


def number(root: Root, gpu: dict[str, Any], field: str, per: float = 1, most: float = 1e15) -> float | None:
    """A field in base units; None if this GPU does not have it, or if it means nothing, which is counted."""
    raw = gpu.get(field)
    if raw is None:
        return None
    if isinstance(raw, (int, float)) and not isinstance(raw, bool) and 0 <= raw < 1e30 and 0 <= raw / per <= most:
        return raw / per
    root.errors["implausible"] += 1
    return None


def gpu(root: Root) -> Iterator[Reading]:
    """Utilisation, memory, clocks, heat, errors and throttling of every GPU, as far as it supports them."""
    found = answer(root)
    count(root, found.get("error"))
    for one in found.get("gpus", ()):
        count(root, one.get("error"))
        failures = one.get("failures")
        for code, times in failures.items() if isinstance(failures, dict) else ():
            count(root, code, times)
        if said(one.get("id")):
            yield from values(root, one, one["id"], said(one.get("name")))


def values(root: Root, one: dict[str, Any], ident: str, name: str) -> Iterator[Reading]:
    """The fields of one GPU."""
    yield from fields(root, one, VALUES, ident, name)
    for field, error in FAULTS.items():
        yield hardware.ACCELERATOR_ERRORS(number(root, one, field), ident, "gpu", error)
    for cause, on in throttled(root, one).items():
        yield hardware.THROTTLED(on, ident, name, cause)


def fields(root: Root, one: dict[str, Any], wanted: dict[str, Value], ident: str, name: str) -> Iterator[Reading]:
    """The readings that fields of one GPU make."""
    for field, value in wanted.items():
        found = number(root, one, field, value.per, value.most)
        if found is not None:
            kind = (value.kind,) if "hw.type" in value.metric.labels else ()
            yield value.metric(found, ident + value.part, name, *kind, *value.more)


def power(root: Root) -> Iterator[Reading]:
    """Power and, since Volta, energy of every GPU; NVML has a new value every 20 to 100 ms."""
    found = answer(root, "power") or answer(root)
    for one in found.get("gpus", ()):
        if said(one.get("id")):
            yield from fields(root, one, RAIL, one["id"], said(one.get("name")))


def throttled(root: Root, one: dict[str, Any]) -> dict[str, float]:
    """Clock event reasons (NVML's bit mask) by cause; idle (0x1) slows nothing down that has work to do.

    HW slowdown (0x8) is set together with the finer HW thermal (0x40) and power brake (0x80), which then are the cause.
    Causes that this GPU cannot report are left out.
    """
    raw, able = number(root, one, "reasons"), number(root, one, "reasons_supported")
    if raw is None:
        return {}
    now = int(raw) & ~0x8 if int(raw) & (0x40 | BRAKE) else int(raw)
    mask = math.inf if able is None else int(able)
    return {cause: float(bool(now & bits)) for cause, bits in CAUSES.items() if mask == math.inf or int(mask) & bits}


def state(root: Root) -> Iterator[Reading]:
    """Which GPUs there are and whether they work: NVML, and where it fails the driver's /proc/driver/nvidia/gpus.

    `failed` is a GPU that is lost, or a library that does not match the driver; `off` is one that sleeps.
    """
    found = answer(root)
    answered = {said(one.get("id")): one for one in found.get("gpus", ())}
    for ident in sorted(filter(None, {*answered, *listed(root)})):
        one = answered.get(ident, {})
        name = said(one.get("name")) or information(root, ident, "Model")
        labels = (ident, name, "gpu")
        bios = said(one.get("vbios")) or information(root, ident, "Video BIOS")
        model = " ".join(filter(None, (said(one.get("pci_id")), "mig" if one.get("mig") == 1 else "")))
        yield hardware.ACCELERATOR_INFO(1.0, *labels, VENDOR, model, version(root, found), bios)
        condition = health(root, ident, found, one)
        for each in ("ok", "failed", "off") if condition else ():
            yield hardware.ACCELERATOR_STATE(float(each == condition), *labels, each)


def health(root: Root, ident: str, found: dict[str, Any], one: dict[str, Any]) -> str:
    """ok, failed, off, or nothing where nobody can say."""
    if asleep(root, ident):
        return "off"
    if found.get("error") or one.get("error"):
        return "failed"
    return "ok" if one else ""


def listed(root: Root) -> list[str]:
    """The PCI addresses of the driver's GPUs, except on a Jetson, where it lists the integrated one."""
    if "nvidia,tegra" in (root.fixed("/proc/device-tree/compatible") or ""):
        return []
    return [path.split("/")[5] for path in root.glob(f"{DRIVER}/gpus/*/information")]


def information(root: Root, ident: str, key: str) -> str:
    """A line of /proc/driver/nvidia/gpus/*/information, `Model: \t\t NVIDIA …`; unknown versions are `??.??`."""
    for line in (root.fixed(f"{DRIVER}/gpus/{ident}/information") or "").splitlines():
        name, _, value = line.partition(":")
        if name == key and "?" not in value:
            return said(value.strip())
    return ""


def version(root: Root, found: dict[str, Any]) -> str:
    """The driver's version: NVML's, else the first number with dots in /proc/driver/nvidia/version."""
    words = (root.fixed(f"{DRIVER}/version") or "").split()
    return said(found.get("driver")) or next((said(word) for word in words if word[0].isdigit() and "." in word), "")


PLATFORM = Platform(
    "nvidia",
    detect,
    (Sensor("gpu", gpu), Sensor("power", power, power=0.1), Sensor("state", state, every=10)),
    {
        "nvml_lib_rm_version_mismatch": "the driver was updated under the running module: reboot, or unload nvidia and "
        "load it again",
        "nvml_driver_not_loaded": "load it: modprobe nvidia; after a kernel update DKMS builds it again (dkms status)",
        "nvml_library_not_found": "install the driver's libnvidia-ml.so.1 (Debian, Ubuntu: libnvidia-ml1 or "
        "libnvidia-compute-NNN); in a container start it with the NVIDIA runtime (--gpus all)",
        "nvml_gpu_is_lost": "the GPU fell off the bus: see Xid in dmesg, check power and seating, and reboot",
        "nvml_no_permission": "/dev/nvidia* is closed to edgemon's user: add it to group video or render",
        "gpu absent": "edgemon's Python has no nvidia-ml-py: pip install nvidia-ml-py",
        "failed": "the GPU does not answer: see Xid in dmesg, and reboot",
    },
)
