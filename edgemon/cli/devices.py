"""`edgemon devices`: what hardware was found, through which source, what is missing and what to do about it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from typing import Any

from edgemon import cli, hardware, identity
from edgemon.inventory import Accelerator, Inventory, remedy, source, take_stock
from edgemon.metric import State, Sweep
from edgemon.platforms import Platform
from edgemon.survey import present

TEXT = """Show what hardware was found. Accelerators, board, power mode and sensors, where their values come from, what
keeps the rest from being read, and what to do about it."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command."""
    it = cli.rooted(cli.command(commands, "devices", TEXT))
    it.add_argument("--json", action="store_true", help="print JSON")
    return it


def run(chosen: argparse.Namespace) -> int:
    """Detect, read once, print."""
    root, known = cli.root(chosen), cli.platforms()
    stock = take_stock(present(known, root, ()), root)
    warnings = cli.warnings(known) if root.live else {}
    facts = {**identity.device(root), "id": identity.instance(root)}
    if chosen.json:
        print(
            json.dumps({"device": facts, "simulated": not root.live, **_plain(stock), "warnings": warnings}, indent=2)
        )
        return 0
    if not root.live:
        print(f"{'simulated':<10} {chosen.root} is replayed")
    for name, value in facts.items():
        print(f"{name:<10} {value or '-'}")
    _show(stock)
    _block("warnings", [f"  {name}: {text}" for name, text in warnings.items()])
    return 0


def _plain(stock: Inventory) -> dict[str, Any]:
    return {
        "boards": [one.labels for one in stock.of(hardware.BOARD_INFO)],
        "power_modes": [one.labels for one in stock.of(hardware.POWER_MODE)],
        "accelerators": [one._asdict() for one in stock.accelerators()],
        "platforms": {one.name: [_sensor(sweep, one) for sweep in taken] for one, taken in stock.sweeps},
    }


def _sensor(sweep: Sweep, platform: Platform) -> dict[str, object]:
    return {
        "sensor": sweep.source,
        "state": sweep.state.value,
        "readings": len(sweep.readings),
        "source": source(sweep),
        "errors": dict(sweep.errors),
        "detail": sweep.detail,
        "remedy": remedy(platform, sweep),
    }


def _show(stock: Inventory) -> None:
    _block("board", [f"  {', '.join(one.labels.values())}" for one in stock.of(hardware.BOARD_INFO)])
    modes = [f"  {one.labels['hw_id']} {one.labels.get('mode', '')}" for one in stock.of(hardware.POWER_MODE)]
    _block("power mode", modes)
    _block("accelerators", _accelerators(stock.accelerators()) or ["  none found"])
    for platform, taken in stock.sweeps:
        quiet = [sweep for sweep in taken if sweep.state is State.ABSENT and not remedy(platform, sweep)]
        told = set[str]()
        rows = [line for sweep in taken if sweep not in quiet for line in _row(sweep, platform, told)]
        rest = [f"  absent: {', '.join(sweep.source for sweep in quiet)}"] if quiet else []
        _block(f"{platform.name} sensors", rows + rest)


def _block(title: str, lines: Iterable[str]) -> None:
    found = list(lines)
    if found:
        print(f"\n{title}", *found, sep="\n")


def _accelerators(found: list[Accelerator]) -> list[str]:
    width = max((len(one.id) for one in found), default=0)
    rows = []
    for one in found:
        words = [one.vendor, "" if one.name == one.id else one.name, one.model]
        words += [f"driver {one.driver}" * bool(one.driver), f"firmware {one.firmware}" * bool(one.firmware)]
        rows.append(f"  {one.type:<6} {one.id:<{width}}  {one.state or '-':<12} {' '.join(filter(None, words))}")
        rows += _remedy(one.remedy)
    return rows


def _row(sweep: Sweep, platform: Platform, told: set[str]) -> list[str]:
    """A sensor and its remedy, unless that stands above already."""
    errors = ", ".join(f"{error} {count}" for error, count in sweep.errors.items())
    words = filter(None, (f"from {source(sweep)}" * bool(source(sweep)), sweep.detail or errors))
    row = f"  {sweep.source:<12} {sweep.state.value:<8} {len(sweep.readings):>3} readings  {'  '.join(words)}"
    text = remedy(platform, sweep)
    again = text in told
    told.add(text)
    return [row.rstrip(), *([] if again else _remedy(text))]


def _remedy(text: str) -> list[str]:
    return [cli.wrapped(f"{'':9}remedy  ", text)] if text else []
