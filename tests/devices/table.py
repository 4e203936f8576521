"""The table of captured devices, from what the captures say of themselves: README.md beside them."""

from __future__ import annotations

import re
from typing import NamedTuple

from edgemon.capture import load
from tests.devices import DEVICES, HERE, sections

README = HERE / "README.md"
EVIDENCE = {
    "recorded": "the contents of files, and what programs and libraries said, as they were on the device",
    "rebuilt": "numbers that another tool printed on the device, put back into the files it has them from",
    "partly": "recorded facts, and beside them contents that were concluded or made up; the header says which",
    "synthetic": "made up after the source of the drivers and documentation: no such device was read",
}
HEAD = re.compile(r"# device: (?P<device>\S.*)\n# evidence: (?P<evidence>\w+)\n# source: (?P<source>\S.*)", re.DOTALL)
PREFIX = re.compile(r"^(?:synthetic[:., ]\s*)|\.\./")


class Head(NamedTuple):
    """What a capture says of itself; `source` on one line."""

    device: str
    evidence: str
    source: str


def head(device: str) -> Head:
    """The header of a capture; ValueError when it lacks a line."""
    found = HEAD.fullmatch(load(str(HERE / f"{device}.capture")).source)
    if not found or found["evidence"] not in EVIDENCE:
        raise ValueError(f"{device}.capture must begin with # device:, # evidence: ({', '.join(EVIDENCE)}), # source:")
    return Head(found["device"], found["evidence"], found["source"].replace("\n# ", " "))


def page() -> str:
    """README.md as it must be."""
    lines = [
        "# Captured devices",
        "",
        "What edgemon is tested on: `<name>.capture` is a device, `<name>.prom` what edgemon makes of it.",
        "`pytest tests/test_devices.py --golden` makes this page of their first lines.",
        "",
        *(f"- **{kind}**: {meaning}." for kind, meaning in EVIDENCE.items()),
        "",
        "| device | evidence | read by | moments | capture and source |",
        "| --- | --- | --- | --- | --- |",
        *map(row, DEVICES),
    ]
    return "\n".join(lines) + "\n"


def row(device: str) -> str:
    """One device."""
    said, count = head(device), len(load(str(HERE / f"{device}.capture")).moments)
    source = PREFIX.sub("", said.source).replace("|", "\\|")
    cells = (said.device, said.evidence, ", ".join(sections(device)), str(count), f"`{device}`: {source}")
    return f"| {' | '.join(cells)} |"
