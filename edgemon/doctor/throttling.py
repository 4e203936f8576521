"""Throttling: what slows the device down now, what did since boot, and what is about to."""

from __future__ import annotations

from collections.abc import Iterator

from edgemon import catalog, hardware
from edgemon.doctor import NOTE, OK, PROBLEM, WARNING, Finding, Group, Patient
from edgemon.inventory import Series
from edgemon.look import HARMLESS

REMEDIES = {
    "thermal": "cool it: heat sink seated, fan turning, vents free, a cooler place; or a lower power mode",
    "power": "raise the power limit or the power mode if the supply and the cooling allow it, or lower the load",
    "hardware": "see the vendor's tool for the reason (nvidia-smi -q, dmesg); check the supply and the cooling",
    "software": "find who set the limit: a power mode, locked clocks (nvidia-smi -rgc undoes them), a service",
}
NEAR = 5.0
"""K below a limit from which on a temperature is worth a word."""


def examine(patient: Patient) -> Iterator[Finding]:
    """Flags, counters, cooling devices, temperatures; under-voltage is the supply's."""
    findings = [*now(patient), *past(patient), *cooling(patient), *heat(patient)]
    yield from findings
    told = [one for one in patient.stock.of(hardware.THROTTLED) if one.labels["cause"] != "undervoltage"]
    if not findings and told:
        yield Finding(OK, "nothing is throttled, now or as far as is remembered", f"{told[0]}")
    elif not findings:
        yield Finding(
            NOTE, "no part of this device tells whether it throttles", f"no reading of {hardware.THROTTLED.prometheus}"
        )


def now(patient: Patient) -> Iterator[Finding]:
    """edgemon_throttled; a software cap of a part whose clock limits are known is told by the group clocks."""
    limited = {one.labels["hw_id"] for one in patient.stock.of(hardware.FREQUENCY_LIMIT)}
    limited |= {one.labels["hw_id"] for one in patient.stock.of(catalog.CPU_SPEED_LIMIT)}
    for one in patient.stock.of(hardware.THROTTLED):
        cause = one.labels["cause"]
        if one.value and cause == "software" and one.labels["hw_id"] not in limited:
            yield Finding(WARNING, f"{named(one)} is held back by software", str(one), REMEDIES[cause])
        elif one.value and cause not in {"software", "undervoltage"}:
            yield Finding(PROBLEM, f"{named(one)} is throttled now: {cause}", str(one), REMEDIES[cause])


def past(patient: Patient) -> Iterator[Finding]:
    """Flags since boot and counters of events."""
    still = [one.labels for one in patient.stock.of(hardware.THROTTLED) if one.value]
    for one in patient.stock.of(hardware.THROTTLED_BOOT):
        if one.value and one.labels["cause"] != "undervoltage" and one.labels not in still:
            what = f"{named(one)} was throttled since boot: {one.labels['cause']}"
            yield Finding(WARNING, what, str(one), REMEDIES.get(one.labels["cause"], ""))
    for one in patient.stock.of(hardware.THROTTLE_EVENTS):
        if one.value and one.labels["cause"] != "undervoltage":
            what = f"{named(one)} counted {one.value:.0f} throttlings: {one.labels['cause']}"
            yield Finding(WARNING, what, str(one), REMEDIES.get(one.labels["cause"], ""))
    worst = max(patient.stock.of(catalog.CPU_THROTTLES), key=lambda one: one.value, default=None)
    if worst and worst.value:
        scope = f"{worst.labels['scope']} of CPU {worst.labels['cpu_logical_number']}"
        what = f"the processor throttled itself for heat since boot: {scope} {worst.value:.0f} times"
        yield Finding(WARNING, what, str(worst), REMEDIES["thermal"])


def cooling(patient: Patient) -> Iterator[Finding]:
    """Cooling devices that slow something down; a fan does not, and what a platform calls throttled is told already."""
    told = {one.labels["hw_id"] for one in patient.stock.of(hardware.THROTTLED) if one.value}
    most = {one.labels["hw_id"]: one.value for one in patient.stock.of(catalog.COOLING_LIMIT)}
    for one in patient.stock.of(catalog.COOLING_LEVEL):
        harmless = any(word in one.labels["hw_name"].lower() for word in HARMLESS)
        if one.value and not harmless and one.labels["hw_id"] not in told:
            steps = f"{one.value:.0f} of {most.get(one.labels['hw_id'], one.value):.0f}"
            what = f"the kernel cools by slowing down: {one.labels['hw_id']} is at step {steps}"
            yield Finding(WARNING, what, str(one), REMEDIES["thermal"])


def heat(patient: Patient) -> Iterator[Finding]:
    """Temperatures at a limit or just below it."""
    heats = {one.labels["hw_id"]: one for one in patient.stock.of(catalog.TEMPERATURE)}
    lowest: dict[str, Series] = {}
    for limit in patient.stock.of(catalog.TEMPERATURE_LIMIT):
        ident = limit.labels["hw_id"]
        if ident not in lowest or limit.value < lowest[ident].value:
            lowest[ident] = limit
    for ident, limit in lowest.items():
        one = heats.get(ident)
        if one and one.value > limit.value - NEAR:
            where = "beyond" if one.value >= limit.value else "close to"
            kind = limit.labels["hw_limit_type"]
            what = f"{named(one)} has {one.value:.1f} °C, {where} its limit of {limit.value:.0f} °C ({kind})"
            yield Finding(WARNING, what, f"{one}, {limit}", REMEDIES["thermal"])


def named(one: Series) -> str:
    """Name and id, once where they are equal."""
    name, ident = one.labels.get("hw_name", ""), one.labels["hw_id"]
    return f"{name} ({ident})" if name and name != ident else ident


GROUP = Group("throttling", examine)
