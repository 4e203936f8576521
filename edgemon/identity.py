"""Who this device is: resource attributes by OpenTelemetry's conventions, and the part of a fingerprint it makes up."""

from __future__ import annotations

import platform

from edgemon import __version__, catalog
from edgemon.digest import digest
from edgemon.metric import Reading
from edgemon.sysfs import Root

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm32", "armv6l": "arm32", "i686": "x86"}
"""Values of OpenTelemetry's host.arch."""


def model(root: Root) -> tuple[str, str]:
    """Manufacturer and model: device tree (/proc/device-tree/model), else DMI (/sys/class/dmi/id)."""
    tree = root.fixed("/proc/device-tree/model")
    if tree:
        return tree.split()[0], tree
    names = [root.fixed(f"/sys/class/dmi/id/{name}") or "" for name in ("sys_vendor", "product_name")]
    return names[0], names[1]


def instance(root: Root) -> str:
    """A UUID that survives restarts and re-installation: from the machine id and what is the board's own.

    The board's serial number, or its network address where it has none (DMI shows the serial to root only), keeps
    devices apart whose cards were cloned from one image, machine id and all.
    """
    parts = [root.fixed("/etc/machine-id") or "", root.fixed("/proc/device-tree/serial-number") or _address(root)]
    raw = digest("edgemon/" + "/".join(parts if any(parts) else [host(root)]), 16).hex()
    return f"{raw[:8]}-{raw[8:12]}-8{raw[13:16]}-a{raw[17:20]}-{raw[20:]}"  # RFC 9562, version 8: made by our own rule


def _address(root: Root) -> str:
    """The hardware address of the first network interface that is soldered in."""
    cards = [path for path in root.glob("/sys/class/net/*") if root.exists(f"{path}/device")]
    fixed = [path for path in cards if "/usb" not in root.link(path)]
    return root.fixed(f"{fixed[0]}/address") or "" if fixed else ""


def attributes(root: Root) -> dict[str, str]:
    """The resource, by OpenTelemetry's conventions; what is not known is empty."""
    maker, name = model(root)
    return {
        "service.name": "edgemon",
        "service.instance.id": instance(root),
        "service.version": __version__,
        "host.name": host(root),
        "host.arch": _architecture(root),
        "os.type": "linux",
        "os.description": system(root),
        "device.manufacturer": maker,
        "device.model.identifier": name,
        "edgemon.simulated": "" if root.live else "true",
    }


def target(root: Root) -> Reading:
    """The resource, as the target_info that OpenTelemetry's Prometheus translation defines."""
    told = attributes(root)
    return catalog.TARGET_INFO(1.0, *(told[name] for name in catalog.TARGET_INFO.labels))


def build() -> Reading:
    """Version of edgemon and Python."""
    return catalog.BUILD_INFO(1.0, __version__, platform.python_version())


def system(root: Root) -> str:
    """The distribution's own name for itself."""
    lines = (root.fixed("/etc/os-release") or "").splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    return values.get("PRETTY_NAME", "").strip('"') or "Linux"


def uname(root: Root) -> list[str]:
    """System, host name, release, version, machine (uname(2)); empty where a capture does not tell."""
    told = root.call("os.uname")
    return [str(one) for one in told] if isinstance(told, list) and len(told) == 5 else [""] * 5


def host(root: Root) -> str:
    """The host name."""
    return uname(root)[1]


def device(root: Root) -> dict[str, str]:
    """What of this device a latency depends on: board, CPU, kernel, distribution, clock governors."""
    governors = {
        root.text(path) or "" for path in root.glob("/sys/devices/system/cpu/cpufreq/policy*/scaling_governor")
    }
    return {
        "device": " ".join(part for part in model(root) if part),
        "cpu": cpu(root),
        "arch": uname(root)[4],
        "kernel": uname(root)[2],
        "os": system(root),
        "governor": ",".join(sorted(governors)),
    }


def cpu(root: Root) -> str:
    """The CPU's name and how many there are (/proc/cpuinfo)."""
    lines = (root.fixed("/proc/cpuinfo") or "").splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "CPU part"))]
    count = sum(line.startswith("processor") for line in lines)
    return f"{names[0] if names else ''} x{count}".strip() if count else ""


def _architecture(root: Root) -> str:
    machine = uname(root)[4]
    return ARCHITECTURES.get(machine, machine)


def boot(root: Root) -> str:
    """The id of this boot (/proc/sys/kernel/random/boot_id)."""
    return (root.text("/proc/sys/kernel/random/boot_id") or "").strip()
