"""Running promtool's rule unit tests on the device's engine, with the same outcomes and much the same words."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from edgemon.alerts import notation
from edgemon.alerts.alert import State
from edgemon.alerts.api import exponent
from edgemon.alerts.engine import Engine, stepped
from edgemon.alerts.promql.compile import compiled
from edgemon.alerts.promql.parse import parse
from edgemon.alerts.promql.values import Labels, Vector, labelset
from edgemon.alerts.rules import Group
from edgemon.alerts.samples import Samples
from edgemon.alerts.trialfile import Expected, Query, Trial, TrialFile
from edgemon.errors import ExpressionError
from edgemon.values import duration

CLOSE = 1e-10
"""With fuzzy_compare, how far two values may be apart, relative to them."""


class Shown(NamedTuple):
    """A firing alert as tests compare it."""

    labels: Labels
    annotations: Labels


def ordered(groups: Sequence[Group], order: Sequence[str]) -> list[Group]:
    """In the order that the file asks for; the others after them."""
    places = {name: index for index, name in enumerate(order)}
    return sorted(groups, key=lambda group: places.get(group.name, len(places)))


def run(trial: Trial, file: TrialFile, groups: Sequence[Group]) -> list[str]:
    """Run one test; what failed, each in a few lines."""
    samples = Samples()
    problems: list[str] = []
    samples.kept = 1 << 62
    engine, interval = Engine(samples, trial.external, trial.url), round(file.interval * 1000)
    engine.follow(ordered(groups, file.order), file.interval, step=interval)
    samples.kept = 1 << 62
    loaded, end = 0, round(trial.end * 1000)
    asked = sorted({round(one.at * 1000) for one in trial.alerts})
    for at in range(0, end + 1, interval):
        loaded = _load(trial, samples, loaded, at)
        for group in engine.groups:
            engine.evaluate(group, at / 1000, at / 1000)
        if errors := list(_errors(engine, at)):
            return [*problems, *errors]
        for when in [one for one in asked if at <= one < at + interval]:
            firing = _firing(engine)
            due = [one for one in trial.alerts if round(one.at * 1000) == when]
            problems += [text for one in due if (text := _compared(one, firing.get(one.name, []), trial.name))]
    for query in trial.queries:
        problems += _asked(query, samples, interval, file.fuzzy)
    return problems


def _load(trial: Trial, samples: Samples, loaded: int, at: int) -> int:
    """Put in every sample up to a time; how many of each series are in."""
    step = round(trial.interval * 1000)
    until = at // step + 1
    for labels, values in trial.series:
        for index in range(loaded, min(until, len(values))):
            if (value := values[index]) is not None:
                samples.write(labels, index * step, value)
    return until


def _errors(engine: Engine, at: int) -> Iterator[str]:
    for group in engine.groups:
        for rule in group.rules:
            if rule.error:
                yield f"    rule: {rule.rule.name}, time: {_go(at // 1000)}, err: {rule.error}"


def _go(seconds: int) -> str:
    """A duration as Go prints it: 1h0m0s."""
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if seconds >= 60 else "") + f"{seconds % 60}s"


def _firing(engine: Engine) -> dict[str, list[Shown]]:
    found: dict[str, list[Shown]] = {}
    for _, rule, machine in engine.machines():
        firing = [alert for alert in machine.active() if alert.state is State.FIRING]
        found.setdefault(rule.rule.name, []).extend(
            Shown(alert.labels, labelset_all(alert.annotations)) for alert in firing
        )
    return found


def labelset_all(pairs: Mapping[str, str]) -> Labels:
    """Sorted; annotations keep their empty values."""
    return tuple(sorted(pairs.items()))


def _compared(expected: Expected, got: list[Shown], name: str) -> str:
    wanted = sorted(Shown(labelset(labels), labelset_all(notes)) for labels, notes in expected.alerts)
    if wanted == sorted(got):
        return ""
    head = f"    name: {name},\n" if name else ""
    return (
        f"{head}    alertname: {expected.name}, time: {time(expected.at)}, \n"
        f"        exp:{_alerts(wanted)}, \n        got:{_alerts(sorted(got))}"
    )


def _alerts(alerts: Sequence[Shown]) -> str:
    if not alerts:
        return "[]"
    lines = []
    for index, one in enumerate(alerts):
        lines += [f"{index}:", f"  Labels:{braced(one.labels)}", f"  Annotations:{braced(one.annotations)}"]
    return "\n            ".join(["[", *lines, "]"])


def braced(labels: Labels) -> str:
    """Labels as Go prints them."""
    return "{" + ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in labels) + "}"


def _asked(query: Query, samples: Samples, step: int, fuzzy: bool) -> list[str]:
    head = f"    expr: {json.dumps(query.text, ensure_ascii=False)}, time: {time(query.at)},"
    try:
        expression = compiled(query.text, stepped(parse(query.text), step), samples)
        got = sorted(expression.evaluate(samples, query.at, query.at))
        wanted = sorted((notation.metric(labels) if labels else (), value) for labels, value in query.samples)
    except ExpressionError as error:
        return [f"{head} err: {'; '.join(error.problems)}"]
    except ValueError as error:
        return [f"{head} err: {error}"]
    if _same(wanted, got, fuzzy):
        return []
    return [f"{head}\n        exp: {_vector(wanted)}\n        got: {_vector(got)}"]


def _same(wanted: Vector, got: Vector, fuzzy: bool) -> bool:
    if [labels for labels, _ in wanted] != [labels for labels, _ in got]:
        return False
    pairs = [(left, right) for (_, left), (_, right) in zip(wanted, got, strict=True)]
    return all(
        left == right
        or (math.isnan(left) and math.isnan(right))
        or (fuzzy and math.isclose(left, right, rel_tol=CLOSE))
        for left, right in pairs
    )


def _vector(vector: Vector) -> str:
    return ", ".join(f"{braced(labels)} {exponent(value, 'E')}" for labels, value in vector) or "nil"


def time(seconds: float) -> str:
    """A time of a test as promtool writes it."""
    return duration(seconds) if seconds else "0s"
