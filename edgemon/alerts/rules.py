"""Rule files as Prometheus has them: what the rules of a file are, and how the daemon comes by them.

A child process reads YAML and PromQL (`python -m edgemon.alerts.rulefile FILE…`) and says what it found as JSON: the
daemon carries neither parser.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgemon.errors import ConfigError

PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule; `expression` is the plain form of `text`, as promql.parse gives it. Durations in seconds."""

    name: str
    text: str
    expression: Mapping[str, Any]
    alert: bool
    hold: float = 0.0
    keep: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after another. `interval` 0 is the configured one; `limit` 0 is none."""

    name: str
    file: str
    rules: Sequence[Rule] = ()
    interval: float = 0.0
    limit: int = 0
    offset: float = 0.0

    @property
    def key(self) -> str:
        """What tells it from all others, as Prometheus writes it."""
        return f"{self.file};{self.name}"


def load(paths: Sequence[str]) -> list[Group]:
    """The groups of these files (patterns such as /etc/edgemon/rules/*.yml too), or ConfigError with every problem."""
    if not paths:
        return []
    command = [sys.executable, "-m", "edgemon.alerts.rulefile", *paths]
    try:
        child = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False)
        said = json.loads(child.stdout)
    except (subprocess.TimeoutExpired, OSError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError([f"rules.files: the child that reads rules failed ({reason})"]) from None
    if said["problems"]:
        raise ConfigError(said["problems"])
    return [group(one) for one in said["groups"]]


def group(data: Mapping[str, Any]) -> Group:
    """The group from plain values."""
    return Group(**{**data, "rules": [Rule(**one) for one in data["rules"]]})
