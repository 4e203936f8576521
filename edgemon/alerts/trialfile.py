"""promtool's files of rule unit tests: what they hold."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgemon import document
from edgemon.alerts import notation
from edgemon.alerts.promql.values import Labels
from edgemon.alerts.rulefile import paths, seconds
from edgemon.errors import ConfigError

FLOAT = re.compile(
    r"([+-]?)\.?((?:(?<!\.)\d[\d_]*\.?\d*|(?<=\.)\d+)(?:[eE][+-]?\d+)?|(?<=\.)(?:inf|Inf|INF|nan|NaN|NAN))"
)
KEYS = {
    "": ("rule_files", "evaluation_interval", "group_eval_order", "tests", "fuzzy_compare"),
    "test": (
        "interval",
        "name",
        "input_series",
        "alert_rule_test",
        "promql_expr_test",
        "external_labels",
        "external_url",
    ),
    "series": ("series", "values"),
    "alert": ("eval_time", "alertname", "exp_alerts"),
    "expected": ("exp_labels", "exp_annotations"),
    "expr": ("expr", "eval_time", "exp_samples"),
    "sample": ("labels", "value"),
}


@dataclass(frozen=True, slots=True)
class Expected:
    """The alerts of a name that should fire at a time in seconds: labels and annotations of each."""

    at: float
    name: str
    alerts: Sequence[tuple[Mapping[str, str], Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class Query:
    """An expression and what it should give at a time in seconds."""

    at: float
    text: str
    samples: Sequence[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Trial:
    """One test: series a sample every `interval` seconds, and what rules should make of them."""

    name: str
    interval: float
    series: Sequence[tuple[Labels, Sequence[float | None]]] = ()
    alerts: Sequence[Expected] = ()
    queries: Sequence[Query] = ()
    external: Mapping[str, str] = field(default_factory=dict)
    url: str = ""

    @property
    def end(self) -> float:
        """The last time that anything is asked for."""
        return max([0.0, *[one.at for one in self.alerts], *[one.at for one in self.queries]])


@dataclass(frozen=True, slots=True)
class TrialFile:
    """The tests of a file, and the rule files they are about."""

    rules: Sequence[str]
    interval: float
    order: Sequence[str]
    trials: Sequence[Trial]
    fuzzy: bool = False
    unmatched: Sequence[str] = ()


def read(path: str) -> TrialFile:
    """The file, or ConfigError with every problem."""
    return _Reader(path).file(document.read(path, document.Texts, "a file of rule tests"))


class _Reader:
    def __init__(self, path: str) -> None:
        self.path = self.where = path
        self.problems: list[str] = []

    def problem(self, text: str) -> None:
        self.problems.append(f"{self.where}: {text}")

    def mapping(self, value: Any, kind: str) -> Mapping[str, Any]:
        """The mapping, with its unknown keys complained of."""
        if not isinstance(value, dict):
            self.problem(f"{kind or 'the file'} must be a mapping")
            return {}
        for key in [key for key in value if key not in KEYS[kind]]:
            close = difflib.get_close_matches(str(key), KEYS[kind], 1)
            hint = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(KEYS[kind])}"
            self.problem(f"unknown key {document.shown(str(key))}; {hint}")
        return value

    def many(self, data: Mapping[str, Any], key: str) -> list[Any]:
        value = data.get(key)
        if value is not None and not isinstance(value, list):
            self.problem(f"{key} must be a list")
            return []
        return value or []

    def text(self, data: Mapping[str, Any], key: str) -> str:
        value = data.get(key)
        if value is not None and not isinstance(value, str):
            self.problem(f"{key} must be a string")
            return ""
        return value or ""

    def time(self, data: Mapping[str, Any], key: str, default: float = 0.0) -> float:
        if data.get(key) is None:
            return default
        try:
            return seconds(self.text(data, key))
        except ValueError as error:
            self.problem(f"{key}: {error}")
            return default

    def pairs(self, data: Mapping[str, Any], key: str) -> dict[str, str]:
        value = data.get(key) or {}
        if not isinstance(value, dict) or not all(isinstance(one, str | None) for one in value.values()):
            self.problem(f"{key} must be a mapping of strings")
            return {}
        return {str(name): text or "" for name, text in value.items()}

    def file(self, value: Any) -> TrialFile:
        data = self.mapping({} if value is None else value, "")
        interval = self.time(data, "evaluation_interval") or 60.0
        order = [str(one) for one in self.many(data, "group_eval_order")]
        for name in sorted({name for name in order if order.count(name) > 1}):
            self.problem(f"group_eval_order: {name} is given twice")
        home = os.path.dirname(self.path)
        wanted = [os.path.join(home, str(one)) for one in self.many(data, "rule_files")]
        found = list(paths(wanted))
        trials = [self.trial(one, index, interval) for index, one in enumerate(self.many(data, "tests"))]
        if self.problems:
            raise ConfigError(self.problems)
        unmatched = [one for one in wanted if one not in {pattern for _, pattern in found}]
        fuzzy = self.text(data, "fuzzy_compare") == "true"
        return TrialFile([path for path, _ in found], interval, order, trials, fuzzy, unmatched)

    def trial(self, value: Any, index: int, interval: float) -> Trial:
        self.where = f"{self.path}: test {index + 1}"
        data = self.mapping(value, "test")
        name = self.text(data, "name")
        self.where += f", {name}" if name else ""
        series = [self.series(one) for one in self.many(data, "input_series")]
        return Trial(
            name,
            self.time(data, "interval") or interval,
            [one for one in series if one],
            [self.alert(one) for one in self.many(data, "alert_rule_test")],
            [self.query(one) for one in self.many(data, "promql_expr_test")],
            self.pairs(data, "external_labels"),
            self.text(data, "external_url"),
        )

    def series(self, value: Any) -> tuple[Labels, Sequence[float | None]] | None:
        data = self.mapping(value, "series")
        name = self.text(data, "series")
        try:
            return notation.metric(name), notation.values(self.text(data, "values"))
        except ValueError as error:
            self.problem(f"input_series {name}: {error}")
            return None

    def alert(self, value: Any) -> Expected:
        data = self.mapping(value, "alert")
        name = self.text(data, "alertname")
        if not name:
            self.problem("an item under alert_rule_test has no alertname")
        expected = [self.mapping(one, "expected") for one in self.many(data, "exp_alerts")]
        alerts = [
            ({**self.pairs(one, "exp_labels"), "alertname": name}, self.pairs(one, "exp_annotations"))
            for one in expected
        ]
        return Expected(self.time(data, "eval_time"), name, alerts)

    def query(self, value: Any) -> Query:
        data = self.mapping(value, "expr")
        samples = [self.sample(one) for one in self.many(data, "exp_samples")]
        return Query(self.time(data, "eval_time"), self.text(data, "expr"), samples)

    def sample(self, value: Any) -> tuple[str, float]:
        data = self.mapping(value, "sample")
        text = self.text(data, "value")
        match = FLOAT.fullmatch(text or "0")
        if not match:
            self.problem(f"value: {document.shown(text)} must be a number, .inf or .nan")
        return self.text(data, "labels"), float(match[1] + match[2]) if match else 0.0
