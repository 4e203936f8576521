"""The rule engine: groups evaluated in order, by a clock that nobody sets.

The clock is CLOCK_BOOTTIME in seconds; wall time only says when an alert began, for people. So a step of the wall clock
neither fires nor silences anything.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from edgemon import ruled
from edgemon.alerts.alert import Alert, LimitError, Machine, State, recorded
from edgemon.alerts.flip import Flip
from edgemon.alerts.flip import State as Flipped
from edgemon.alerts.promql.compile import compiled
from edgemon.alerts.promql.node import Expression, Plain
from edgemon.alerts.promql.select import LOOKBACK
from edgemon.alerts.promql.values import Labels, Vector
from edgemon.alerts.rules import Group, Rule
from edgemon.alerts.samples import Samples
from edgemon.metric import Reading


@dataclass(slots=True)
class Running:
    """A rule with its compiled expression, its alerts if it is an alert, and how its last evaluation went."""

    rule: Rule
    expression: Expression
    machine: Machine | None
    written: set[Labels] = field(default_factory=set)
    """The series it wrote last."""
    error: str = ""
    evaluated: float = 0.0
    """Unix time of the last evaluation, 0 before the first."""
    took: float = 0.0
    runs: int = 0
    failures: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from the other rules of its group: its name and its labels and expression."""
        return self.rule.name, f"{self.rule.text}{sorted(self.rule.labels.items())}"

    def inherit(self, old: Running) -> None:
        """Go on where the same rule was before the rules were read again."""
        self.written, self.runs, self.failures = old.written, old.runs, old.failures
        if self.machine and old.machine:
            self.machine.alerts = old.machine.alerts


@dataclass(slots=True)
class Evaluation:
    """A group that is evaluated."""

    group: Group
    interval: float
    rules: list[Running]
    evaluated: float = 0.0
    took: float = 0.0


class Engine:
    """Evaluates groups on the samples of a device. Not for several threads at once."""

    def __init__(self, samples: Samples, external: Mapping[str, str] | None = None, url: str = "") -> None:
        self.samples, self.url = samples, url
        self.external: Mapping[str, str] = external or {}
        self.groups: list[Evaluation] = []

    def follow(
        self, groups: Sequence[Group], interval: float, at: float = 0.0, wall: float = 0.0, step: int = 0
    ) -> list[Alert]:
        """Evaluate these from now on; a rule that is as before goes on with its alerts.

        What fires of a rule that is gone is resolved now, and returned. `step` is the milliseconds between the points
        of a subquery that names no step.
        """
        before = {(one.group.key, *rule.key): rule for one in self.groups for rule in one.rules}
        self.samples.forget()
        self.groups = [
            Evaluation(group, group.interval or interval, [self._running(rule, group, step) for rule in group.rules])
            for group in groups
        ]
        for one in self.groups:
            for rule in one.rules:
                if old := before.pop((one.group.key, *rule.key), None):
                    rule.inherit(old)
        reach = [rule.expression.reach for one in self.groups for rule in one.rules]
        self.samples.kept = max([LOOKBACK, *reach]) + LOOKBACK
        for gone in before.values():
            for labels in gone.written:
                self.samples.end(labels, round(at * 1000))
        return [alert for gone in before.values() if gone.machine for alert in gone.machine.end(at, wall)]

    def _running(self, rule: Rule, group: Group, step: int) -> Running:
        plain = stepped(rule.expression, step) if step else rule.expression
        machine = Machine(rule, self.external, self.url) if rule.alert else None
        return Running(rule, compiled(rule.text, earlier(plain, group.offset), self.samples), machine)

    def evaluate(self, one: Evaluation, at: float, wall: float) -> list[Alert]:
        """Evaluate a group at a time; the alerts that flipped, in the order of the rules."""
        began = time.perf_counter()
        flipped: list[Alert] = []
        for rule in one.rules:
            start = time.perf_counter()
            flipped += self._evaluate(rule, one.group, at, wall)
            rule.took, rule.evaluated = time.perf_counter() - start, wall
        one.took, one.evaluated = time.perf_counter() - began, wall
        self.samples.trim(round(at * 1000))
        return flipped

    def _evaluate(self, rule: Running, group: Group, at: float, wall: float) -> list[Alert]:
        rule.runs += 1
        try:
            vector = rule.expression.evaluate(self.samples, at, wall)
            flipped: list[Alert] = []
            if rule.machine:
                flipped = rule.machine.step(vector, at, wall, group.limit)
                vector = rule.machine.series()
            else:
                vector = recorded(rule.rule, vector, group.limit)
        except ValueError as error:
            rule.failures += 1
            rule.error = str(error)
            return error.ended if isinstance(error, LimitError) else []
        rule.error = ""
        self._write(rule, vector, round((at - group.offset) * 1000))
        return flipped

    def _write(self, rule: Running, vector: Vector, at: int) -> None:
        for labels, value in vector:
            self.samples.write(labels, at, value)
        now = {labels for labels, _ in vector}
        for labels in rule.written - now:
            self.samples.end(labels, at)
        rule.written = now

    def machines(self) -> Iterator[tuple[Evaluation, Running, Machine]]:
        """The alerting rules, each with its group."""
        for one in self.groups:
            for rule in one.rules:
                if rule.machine:
                    yield one, rule, rule.machine

    def flip(self, alert: Alert) -> Flip:
        """What is announced of an alert that fires or was resolved."""
        resolved = alert.state is State.INACTIVE
        return Flip(
            labels=dict(alert.labels),
            state=Flipped.RESOLVED if resolved else Flipped.FIRING,
            starts_at=alert.began,
            ends_at=alert.ended if resolved else 0.0,
            at=(alert.resolved_at or 0.0) if resolved else alert.active_at,
            value=alert.value,
            annotations=alert.annotations,
            generator_url=self.url,
        )

    def readings(self) -> Iterator[Reading]:
        """How the rules do, and the alerts there are by state."""
        for one in self.groups:
            yield ruled.GROUP_DURATION(one.took, one.group.key)
            yield ruled.GROUP_INTERVAL(one.interval, one.group.key)
        names: dict[tuple[str, str], list[Running]] = {}
        for one in self.groups:
            for rule in one.rules:
                names.setdefault((one.group.key, rule.rule.name), []).append(rule)
        for key, rules in names.items():
            yield ruled.EVALUATIONS(sum(rule.runs for rule in rules), *key)
            yield ruled.FAILURES(sum(rule.failures for rule in rules), *key)
        counts: dict[tuple[str, str], int] = {}
        for _, rule, machine in self.machines():
            for state in (State.PENDING, State.FIRING):
                count = sum(alert.state is state for alert in machine.active())
                counts[rule.rule.name, state.value] = counts.get((rule.rule.name, state.value), 0) + count
        for (name, word), count in counts.items():
            yield ruled.ALERTS(count, name, word)


def earlier(plain: Plain, seconds: float) -> Plain:
    """The expression as it was so many seconds ago: its outermost selectors and subqueries look further back."""
    if not seconds:
        return plain
    if plain["op"] in {"selector", "matrix", "subquery"}:
        return {**plain, "offset": plain["offset"] + round(seconds * 1000)}
    if plain["op"] == "call" and plain["name"] == "time":
        past = {"op": "number", "value": seconds}
        return {"op": "binary", "sign": "-", "left": plain, "right": past, "bool": False, "names": [], "on": False,
                "many": "", "include": []}  # fmt: skip
    return _mapped(plain, lambda part: earlier(part, seconds))


def stepped(plain: Plain, step: int) -> Plain:
    """The expression with a step for every subquery that names none."""
    plain = _mapped(plain, lambda part: stepped(part, step))
    return {**plain, "step": plain["step"] or step} if plain["op"] == "subquery" else plain


def _mapped(plain: Plain, change: object) -> Plain:
    def one(value: object) -> object:
        if isinstance(value, Mapping) and "op" in value:
            return change(value)  # type: ignore[operator]
        return [one(part) for part in value] if isinstance(value, list) else value

    return {key: one(value) for key, value in plain.items()}
