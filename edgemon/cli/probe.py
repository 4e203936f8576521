"""`edgemon probe`: run a configured probe now."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from edgemon import cli, config, efficiency
from edgemon.archive import Archive
from edgemon.collect import take
from edgemon.errors import ConfigError
from edgemon.finding import PERCENTILES, Finding
from edgemon.gates import Pressure, View, closed
from edgemon.judge.placement import refused, shares
from edgemon.judge.statistics import enough, median, quantile
from edgemon.judge.verdict import ENOUGH, State
from edgemon.metric import Reading
from edgemon.platforms import Platform
from edgemon.probe.result import Outcome, Result
from edgemon.prober import Prober
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
    root = Root()
    prober = Prober(chosen.name, settings.probes[chosen.name], archive, root, settings.state())
    prober.hardware = lambda: sensed(root, settings.sensors.disable)
    return prober, archive


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


def text(finding: Finding, efficient: Sequence[tuple[str, str]] = ()) -> str:
    """A finding for a person."""
    result, verdict = finding.result, finding.verdict
    lines = [
        ("probe", result.probe),
        ("outcome", result.outcome.value + (f": {result.detail}" if result.detail else "")),
    ]
    lines += [("verdict", f"{verdict.state.value}: {verdict.text}")] + [
        (f"  {k}", v) for k, v in verdict.evidence.items()
    ]
    lines += [("next", verdict.advice)] if verdict.advice else []
    return "\n".join(f"{name:<14} {value}" for name, value in lines + measured(result) + list(efficient) + ran(finding))


def measured(result: Result) -> list[tuple[str, str]]:
    """The numbers of a result, each with its unit; what was not measured is left out."""
    ordered = sorted(result.latencies)
    steady = [
        f"p{label} {_ms(quantile(ordered, share))}"
        for label, share in PERCENTILES.items()
        if enough(len(ordered), share)
    ]
    rows = [
        (
            "steady",
            f"median {_ms(median(ordered))} of {len(ordered)}" + "".join(f", {one}" for one in steady)
            if ordered
            else "",
        ),
        ("idle start", _ms(result.idle_seconds)),
        ("first run", _ms(result.first_seconds)),
        ("load", _ms(result.load_seconds)),
        ("phases", ", ".join(f"{name} {_ms(seconds)}" for name, seconds in result.phases.items())),
        ("engine import", _ms(result.import_seconds)),
        ("run delay", f"{result.run_delay:.1%} of the steady phase" if result.run_delay is not None else ""),
        ("peak memory", f"{result.peak_memory / 1e6:.0f} MB" if result.peak_memory else ""),
        (
            "cost",
            f"{result.cpu_seconds:.2f} s CPU in {result.wall_seconds:.2f} s" if result.cpu_seconds is not None else "",
        ),
        ("output", _distances(result.distance)),
        ("reference", _distances(result.reference)),
    ]
    return [row for row in rows if row[1]]


def ran(finding: Finding) -> list[tuple[str, str]]:
    """What really ran."""
    facts = finding.result.facts
    if not facts.get("model_sha256"):
        return []
    simulated = " (simulated)" if facts.get("simulated") else ""
    rows = [
        ("engine", f"{facts['runtime']} {facts['runtime_version']}{simulated}"),
        ("address", " ".join([facts.get("address", ""), facts.get("tls", "")]).strip()),
        ("faults", ", ".join(f"{kind} {status}" for kind, status in facts.get("faults", {}).items())),
        *placed(facts),
        ("model", f"sha256 {facts['model_sha256'][:12]}"),
        ("fingerprint", finding.fingerprint),
    ]
    return [row for row in rows if row[1]]


def placed(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where the model was asked to run, what the engine has, where it assigned it, and where the time goes."""
    rows = [
        ("requested", ", ".join(facts.get("requested") or ())),
        ("registered", registered := ", ".join(facts.get("registered") or ())),
        ("refused", refused(facts)),
        ("assigned", shares(facts.get("placement") or {}) or ("not recorded by this engine" if registered else "")),
        ("executed", shares(facts.get("executed") or {})),
    ]
    return [row for row in rows if row[1]]


def plain(finding: Finding) -> dict[str, object]:
    """A finding as JSON; golden outputs and single latencies are left to the archive."""
    verdict = finding.verdict
    data = finding.result.to_json()
    data.pop("outputs")
    return {
        **data,
        "fingerprint": finding.fingerprint,
        "key": dict(finding.key),
        "verdict": {
            "state": verdict.state.value,
            "cause": verdict.cause,
            "text": verdict.text,
            "slowdown": verdict.slowdown,
            "bounds": [verdict.low, verdict.high] if verdict.low else None,
            "evidence": dict(verdict.evidence),
            "advice": verdict.advice,
        },
    }


def _distances(measured: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in measured.items())


def _ms(seconds: float | None) -> str:
    return f"{seconds * 1000:.3f} ms" if seconds is not None else ""


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
