"""Every group of checks, in the order in which they are told, and one examination with all of them."""

from __future__ import annotations

from typing import NamedTuple

from edgemon.doctor import (
    Finding,
    Group,
    Patient,
    clock,
    clocks,
    drivers,
    engines,
    memory,
    processes,
    storage,
    supply,
    throttling,
)

GROUPS: tuple[Group, ...] = tuple(
    room.GROUP for room in (drivers, clocks, throttling, supply, memory, storage, clock, engines, processes)
)


class Diagnosis(NamedTuple):
    """The findings by group, the worst first, and the groups that had nothing to go by."""

    findings: dict[str, list[Finding]]
    left_out: list[str]


def examine(patient: Patient) -> Diagnosis:
    """What every group says."""
    said = {group.title: sorted(group.examine(patient), key=lambda one: -one.severity.rank) for group in GROUPS}
    return Diagnosis({title: found for title, found in said.items() if found}, [one for one in said if not said[one]])
