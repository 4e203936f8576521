"""Where a rule works: on the device and in the fleet's Prometheus, or only in the latter, and why."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from edgemon import catalog
from edgemon.alerts.rules import Rule
from edgemon.metric import Kind

ADDED = ("job", "instance")
"""Labels that a Prometheus adds when it scrapes."""
ALERTS = ("ALERTS", "ALERTS_FOR_STATE")


def here() -> set[str]:
    """The names of all series a device can have."""
    found = set(ALERTS)
    for metric in catalog.ALL:
        suffixes = ("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",)
        found |= {metric.prometheus + suffix for suffix in suffixes}
    return found


def known(rules: Sequence[Rule]) -> set[str]:
    """The names of all series there can be on a device with these rules: recorded ones too, but of nothing foreign."""
    found, before = here(), 0
    while len(found) > before:
        before = len(found)
        found |= {rule.name for rule in rules if not rule.alert and not reasons(rule.expression, found)}
    return found


def reasons(plain: Mapping[str, Any], known: Collection[str]) -> list[str]:
    """Why an expression gives nothing on a device, or nothing; `known` are the names of its series."""
    found: list[str] = []
    for matchers in selectors(plain):
        names = [value for name, sign, value in matchers if (name, sign) == ("__name__", "=")]
        found += [
            f"{name} is {'recorded from what a device lacks' if ':' in name else 'no metric of edgemon'}"
            for name in names
            if name not in known
        ]
        added = [name for name, sign, value in matchers if name in ADDED and _demands(sign, value)]
        found += [f"{name} is a label that a Prometheus adds when it scrapes" for name in added]
    return list(dict.fromkeys(found))


def selectors(plain: Any) -> Iterator[list[tuple[str, str, str]]]:
    """The matchers of every selector in the plain form of an expression."""
    if isinstance(plain, Mapping):
        if "matchers" in plain:
            yield [(name, sign, value) for name, sign, value in plain["matchers"]]
        for part in plain.values():
            yield from selectors(part)
    elif isinstance(plain, list):
        for part in plain:
            yield from selectors(part)


def _demands(sign: str, value: str) -> bool:
    """Whether a matcher refuses a series that has no such label."""
    if sign in {"=", "!="}:
        return (value == "") == (sign == "!=")
    return bool(re.fullmatch(value, "")) == (sign == "!~")
