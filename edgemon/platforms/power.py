"""Power and energy as the kernel tells them: sensor chips, RAPL's counters, supplies and batteries."""

from __future__ import annotations

from collections.abc import Iterator

from edgemon import catalog
from edgemon.kernel import DIGITS, Span, base, channels, plausible, read, title
from edgemon.metric import Metric, Reading
from edgemon.platforms import Platform, Sensor
from edgemon.sysfs import Root

MICROVOLTS, MICROAMPERES = Span(1e6, -1e3, 1e3), Span(1e6, -1e3, 1e3)
MICROWATTS, MICROWATTHOURS, MICROJOULES = Span(1e6, -1e5, 1e5), Span(1e6 / 3600, 0, 1e9), Span(1e6, 0, 1e13)
DECIDEGREES, ONLINE, PERCENT = Span(10, -55, 250), Span(1, 0, 2), Span(100, 0, 1)
CHANNELS: dict[str, tuple[Metric, Span]] = {
    "power": (catalog.POWER, MICROWATTS),
    "energy": (catalog.ENERGY, MICROJOULES),
}
FILES = ("power*_input", "power*_average", "energy*_input")
SUPPLY: dict[str, tuple[Metric, Span]] = {
    "capacity": (catalog.BATTERY_CHARGE, PERCENT),
    "voltage_now": (catalog.VOLTAGE, MICROVOLTS),
    "current_now": (catalog.CURRENT, MICROAMPERES),
    "power_now": (catalog.SUPPLY_POWER, MICROWATTS),
    "energy_now": (catalog.BATTERY_ENERGY, MICROWATTHOURS),
    "temp": (catalog.TEMPERATURE, DECIDEGREES),
}
STATES = frozenset({"Unknown", "Charging", "Discharging", "Not charging", "Full"})
HERE = ("/sys/class/powercap", "/sys/class/power_supply")


def detect(root: Root) -> bool:
    """A counter, a supply, or a chip that measures power or energy."""
    return any(map(root.exists, HERE)) or any(root.glob(f"/sys/class/hwmon/hwmon*/{one}") for one in FILES)


def rails(root: Root) -> Iterator[Reading]:
    """/sys/class/hwmon/hwmon*/{power,energy}N_input, powerN_average: µW, µJ (Documentation/hwmon/sysfs-interface.rst).

    hw.parent is where another power contains this one. A channel with both is one rail: its energy bears the id of its
    power.
    """
    whole = {path.rpartition("_")[0] for path in root.glob("/sys/class/hwmon/hwmon*/power*_input")}
    taken = whole | {path.rpartition("_")[0] for path in root.glob("/sys/class/hwmon/hwmon*/power*_average")}
    for path, channel, label, chip in channels(root, CHANNELS, *FILES):
        if path.endswith("_average") and path.removesuffix("_average") in whole:
            continue
        metric, span = CHANNELS[channel.rstrip(DIGITS)]
        twin = channel.replace("energy", "power")
        ident = twin if f"{path.rpartition('/')[0]}/{twin}" in taken else channel
        yield metric(read(root, path, span), f"{chip}/{ident}", label, container(root, path, chip))


def container(root: Root, path: str, chip: str) -> str:
    """The rail that a power or energy is part of, or nothing.

    xe and i915 count a card (`card`) and the package on it (`pkg`; Documentation/ABI/testing/sysfs-driver-intel-xe-
    hwmon). What amdgpu says of an APU, which alone has the rail vddnb, is the power of the whole processor, and that is
    RAPL's package as well, where it may be read.
    """
    place, _, file = path.rpartition("/")
    label = root.fixed(f"{place}/{file.partition('_')[0]}_label")
    if label == "pkg":
        cards = [one for one in root.glob(f"{place}/energy*_label") if root.fixed(one) == "card"]
        return f"{chip}/{base(cards[0]).partition('_')[0]}" if cards else ""
    apu = root.fixed(f"{place}/name") == "amdgpu" and root.fixed(f"{place}/in1_label") == "vddnb"
    package = "/sys/class/powercap/intel-rapl:0"
    return base(package) if apu and root.view().fixed(f"{package}/energy_uj") else ""


def rapl(root: Root) -> Iterator[Reading]:
    """/sys/class/powercap/intel-rapl:*/energy_uj, µJ (Documentation/power/powercap/powercap.rst); AMD has it as well.

    The counter wraps at max_energy_range_uj (after an hour at 70 W) and is exported as it is: Prometheus and
    OpenTelemetry take the fall for a restart from zero, which a wrap is, and lose at most what one interval used.
    Unwrapping would need a memory that a restart loses anyway. DRAM is listed inside the package but not counted by it;
    psys, the whole platform, contains all.
    Only root may read (EACCES): state `denied`. intel-rapl-mmio repeats the same counters and is left out.
    """
    paths = root.glob("/sys/class/powercap/intel-rapl:*")
    psys = next((base(path) for path in paths if root.fixed(f"{path}/name") == "psys"), "")
    for path in paths:
        ident, name = base(path), title(root, f"{path}/name", "")
        turn = plausible(root.fixed_number(f"{path}/max_energy_range_uj"), MICROJOULES)
        value = read(root, f"{path}/energy_uj", MICROJOULES if turn is None else Span(1e6, 0, turn))
        yield catalog.ENERGY(value, ident, name, inside(ident, name, psys))


def inside(ident: str, name: str, psys: str) -> str:
    """The RAPL domain that counts this one as well: the package for its parts, `psys`, the platform, for all else."""
    if ident.count(":") > 1 and name != "dram":
        return ident.rpartition(":")[0]
    return psys if ident != psys else ""


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


PLATFORM = Platform(
    "power",
    detect,
    (
        Sensor("rails", rails, power=0.1),
        Sensor("rapl", rapl, power=0.1),
        Sensor("supplies", supplies, every=10),
    ),
    {
        "rapl denied": "these counters are root's since Linux 5.10 (CVE-2020-8694): run as root or, under systemd, "
        "AmbientCapabilities=CAP_DAC_READ_SEARCH, or chgrp and chmod g+r energy_uj at boot (tmpfiles.d)",
    },
)
