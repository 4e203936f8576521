"""Power supply: under-voltage, a supply too weak for the board, a battery."""

from __future__ import annotations

from collections.abc import Iterator

from edgemon import catalog, hardware
from edgemon.doctor import NOTE, OK, PROBLEM, WARNING, Finding, Group, Patient, listed
from edgemon.inventory import Series
from edgemon.sysfs import Root

STRONGER = "use the board's own supply and a short, thick cable; take hungry USB devices to a powered hub"
LEAST = 4.75
"""V at the 5 V input: USB's 5 V less 5 %; below 4.63 V the firmware of a Raspberry Pi calls it under-voltage."""
CHOSEN = "/proc/device-tree/chosen/power"
FULL = 5000
"""mA of the Pi 5's own supply; with one that offers less, USB devices get 600 mA in all unless told otherwise."""
LOW = 0.2


def examine(patient: Patient) -> Iterator[Finding]:
    """Under-voltage, then what the supply gives and offers, then batteries."""
    yield from undervoltage(patient)
    yield from input_volts(patient)
    yield from negotiated(patient.root)
    yield from batteries(patient)


def undervoltage(patient: Patient) -> Iterator[Finding]:
    """Flags now and since boot, and events counted: of what flags there are, or that all are clear."""
    told, bad = list[Series](), False
    for metric, severity, what in (
        (hardware.THROTTLED, PROBLEM, "the supply's voltage is too low now"),
        (hardware.THROTTLED_BOOT, WARNING, "the supply's voltage was too low since boot"),
        (hardware.THROTTLE_EVENTS, WARNING, "the supply's voltage was too low, as is counted"),
    ):
        every = [one for one in patient.stock.of(metric) if one.labels["cause"] == "undervoltage"]
        on = [one for one in every if one.value]
        if on:
            yield Finding(severity, f"{what} ({listed(one.labels['hw_name'] for one in on)})", listed(on), STRONGER)
        told, bad = told + every, bad or bool(on)
    if told and not bad:
        yield Finding(OK, "no under-voltage, now or as far as is remembered", listed(told))


def input_volts(patient: Patient) -> Iterator[Finding]:
    """The Pi 5's 5 V input, as its PMIC measures it."""
    for one in patient.stock.of(catalog.VOLTAGE):
        if one.labels["hw_id"] == "pmic/EXT5V":
            low = one.value < LEAST
            what = f"the 5 V input has {one.value:.2f} V" + f", less than {LEAST} V" * low
            yield Finding(WARNING if low else OK, what, str(one), STRONGER if low else "")


def negotiated(root: Root) -> Iterator[Finding]:
    """/proc/device-tree/chosen/power/*, big-endian 32 bits, written by the firmware of a Pi 5 at boot.

    max_current is what the supply offered, mA; usb_max_current_enable that USB may take 1.6 A all the same;
    usb_over_current_detected that USB drew too much during boot.
    """
    offered, full, over = (cell(root, name) for name in FILES)
    if offered is not None and 0 < offered < FULL:
        limits = "USB may still take 1.6 A, which this supply may not bear" if full else "USB devices get 600 mA in all"
        what = f"the supply offers {offered / 1000:g} A, the board wants 5 A: {limits}"
        remedy = (
            "use a 5 V, 5 A supply (Raspberry Pi 27 W); if it gives 5 A without saying so: usb_max_current_enable=1"
        )
        yield Finding(WARNING if full else NOTE, what, f"{CHOSEN}/{FILES[0]}: {offered}", f"{remedy} in config.txt")
    if over:
        what = "USB devices drew too much current during boot"
        yield Finding(WARNING, what, f"{CHOSEN}/{FILES[2]}: {over}", STRONGER)


FILES = ("max_current", "usb_max_current_enable", "usb_over_current_detected")


def cell(root: Root, name: str) -> int | None:
    """One cell of the device tree, or None."""
    try:
        data = root.read(f"{CHOSEN}/{name}")
    except OSError:
        return None
    return int.from_bytes(data[:4], "big") if len(data) >= 4 else None


def batteries(patient: Patient) -> Iterator[Finding]:
    """A battery that runs down, or is nearly empty."""
    for one in patient.stock.of(catalog.SUPPLY_STATE):
        if one.labels["state"] == "discharging":
            what = f"runs on its battery {one.labels['hw_id']}: many machines clock lower then"
            yield Finding(NOTE, what, str(one), "measure on mains power, or record a baseline for the battery as well")
    for one in patient.stock.of(catalog.BATTERY_CHARGE):
        if one.value < LOW:
            yield Finding(WARNING, f"battery {one.labels['hw_id']} is at {one.value:.0%}", str(one), "charge it")


GROUP = Group("power supply", examine)
