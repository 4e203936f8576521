"""The kernel's hardware classes: thermal zones, cooling devices, sensor chips, energy counters, supplies, flash wear.

The numbers hwmonN, thermal_zoneN and cooling_deviceN change from boot to boot, so none of them is an identity. A zone
and a cooling device are known by their type, a chip by its name and the device it sits on; equals are told apart by
their order (`acpitz#0`, `acpitz#1`). A chip that only repeats a thermal zone or a power supply is left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from edgemon import catalog
from edgemon.metric import Metric, Reading
from edgemon.platforms import Platform, Sensor
from edgemon.sysfs import Root


class Span(NamedTuple):
    """How many raw units make one base unit, and what hardware can mean, in base units."""

    per: float
    low: float
    high: float


CELSIUS, DECIDEGREES = Span(1e3, -55, 250), Span(10, -55, 250)
LIMIT = Span(1e3, 0.001, 250)  # an upper limit of 0 or less is one that was never set
RPM, DUTY = Span(1, 0, 50_000), Span(255, 0, 1)
MILLIVOLTS, MICROVOLTS = Span(1e3, -1e3, 1e3), Span(1e6, -1e3, 1e3)
MILLIAMPERES, MICROAMPERES = Span(1e3, -1e3, 1e3), Span(1e6, -1e3, 1e3)
MICROWATTS, MICROWATTHOURS, MICROJOULES = Span(1e6, -1e5, 1e5), Span(1e6 / 3600, 0, 1e9), Span(1e6, 0, 1e13)
LEVELS, ONLINE, PERCENT = Span(1, 0, 65_534), Span(1, 0, 2), Span(100, 0, 1)

CHANNELS: dict[str, tuple[Metric, Span]] = {
    "temp": (catalog.TEMPERATURE, CELSIUS),
    "fan": (catalog.FAN_SPEED, RPM),
    "pwm": (catalog.FAN_RATIO, DUTY),
    "in": (catalog.VOLTAGE, MILLIVOLTS),
    "curr": (catalog.CURRENT, MILLIAMPERES),
    "power": (catalog.POWER, MICROWATTS),
    "energy": (catalog.ENERGY, MICROJOULES),
}
DIGITS = "0123456789"
WHOLE = (catalog.POWER, catalog.ENERGY)
PSEUDO = frozenset({"in4", "in5", "in6", "in7", "curr4"})
LIMITS = (("_max", "high.degraded"), ("_crit", "high.critical"), ("_emergency", "max"))
TRIPS = {"critical": "high.critical", "hot": "high.degraded", "passive": "throttled"}
SUPPLY: dict[str, tuple[Metric, Span]] = {
    "capacity": (catalog.BATTERY_CHARGE, PERCENT),
    "voltage_now": (catalog.VOLTAGE, MICROVOLTS),
    "current_now": (catalog.CURRENT, MICROAMPERES),
    "power_now": (catalog.POWER, MICROWATTS),
    "energy_now": (catalog.BATTERY_ENERGY, MICROWATTHOURS),
    "temp": (catalog.TEMPERATURE, DECIDEGREES),
}
BYTES = re.compile(r"0x[0-9a-fA-F]{2}( 0x[0-9a-fA-F]{2})?")
STATES = frozenset({"Unknown", "Charging", "Discharging", "Not charging", "Full"})
HERE = ("/sys/class/thermal", "/sys/class/hwmon", "/sys/class/powercap", "/sys/class/power_supply")


def detect(root: Root) -> bool:
    """Any of the classes, or flash that tells its wear."""
    return any(map(root.exists, HERE)) or bool(root.glob("/sys/block/mmcblk*/device/life_time"))


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


def zones(root: Root) -> list[tuple[str, str, str]]:
    """Path, identity and type of each thermal zone that is not switched off."""
    found = typed(root, "/sys/class/thermal/thermal_zone*")
    return [zone for zone in found if root.fixed(f"{zone[0]}/mode") != "disabled"]


def thermal(root: Root) -> Iterator[Reading]:
    """/sys/class/thermal/thermal_zone*/temp, m°C (Documentation/driver-api/thermal/sysfs-api.rst).

    EAGAIN and EINVAL are usual answers of a part that sleeps. The PMIC of Jetson Nano, TX2 and Xavier has alarms but no
    thermometer: max77620_thermal.c says 100 °C for "no alarm" (120 and 140 are the alarms), which is no temperature.
    """
    for path, ident, kind in zones(root):
        value = read(root, f"{path}/temp", CELSIUS)
        alarm = value == 100 and kind.lower().startswith("pmic")
        yield catalog.TEMPERATURE(None if alarm else value, ident, kind, "")


def cooling(root: Root) -> Iterator[Reading]:
    """/sys/class/thermal/cooling_device*/{cur,max}_state, steps (Documentation/driver-api/thermal/sysfs-api.rst)."""
    for path, ident, kind in typed(root, "/sys/class/thermal/cooling_device*"):
        yield catalog.COOLING_LEVEL(read(root, f"{path}/cur_state", LEVELS), ident, kind)
        yield catalog.COOLING_LIMIT(plausible(root.fixed_number(f"{path}/max_state"), LEVELS), ident, kind)


def chips(root: Root) -> dict[str, tuple[str, str]]:
    """Identity and name of every chip by path, except those that repeat a thermal zone or a power supply."""
    types, found = {kind.replace("-", "_") for _, _, kind in typed(root, "/sys/class/thermal/thermal_zone*")}, []
    for path in root.glob("/sys/class/hwmon/hwmon*"):
        name, device = title(root, f"{path}/name", ""), root.link(f"{path}/device")
        place = base(device) if base(device) != "device" else ""
        if "/power_supply/" in device or place.startswith("thermal_zone") or (not place and name in types):
            continue
        found.append((path, "-".join(filter(None, (name, place))) or base(path), name or place))
    idents = distinct(tuple(ident for _, ident, _ in found))
    return {path: (ident, name) for (path, _, name), ident in zip(found, idents, strict=True)}


def channels(root: Root, *patterns: str) -> Iterator[tuple[str, str, str, str]]:
    """File, channel (`temp1`), label and chip of every channel whose file matches.

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
        if channel.rstrip(DIGITS) in CHANNELS and label != "NC" and not (chip == "ina3221" and channel in PSEUDO):
            yield path, channel, label, ident


def sensors(root: Root) -> Iterator[Reading]:
    """/sys/class/hwmon/hwmon*/{temp,fan,in,curr,power,energy}N_input, powerN_average, pwmN.

    m°C, rpm, mV, mA, µW, µJ, pwm 0..255 (Documentation/hwmon/sysfs-interface.rst). A channel whose `_fault` is 1 is
    absent. Power and energy have no parent, since hw.parent is where another power contains this one.
    """
    faults = root.glob("/sys/class/hwmon/hwmon*/*_fault")
    inputs = root.glob("/sys/class/hwmon/hwmon*/power*_input")
    for path, channel, label, chip in channels(root, "*_input", "power*_average", "pwm*[0-9]"):
        if path.endswith("_average") and path.replace("_average", "_input") in inputs:
            continue
        metric, span = CHANNELS[channel.rstrip(DIGITS)]
        fault = path.replace("_input", "_fault")
        value = None if fault in faults and root.text(fault) == "1" else read(root, path, span)
        yield metric(value, f"{chip}/{channel}", label, "" if metric in WHOLE else chip)


def limits(root: Root) -> Iterator[Reading]:
    """Temperatures at which something happens, m°C: trip points of zones, limits of chips. They rarely change.

    thermal_zone*/trip_point_*_{type,temp} (Documentation/driver-api/thermal/sysfs-api.rst): critical shuts down, hot
    warns, passive throttles; of several the lowest, which comes first. An active trip only starts a fan: no limit.
    hwmon*/tempN_{max,crit,emergency} (Documentation/hwmon/sysfs-interface.rst): the chip warns, is in danger, and must
    not be hotter.
    """
    for path, ident, kind in zones(root):
        for limit, value in trips(root, path).items():
            yield catalog.TEMPERATURE_LIMIT(value, ident, kind, limit)
    for path, channel, label, chip in channels(root, "temp*_input"):
        for suffix, limit in LIMITS:
            bound = plausible(root.fixed_number(path.replace("_input", suffix)), LIMIT)
            if bound is not None:
                yield catalog.TEMPERATURE_LIMIT(bound, f"{chip}/{channel}", label, limit)


def trips(root: Root, zone: str) -> dict[str, float]:
    """The lowest plausible trip point by kind of limit."""
    lowest: dict[str, float] = {}
    for path in root.glob(f"{zone}/trip_point_*_type"):
        limit = TRIPS.get(root.fixed(path) or "")
        value = plausible(root.fixed_number(f"{path[:-4]}temp"), LIMIT) if limit else None
        if limit and value is not None:
            lowest[limit] = min(value, lowest.get(limit, value))
    return lowest


def energy(root: Root) -> Iterator[Reading]:
    """/sys/class/powercap/intel-rapl:*/energy_uj, µJ (Documentation/power/powercap/powercap.rst); AMD has it as well.

    The counter wraps at max_energy_range_uj (after an hour at 70 W) and is exported as it is: Prometheus and
    OpenTelemetry take the fall for a restart from zero, which a wrap is, and lose at most what one interval used.
    Unwrapping would need a memory that a restart loses anyway. DRAM is listed inside the package but not counted by it.
    Only root may read (EACCES): state `denied`. intel-rapl-mmio repeats the same counters and is left out.
    """
    for path in root.glob("/sys/class/powercap/intel-rapl:*"):
        ident, name = base(path), title(root, f"{path}/name", "")
        turn = plausible(root.fixed_number(f"{path}/max_energy_range_uj"), MICROJOULES)
        value = read(root, f"{path}/energy_uj", MICROJOULES if turn is None else Span(1e6, 0, turn))
        parent = ident.rpartition(":")[0] if ident.count(":") > 1 and name != "dram" else ""
        yield catalog.ENERGY(value, ident, name, parent)


def supplies(root: Root) -> Iterator[Reading]:
    """/sys/class/power_supply/*/*, µV, µA, µW, µWh, %, 0.1 °C (Documentation/ABI/testing/sysfs-class-power).

    Batteries of mice and the like (scope `Device`) are not ours. An embedded controller takes ms: not read often.
    """
    for path in root.glob("/sys/class/power_supply/*"):
        if root.fixed(f"{path}/scope") != "Device":
            yield from supply(root, path, base(path), title(root, f"{path}/type", ""))


def supply(root: Root, path: str, ident: str, kind: str) -> Iterator[Reading]:
    """What one supply tells; `online` 2 is online with a programmable voltage."""
    for file in root.glob(f"{path}/*"):
        name = base(file)
        if name in SUPPLY:
            metric, span = SUPPLY[name]
            yield metric(read(root, file, span), *(ident, kind, "")[: len(metric.labels)])
        elif name == "online":
            online = read(root, file, ONLINE)
            yield catalog.SUPPLY_ONLINE(None if online is None else float(online > 0), ident, kind)
        elif name == "status":
            state = root.text(file) or ""
            if state in STATES:
                yield catalog.SUPPLY_STATE(1.0, ident, kind, state.lower().replace(" ", "_"))


def wear(root: Root) -> Iterator[Reading]:
    """/sys/block/mmcblk*/device/{life_time,pre_eol_info}, hex bytes (drivers/mmc/core/mmc.c; JEDEC JESD84-B51, 7.4).

    life_time has the areas A and B: 0x01 is up to 10 % used, 0x0a up to 100 %, 0x0b beyond, 0x00 unknown.
    """
    for path in root.glob("/sys/block/mmcblk*/device/life_time"):
        disk, folder = path.split("/")[3], path[:-9]
        if not disk[6:].isdecimal():  # mmcblk0boot0 and its like share the chip of mmcblk0
            continue
        for area, step in zip("ab", steps(root, path, 0x0B), strict=False):
            yield catalog.DISK_WEAR(None if step is None else step / 10, disk, area)
        for level in steps(root, f"{folder}pre_eol_info", 3):
            yield catalog.DISK_PRE_EOL(level, disk)


def steps(root: Root, path: str, highest: int) -> list[int | None]:
    """The hex bytes in a file; one outside 1..highest is None, what is no hex byte is counted."""
    text = root.text(path) or ""
    if text and not BYTES.fullmatch(text):
        root.errors["unparsable"] += 1
        return []
    return [value if 1 <= (value := int(word, 16)) <= highest else None for word in text.split()]


PLATFORM = Platform(
    "hwmon",
    detect,
    (
        Sensor("thermal", thermal),
        Sensor("cooling", cooling),
        Sensor("sensors", sensors),
        Sensor("limits", limits, every=30),
        Sensor("energy", energy),
        Sensor("supplies", supplies, every=10),
        Sensor("wear", wear, every=600),
    ),
)
