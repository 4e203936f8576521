"""`edgemon capture`: what edgemon reads of this machine, as one file that can be sent, replayed and tested against."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TextIO

from edgemon import cli
from edgemon.capture import Capture, Entry, render
from edgemon.record import WIDE, record
from edgemon.values import Seconds

TEXT = """Write what edgemon reads of this machine into one text file. It holds the files, library calls and programs
that its sensors touched, and plays on any other machine: edgemon run --root FILE.

Serial numbers, hardware addresses, host and user names are masked; look through the file before you send it. Run it as
root to record what only root can read."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command."""
    it = cli.rooted(cli.command(commands, "capture", TEXT))
    it.add_argument("--output", metavar="FILE", help="write there; it must not exist yet (default: standard output)")
    it.add_argument("--wide", action="store_true", help="and the kernel's hardware classes, for a board not yet known")
    it.add_argument("--for", metavar="TIME", dest="span", type=_seconds, help="record that long, such as 2m; 1s to 1h")
    it.add_argument("--every", metavar="TIME", type=_seconds, default=5.0, help="with --for: how often (default: 5s)")
    return it


def run(chosen: argparse.Namespace) -> int:
    """Record and write."""
    logging.getLogger("edgemon.collect").setLevel(logging.ERROR)  # what cannot be read is in the capture
    with open(chosen.output, "x", encoding="utf-8") if chosen.output else nullcontext(sys.stdout) as out:
        moments = _moments(chosen.span, chosen.every) if chosen.span else [0.0]
        capture = record(cli.platforms().values(), cli.root(chosen), WIDE if chosen.wide else (), moments)
        out.write(render(capture))
    _tell(capture, sys.stderr)
    return 0


def _moments(span: float, every: float) -> Iterator[float]:
    """Seconds after the first moment, each when it is due."""
    began = time.monotonic()
    for number in range(int(span / every) + 1):
        time.sleep(max(0.0, began + number * every - time.monotonic()))
        yield round(time.monotonic() - began, 3) if number else 0.0


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


def _seconds(text: str) -> float:
    try:
        return Seconds(1, 3600).parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from None
