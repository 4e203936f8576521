"""Plugins that other packages install: entry points by group.

`importlib.metadata` costs 2.4 MB, so the daemon has its child look (`schema`), and commands look themselves.
"""

from __future__ import annotations

from importlib.metadata import entry_points

PLATFORMS = "edgemon.platforms"


def installed(group: str = PLATFORMS) -> list[tuple[str, str]]:
    """Name and `module:attribute` of every entry point of a group."""
    return [(entry.name, entry.value) for entry in entry_points(group=group)]
