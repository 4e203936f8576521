"""`edgemon sense`: read the hardware once."""

from __future__ import annotations

import argparse
import json

from edgemon import cli
from edgemon.collect import Source, take
from edgemon.metric import Reading, State, Sweep
from edgemon.survey import present


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command."""
    it = cli.command(commands, "sense", "Read every sensor once. Print what they say, and exit.")
    cli.rooted(cli.configured(it))
    it.add_argument("--json", action="store_true", help="print JSON")
    return it


def run(chosen: argparse.Namespace) -> int:
    """Read and print."""
    root = cli.root(chosen)
    here = present(cli.platforms(), root, cli.settings(chosen.config).sensors.disable)
    sources = [Source(platform.name, sensor) for platform in here for sensor in platform.sensors]
    sweeps = [take(source.name, source.sensor, root) for source in sources]
    if chosen.json:
        print(json.dumps([_plain(sweep) for sweep in sweeps], indent=2))
    else:
        for sweep in sweeps:
            _show(sweep)
    return 0


def _plain(sweep: Sweep) -> dict[str, object]:
    return {
        "sensor": sweep.source,
        "state": sweep.state.value,
        "seconds": round(sweep.seconds, 6),
        "errors": dict(sweep.errors),
        "detail": sweep.detail,
        "readings": [
            {"name": metric.prometheus, "unit": metric.unit, "labels": _labels(reading), "value": value}
            for reading in sweep.readings
            for metric, _, value in (reading,)
        ],
    }


def _show(sweep: Sweep) -> None:
    if sweep.state is State.ABSENT:
        return
    errors = ", ".join(f"{name} {count}" for name, count in sweep.errors.items())
    print(f"{sweep.source}  {sweep.state.value}  {sweep.seconds * 1000:.2f} ms  {sweep.detail or errors}".rstrip())
    for reading in sweep.readings:
        labels = " ".join(f"{name}={value}" for name, value in _labels(reading).items())
        print(f"  {reading.metric.prometheus:<42} {reading.value:>18,.6g}  {labels}".rstrip())


def _labels(reading: Reading) -> dict[str, str]:
    pairs = zip(reading.metric.prometheus_labels, reading.labels, strict=True)
    return {name: value for name, value in pairs if value}
