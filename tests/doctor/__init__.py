"""Patients made up or captured, and what one group of checks says of them."""

from __future__ import annotations

from collections.abc import Mapping

from edgemon import config
from edgemon.capture import load, parse
from edgemon.doctor import Finding, Group, Patient, Severity
from edgemon.inventory import Inventory, take_stock
from edgemon.metric import Reading, Sweep
from edgemon.platforms import Platform, discover
from edgemon.replay import Replay
from edgemon.survey import present
from edgemon.sysfs import Root
from tests.devices import HERE

BAD = (Severity.WARNING, Severity.PROBLEM)


def examined(root: Root, state: str = "/var/lib/edgemon", probes: Mapping[str, config.Probe] | None = None) -> Patient:
    """A machine with all its sensors read."""
    return Patient(take_stock(present(discover(), root, ()), root), state, probes or {}, {})


def captured(device: str) -> Patient:
    """A captured machine."""
    return examined(Replay(load(str(HERE / f"{device}.capture")), device))


def made(text: str) -> Patient:
    """A machine of these entries of a capture."""
    return examined(Replay(parse(text)))


def read(*readings: Reading, text: str = "== /none\n") -> Patient:
    """A machine whose only sensor reads these, with these files."""
    root = Replay(parse(text))
    sweep = Sweep("sensor", 0.0, readings)
    return Patient(Inventory(root, ((Platform("made-up", bool, ()), (sweep,)),)), "/var/lib/edgemon", {}, {})


def said(group: Group, patient: Patient) -> list[tuple[str, str]]:
    """Severity and text of each finding."""
    return [(one.severity.value, one.what) for one in group.examine(patient)]


def bad(group: Group, patient: Patient) -> list[Finding]:
    """Warnings and problems."""
    return [one for one in group.examine(patient) if one.severity in BAD]
