"""The vocabulary of what a probe is held to: a deadline, and how it once started. Part of the catalogue."""

from __future__ import annotations

from edgemon.metric import Kind, Metric

GAUGE = Kind.GAUGE

DEADLINE = Metric(
    "edgemon.probe.deadline", "s", GAUGE, "Time within which an answer is needed, as configured.", ("probe",)
)
DEADLINE_MISSED = Metric(
    "edgemon.probe.deadline.missed",
    "1",
    GAUGE,
    "Share of the steady inferences of the last run that took longer than the deadline.",
    ("probe",),
)
BASELINE_PHASE = Metric(
    "edgemon.probe.baseline.phase.duration",
    "s",
    GAUGE,
    "Median time in the baseline of the phases that are not steady, as in edgemon.probe.duration.",
    ("probe", "phase"),
)
SLOWDOWN_BOUND = Metric(
    "edgemon.probe.slowdown.bound",
    "1",
    GAUGE,
    "Between low and high lies the slowdown with 95 % confidence.",
    ("probe", "baseline", "bound"),
)
CAUSE_RANK = Metric(
    "edgemon.probe.cause.rank",
    "{rank}",
    GAUGE,
    "Place of each cause of a verdict that is not ok: 1 is the foremost, of which there is one.",
    ("probe", "cause", "strength"),
)

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
