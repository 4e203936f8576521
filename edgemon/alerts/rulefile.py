"""Reading rule files, every problem at once with its file, group and rule. For commands and the daemon's child."""

from __future__ import annotations

import dataclasses
import difflib
import glob
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgemon import document
from edgemon.alerts import embedded, template
from edgemon.alerts.expansion import RefusedError
from edgemon.alerts.promql import parse
from edgemon.alerts.promql.complain import tree
from edgemon.alerts.rules import Group, Rule
from edgemon.errors import ConfigError, ExpressionError, printable

DURATION = re.compile(r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?")
UNITS = (31_536_000.0, 604_800.0, 86_400.0, 3600.0, 60.0, 1.0, 0.001)
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
FILE = ("groups",)
GROUP = ("name", "interval", "query_offset", "limit", "rules", "labels")
ALERT = ("alert", "expr", "for", "keep_firing_for", "labels", "annotations")
RECORD = ("record", "expr", "labels")


def seconds(text: str) -> float:
    """A duration as Prometheus writes it, such as 1h30m, or ValueError."""
    match = DURATION.fullmatch(text)
    if text == "0":
        return 0.0
    if not text or not match:
        raise ValueError(f"{document.shown(text)} must be a duration such as 30s, 5m or 1h30m")
    return sum(int(number) * unit for number, unit in zip(match.groups(), UNITS, strict=True) if number)


class Reader:
    """Reads one file; what is wrong with it goes to `problems`, what is not goes to `groups`.

    With `lenient` an expression that only the device refuses is left out of its group, and kept in `refused`.
    """

    def __init__(self, path: str, lenient: bool = False) -> None:
        self.path, self.lenient = path, lenient
        self.problems: list[str] = []
        self.groups: list[Group] = []
        self.refused: list[tuple[str, str, str]] = []
        self._where = path

    def read(self) -> Reader:
        """Read it."""
        try:
            data = document.read(embedded.located(self.path), document.Texts, "a rule file")
        except ConfigError as error:
            self.problems += error.problems
            return self
        if not isinstance(data, dict) and data is not None:
            self._problem("must be a mapping with the key groups")
            return self
        self._keys(data or {}, FILE)
        names: set[str] = set()
        for index, one in enumerate(self._list(data or {}, "groups")):
            self._where = f"{self.path}: group {index + 1}"
            if isinstance(one, dict):
                self._group(one, names)
            else:
                self._problem("must be a mapping")
        return self

    def _problem(self, text: str) -> None:
        self.problems.append(printable(f"{self._where}: {text}"))

    def _keys(self, data: Mapping[str, Any], known: Sequence[str]) -> None:
        for key in [key for key in data if key not in known]:
            close = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(known)}"
            self._problem(f"unknown key {document.shown(str(key))}; {hint}")

    def _list(self, data: Mapping[str, Any], key: str) -> list[Any]:
        value = data.get(key)
        if value is None or isinstance(value, list):
            return value or []
        self._problem(f"{key} must be a list")
        return []

    def _text(self, data: Mapping[str, Any], key: str) -> str:
        value = data.get(key)
        if value is None or isinstance(value, str):
            return value or ""
        self._problem(f"{key} must be a string")
        return ""

    def _seconds(self, data: Mapping[str, Any], key: str) -> float:
        if data.get(key) is None:
            return 0.0
        try:
            return seconds(self._text(data, key))
        except ValueError as error:
            self._problem(f"{key}: {error}")
            return 0.0

    def _limit(self, data: Mapping[str, Any]) -> int:
        text = self._text(data, "limit") or "0"
        if re.fullmatch(r"[+-]?\d{1,9}", text):
            return int(text)
        self._problem(f"limit: {document.shown(text)} must be a whole number")
        return 0

    def _pairs(self, data: Mapping[str, Any], key: str, kind: str) -> dict[str, str]:
        """Labels or annotations."""
        value = data.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._problem(f"{key} must be a mapping of strings")
            return {}
        found = {}
        for name, text in value.items():
            if not isinstance(name, str) or not LABEL.fullmatch(name) or (name == "__name__" and kind == "label"):
                self._problem(f"{key}: {document.shown(str(name))} is no {kind} name")
            elif not isinstance(text, str | None):
                self._problem(f"{key}.{name} must be a string")
            else:
                found[name] = text or ""
        return found

    def _group(self, data: Mapping[str, Any], names: set[str]) -> None:
        name = self._text(data, "name")
        if name:
            self._where = f"{self.path}: group {document.shown(name)}"
        else:
            self._problem("name is missing")
        if name in names:
            self._problem("this name is given twice in the file")
        names.add(name)
        self._keys(data, GROUP)
        interval, offset = self._seconds(data, "interval"), self._seconds(data, "query_offset")
        labels, limit = self._pairs(data, "labels", "label"), self._limit(data)
        rules = []
        where = self._where
        for index, one in enumerate(self._list(data, "rules")):
            self._where = f"{where}: rule {index + 1}"
            if not isinstance(one, dict):
                self._problem("must be a mapping")
            elif rule := self._rule(one, labels, name):
                rules.append(rule)
        self.groups.append(Group(name, self.path, rules, interval, limit, offset))

    def _rule(self, data: Mapping[str, Any], common: Mapping[str, str], group: str) -> Rule | None:
        record, alert, text = self._text(data, "record"), self._text(data, "alert"), self._text(data, "expr")
        if record or alert:
            self._where += f", {document.shown(alert or record)}"
        if bool(record) == bool(alert):
            self._problem("has both record and alert; take one" if record else "record or alert is missing")
        self._keys(data, RECORD if record and not alert else (*ALERT, "record") if record else ALERT)
        if record and not METRIC.fullmatch(record):
            self._problem(
                f"record: {document.shown(record)} must be letters, digits, _ and :, and not start with a digit"
            )
        hold, keep = self._seconds(data, "for"), self._seconds(data, "keep_firing_for")
        labels = {**common, **self._pairs(data, "labels", "label")}
        annotations = self._pairs(data, "annotations", "annotation")
        if alert:
            self._templates({"labels": labels, "annotations": annotations})
        if not text:
            self._problem("expr is missing")
            return None
        plain = self._expression(text, group, alert or record)
        return plain and Rule(alert or record, text, plain, bool(alert), hold, keep, labels, annotations)

    def _templates(self, kinds: Mapping[str, Mapping[str, str]]) -> None:
        for kind, texts in kinds.items():
            for name, text in texts.items():
                try:
                    template.parse(text)
                except RefusedError as error:
                    self._problem(f"{kind}.{name}: {error.problem}")

    def _expression(self, text: str, group: str, name: str) -> Any:
        try:
            return parse.parse(text)
        except ExpressionError as error:
            if self.lenient and is_promql(text):
                self.refused.append((group, name, "; ".join(error.problems)))
            else:
                for problem in error.problems:
                    self._problem(f"expr: {problem}")
        return None


def is_promql(text: str) -> bool:
    """Whether Prometheus takes it, whatever the device does."""
    try:
        tree(text)
    except ValueError:
        return False
    return True


def paths(patterns: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each file with the pattern it came from; a path that is no pattern is itself, there or not."""
    for one in patterns:
        found = sorted(glob.glob(one))
        yield from ((path, one) for path in found or ([] if glob.has_magic(one) else [one]))


def main() -> None:
    """The daemon's child."""
    readers = [Reader(path).read() for path in dict.fromkeys(path for path, _ in paths(sys.argv[1:]))]
    groups = [dataclasses.asdict(group) for one in readers for group in one.groups]
    json.dump({"groups": groups, "problems": [problem for one in readers for problem in one.problems]}, sys.stdout)


if __name__ == "__main__":
    main()
