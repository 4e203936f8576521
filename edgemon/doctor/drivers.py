"""Accelerators, their drivers, and sensors that do not read what they could."""

from __future__ import annotations

from collections.abc import Iterator

from edgemon import bus, hardware
from edgemon.doctor import NOTE, OK, PROBLEM, WARNING, Finding, Group, Patient, Severity, listed
from edgemon.inventory import Accelerator, remedy, source
from edgemon.metric import State, Sweep
from edgemon.platforms import Platform
from edgemon.sysfs import DENIED

SEVERITIES = {"failed": PROBLEM, "unready": WARNING}
IDLE = frozenset({"Coral USB Accelerator", "Myriad X"})
"""Accelerators that are unready until a program uses them."""
NONE = f"no reading of {hardware.ACCELERATOR_INFO.prometheus}"


def examine(patient: Patient) -> Iterator[Finding]:
    """Accelerators that cannot work, chips without driver, sensors that fail."""
    yield from accelerators(patient)
    for one in bus.unclaimed(patient.root):
        holder = f"driver {one.driver} has it" if one.driver else "no driver has it"
        evidence = f"{one.path}: {one.pci or 'of the device tree'}, {holder}"
        severity = NOTE if one.kind.name in {"Intel GPU", "AMD GPU"} else WARNING
        yield Finding(severity, f"{one.kind.name} {one.ident} cannot be used: {holder}", evidence, one.kind.remedy)
    yield from links(patient)
    yield from sensors(patient)
    for name, text in patient.warnings.items():
        yield Finding(WARNING, f"{name}: {text.partition(':')[0]}", "this Python's packages", text.partition(": ")[2])


def accelerators(patient: Patient) -> Iterator[Finding]:
    """What platforms found, by state."""
    found = list(patient.stock.known())
    for one in found:
        idle = one.state == "unready" and {one.name, one.model} & IDLE
        severity = NOTE if idle else SEVERITIES.get(one.state, OK)
        yield Finding(severity, described(one), f"{hardware.ACCELERATOR_INFO.prometheus} of {one.id}", one.remedy)
    if not found:
        yield Finding(NOTE, "no accelerator was found: probes run on the CPU", NONE)


def links(patient: Patient) -> Iterator[Finding]:
    """PCIe links below what card and slot can do: lanes always, speed not of a GPU, which lowers it while idle."""
    idle = {one.id for one in patient.stock.known() if one.type == "gpu"}
    for now, most, what in (
        (hardware.LINK_WIDTH, hardware.LINK_WIDTH_LIMIT, "lanes"),
        (hardware.LINK_TRANSFERS, hardware.LINK_TRANSFERS_LIMIT, "transfers a second"),
    ):
        limits = {one.labels["hw_id"]: one for one in patient.stock.of(most)}
        for one in patient.stock.of(now):
            ident = one.labels["hw_id"]
            limit = limits.get(ident)
            if limit and one.value < limit.value and not (what != "lanes" and ident in idle):
                text = f"the PCIe link of {ident} has {one.value:g} of {limit.value:g} {what}"
                remedy = "seat the card and its cable anew, clean the contacts; see the slot's settings in firmware"
                yield Finding(WARNING, text, f"{one}, {limit}", remedy)


def described(one: Accelerator) -> str:
    """An accelerator in one line."""
    words = (one.vendor, one.model or one.name, f"({one.id})", f"driver {one.driver}" * bool(one.driver))
    return " ".join([*filter(None, words), *([f"is {one.state}"] if one.state else [])])


def sensors(patient: Patient) -> Iterator[Finding]:
    """Sensors that were refused, failed or hung, those with one remedy together; being refused is a note."""
    groups: dict[tuple[Severity, str, str], dict[str, str]] = {}
    for platform, taken in patient.stock.sweeps:
        for sweep in taken:
            trouble = graded(platform, sweep)
            if trouble:
                errors = sweep.detail or ", ".join(f"{error} {count}" for error, count in sweep.errors.items())
                key = (*trouble, remedy(platform, sweep))
                groups.setdefault(key, {})[f"{platform.name}.{sweep.source}"] = errors
    for (severity, state, fix), names in groups.items():
        evidence = "; ".join(dict.fromkeys(filter(None, names.values()))) or hardware.SENSOR_SOURCE.prometheus
        yield Finding(severity, f"sensor{'s' * (len(names) > 1)} {listed(names, 9)}: {state}", evidence, fix)


def graded(platform: Platform, sweep: Sweep) -> tuple[Severity, str] | None:
    """How bad the state of a sensor is; None where it is as it should be, or the hardware is just not there."""
    if sweep.state not in {State.OK, State.ABSENT}:
        return NOTE if sweep.state is State.DENIED else WARNING, sweep.state.value
    if any(error in platform.remedies for error in sweep.errors.keys() - DENIED):
        return WARNING, "not everything can be read"
    if sweep.state is State.OK and remedy(platform, sweep):
        return NOTE, f"more could be read than from {source(sweep)}" if source(sweep) else "more could be read"
    return None


GROUP = Group("accelerators and sensors", examine)
