"""`edgemon rules`: alert rules, and PromQL on this device."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING

from edgemon import cli
from edgemon.cli import rulefiles
from edgemon.collect import Source as Sensor
from edgemon.collect import take
from edgemon.store import Snapshot, Store
from edgemon.survey import present

if TYPE_CHECKING:
    from edgemon.alerts.promql.select import Source
    from edgemon.alerts.promql.values import Vector

TEXT = """Check, list and test alert rules, and try out what they are made of. PROMQL.md says which part of PromQL a
device evaluates."""
EVAL = """Evaluate an expression over one sweep of the sensors. What looks back, such as rate(x[1m]), needs more than
one: take them with --for."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command and its verbs."""
    it = cli.command(commands, "rules", TEXT)
    verbs = it.add_subparsers(metavar="verb", required=True, dest="verb")
    verb = verbs.add_parser("eval", help="evaluate an expression", description=EVAL)
    verb.add_argument("expression", help="PromQL, such as 'hw_temperature_celsius > 70'")
    verb.add_argument("--json", action="store_true", help="print JSON, as Prometheus' query API has it")
    cli.timed(cli.rooted(cli.configured(verb)), "sweep")
    verb.set_defaults(perform=evaluate)
    rulefiles.add(verbs)
    return it


def run(chosen: argparse.Namespace) -> int:
    """Do what the verb says."""
    status: int = chosen.perform(chosen)
    return status


def evaluate(chosen: argparse.Namespace) -> int:
    """Evaluate and print; 1 when it fails on the series that are here."""
    from edgemon.alerts.promql.load import load  # noqa: PLC0415 - no other command's cost
    from edgemon.alerts.promql.select import Source  # noqa: PLC0415
    from edgemon.alerts.promql.values import EvaluationError  # noqa: PLC0415

    source = Source()
    expression = load([chosen.expression], source)[0]
    if isinstance(expression, Exception):
        raise expression
    snapshot = _swept(chosen, source)
    try:
        vector = expression.evaluate(source, snapshot.at, time.time())
    except EvaluationError as error:
        print(f"edgemon: {error}", file=sys.stderr)
        return 1
    if chosen.json:
        print(json.dumps(_answer(vector, expression.scalar), indent=2))
    else:
        _show(vector)
    if source.watched and not chosen.span:
        print("edgemon: it looks back, and one sweep has no past: take more with --for", file=sys.stderr)
    return 0


def _swept(chosen: argparse.Namespace, source: Source) -> Snapshot:
    """Sweep as often as asked; the last snapshot."""
    root, store = cli.root(chosen), Store()
    here = present(cli.platforms(), root, cli.settings(chosen.config).sensors.disable)
    sensors = [Sensor(platform.name, sensor) for platform in here for sensor in platform.sensors]
    for _ in cli.moments(chosen):
        for one in sensors:
            store.put(one.name, take(one.name, one.sensor, root).readings)
        snapshot = store.commit()
        source.take(snapshot)
    return store.snapshot


def _show(vector: Vector) -> None:
    from edgemon.alerts.promql.values import number, shown  # noqa: PLC0415

    names = [shown(labels) if labels else "" for labels, _ in vector]
    width = max(map(len, names), default=0)
    for name, (_, value) in zip(names, vector, strict=True):
        print(f"{name:<{width}}  {number(value)}".strip())
    if not vector:
        print("edgemon: no series: an alert with this expression does not fire", file=sys.stderr)


def _answer(vector: Vector, scalar: bool) -> dict[str, object]:
    """The `data` of an answer of Prometheus' query API."""
    from edgemon.alerts.promql.values import number  # noqa: PLC0415

    at = round(time.time(), 3)
    if scalar:
        return {"resultType": "scalar", "result": [at, number(vector[0][1])]}
    result = [{"metric": dict(labels), "value": [at, number(value)]} for labels, value in vector]
    return {"resultType": "vector", "result": result}
