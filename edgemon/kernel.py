"""The kernel's hardware classes as they are read: numbers with a unit and bounds, names, sensor chips and channels.

The numbers hwmonN, thermal_zoneN and cooling_deviceN change from boot to boot, so none of them is an identity. A zone
and a cooling device are known by their type, a chip by its name and the device it sits on; equals are told apart by
their order (`acpitz#0`, `acpitz#1`). A chip that only repeats a thermal zone or a power supply is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator
from functools import lru_cache
from typing import NamedTuple

from edgemon.sysfs import Root

DIGITS = "0123456789"
PSEUDO = frozenset({"in4", "in5", "in6", "in7", "curr4"})


class Span(NamedTuple):
    """How many raw units make one base unit, and what hardware can mean, in base units."""

    per: float
    low: float
    high: float


def plausible(raw: float | None, span: Span) -> float | None:
    """The value in base units, or None for what hardware says when it does not know.

    Out of the span are -256 °C (Jetson, zone switched off), -273.15 and 65261.85 °C (NVMe, limit not set), -127 °C
    (no sensor on the wire), -1 (cooling device asleep) and what wrapped around; 65535 is 16 bits that are all ones.
    """
    if raw is None or raw == 65535:
        return None
    value = raw / span.per
    return value if span.low <= value <= span.high else None


def read(root: Root, path: str, span: Span) -> float | None:
    """The number in a file, checked; an implausible one is counted."""
    raw = root.number(path)
    value = plausible(raw, span)
    if value is None and raw is not None:
        root.errors["implausible"] += 1
    return value


def base(path: str) -> str:
    """The last part of a path."""
    return path.rpartition("/")[2]


def title(root: Root, path: str, otherwise: str) -> str:
    """A name or label as the kernel gives it, if it can be shown; 64 characters are enough for any."""
    text = root.fixed(path)
    return text[:64] if text and text.isprintable() else otherwise


@lru_cache(maxsize=64)
def distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names that occur once stay; equals are numbered in their order: `acpitz#0`, `acpitz#1`."""
    total, seen = Counter(names), Counter[str]()
    result = []
    for name in names:
        result.append(f"{name}#{seen[name]}" if total[name] > 1 else name)
        seen[name] += 1
    return tuple(result)


def typed(root: Root, pattern: str) -> list[tuple[str, str, str]]:
    """Path, identity and type of each zone or cooling device."""
    paths = root.glob(pattern)
    kinds = tuple(title(root, f"{path}/type", base(path)) for path in paths)
    return list(zip(paths, distinct(kinds), kinds, strict=True))


def chips(root: Root) -> dict[str, tuple[str, str]]:
    """Identity and name of every chip by path, less those that sleep, or repeat a thermal zone or a power supply."""
    types, found = {kind.replace("-", "_") for _, _, kind in typed(root, "/sys/class/thermal/thermal_zone*")}, []
    for path in root.glob("/sys/class/hwmon/hwmon*"):
        name, device = title(root, f"{path}/name", ""), root.link(f"{path}/device")
        place = base(device) if base(device) != "device" else ""
        if "/power_supply/" in device or place.startswith("thermal_zone") or (not place and name in types):
            continue
        if (root.fixed(f"{path}/device/class") or "").startswith("0x03") and root.asleep(f"{path}/device"):
            continue  # a GPU, which reading its chip would wake
        found.append((path, "-".join(filter(None, (name, place))) or base(path), name or place))
    idents = distinct(tuple(ident for _, ident, _ in found))
    return {path: (ident, name) for (path, _, name), ident in zip(found, idents, strict=True)}


def channels(root: Root, kinds: Container[str], *patterns: str) -> Iterator[tuple[str, str, str, str]]:
    """File, channel (`temp1`), label and chip of every channel of these kinds (`temp`) whose file matches.

    INA3221's in4..in6 are shunt voltages in µV, in7 and curr4 sums over rails that contain each other
    (Documentation/hwmon/ina3221.rst): neither is of anything. Its rails are named by inN_label only; NC is no rail.
    """
    paths = [path for pattern in patterns for path in root.glob(f"/sys/class/hwmon/hwmon*/{pattern}")]
    known = chips(root) if paths else {}
    for path in paths:
        place, _, file = path.rpartition("/")
        channel = file.partition("_")[0]
        ident, chip = known.get(place, ("", ""))
        rail = f"in{channel[-1]}" if chip == "ina3221" else channel
        label = title(root, f"{place}/{rail}_label", f"{chip} {channel}") if ident else "NC"
        if channel.rstrip(DIGITS) in kinds and label != "NC" and not (chip == "ina3221" and channel in PSEUDO):
            yield path, channel, label, ident
