"""Coral Edge TPU: PCIe, M.2 and SoM through the gasket driver's files, the USB Accelerator through its USB ids.

Nothing here opens a device: a TPU belongs to one process at a time, and that is the production inference. pycoral's
`list_edge_tpus` is not asked, since libedgetpu finds devices by the same class directory and USB ids, and loading it
into the daemon would break the rule that no engine runs there; that a TPU really answers is what a probe shows.
The USB Accelerator has no thermometer that the host can read; for it, too, the probe is the only one.

Left out: reset_count, which the driver prints but never increments, and interrupt_counts (jobs, and per boot only).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path

from edgemon import catalog, hardware
from edgemon.kernel import base
from edgemon.metric import Reading
from edgemon.platforms import Platform, Sensor
from edgemon.sysfs import Root

APEX = "/sys/class/apex/apex_*"
PCI = ("0x1ac1", "0x089a")
USB = {("1a6e", "089a"): "unready", ("18d1", "9302"): "ok"}
STATES = {"ALIVE": "ok", "LAMED": "failed", "DEAD": "failed", "DRIVER_EXITING": "off"}
ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
VERSION = re.compile(r"[\w.+-]{1,32}", re.ASCII)

COLDEST, HOTTEST = -55.0, 150.0
FULL = 500e6
"""Clock of an Edge TPU in Hz that is not throttled (Coral datasheets: 500 MHz maximum operating frequency)."""
TRIPS = {
    "trip_point0_temp": "throttled",
    "trip_point1_temp": "throttled.quarter",
    "trip_point2_temp": "throttled.eighth",
}
WARNINGS = {"hw_temp_warn1": "high.degraded", "hw_temp_warn2": "high.critical"}


def detect(root: Root) -> bool:
    """A device of the driver, a chip on the bus without driver, or a USB Accelerator in either state."""
    return bool(root.glob(APEX) or unbound(root) or list(sticks(root)))


def boards(root: Root) -> list[tuple[str, tuple[str, str, str]]]:
    """Path and labels of each device the driver has: known by its PCI address, named as the driver names it."""
    found = []
    for path in root.glob(APEX):
        address = root.fixed(f"{path}/pci_address") or ""
        found.append((path, (address if ADDRESS.fullmatch(address) else base(path), base(path), "tpu")))
    return found


def unbound(root: Root) -> list[str]:
    """PCI addresses of Edge TPUs (1ac1:089a) without driver: no gasket-dkms, or not built for this kernel."""
    paths = [path[:-7] for path in root.glob("/sys/bus/pci/devices/*/vendor") if root.fixed(path) == PCI[0]]
    chips = [path for path in paths if root.fixed(f"{path}/device") == PCI[1]]
    return [base(path) for path in chips if not root.exists(f"{path}/driver")]


def sticks(root: Root) -> Iterator[tuple[str, str]]:
    """USB port and state of each USB Accelerator: 1a6e:089a before its firmware is loaded, 18d1:9302 after.

    The first inference after power-on loads it (by libedgetpu, not at boot); the ids then change in place.
    """
    vendors = {vendor for vendor, _ in USB}
    for path in root.glob("/sys/bus/usb/devices/*/idVendor"):
        vendor = root.text(path)
        if vendor in vendors:
            state = USB.get((vendor, root.text(path.replace("idVendor", "idProduct")) or ""))
            if state:
                yield base(path[:-9]), state


def celsius(raw: float | None) -> float | None:
    """Degrees from m°C, or None for what no Edge TPU can have."""
    return raw / 1e3 if raw is not None and COLDEST <= raw / 1e3 <= HOTTEST else None


def temp(root: Root, path: str) -> float | None:
    """/sys/class/apex/apex_*/temp, m°C, or None.

    A chip that has dropped off the bus reads as all ones, which the driver's formula makes -89.7 °C (-87.9 was also
    reported): counted as implausible.
    """
    raw = root.number(f"{path}/temp")
    value = celsius(raw)
    if raw is not None and value is None:
        root.errors["implausible"] += 1
    return value


def state(root: Root, path: str) -> str:
    """ok, failed, off, or nothing when the driver does not say.

    `status` is taken at the last successful open only and stays ALIVE when a later one fails (`Error in device open cb:
    -110`), so that a thermometer reading all ones also means failed. The in-tree driver has none.
    """
    said = STATES.get(root.text(f"{path}/status") or "", "")
    raw = root.number(f"{path}/temp")
    return "failed" if said == "ok" and raw is not None and raw < COLDEST * 1e3 else said


def version(root: Root, path: str) -> str:
    """Version of the apex driver and, behind a slash, of the gasket framework below it: `1.2/1.1.4`."""
    texts = [root.fixed(f"{path}/{name}") or "" for name in ("driver_version", "framework_version")]
    return "/".join(text for text in texts if VERSION.fullmatch(text))


def devices(root: Root) -> Iterator[Reading]:
    """What is there and whether it can work; `count(edgemon_accelerator_info{hw_type="tpu"})` counts them.

    unready: a USB Accelerator before its firmware, or a PCIe chip without driver.
    """
    for path, labels in boards(root):
        yield hardware.ACCELERATOR_INFO(1.0, *labels, "Google", "Coral Edge TPU PCIe", version(root, path), "")
        said = state(root, path)
        if said:
            yield hardware.ACCELERATOR_STATE(1.0, *labels, said)
    for address in unbound(root):
        yield hardware.ACCELERATOR_INFO(1.0, address, address, "tpu", "Google", "Coral Edge TPU PCIe", "", "")
        yield hardware.ACCELERATOR_STATE(1.0, address, address, "tpu", "unready")
    for port, said in sticks(root):
        labels = (f"usb-{port}", f"usb {port}", "tpu")
        yield hardware.ACCELERATOR_INFO(1.0, *labels, "Google", "Coral USB Accelerator", "", "")
        yield hardware.ACCELERATOR_STATE(1.0, *labels, said)


def temperature(root: Root) -> Iterator[Reading]:
    """/sys/class/apex/apex_*/temp, m°C (coral.ai/docs/pcie-parameters); the in-tree driver (4.19 to 5.12) has none.

    Throttling is derived, not read. At each of three trip points the driver halves the clock (500, 250, 125, 62.5 MHz)
    when it looks, every temp_poll_interval ms; with 0, an older driver's default, it never looks. No file tells the
    clock itself, and libedgetpu may have set a lower one (its performance setting), so that only the limit is given.
    """
    for path, labels in boards(root):
        value = temp(root, path)
        yield catalog.TEMPERATURE(value, *labels[:2], "")
        passed = steps(root, path, value)
        if passed is not None:
            yield hardware.THROTTLED(float(passed > 0), *labels[:2], "thermal")
            yield hardware.FREQUENCY_LIMIT(FULL / 2**passed, *labels, "throttled")
            yield hardware.FREQUENCY_LIMIT(FULL, *labels, "max")


def steps(root: Root, path: str, value: float | None) -> int | None:
    """How many trip points the temperature has reached, as the driver reckons; None when one is not known."""
    trips = [celsius(root.fixed_number(f"{path}/{name}")) for name in TRIPS]
    interval = root.fixed_number(f"{path}/temp_poll_interval")
    if value is None or interval is None or None in trips:
        return None
    return sum(value >= trip for trip in trips if trip is not None) if interval > 0 else 0


def limits(root: Root) -> Iterator[Reading]:
    """trip_point{0,1,2}_temp and hw_temp_warn{1,2}, m°C (google/gasket-driver, apex_driver.c).

    From trip points on the clock is a half, a quarter, an eighth. A warning counts where hw_temp_warnN_en is 1: at the
    first the chip raises INTR, at the second SD_ALARM, with which a board can cut its power.
    """
    for path, labels in boards(root):
        for name, limit in TRIPS.items():
            yield catalog.TEMPERATURE_LIMIT(bound(root, f"{path}/{name}"), *labels[:2], limit)
        for name, limit in WARNINGS.items():
            if root.fixed(f"{path}/{name}_en") == "1":
                yield catalog.TEMPERATURE_LIMIT(bound(root, f"{path}/{name}"), *labels[:2], limit)


def bound(root: Root, path: str) -> float | None:
    """A temperature that can be an upper limit."""
    value = celsius(root.fixed_number(path))
    return value if value is not None and value > 0 else None


def warning(path: Sequence[str] | None = None) -> str:
    """What is wrong with the pycoral of this Python, or nothing; for `edgemon check`.

    PyPI's `pycoral` is a tool for the Allen Coral Atlas. Google's has pycoral/utils/edgetpu.py and comes from its own
    package index. Nothing is imported. A probe with its own `python:` may have another.
    """
    spec = PathFinder.find_spec("pycoral", path)
    places = list(spec.submodule_search_locations or ()) if spec else []
    if spec is None or any(Path(place, "utils", "edgetpu.py").exists() for place in places):
        return ""
    return (
        "the installed pycoral is not Google's (PyPI's package of that name is about coral reefs): "
        "pip uninstall pycoral, then use ai-edge-litert with libedgetpu or install pycoral as coral.ai says"
    )


PLATFORM = Platform(
    "coral",
    detect,
    (
        Sensor("devices", devices, every=10),
        Sensor("temperature", temperature),
        Sensor("limits", limits, every=30),
    ),
    {
        "Coral Edge TPU PCIe unready": "the chip has no driver: build gasket-dkms for this kernel (github.com/google/"
        "gasket-driver), then modprobe gasket apex",
        "Coral USB Accelerator unready": "nothing, if no program used it since power-on: libedgetpu loads its firmware "
        "at the first inference. If one did: another cable or port, a powered hub",
        "failed": "the chip does not answer: cool it, look for `apex` in dmesg, power the machine off and on",
        "temperature absent": "only gasket-dkms' driver tells the temperature; the in-tree one and USB have none",
        "denied": "add edgemon's user to group apex (a udev rule of gasket-dkms makes it)",
    },
    warning,
)
