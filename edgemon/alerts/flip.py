"""A flip: what an alert rule announced when an alert began to fire or was resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

FNV_OFFSET, FNV_PRIME, SEPARATOR = 0xCBF29CE484222325, 0x100000001B3, 0xFF
ANNOTATED = ("labels", "annotations")
TIMES = ("starts_at", "ends_at", "at")
UNUSUAL = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}
"""What is no number, as Prometheus writes it."""


class State(str, Enum):
    """What became of the alert."""

    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Flip:
    """An alert that flipped. `labels` hold alertname; `value` is that of the rule's expression.

    `starts_at` and `ends_at` are Unix times in seconds, 0 where not known; `at` is CLOCK_BOOTTIME in seconds.
    """

    labels: Mapping[str, str]
    state: State
    starts_at: float = 0.0
    ends_at: float = 0.0
    at: float = 0.0
    value: float = 1.0
    annotations: Mapping[str, str] = field(default_factory=dict)
    generator_url: str = ""

    @property
    def alertname(self) -> str:
        """The name of the alert."""
        return self.labels.get("alertname", "")

    @property
    def fingerprint(self) -> str:
        """The identity of the alert, as Prometheus and Alertmanager compute it."""
        return fingerprint(self.labels)

    @property
    def identity(self) -> str:
        """What tells this flip from every other: alert, beginning (milliseconds; of the boot if not known), state."""
        began = f"{self.starts_at * 1000:.0f}" if self.starts_at else f"boot{self.at * 1000:.0f}"
        return f"{self.fingerprint}-{began}-{self.state.value}"

    def to_json(self) -> dict[str, Any]:
        """Plain values; `value` is a string, as in Prometheus' API, since JSON has no NaN."""
        value = str(float(self.value))
        return {
            "labels": dict(self.labels),
            "state": self.state.value,
            "starts_at": self.starts_at,
            "ends_at": self.ends_at,
            "at": self.at,
            "value": UNUSUAL.get(value, value),
            "annotations": dict(self.annotations),
            "generator_url": self.generator_url,
        }

    @classmethod
    def from_json(cls, data: Any) -> Flip:
        """The flip from plain values; ValueError, TypeError or KeyError when they are none."""
        for name in ANNOTATED:
            if not all(isinstance(one, str) for pair in data[name].items() for one in pair):
                raise ValueError(f"{name} must be strings")
        times = {name: float(data[name]) for name in TIMES}
        return cls(
            labels=dict(data["labels"]),
            state=State(data["state"]),
            value=float(data["value"]),
            annotations=dict(data["annotations"]),
            generator_url=str(data["generator_url"]),
            **times,
        )


def fingerprint(labels: Mapping[str, str]) -> str:
    """Prometheus' fingerprint of a label set: 64-bit FNV-1a over the sorted names and values, in hexadecimal.

    Every name and value ends in the byte 0xFF, which UTF-8 never has (prometheus/common, model.LabelSet). A label
    without a value is no label.
    """
    result = FNV_OFFSET
    for name in sorted(labels):
        if labels[name]:
            for byte in (*name.encode(), SEPARATOR, *labels[name].encode(), SEPARATOR):
                result = ((result ^ byte) * FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return f"{result:016x}"
