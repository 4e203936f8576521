"""The accelerators of this device as the service sees them: device nodes, the class of their driver, their group."""

from __future__ import annotations

import glob
import grp
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

NODES = {
    "amd": ("/dev/dri/renderD*", "/dev/kfd"),
    "coral": ("/dev/apex_*",),
    "hailo": ("/dev/hailo*",),
    "intel": ("/dev/dri/renderD*", "/dev/accel/accel*"),
    "jetson": ("/dev/nvhost*", "/dev/nvmap", "/dev/nvgpu/*/*", "/dev/nvidia*", "/dev/nvsciipc", "/run/jtop.sock"),
    "nvidia": ("/dev/nvidia*", "/dev/nvidia-caps/*"),
    "raspberrypi": ("/dev/vcio*", "/dev/vchiq", "/dev/vcsm-cma"),
    "rockchip": ("/dev/dri/renderD*", "/dev/rknpu*", "/dev/mpp_service", "/dev/dma_heap/*"),
}
"""What each platform reads or its engines open."""
SIGNS = {
    "amd": ("/sys/module/amdgpu",),
    "intel": ("/sys/module/i915", "/sys/module/xe", "/sys/module/intel_vpu"),
    "jetson": ("/etc/nv_tegra_release", "/run/jtop.sock", "/dev/nvhost*"),
    "nvidia": ("/proc/driver/nvidia/version",),
    "rockchip": ("/dev/rknpu*", "/sys/module/rknpu", "/sys/module/rocket", "/dev/mpp_service"),
}
"""What tells a platform whose nodes others have as well."""
USB = "char-usb_device"
EDGE_TPUS = ("1a6e:089a", "18d1:9302")
"""A USB Edge TPU before and after it got its firmware; it changes its node then, so its class is what is allowed."""
SHARED = ("misc", "mem")
"""Classes of many drivers, of which a node is allowed by its path."""


@dataclass(frozen=True, slots=True)
class Node:
    """A device node, or a socket: who may open it, and how the service manager names it (empty for a socket)."""

    path: str
    allow: tuple[str, ...]
    group: str
    closed: bool
    """Whether it is root's alone, so that a udev rule must give it a group."""


def platforms(prefix: str = "") -> dict[str, list[Node]]:
    """The nodes that are here, by platform. `prefix` stands before every path, for a test."""
    classes = _classes(prefix)
    found = {
        name: [node for pattern in patterns for path in _glob(prefix, pattern) for node in _node(path, prefix, classes)]
        for name, patterns in NODES.items()
        if name not in SIGNS or any(_glob(prefix, sign) for sign in SIGNS[name])
    }
    found["coral"] = [*found.get("coral", []), *_usb(prefix)]
    return {name: nodes for name, nodes in found.items() if nodes}


def groups(nodes: Iterable[Node]) -> list[str]:
    """The groups that open them."""
    return sorted({node.group for node in nodes if node.group})


def supplement(here: Mapping[str, Sequence[Node]]) -> list[int]:
    """Their numbers, of all platforms."""
    return [grp.getgrnam(name).gr_gid for name in groups([node for nodes in here.values() for node in nodes])]


def _glob(prefix: str, pattern: str) -> list[str]:
    return sorted(glob.glob(glob.escape(prefix) + pattern))


def _classes(prefix: str) -> dict[int, list[str]]:
    """Names of the classes of character devices by major number (/proc/devices)."""
    try:
        with open(f"{prefix}/proc/devices") as file:
            text = file.read().partition("Block devices:")[0]
    except OSError:
        return {}
    found: dict[int, list[str]] = {}
    for major, name in re.findall(r"^ *(\d+) ([\w.-]+)$", text, re.MULTILINE):
        found.setdefault(int(major), []).append(name)
    return found


def _node(path: str, prefix: str, classes: dict[int, list[str]]) -> Iterator[Node]:
    try:
        at = os.stat(path)
    except OSError:
        return
    name = path.removeprefix(prefix)
    if stat.S_ISCHR(at.st_mode):
        names = [one for one in classes.get(os.major(at.st_rdev), []) if one not in SHARED]
        yield Node(name, tuple(f"char-{one}" for one in names) or (name,), *_access(at))
    elif stat.S_ISSOCK(at.st_mode):
        yield Node(name, (), *_access(at))


def _access(at: os.stat_result) -> tuple[str, bool]:
    """The group that opens it for reading and writing, if not everybody does; whether only root does."""
    if at.st_mode & 0o006 == 0o006:
        return "", False
    if at.st_mode & 0o060 != 0o060 or at.st_gid == 0:
        return "", True
    try:
        return grp.getgrgid(at.st_gid).gr_name, False
    except KeyError:
        return "", True


def _usb(prefix: str) -> Iterator[Node]:
    for path in _glob(prefix, "/sys/bus/usb/devices/*/idVendor"):
        where = os.path.dirname(path)
        ids = [_read(f"{where}/{name}") for name in ("idVendor", "idProduct", "busnum", "devnum")]
        if ":".join(ids[:2]) in EDGE_TPUS and all(ids):
            node = f"{prefix}/dev/bus/usb/{int(ids[2]):03d}/{int(ids[3]):03d}"
            if os.path.exists(node):
                yield Node(node.removeprefix(prefix), (USB,), *_access(os.stat(node)))


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""
