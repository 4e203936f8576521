"""`edgemon capture`: what edgemon reads of this machine, as one file that can be sent, replayed and tested against."""

from __future__ import annotations

import argparse
import logging
import sys
from contextlib import nullcontext
from typing import TextIO

from edgemon import cli
from edgemon.capture import Capture, Entry, render
from edgemon.record import WIDE, record

TEXT = """Write what edgemon reads of this machine into one text file. It holds the files, library calls and programs
that its sensors touched, and plays on any other machine: edgemon run --root FILE.

Serial numbers, hardware addresses, host and user names are masked; look through the file before you send it. Run it as
root to record what only root can read."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command."""
    it = cli.rooted(cli.command(commands, "capture", TEXT))
    it.add_argument("--output", metavar="FILE", help="write there; it must not exist yet (default: standard output)")
    it.add_argument("--wide", action="store_true", help="and the kernel's hardware classes, for a board not yet known")
    return cli.timed(it, "record")


def run(chosen: argparse.Namespace) -> int:
    """Record and write."""
    logging.getLogger("edgemon.collect").setLevel(logging.ERROR)  # what cannot be read is in the capture
    with open(chosen.output, "x", encoding="utf-8") if chosen.output else nullcontext(sys.stdout) as out:
        moments = cli.moments(chosen)
        capture = record(cli.platforms().values(), cli.root(chosen), WIDE if chosen.wide else (), moments)
        out.write(render(capture))
    _tell(capture, sys.stderr)
    return 0


def _tell(capture: Capture, out: TextIO) -> None:
    """What was recorded, what could not be."""
    entries: dict[str, Entry] = {}
    for moment in capture.moments:
        entries.update(moment.entries)
    asked = sum(key.startswith(("call ", "run ")) for key in entries)
    failed = [f"{key} ({entry.failure})" for key, entry in entries.items() if entry.failure not in {"", "ENOENT"}]
    times = f" at {len(capture.moments)} moments" if len(capture.moments) > 1 else ""
    print(f"recorded {len(entries) - asked} files and {asked} calls{times}", file=out)
    for one in failed[:20]:
        print(f"could not read {one}", file=out)
    if len(failed) > 20:
        print(f"and {len(failed) - 20} more", file=out)
