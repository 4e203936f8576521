"""`edgemon probe`: run a configured probe now."""

from __future__ import annotations

import argparse
import atexit
import difflib
import json
import logging
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

from edgemon import cli, config, efficiency
from edgemon.archive import Archive
from edgemon.collect import Collector
from edgemon.energy import Meter
from edgemon.errors import ConfigError
from edgemon.finding import Finding, late
from edgemon.gates import Pressure, View, closed
from edgemon.judge.epoch import ENOUGH
from edgemon.judge.verdict import State
from edgemon.probe.result import Outcome
from edgemon.prober import Prober
from edgemon.report import plain, text
from edgemon.store import Snapshot, Store
from edgemon.survey import present
from edgemon.sysfs import Root

PATIENCE = 120.0
"""Seconds to wait for the daemon's own probe to end."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command."""
    text = "Run a configured probe now. Print what it found and the verdict; exit 1 when it is degraded or failing."
    it = cli.configured(cli.command(commands, "probe", text))
    it.add_argument("name", help="a probe of the configuration; without one there is `default`, the embedded model")
    it.add_argument("--rounds", type=_rounds, default=ENOUGH, help="runs to judge by, 1 to 100 (default: %(default)s)")
    it.add_argument("--faults", action="store_true", help="send an endpoint the deliberately faulty requests as well")
    it.add_argument("--json", action="store_true", help="print JSON")
    return it


def run(chosen: argparse.Namespace) -> int:
    """Run the rounds and print the last finding."""
    prober, archive = prepare(chosen)
    note(chosen, prober)
    finding = rounds(prober, chosen.rounds, faults=chosen.faults)[-1]
    archive.close()
    print(json.dumps(plain(finding), indent=2) if chosen.json else text(finding, used(prober, finding)))
    return 1 if finding.verdict.state in {State.DEGRADED, State.FAILING} else 0


def note(chosen: argparse.Namespace, prober: Prober) -> None:
    """Say in a line on standard error what would make the daemon wait now; by hand it is run all the same."""
    view = View(prober.look(), Pressure(), time.localtime()) if prober.look else None
    gates = cli.settings(chosen.config).gates
    held = ", ".join(str(one) for one in closed(gates, prober.probe, view)) if view else ""
    if held:
        print(f"edgemon: the daemon would wait now: {held}", file=sys.stderr)


def prepare(chosen: argparse.Namespace) -> tuple[Prober, Archive]:
    """The prober of the named probe, over the archive of the configuration."""
    settings = cli.settings(chosen.config)
    if chosen.name not in settings.probes:
        raise ConfigError([f"there is no probe {chosen.name}{_nearest(chosen.name, settings)}"])
    state = cli.state(settings)
    archive = Archive(state)
    probe, root, store, meter = settings.probes[chosen.name], Root(), Store(), Meter()
    prober = Prober(chosen.name, probe, archive, root, state, meter)
    prober.look, prober.hardware = eyes(root, settings, store, meter), store.readings
    return prober, archive


def eyes(root: Root, settings: config.Config, store: Store, meter: Meter) -> Callable[[], Snapshot]:
    """A look at the device with sensors of its own; power is sampled for as long as the command runs."""
    logging.getLogger("edgemon.collect").setLevel(logging.ERROR)  # who asks for a probe need not hear of each sensor
    here = present(cli.platforms(), root, settings.sensors.disable)
    collector = Collector(here, root, settings.sensors.timeout, store.put, interval=1.0, meter=meter)

    def look() -> Snapshot:
        collector.sweep()
        return store.commit()

    look()
    sampling = ExitStack()
    sampling.enter_context(collector.briskly())
    atexit.register(sampling.close)
    return look


def used(prober: Prober, finding: Finding) -> list[tuple[str, str]]:
    """How the deadline was kept, what the model is made of, and how well the device was used."""
    missed = late(finding.result.latencies, prober.probe.deadline)
    row = ("deadline", f"{prober.probe.deadline * 1000:g} ms, missed by {missed:.1%}") if missed is not None else None
    return [*([row] if row else []), *efficiency.rows(finding.result, prober.probe, prober.device())]


def rounds(prober: Prober, count: int, record: bool = False, faults: bool = False) -> list[Finding]:
    """Run so many rounds, saying so on a terminal; stop at the first that is not ok."""
    found: list[Finding] = []
    while len(found) < count:
        _progress(f"{prober.name}: round {len(found) + 1} of {count}")
        found.append(_patiently(prober, record, faults and len(found) == count - 1))
        if found[-1].result.outcome is not Outcome.OK:
            break
    _progress("")
    return found


def _patiently(prober: Prober, record: bool, faults: bool) -> Finding:
    """One run, once the daemon has finished its own."""
    until = time.monotonic() + PATIENCE
    while True:
        finding = prober.run(record=record, faults=faults)
        if finding.result.stage != "busy" or time.monotonic() > until:
            return finding
        _progress(f"{prober.name}: waiting for another edgemon to finish its probe")
        time.sleep(0.2)


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


def _rounds(value: str) -> int:
    if not value.isdecimal() or not 1 <= int(value) <= 100:
        raise argparse.ArgumentTypeError(f"{value} is not a whole number from 1 to 100")
    return int(value)


def _nearest(name: str, settings: config.Config) -> str:
    close = difflib.get_close_matches(name, settings.probes, 1)
    return f"; did you mean {close[0]}?" if close else f"; configured: {', '.join(settings.probes) or 'none'}"
