"""The doctor: what keeps a device from delivering its speed, one file a group of checks; and how to add one.

A file ends in `GROUP = Group(title, examine)`, where `examine` takes a Patient and yields findings; it is listed in
`groups.py`. What a platform reads comes from the patient's inventory, everything else through its root. A group that
has nothing to go by, such as engines in a capture, yields nothing: it is left out, and that is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from edgemon import config
from edgemon.inventory import Inventory
from edgemon.sysfs import Root


class Severity(str, Enum):
    """ok: as it should be; note: good to know; warning: costs speed or trust; problem: something does not work."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"

    @property
    def rank(self) -> int:
        """0 for the mildest."""
        return list(Severity).index(self)


OK, NOTE, WARNING, PROBLEM = Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, the file or series with its value that it rests on, and what to do about it."""

    severity: Severity
    what: str
    evidence: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """A machine: everything its sensors read, where the daemon keeps its state, the probes, its platforms' warnings."""

    stock: Inventory
    state: str
    probes: Mapping[str, config.Probe]
    warnings: Mapping[str, str]

    @property
    def root(self) -> Root:
        """The machine's files and calls."""
        return self.stock.root


@dataclass(frozen=True, slots=True)
class Group:
    """Checks that belong together."""

    title: str
    examine: Callable[[Patient], Iterable[Finding]]


def found(root: Root, path: str) -> str:
    """A file and its contents, as evidence."""
    return f"{path}: {root.fixed(path) or ''}"


def listed(things: Iterable[object], most: int = 4) -> str:
    """Some of many: `a, b, c, d and 7 more`."""
    names = [str(one) for one in things]
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
