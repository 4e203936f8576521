"""The vocabulary of rules: how their evaluation goes, and the alerts there are. Part of the catalogue."""

from __future__ import annotations

from edgemon.metric import Kind, Metric

COUNTER, GAUGE, UPDOWN = Kind.COUNTER, Kind.GAUGE, Kind.UPDOWN

EVALUATIONS = Metric(
    "edgemon.rule.evaluations", "{evaluation}", COUNTER, "Evaluations of a rule.", ("rule_group", "rule")
)
FAILURES = Metric(
    "edgemon.rule.failures", "{failure}", COUNTER, "Evaluations that ended in an error.", ("rule_group", "rule")
)
GROUP_DURATION = Metric(
    "edgemon.rule.group.duration", "s", GAUGE, "Time the last evaluation of a group took.", ("rule_group",)
)
GROUP_INTERVAL = Metric(
    "edgemon.rule.group.interval", "s", GAUGE, "Time between two evaluations of a group.", ("rule_group",)
)
ALERTS = Metric(
    "edgemon.alerts", "{alert}", UPDOWN, "Alerts of a rule by state: pending or firing.", ("alertname", "state")
)
MEMORY_STATE = Metric(
    "edgemon.alerts.memory.state",
    "",
    GAUGE,
    "1 for where alerts are remembered over restarts: disk, or memory while the state directory cannot be written.",
    ("state",),
)
RULES_SUCCESS = Metric(
    "edgemon.rules.reload.successful", "", GAUGE, "1 when the last reading of the rule files was accepted."
)
THRESHOLD = Metric(
    "edgemon.threshold",
    "",
    GAUGE,
    "A number that rules compare with, so that they are the same everywhere: as configured, or the default.",
    ("name",),
)

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
