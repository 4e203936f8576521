"""The vocabulary of re-benchmarks: what asked for them, what came of them. Part of the catalogue."""

from __future__ import annotations

from edgemon.metric import Kind, Metric

COUNTER, GAUGE = Kind.COUNTER, Kind.GAUGE

REBENCHMARKS = Metric(
    "edgemon.rebenchmarks",
    "{rebenchmark}",
    COUNTER,
    "Re-benchmarks since edgemon started, by what asked for them (alert, calendar) and how they ended: ok, improved, "
    "undecided, degraded, failing, or abandoned when too few of their runs were let through.",
    ("probe", "trigger", "outcome"),
)
REBENCHMARK_WAITING = Metric(
    "edgemon.rebenchmark.waiting",
    "",
    GAUGE,
    "1 for what a re-benchmark that was asked for waits for: queue (another one), running, cool_down, budget_day, or a "
    "gate or a budget as in edgemon.probe.skipped.",
    ("probe", "reason"),
)
REBENCHMARK_ALERT = Metric(
    "edgemon.rebenchmark.alert",
    "",
    GAUGE,
    "1 for what the re-benchmark that an alert asked for makes of it: pending until it is done, then confirmed (the "
    "probe is degraded or failing), undecided, or for the time of the cool-down withdrawn (it is neither).",
    ("probe", "alertname", "state"),
)
REBENCHMARK_VERDICT = Metric(
    "edgemon.rebenchmark.verdict",
    "",
    GAUGE,
    "1 for the verdict on all runs of the last re-benchmark: ok, improved, undecided, degraded, failing.",
    ("probe", "state"),
)
REBENCHMARK_SLOWDOWN = Metric(
    "edgemon.rebenchmark.slowdown",
    "1",
    GAUGE,
    "Steady inference time of the last re-benchmark over the baseline's, pinned or rolling; 1.1 is 10 % slower.",
    ("probe", "baseline"),
)
REBENCHMARK_BOUND = Metric(
    "edgemon.rebenchmark.slowdown.bound",
    "1",
    GAUGE,
    "Between low and high lies that slowdown with 95 % confidence; absent where there are too few runs for it.",
    ("probe", "bound"),
)
REBENCHMARK_DURATION = Metric(
    "edgemon.rebenchmark.duration", "s", GAUGE, "Median inference time of the last re-benchmark.", ("probe",)
)
REBENCHMARK_ROUNDS = Metric(
    "edgemon.rebenchmark.rounds", "{run}", GAUGE, "Runs that the last re-benchmark was made of.", ("probe",)
)
REBENCHMARK_AT = Metric(
    "edgemon.rebenchmark.timestamp", "s", GAUGE, "When the last re-benchmark ended, Unix time.", ("probe",)
)
REBENCHMARK_BUDGET = Metric(
    "edgemon.rebenchmark.budget",
    "1",
    GAUGE,
    "Share of the day's time for re-benchmarks that alerts ask for which the last 24 hours have used.",
)

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
