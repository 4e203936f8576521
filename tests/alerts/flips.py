"""Flips to announce."""

from __future__ import annotations

from typing import Any

from edgemon.alerts.flip import Flip, State


def flip(name: str = "Hot", state: str = "firing", starts_at: float = 1e9, **more: Any) -> Flip:
    """A flip of an alert of this name."""
    labels = {"alertname": name, "severity": "warning", **more.pop("labels", {})}
    ends = starts_at + 60 if state == "resolved" else 0.0
    return Flip(labels=labels, state=State(state), starts_at=starts_at, **{"ends_at": ends, **more})


def key(one: Flip) -> tuple[str, float, str]:
    """What a test tells flips by."""
    return one.alertname, one.starts_at, one.state.value
