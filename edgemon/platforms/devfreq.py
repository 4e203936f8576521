"""devfreq: clocks of GPUs, NPUs, memory controllers and codecs on any SoC, one interface for all vendors.

/sys/class/devfreq/<device>/ (Documentation/ABI/testing/sysfs-class-devfreq), readable by everybody: Rockchip
(fb000000.gpu, fdab0000.npu, dmc), NXP, MediaTek, Qualcomm (3d00000.gpu), Amlogic, Samsung.

Who exports what, so that nothing is exported twice. On a Jetson the platform jetson reads devfreq too, where jtop does
not tell the same, and this one stands back. Elsewhere the clocks are exported here only, and utilisation from `load`
where there is one, but never an NPU's: rknpu's get_dev_status does nothing, so that it reads 0 for ever. The platform
rockchip adds the NPU's utilisation and identity under the same labels, which follow from the name alone: hw.id is the
device's name (`fb000000.gpu`), hw.name what follows the address (`gpu`).
trans_stat is not read: its times are of the kernel's sampling and are quadratic to parse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from edgemon import hardware
from edgemon.metric import Reading
from edgemon.platforms import Platform, Sensor
from edgemon.sysfs import Root

KINDS = (
    ("dla", "dla"),
    ("npu", "^npu|npu$|apu$|^aipu|galcore|^hta$"),
    ("gpu", "gpu|mali|adreno|kgsl|g3d|panfrost|panthor|powervr|pvr"),
    ("vision", "^vic$|^pva|^ofa$|^r?k?isp|^rga|^vi$"),
    ("codec", "nvdec|nvenc|nvjpg|vdec|venc|vcodec|vpu|venus|jpe?g|msenc|hantro|mfc"),
    ("memory", "dmc|ddr|^emc$|memory|mem$|mif$|dram|cpubw|llcc"),
)
PATTERNS = tuple((kind, re.compile(pattern)) for kind, pattern in KINDS)
NAME = re.compile(r"[A-Za-z0-9][\w.:,@+-]{0,63}", re.ASCII)
LOAD = re.compile(r"(\d{1,3})(@\d+(Hz)?)?", re.ASCII)
LOWEST, HIGHEST = 1e6, 1e11
"""Hz. Qualcomm's bandwidth monitors (cpubw, llccbw) give MB/s in the same files: 762 is no clock."""


class Device(NamedTuple):
    """A devfreq device: its path, and the labels of its series."""

    path: str
    ident: str
    name: str
    kind: str

    @property
    def labels(self) -> tuple[str, str, str]:
        """In the order of hardware.ACCELERATOR."""
        return self.ident, self.name, self.kind


def detect(root: Root) -> bool:
    """Any devfreq device, unless on a Jetson: /proc/device-tree/compatible has nvidia,tegra234 and the like."""
    jetson = "nvidia,tegra" in (root.fixed("/proc/device-tree/compatible") or "")
    return bool(root.glob("/sys/class/devfreq/*")) and not jetson and not root.exists("/etc/nv_tegra_release")


def devices(root: Root) -> Iterator[Device]:
    """Every device; its name is the folder's except on Linux 5.5, which says `devfreq0` and has it in `name`."""
    for path in root.glob("/sys/class/devfreq/*"):
        said = root.fixed(f"{path}/name") or ""
        ident = said if NAME.fullmatch(said) else path.rpartition("/")[2]
        if NAME.fullmatch(ident):
            yield Device(path, ident, short(ident), kind(ident))


def short(ident: str) -> str:
    """What follows the address: fb000000.gpu -> gpu, soc:qcom,cpubw -> cpubw, dmc -> dmc."""
    return re.split(r"[.,:]", ident.rstrip(".,:"))[-1]


def kind(ident: str) -> str:
    """hw.type by name; one that nothing is known of keeps its short name (`ufshc`, `noc`)."""
    name = short(ident).lower()
    return next((kind for kind, pattern in PATTERNS if pattern.search(name)), name)


def clocks(root: Root) -> Iterator[Reading]:
    """cur_freq, Hz, now; the limits as min and max of available_frequencies, Hz, which is the hardware's table.

    throttled is max_freq: what the user or a cooling device (through PM QoS) allows now. Rockchip's Linux 4.4 writes 0
    for no limit.
    """
    for device in devices(root):
        yield hardware.FREQUENCY(hertz(root, root.number(f"{device.path}/cur_freq"), 0.0), *device.labels)
        table = steps(root, device)
        for limit, value in (("min", min(table, default=None)), ("max", max(table, default=None))):
            yield hardware.FREQUENCY_LIMIT(value, *device.labels, limit)
        most = hertz(root, root.number(f"{device.path}/max_freq"), 0.0)
        if most:
            yield hardware.FREQUENCY_LIMIT(most, *device.labels, "throttled")


def steps(root: Root, device: Device) -> list[float]:
    """The hardware's clocks; what is no clock is counted and left out."""
    text = root.fixed(f"{device.path}/available_frequencies") or ""
    found = [hertz(root, root.parse(word)) for word in text.split()]
    return [value for value in found if value is not None]


def hertz(root: Root, raw: float | None, zero: float | None = None) -> float | None:
    """A clock, or None and counted; 0 is a clock that is off where `zero` says so."""
    if raw is None or LOWEST <= raw <= HIGHEST:
        return raw
    if raw == 0 and zero is not None:
        return zero
    root.errors["implausible"] += 1
    return None


def utilization(root: Root) -> Iterator[Reading]:
    """load, `N@FREQHz` with N in %: vendor kernels of Rockchip and Android, for GPUs and memory controllers."""
    files = root.glob("/sys/class/devfreq/*/load")
    for device in devices(root) if files else ():
        if f"{device.path}/load" in files and device.kind in {"gpu", "memory"}:
            yield hardware.UTILIZATION(percent(root, root.text(f"{device.path}/load")), *device.labels)


def percent(root: Root, text: str | None) -> float | None:
    """The share in a load file; None and counted when it is none."""
    match = LOAD.fullmatch(text or "")
    value = int(match[1]) if match else 101
    if text is not None and value > 100:
        root.errors["implausible" if match else "unparsable"] += 1
    return value / 100 if value <= 100 else None


PLATFORM = Platform("devfreq", detect, (Sensor("clocks", clocks), Sensor("utilization", utilization)))
