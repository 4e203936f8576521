"""`edgemon history`: what happened on this device, from the archive."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
from collections.abc import Sequence

from edgemon import cli, history
from edgemon.archive import Archive, alone
from edgemon.history import KINDS, Entry
from edgemon.values import UNITS, Seconds

TEXT = """Show what happened on this device: runs of probes, verdicts that changed, alerts that fired or were resolved,
re-benchmarks. Oldest first, the latest at the end. It is read from the state directory, also while the daemon runs,
which writes runs there ten at a time."""
LAST = 40
DATE = ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M")
SINCE = "a span such as 2h or 7d, or a local time such as 2026-11-25 or '2026-11-25 14:00'"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command."""
    it = cli.configured(cli.command(commands, "history", TEXT))
    it.add_argument("probe", nargs="?", default="", help="only what concerns this probe")
    it.add_argument("--since", type=since, metavar="WHEN", help=f"only what happened since: {SINCE}")
    it.add_argument("--kind", action="append", choices=KINDS, help="only this kind; may be given more than once")
    it.add_argument(
        "--last", type=_count, metavar="N", help=f"only the last N (default: {LAST}, or all with --since; 0 is all)"
    )
    it.add_argument("--json", action="store_true", help="print JSON, a list")
    return it


def run(chosen: argparse.Namespace) -> int:
    """Print what there is."""
    settings = cli.settings(chosen.config)
    archive = Archive(settings.state())
    names = [*settings.probes, *(name for name in [chosen.probe] if name and name not in settings.probes)]
    found = history.entries(archive, names, chosen.probe, chosen.kind or KINDS)
    archive.close()
    found = [one for one in found if one.at >= (chosen.since or -math.inf)]
    last = chosen.last if chosen.last is not None else (0 if chosen.since else LAST)
    left = len(found) - last if last else 0
    found = found[-last:] if last else found
    if chosen.json:
        print(json.dumps([one.to_json() for one in found], indent=2))
    else:
        _print(found, left)
    if not found and chosen.probe not in settings.probes:
        there = ", ".join(settings.probes) or "none"
        print(
            f"edgemon: nothing is known{f' of {chosen.probe}' * bool(chosen.probe)}; configured: {there}",
            file=sys.stderr,
        )
    _note(settings.state(), chosen)
    return 0


def _print(found: Sequence[Entry], left: int) -> None:
    if left > 0:
        print(f"({left} earlier: --last 0 shows all, --since 1d those of a day)")
    width = max([0, *(len(one.probe) for one in found)])
    for one in found:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.at))
        print(cli.wrapped(f"{when}  {one.kind:<11}  {one.probe:<{width}}  ", one.text))


def _note(state: str, chosen: argparse.Namespace) -> None:
    """What a reader may miss."""
    with alone(state, "daemon") as held:
        if not held and history.RUN in (chosen.kind or KINDS):
            print("edgemon: the daemon runs; its last runs, up to nine, are not written yet", file=sys.stderr)


def since(text: str, now: float | None = None) -> float:
    """The Unix time that a span or a local time means."""
    if re.fullmatch(rf"(\d+(\.\d+)?({'|'.join(UNITS)}))+", text):
        try:
            return (time.time() if now is None else now) - Seconds(0, 10 * 366 * 86400).parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text}: {error}") from None
    for form in DATE:
        try:
            return time.mktime(time.strptime(text, form))
        except (ValueError, OverflowError):
            continue
    raise argparse.ArgumentTypeError(f"{text}: must be {SINCE}")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0")
    return int(text)
