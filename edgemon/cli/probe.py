"""`edgemon probe`: run a configured probe now."""

from __future__ import annotations

import argparse
import atexit
import difflib
import json
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace

from edgemon import cli, config, efficiency
from edgemon.archive import Archive
from edgemon.collect import Collector, take
from edgemon.energy import Meter
from edgemon.errors import ConfigError
from edgemon.finding import Finding
from edgemon.gates import Pressure, View, closed
from edgemon.judge.epoch import ENOUGH
from edgemon.judge.verdict import State
from edgemon.metric import Reading
from edgemon.platforms import Platform
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
    note(chosen, prober.probe)
    finding = rounds(prober, chosen.rounds, faults=chosen.faults)[-1]
    archive.close()
    print(json.dumps(plain(finding), indent=2) if chosen.json else text(finding, used(prober, finding)))
    return 1 if finding.verdict.state in {State.DEGRADED, State.FAILING} else 0


def note(chosen: argparse.Namespace, probe: config.Probe) -> None:
    """Say in a line on standard error what would make the daemon wait now; by hand it is run all the same."""
    settings = cli.settings(chosen.config)
    view = View(look(cli.platforms(), settings.sensors.disable), Pressure(), time.localtime())
    held = ", ".join(str(one) for one in closed(settings.gates, probe, view))
    if held:
        print(f"edgemon: the daemon would wait now: {held}", file=sys.stderr)


def look(known: Mapping[str, Platform], disabled: tuple[str, ...]) -> Snapshot:
    """What every sensor says now."""
    root, store = Root(), Store()
    for platform in present(known, root, disabled):
        for sensor in platform.sensors:
            name = f"{platform.name}.{sensor.name}"
            store.put(name, take(name, sensor, root).readings)
    return store.commit()


def prepare(chosen: argparse.Namespace) -> tuple[Prober, Archive]:
    """The prober of the named probe, over the archive of the configuration."""
    settings = cli.settings(chosen.config)
    if chosen.name not in settings.probes:
        raise ConfigError([f"there is no probe {chosen.name}{_nearest(chosen.name, settings)}"])
    archive = Archive(settings.state())
    probe, root = settings.probes[chosen.name], Root()
    prober = Prober(chosen.name, probe, archive, root, settings.state(), metering(root, settings))
    prober.hardware = lambda: sensed(root, settings.sensors.disable)
    return prober, archive


def metering(root: Root, settings: config.Config) -> Meter:
    """A meter that samples the power of this device for as long as the command runs; of nothing, if nothing tells."""
    here = present(cli.platforms(), root, settings.sensors.disable)
    rails = [replace(one, sensors=tuple(sensor for sensor in one.sensors if sensor.power)) for one in here]
    meter = Meter()
    collector = Collector(rails, root, settings.sensors.timeout, interval=1.0, meter=meter)
    collector.sweep()
    sampling = ExitStack()
    sampling.enter_context(collector.briskly())
    atexit.register(sampling.close)
    return meter


def sensed(root: Root, disabled: tuple[str, ...]) -> list[Reading]:
    """What every sensor of the platforms here says, once."""
    sensors = [sensor for platform in present(cli.platforms(), root, disabled) for sensor in platform.sensors]
    return [reading for sensor in sensors for reading in take(sensor.name, sensor, root).readings]


def used(prober: Prober, finding: Finding) -> list[tuple[str, str]]:
    """What the model is made of, and how well the device was used."""
    return efficiency.rows(finding.result, prober.probe, prober.device())


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
