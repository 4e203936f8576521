"""Rockchip NPUs (RK3566, RK3568, RK3562, RK3576, RK3588, RV1126B) with the vendor's rknpu driver: load and identity.

Clocks of the NPU, the Mali GPU and the memory controller, and the GPU's load, are devfreq's: that platform exports
them under the same hw.id. This one adds what only rknpu knows. The NPU of mainline Linux (driver `rocket`) has no load.

The load is in debugfs, which only root may enter: state `denied`, and presence and clocks still come from sysfs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgemon import hardware
from edgemon.metric import Reading
from edgemon.platforms import Platform, Sensor
from edgemon.sysfs import Root

DRIVERS = ("/sys/bus/platform/drivers/RKNPU/*.*npu", "/sys/bus/platform/drivers/rknpu/*.*npu")
FOLDERS = ("/sys/kernel/debug/rknpu", "/proc/rknpu")
"""CONFIG_ROCKCHIP_RKNPU_DEBUG_FS, the default, or CONFIG_ROCKCHIP_RKNPU_PROC_FS."""
LINE = re.compile(r"NPU load:\s*((?:Core\d{1,2}:\s*\d+%,?\s*)+|\d+%,?)", re.ASCII)
CORE = re.compile(r"(?:Core(\d{1,2}):\s*)?(\d+)%", re.ASCII)
VERSION = re.compile(r"v?(\d{1,3}\.\d{1,3}\.\d{1,4})", re.ASCII)
NAME = re.compile(r"[A-Za-z0-9][\w.:@-]{0,63}", re.ASCII)
MODEL = re.compile(r"[\w.,-]{1,64}", re.ASCII)


def detect(root: Root) -> bool:
    """A device bound to the rknpu driver, or its debug folder."""
    return bool(npus(root)) or any(map(root.exists, FOLDERS))


def npus(root: Root) -> list[tuple[str, str]]:
    """Path and name of each NPU: fdab0000.npu (RK3588), fde40000.npu (RK356x)."""
    found = [(path, path.rpartition("/")[2]) for pattern in DRIVERS for path in root.glob(pattern)]
    return [(path, name) for path, name in found if NAME.fullmatch(name)]


def labels(ident: str) -> tuple[str, str, str]:
    """The labels of an NPU, the same that devfreq gives its clock."""
    return ident, ident.rpartition(".")[2], "npu"


def identity(root: Root) -> Iterator[Reading]:
    """…/of_node/compatible, NUL-separated (`rockchip,rk3588-rknpu`); debugfs rknpu/version, `RKNPU driver: v0.9.8`.

    The version is for root only, and to be without it is no error.
    """
    said = read(root.view(), "version")
    match = VERSION.search(said or "")
    for path, ident in npus(root):
        compatible = (root.fixed(f"{path}/of_node/compatible") or "").partition("\0")[0]
        model = compatible.rpartition(",")[2] if MODEL.fullmatch(compatible) else ""
        driver = match[1] if match else ""
        yield hardware.ACCELERATOR_INFO(1.0, *labels(ident), "Rockchip", model, driver, "")


def load(root: Root) -> Iterator[Reading]:
    """debugfs rknpu/load, %: `NPU load:  Core0: 63%, Core1: 65%, Core2: 64%,` or, with one core, `NPU load:  0%`.

    The share of the last second each core worked, measured by the driver (>= 0.7.2). A hung job has been seen to
    give 20000 % (rockchip-linux/rknn-toolkit2 issue 293): that is no share. A core is an accelerator of its own.
    """
    text = read(root, "load")
    ident = next((name for _, name in npus(root)), "npu")
    for core, share in cores(root, text):
        whole = labels(ident)
        yield hardware.UTILIZATION(share, *((f"{ident}/core{core}", f"core{core}", "npu") if core else whole))


def read(root: Root, name: str) -> str | None:
    """A file of the driver, from wherever the kernel was built to put it."""
    for folder in FOLDERS:
        text = root.text(f"{folder}/{name}")
        if text is not None:
            return text
    return None


def cores(root: Root, text: str | None) -> list[tuple[str, float | None]]:
    """Core (empty for an NPU of one) and share of each; spaces vary from release to release."""
    line = LINE.fullmatch(text or "")
    if text and not line:
        root.errors["unparsable"] += 1
    return list({core: share(root, raw) for core, raw in CORE.findall(line[1] if line else "")}.items())


def share(root: Root, raw: str) -> float | None:
    """Percent as a share; more than 100 is counted."""
    if len(raw) > 3 or int(raw) > 100:
        root.errors["implausible"] += 1
        return None
    return int(raw) / 100


PLATFORM = Platform(
    "rockchip",
    detect,
    (Sensor("identity", identity, every=60), Sensor("load", load)),
    {
        "load denied": "debugfs is root's: run as root or, under systemd, AmbientCapabilities=CAP_DAC_READ_SEARCH",
        "load absent": "the kernel tells no NPU load: mount debugfs (mount -t debugfs none /sys/kernel/debug), or a "
        "driver older than 0.7.2 or built without CONFIG_ROCKCHIP_RKNPU_DEBUG_FS",
    },
)
