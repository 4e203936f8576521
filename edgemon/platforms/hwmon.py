"""Thermal zones, cooling devices, sensor chips and flash wear, from the kernel; power and energy are `power`'s."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgemon import catalog
from edgemon.kernel import DIGITS, Span, channels, plausible, read, typed
from edgemon.metric import Metric, Reading
from edgemon.platforms import Platform, Sensor
from edgemon.sysfs import Root

CELSIUS = Span(1e3, -55, 250)
LIMIT = Span(1e3, 0.001, 250)  # an upper limit of 0 or less is one that was never set
RPM, DUTY = Span(1, 0, 50_000), Span(255, 0, 1)
MILLIVOLTS, MILLIAMPERES = Span(1e3, -1e3, 1e3), Span(1e3, -1e3, 1e3)
LEVELS = Span(1, 0, 65_534)

CHANNELS: dict[str, tuple[Metric, Span]] = {
    "temp": (catalog.TEMPERATURE, CELSIUS),
    "fan": (catalog.FAN_SPEED, RPM),
    "pwm": (catalog.FAN_RATIO, DUTY),
    "in": (catalog.VOLTAGE, MILLIVOLTS),
    "curr": (catalog.CURRENT, MILLIAMPERES),
}
LIMITS = (("_max", "high.degraded"), ("_crit", "high.critical"), ("_emergency", "max"))
TRIPS = {"critical": "high.critical", "hot": "high.degraded", "passive": "throttled"}
BYTES = re.compile(r"0x[0-9a-fA-F]{2}( 0x[0-9a-fA-F]{2})?")
HERE = ("/sys/class/thermal", "/sys/class/hwmon")


def detect(root: Root) -> bool:
    """Either class, or flash that tells its wear."""
    return any(map(root.exists, HERE)) or bool(root.glob("/sys/block/mmcblk*/device/life_time"))


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


def sensors(root: Root) -> Iterator[Reading]:
    """/sys/class/hwmon/hwmon*/{temp,fan,in,curr}N_input, pwmN: m°C, rpm, mV, mA, 0..255.

    Documentation/hwmon/sysfs-interface.rst. A channel whose `_fault` is 1 is absent.
    """
    faults = root.glob("/sys/class/hwmon/hwmon*/*_fault")
    for path, channel, label, chip in channels(root, CHANNELS, "*_input", "pwm*[0-9]"):
        metric, span = CHANNELS[channel.rstrip(DIGITS)]
        fault = path.replace("_input", "_fault")
        value = None if fault in faults and root.text(fault) == "1" else read(root, path, span)
        yield metric(value, f"{chip}/{channel}", label, chip)


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
    for path, channel, label, chip in channels(root, CHANNELS, "temp*_input"):
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
        Sensor("wear", wear, every=600),
    ),
)
