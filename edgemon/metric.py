"""What is measured: a Metric is declared, a Reading is taken, a Sweep is one pass of one sensor.

A metric carries its OpenTelemetry name, unit (UCUM) and kind; its Prometheus name is the translation that
OpenTelemetry specifies (opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics): dots become
underscores, the unit is spelled out and appended, counters end in `_total`, a gauge of unit 1 ends in `_ratio`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import NamedTuple

from edgemon.errors import CatalogError
from edgemon.sketch import Exponential

UNITS = {
    "s": "seconds",
    "By": "bytes",
    "Cel": "celsius",
    "W": "watts",
    "J": "joules",
    "Hz": "hertz",
    "V": "volts",
    "A": "amperes",
}
PER = {"s": "per_second"}
PLAIN = {float, int, type(None)}


class Kind(Enum):
    """OpenTelemetry's instrument, and what Prometheus calls it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    UPDOWN = "updowncounter"
    INFO = "info"
    HISTOGRAM = "histogram"

    @property
    def prometheus(self) -> str:
        """The TYPE of the text format, which knows counters, gauges and histograms."""
        return self.value if self in {Kind.COUNTER, Kind.HISTOGRAM} else "gauge"


class Reading(NamedTuple):
    """One value of one series; a tuple because hundreds are made every second.

    `value` is None when the hardware did not say; such readings are counted and never exported.
    `labels` are the values, in the order the metric declares their names; an empty string is an absent label.
    """

    metric: Metric
    labels: tuple[str, ...]
    value: float | None


class Distribution(NamedTuple):
    """The distribution of one series, cumulative since `Exponential` began to count."""

    metric: Metric
    labels: tuple[str, ...]
    value: Exponential


@dataclass(frozen=True, eq=False)
class Metric:
    """A metric edgemon can export. Calling it with a value and its labels takes a Reading.

    A histogram takes a Distribution instead, by its method of that name.
    """

    name: str
    unit: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    def __call__(self, value: float | None, *labels: str) -> Reading:
        """Take a reading; `labels` are positional, in the declared order. Other numbers become floats (numpy, bool)."""
        self._fits(labels, self.kind is not Kind.HISTOGRAM)
        if type(value) not in PLAIN:
            value = float(value)  # type: ignore[arg-type]
        return Reading(self, labels, value)

    def distribution(self, value: Exponential, *labels: str) -> Distribution:
        """Take the distribution of a histogram; `labels` as in a reading."""
        self._fits(labels, self.kind is Kind.HISTOGRAM)
        return Distribution(self, labels, value)

    def _fits(self, labels: tuple[str, ...], kind: bool) -> None:
        if len(labels) != len(self.labels):
            raise CatalogError(f"{self.name} takes the labels {self.labels}, got {labels}")
        if not kind:
            raise CatalogError(
                f"{self.name} is a {self.kind.value}: take a reading of other metrics, a distribution of it"
            )

    @cached_property
    def family(self) -> str:
        """The OpenMetrics family name: the Prometheus name without `_total` or `_info`."""
        words = re.sub(r"[^a-zA-Z0-9]+", "_", self.name).strip("_")
        if self.kind is Kind.INFO:
            return words.removesuffix("_info")
        suffix = self._unit_word
        if self.kind is Kind.COUNTER:
            words = words.removesuffix("_total")
        return words if not suffix or words.endswith(f"_{suffix}") else f"{words}_{suffix}"

    @cached_property
    def prometheus(self) -> str:
        """The name of the series in Prometheus."""
        if self.kind is Kind.COUNTER:
            return f"{self.family}_total"
        return f"{self.family}_info" if self.kind is Kind.INFO else self.family

    @cached_property
    def prometheus_labels(self) -> tuple[str, ...]:
        """The label names in Prometheus: dots become underscores."""
        return tuple(re.sub(r"[^a-zA-Z0-9_]", "_", label) for label in self.labels)

    @property
    def _unit_word(self) -> str:
        if self.unit.startswith("{") or not self.unit:
            return PER.get(self.unit.rpartition("/")[2], "") if "/" in self.unit else ""
        if self.unit == "1":
            return "ratio" if self.kind is Kind.GAUGE else ""
        return UNITS.get(self.unit, self.unit)


class State(str, Enum):
    """How one pass of a sensor went."""

    OK = "ok"
    ABSENT = "absent"
    DENIED = "denied"
    TIMEOUT = "timeout"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Sweep:
    """One pass of one source, however it went. `at` is CLOCK_BOOTTIME in seconds, `seconds` its duration."""

    source: str
    at: float
    readings: tuple[Reading, ...]
    state: State = State.OK
    seconds: float = 0.0
    errors: Mapping[str, int] = field(default_factory=dict)
    detail: str = ""
