"""The rules that come with edgemon, by name: `embedded:edgemon` for a device, `embedded:fleet` for a fleet.

They are `alerts/` of the source, and beside this file where edgemon is installed. The name, not the path, is what
alerts are remembered by: it stays the same when edgemon is installed elsewhere.
"""

from __future__ import annotations

import os

PREFIX = "embedded:"
HERE = os.path.dirname(os.path.abspath(__file__))
HOMES = (os.path.join(HERE, "shipped"), os.path.join(os.path.dirname(os.path.dirname(HERE)), "alerts"))


def located(path: str) -> str:
    """The file that a path or an embedded name means."""
    if not path.startswith(PREFIX):
        return path
    return within(f"{path.removeprefix(PREFIX)}.rules.yml")


def within(name: str) -> str:
    """The path of something that comes with the rules, there or not."""
    found = [path for home in HOMES if os.path.exists(path := os.path.join(home, name))]
    return found[0] if found else os.path.join(HOMES[0], name)
