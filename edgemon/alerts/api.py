"""Alerts and rules in the shape of Prometheus' HTTP API: /api/v1/alerts and /api/v1/rules."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from edgemon.alerts.alert import Alert, State
from edgemon.alerts.engine import Engine, Evaluation, Running
from edgemon.alerts.gofmt import unbounded

TYPES = {"alert": True, "record": False}


def alerts(engine: Engine) -> bytes:
    """The answer of /api/v1/alerts."""
    found = [_alert(alert) for _, _, machine in engine.machines() for alert in machine.active()]
    return _success({"alerts": found})


def rules(engine: Engine, query: Mapping[str, Sequence[str]]) -> tuple[int, bytes]:
    """The answer of /api/v1/rules, for the parameters type, rule_name[], rule_group[], file[] and exclude_alerts."""
    kind = (query.get("type") or [""])[0]
    if kind and kind not in TYPES:
        return 400, _bad(f'invalid parameter "type": not supported value "{kind}"')
    groups = []
    for one in engine.groups:
        if _leaves(one.group.name, query, "rule_group[]") or _leaves(one.group.file, query, "file[]"):
            continue
        kept = [
            rule
            for rule in one.rules
            if not (kind and rule.rule.alert != TYPES[kind]) and not _leaves(rule.rule.name, query, "rule_name[]")
        ]
        if kept or not (kind or query.get("rule_name[]")):
            brief = (query.get("exclude_alerts") or [""])[0].lower() in {"1", "t", "true"}
            groups.append(_group(one, kept, brief))
    return 200, _success({"groups": groups})


def _leaves(name: str, query: Mapping[str, Sequence[str]], key: str) -> bool:
    return bool(query.get(key)) and name not in query[key]


def _group(one: Evaluation, kept: Sequence[Running], brief: bool) -> dict[str, Any]:
    return {
        "name": one.group.name,
        "file": one.group.file,
        "rules": [_rule(rule, brief) for rule in kept],
        "interval": _number(one.interval),
        "limit": one.group.limit,
        "evaluationTime": one.took,
        "lastEvaluation": moment(one.evaluated),
    }


def _rule(rule: Running, brief: bool) -> dict[str, Any]:
    """A rule with its keys in the order that Prometheus has."""
    it, machine = rule.rule, rule.machine
    end = {
        "health": ("err" if rule.error else "ok") if rule.evaluated else "unknown",
        **({"lastError": rule.error} if rule.error else {}),
        "evaluationTime": rule.took,
        "lastEvaluation": moment(rule.evaluated),
        "type": "alerting" if machine else "recording",
    }
    labels = dict(sorted(it.labels.items()))
    if machine is None:
        return {"name": it.name, "query": it.text, **({"labels": labels} if labels else {}), **end}
    active = machine.active()
    states = {alert.state for alert in active}
    return {
        "state": next((one for one in (State.FIRING, State.PENDING) if one in states), State.INACTIVE).value,
        "name": it.name,
        "query": it.text,
        "duration": _number(it.hold),
        "keepFiringFor": _number(it.keep),
        "labels": labels,
        "annotations": dict(sorted(it.annotations.items())),
        "alerts": None if brief else [_alert(alert) for alert in active],
        **end,
    }


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "state": alert.state.value,
        "activeAt": moment(alert.active_wall),
        **({"keepFiringSince": moment(alert.kept_wall)} if alert.kept_wall else {}),
        "value": exponent(alert.value),
    }


def exponent(value: float, letter: str = "e") -> str:
    """The shortest decimal with an exponent that reads back as the value: 1e+00."""
    if not math.isfinite(value):
        return unbounded(value)
    digits = next(text for text in (f"{value:.{places}e}" for places in range(17)) if float(text) == value)
    return digits.replace("e", letter)


def moment(at: float) -> str:
    """A Unix time as RFC 3339 has it; Go's zero time for one that is not known."""
    if not at:
        return "0001-01-01T00:00:00Z"
    whole = round(at * 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole // 1000)) + f".{whole % 1000:03d}Z"


def _number(seconds: float) -> float | int:
    return int(seconds) if seconds == int(seconds) else seconds


def _success(data: object) -> bytes:
    return json.dumps({"status": "success", "data": data}).encode()


def _bad(text: str) -> bytes:
    return json.dumps({"status": "error", "errorType": "bad_data", "error": text}).encode()
