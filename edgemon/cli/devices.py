"""`edgemon devices`: what hardware was found, and what keeps the rest from being read."""

from __future__ import annotations

import argparse
import json

from edgemon import cli, identity
from edgemon.collect import take
from edgemon.metric import State, Sweep
from edgemon.platforms import Platform
from edgemon.survey import present
from edgemon.sysfs import Root

REMEDIES = {
    State.DENIED: "run as root, or give the daemon's user the group that may read it",
    State.ERROR: "the kernel or the driver refuses; see the errors",
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command."""
    it = cli.command(commands, "devices", "Show what hardware was found. And what keeps the rest from being read.")
    it.add_argument("--json", action="store_true", help="print JSON")
    return it


def run(chosen: argparse.Namespace) -> int:
    """Detect, read once, print."""
    root = Root()
    here = present(cli.platforms(), root, ())
    sweeps = [(one, [take(sensor.name, sensor, root) for sensor in one.sensors]) for one in here]
    facts = {**identity.device(root), "id": identity.instance(root)}
    if chosen.json:
        platforms = {one.name: [_plain(sweep, one) for sweep in taken] for one, taken in sweeps}
        print(json.dumps({"device": facts, "platforms": platforms}, indent=2))
        return 0
    for name, value in facts.items():
        print(f"{name:<10} {value or '-'}")
    for one, taken in sweeps:
        print(f"\n{one.name}")
        for sweep in taken:
            remedy = f"  ({_remedy(sweep, one)})" if _remedy(sweep, one) else ""
            errors = ", ".join(f"{error} {count}" for error, count in sweep.errors.items())
            count = f"{len(sweep.readings):>3} readings"
            print(f"  {sweep.source:<12} {sweep.state.value:<8} {count}  {errors}{remedy}".rstrip())
    return 0


def _remedy(sweep: Sweep, platform: Platform) -> str:
    return platform.remedies.get(sweep.state.value) or REMEDIES.get(sweep.state, "")


def _plain(sweep: Sweep, platform: Platform) -> dict[str, object]:
    return {
        "sensor": sweep.source,
        "state": sweep.state.value,
        "readings": len(sweep.readings),
        "errors": dict(sweep.errors),
        "remedy": _remedy(sweep, platform),
    }
