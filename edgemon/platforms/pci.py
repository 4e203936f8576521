"""PCIe links of accelerators: a card that runs on fewer lanes, or at a lower speed, than card and slot can do.

/sys/bus/pci/devices/*/{current,max}_link_{speed,width} (Documentation/ABI/testing/sysfs-bus-pci), open to all.
A Hailo on a Raspberry Pi 5 without `dtparam=pciex1_gen=3`, a card that trained to x1 in a worn slot: inference is slow
and no other file says why. What the link could do is the lesser of the device and of the port above it. GPUs lower the
speed of an idle link to save power, so that a low speed means something only under load; a missing lane always does.

Accelerators are the classes display (0x03), co-processor (0x0b40: Hailo), processing accelerator (0x12: NPUs), and the
Coral, which calls itself a system peripheral. A device that is suspended is left asleep.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgemon import hardware
from edgemon.kernel import base
from edgemon.metric import Metric, Reading
from edgemon.platforms import Platform, Sensor
from edgemon.sysfs import Root

CLASS = re.compile(r"0x(03|12|0b40)[0-9a-f]{2,4}")
CORAL = ("0x1ac1", "0x089a")
ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
SPEED = re.compile(r"(\d{1,3}(?:\.\d)?) GT/s(?: PCIe)?")
LANES = frozenset({1, 2, 4, 8, 12, 16, 32})


def detect(root: Root) -> bool:
    """An accelerator with a link."""
    return bool(devices(root))


def devices(root: Root) -> list[str]:
    """Every accelerator on the bus that has a PCIe link; the virtual functions of a card share that of the card."""
    paths = [path for path in root.glob("/sys/bus/pci/devices/*") if ADDRESS.fullmatch(base(path))]
    return [path for path in paths if accelerator(root, path) and root.exists(f"{path}/current_link_width")]


def accelerator(root: Root, path: str) -> bool:
    """By class, and the Coral by its ids."""
    kind, ids = root.fixed(f"{path}/class") or "", (root.fixed(f"{path}/vendor"), root.fixed(f"{path}/device"))
    return CLASS.fullmatch(kind) is not None or ids == CORAL


def link(root: Root) -> Iterator[Reading]:
    """Transfers a second and lanes of each link: now, and the most that device and port can do."""
    for path in devices(root):
        if root.asleep(path):
            continue
        port = root.link(path).rpartition("/")[0]
        ends = [path, port] if ADDRESS.fullmatch(base(port)) else [path]
        yield hardware.LINK_TRANSFERS(speed(root, root.text(f"{path}/current_link_speed")), base(path))
        yield hardware.LINK_WIDTH(width(root, root.text(f"{path}/current_link_width")), base(path))
        yield most(
            hardware.LINK_TRANSFERS_LIMIT, [speed(root, root.fixed(f"{end}/max_link_speed")) for end in ends], path
        )
        yield most(hardware.LINK_WIDTH_LIMIT, [width(root, root.fixed(f"{end}/max_link_width")) for end in ends], path)


def most(metric: Metric, ends: list[float | None], path: str) -> Reading:
    """What both ends can do."""
    return metric(min((end for end in ends if end is not None), default=None), base(path))


def speed(root: Root, text: str | None) -> float | None:
    """`8.0 GT/s PCIe` in transfers a second; `Unknown` is none."""
    found = SPEED.fullmatch(text or "")
    value = float(found[1]) * 1e9 if found else 0.0
    if text not in {None, "Unknown", "Unknown speed"} and not 1e9 <= value <= 1e12:
        root.errors["implausible" if found else "unparsable"] += 1
    return value if 1e9 <= value <= 1e12 else None


def width(root: Root, text: str | None) -> float | None:
    """Lanes; 0 and all ones are a device that is gone."""
    value = root.parse(text)
    if value is None or value in LANES:
        return value
    root.errors["implausible"] += 1
    return None


PLATFORM = Platform("pci", detect, (Sensor("link", link, every=10),))
