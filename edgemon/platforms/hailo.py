"""Hailo-8, 8L, 10H and 15L on PCIe: presence, versions, state, utilisation, temperature, power.

Presence and identity need none of Hailo's software: PCI vendor 1e60 (hailo-ai/hailort-drivers, common/pcie_common.h;
8 and 8L share an id, HailoRT 4.x called 45c4 `Mercury` and `Hailo-15`). The drivers, hailo_pci (4.x: Hailo-8) and
hailo1x_pci (5.x: Hailo-10H), have no sensor: temperature and power come from the chip's firmware only.

What is asked beside production, and why that is safe. The driver lets many processes open a device and passes their
firmware controls one at a time (linux/pcie/src/fops.c: `allow multiple processes to open a device`, and
fw_control.mutex); only the process that moves data owns the DMA, and only its closing resets anything. So getters are
harmless, and the vendor's own tutorial wants power measured "in a different process than the one that performs the
actual inference"; Frigate reads the temperature beside its detector (pull request 21109). Used are `fw-control
identify`, get_chip_temperature and the single power_measurement, every minute, each in a process with a deadline, not
before a driver is bound. An idle chip sleeps in D3 and is woken for it. Never used: `run`, `benchmark`, `measure-power
--duration` (resets the power sensor under another measurement), `fw-control reset`, and VDevice, which takes the DMA:
production could not start.

hw.id is the PCI address, as HailoRT names devices. The serial number never leaves the source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from edgemon import catalog, hardware
from edgemon.metric import Reading
from edgemon.platforms import Platform, Sensor
from edgemon.sysfs import Root

VENDOR = "0x1e60"
DRIVERS = ("hailo", "hailo1x")
HEX = re.compile(r"0x[0-9a-f]{4}", re.ASCII)
MODELS = {"0x2864": "Hailo-8", "0x45c4": "Hailo-10H", "0x43a2": "Hailo-15L"}
VERSION = re.compile(r"\d{1,4}\.\d{1,4}\.\d{1,6}", re.ASCII)
ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", re.ASCII)
DEVICE = re.compile(r"Executing on device: (\S+)")
FIRMWARE = re.compile(rf"^Firmware Version: ({VERSION.pattern})\b", re.MULTILINE | re.ASCII)
ARCHITECTURE = re.compile(r"^Device Architecture: (HAILO[0-9A-Z]{1,8})\s*$", re.MULTILINE | re.ASCII)
TROUBLES = {
    "driver_mismatch": re.compile(
        r"Driver version \(\S+\) is different from library version|HAILO_INVALID_DRIVER_VERSION"
    ),
    "firmware_mismatch": re.compile(r"Unsupported firmware operation\. Host: \S+, Device: |HAILO_INVALID_FIRMWARE\b"),
}
HOT, STRONG = (-55.0, 250.0), (0.0, 100.0)
NAMES = {"ts0": HOT, "ts1": HOT, "power": STRONG}
STATES = ("ok", "unready", "failed")


class Board(NamedTuple):
    """A device on the bus; `driver` is the version of the bound driver, empty when none is."""

    address: str
    name: str
    pci: str
    driver: str


class Chip(NamedTuple):
    """What the firmware says of itself."""

    model: str = ""
    firmware: str = ""
    trouble: str = ""


def detect(root: Root) -> bool:
    """Any PCI device of Hailo's vendor id."""
    return bool(addresses(root))


def addresses(root: Root) -> list[str]:
    """/sys/bus/pci/devices/*/vendor, hex with 0x."""
    found = root.glob("/sys/bus/pci/devices/*")
    return [path for path in found if root.fixed(f"{path}/vendor") == VENDOR]


def boards(root: Root) -> Iterator[Board]:
    """Every device, with its driver's version: …/driver/module is /sys/module/hailo_pci or hailo1x_pci.

    A device given to a virtual machine is bound to vfio-pci: for us it has no driver.
    """
    for path in addresses(root):
        device = root.fixed(f"{path}/device") or ""
        version = root.fixed(f"{path}/driver/module/version") or ""
        bound = root.link(f"{path}/driver").rpartition("/")[2] in DRIVERS
        address = path.rpartition("/")[2]
        driver = "" if not bound else version if VERSION.fullmatch(version) else "unknown"
        if ADDRESS.fullmatch(address) and HEX.fullmatch(device):
            yield Board(address, MODELS.get(device, "Hailo"), f"{VENDOR[2:]}:{device[2:]}", driver)


def identity(root: Root) -> Iterator[Reading]:
    """Driver from sysfs; firmware and architecture from `hailortcli fw-control identify`; and whether they fit.

    Without hailortcli a bound driver is ok: it makes the device node only after the firmware has started.
    """
    found = list(boards(root))
    said = root.call("edgemon.sources.hailo.identify") if any(board.driver for board in found) else None
    known = chips(said if isinstance(said, str) else "")
    rest = known.get("", Chip())
    for board in found:
        chip = known.get(board.address, rest)
        labels = (board.address, board.name, "npu")
        trouble = chip.trouble or rest.trouble
        if trouble:
            root.errors[trouble] += 1
        driver = board.driver if board.driver != "unknown" else ""
        model = chip.model or board.pci
        yield hardware.ACCELERATOR_INFO(1.0, *labels, "Hailo", model, driver, chip.firmware)
        now = "failed" if trouble else "ok" if board.driver else "unready"
        for state in STATES:
            yield hardware.ACCELERATOR_STATE(float(state == now), *labels, state)


def chips(said: str) -> dict[str, Chip]:
    """What was said by device; by "" what was said before any, which holds for the devices not named.

    `CHECK failed - Driver version (4.20.0) is different from library version (4.19.0)` names none: HailoRT cannot open.
    """
    head, *parts = DEVICE.split(said)
    pairs = zip(["", *parts[::2]], [head, *parts[1::2]], strict=True)
    return {address: chip(text) for address, text in pairs}


def chip(text: str) -> Chip:
    """Firmware, architecture and trouble in a piece of output."""
    firmware, model = FIRMWARE.search(text), ARCHITECTURE.search(text)
    trouble = next((name for name, sign in TROUBLES.items() if sign.search(text)), "")
    return Chip(model[1] if model else "", firmware[1] if firmware else "", trouble)


def utilization(root: Root) -> Iterator[Reading]:
    """Share of time the scheduler kept the device busy, %: only from processes that run with HAILO_MONITOR=1.

    Their files are read, the device is not touched. Absent, not zero, when no process says anything.
    """
    shares: dict[object, float] = {}
    for row in rows(root, "edgemon.sources.hailo.monitor"):
        percent = number(row.get("percent"), (0.0, 110.0))  # the second it is measured over is not exact
        if percent is None:
            root.errors["implausible"] += 1
        else:
            shares[row["id"]] = shares.get(row["id"], 0.0) + percent
    for board in boards(root) if shares else ():
        if board.address in shares:
            yield hardware.UTILIZATION(min(1.0, shares[board.address] / 100), board.address, board.name, "npu")


def measurements(root: Root) -> Iterator[Reading]:
    """Both temperature sensors of the chip, °C, and its power, W, where the module has an INA231 (an 8L has none)."""
    here = {board.address: board for board in boards(root) if board.driver}
    for row in rows(root, "edgemon.sources.hailo.measure") if here else ():
        board, name = here.get(str(row["id"])), row.get("name")
        if board is None or name not in NAMES:
            continue
        value = number(row.get("value"), NAMES[name])
        if value is None:
            root.errors["implausible"] += 1
        elif name == "power":
            yield catalog.POWER(value, f"{board.address}/power", board.name, "")
        else:
            yield catalog.TEMPERATURE(value, f"{board.address}/{name}", f"{board.name} {name}", board.address)


def rows(root: Root, source: str) -> list[dict[str, Any]]:
    """The rows of a source that have an id that can be a key."""
    answer = root.call(source)
    found = answer if isinstance(answer, list) else []
    return [row for row in found if isinstance(row, dict) and isinstance(row.get("id"), str)]


def number(value: object, span: tuple[float, float]) -> float | None:
    """A number within its span; nan is in none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if span[0] <= value <= span[1] else None


PLATFORM = Platform(
    "hailo",
    detect,
    (
        Sensor("identity", identity, every=60),
        Sensor("utilization", utilization),
        Sensor("measurements", measurements, every=60),
    ),
    {
        "driver_mismatch": "HailoRT and the driver are of different releases: install hailort and hailort-pcie-driver "
        "(Raspberry Pi: hailo-all) of one release, and reboot",
        "firmware_mismatch": "the firmware is of another release than HailoRT: install hailofw or hailort-pcie-driver "
        "of the same release, and power off and on",
        "unready": "the chip has no driver: install hailort-pcie-driver (Raspberry Pi: hailo-all), then modprobe "
        "hailo_pci (Hailo-10H: hailo1x_pci); a kernel update needs it built again",
        "failed": "HailoRT refuses the chip: see `hailortcli fw-control identify` and dmesg",
        "measurements absent": "temperature and power need HailoRT's Python (python3-hailort, or the hailort wheel in "
        "edgemon's Python) of the driver's release",
        "utilization absent": "utilization is told only of programs that run with HAILO_MONITOR=1 in their environment",
        "ETIMEDOUT": "HailoRT does not answer: see dmesg; end the program that holds the device, or power off and on",
        "denied": "/dev/hailo0 is closed to edgemon's user: give it the device's group by a udev rule",
    },
)
