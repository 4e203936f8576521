"""An alert's life: inactive, pending, firing, and resolved, step by step as Prometheus' rules/alerting.go has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from edgemon.alerts.expansion import Scope, Template
from edgemon.alerts.human import TemplateError
from edgemon.alerts.promql.values import NAME, Labels, Vector, labelset
from edgemon.alerts.rules import Rule
from edgemon.alerts.template import parse

RETENTION = 900.0
"""Seconds for which what was resolved is remembered."""
SAME = "vector contains metrics with the same labelset after applying alert labels"


class State(str, Enum):
    """Where an alert stands."""

    PENDING = "pending"
    FIRING = "firing"
    INACTIVE = "inactive"


@dataclass(slots=True)
class Alert:
    """One alert. Times ending in `_at` are seconds of CLOCK_BOOTTIME, `began` and `ended` Unix times for people."""

    labels: Labels
    value: float
    active_at: float
    annotations: Mapping[str, str] = field(default_factory=dict)
    state: State = State.PENDING
    kept_at: float | None = None
    resolved_at: float | None = None
    active_wall: float = 0.0
    began: float = 0.0
    ended: float = 0.0
    told: bool = True
    doubtful_until: float = 0.0
    """After a restart: until then its absence says nothing, since sensors and probes have yet to speak."""
    kept_wall: float = 0.0
    """Unix time since when it only fires because it is kept firing."""


class LimitError(ValueError):
    """More alerts or series than the group's limit; `ended` are the alerts that fired."""

    def __init__(self, text: str, ended: Sequence[Alert] = ()) -> None:
        super().__init__(text)
        self.ended = list(ended)


class Machine:
    """The alerts of one rule."""

    def __init__(self, rule: Rule, external: Mapping[str, str], url: str = "") -> None:
        self.rule, self._external, self._url = rule, external, url
        self._labels = {name: parse(text) for name, text in rule.labels.items()}
        self._annotations = {name: parse(text) for name, text in rule.annotations.items()}
        self.alerts: dict[Labels, Alert] = {}

    def step(self, vector: Vector, at: float, wall: float, limit: int) -> list[Alert]:
        """Go on with what the expression gave at a time; the alerts that began to fire or were resolved."""
        seen = self._seen(vector, at, wall)
        for labels, new in seen.items():
            known = self.alerts.get(labels)
            if known and known.state is not State.INACTIVE:
                known.value, known.annotations = new.value, new.annotations
            else:
                self.alerts[labels] = new
        flipped = [alert for alert in list(self.alerts.values()) if self._go(alert, alert.labels in seen, at, wall)]
        active = sum(alert.state is not State.INACTIVE for alert in self.alerts.values())
        if 0 < limit < active:
            fresh = {id(alert) for alert in flipped if alert.state is State.FIRING}
            ended = [alert for alert in self.end(at, wall) if id(alert) not in fresh]
            gone = [alert for alert in flipped if id(alert) not in fresh]
            raise LimitError(f"exceeded limit of {limit} with {active} alerts", [*gone, *ended])
        return flipped

    def made(self, labels: Labels) -> bool:
        """Whether an alert with these labels can be this rule's, and not that of another of its name."""
        return all(dict(labels).get(name, "") == text for name, text in self.rule.labels.items() if "{{" not in text)

    def active(self) -> list[Alert]:
        """Those that are pending or fire."""
        return [alert for alert in list(self.alerts.values()) if alert.state is not State.INACTIVE]

    def end(self, at: float, wall: float) -> list[Alert]:
        """Resolve what fires, as the rule is gone."""
        firing = [alert for alert in self.alerts.values() if alert.state is State.FIRING]
        for alert in firing:
            alert.state, alert.resolved_at, alert.ended, alert.told = State.INACTIVE, at, wall, False
        self.alerts.clear()
        return firing

    def series(self) -> list[tuple[Labels, float]]:
        """ALERTS and ALERTS_FOR_STATE."""
        found = []
        for alert in self.active():
            found.append((labelset({**dict(alert.labels), NAME: "ALERTS", "alertstate": alert.state.value}), 1.0))
            found.append((labelset({**dict(alert.labels), NAME: "ALERTS_FOR_STATE"}), float(int(alert.active_wall))))
        return found

    def _seen(self, vector: Vector, at: float, wall: float) -> dict[Labels, Alert]:
        found: dict[Labels, Alert] = {}
        for labels, value in vector:
            scope = Scope(dict(labels), value, self._external, self._url)
            own = {name: expanded(one, scope) for name, one in self._labels.items()}
            plain = {name: text for name, text in labels if name != NAME}
            key = labelset({**plain, **own, "alertname": self.rule.name})
            if key in found:
                raise ValueError(SAME)
            notes = {name: expanded(one, scope) for name, one in self._annotations.items()}
            found[key] = Alert(key, value, at, notes, active_wall=wall)
        return found

    def _go(self, alert: Alert, here: bool, at: float, wall: float) -> bool:
        """One step of one alert; whether it flipped."""
        rule = self.rule
        if here:
            alert.kept_at, alert.kept_wall, alert.doubtful_until = None, 0.0, 0.0
        else:
            kept = self._kept(alert, at, wall)
            if alert.state is State.PENDING and not kept:
                del self.alerts[alert.labels]
                return False
            if alert.state is State.INACTIVE:
                if at - (alert.resolved_at or 0.0) > RETENTION:
                    del self.alerts[alert.labels]
                return False
            if not kept:
                alert.state, alert.resolved_at, alert.ended, alert.told = State.INACTIVE, at, wall, False
                return True
        if alert.state is State.PENDING and here and at - alert.active_at >= rule.hold:
            alert.state, alert.began, alert.told = State.FIRING, wall, False
            return True
        return False

    def _kept(self, alert: Alert, at: float, wall: float) -> bool:
        """Whether it goes on although the expression does not give it."""
        if at < alert.doubtful_until:
            return True
        if alert.state is not State.FIRING or not self.rule.keep:
            return False
        if alert.kept_at is None:
            alert.kept_at, alert.kept_wall = at, wall
        return at - alert.kept_at < self.rule.keep


def expanded(template: Template, scope: Scope) -> str:
    """The text, or what Prometheus puts in its place."""
    try:
        return template.expand(scope)
    except TemplateError as error:
        return f"<error expanding template: {error}>"


def recorded(rule: Rule, vector: Vector, limit: int) -> Vector:
    """The series that a recording rule makes of what its expression gave."""
    found = [(labelset({**dict(labels), NAME: rule.name, **rule.labels}), value) for labels, value in vector]
    if len({labels for labels, _ in found}) < len(found):
        raise ValueError("vector contains metrics with the same labelset after applying rule labels")
    if 0 < limit < len(found):
        raise LimitError(f"exceeded limit of {limit} with {len(found)} series")
    return found
