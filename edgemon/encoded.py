"""The vocabulary of what is made ready to be pushed. Part of the catalogue."""

from __future__ import annotations

from edgemon.metric import Kind, Metric

COUNTER, GAUGE = Kind.COUNTER, Kind.GAUGE

SERIES = Metric("edgemon.otlp.series", "{series}", GAUGE, "Series in the last push.")
OMITTED = Metric(
    "edgemon.otlp.series.omitted", "{series}", GAUGE, "Series left out of the last push: more than otlp.series allows."
)
MISSED = Metric(
    "edgemon.otlp.missed",
    "{item}",
    COUNTER,
    "Snapshots, probe rounds and alert flips that came faster than they could be made ready to be sent.",
)

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
