"""What rules look back on: kept as long as it is asked for, ended with Prometheus' marker, and no longer."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping

import pytest

from edgemon.alerts.promql.compile import compiled
from edgemon.alerts.promql.history import History, bits, last, windows
from edgemon.alerts.promql.node import Expression
from edgemon.alerts.promql.parse import parse
from edgemon.alerts.promql.select import LOOKBACK, TIERS, Source
from edgemon.alerts.promql.values import STALE, Vector, shown
from edgemon.metric import Kind, Metric
from edgemon.sinks.prometheus import Exposition
from edgemon.sketch import Sketch
from edgemon.store import Series, Snapshot

HEAT = Metric("heat", "Cel", Kind.GAUGE, "", ("zone", "unused"))
JOBS = Metric("jobs", "", Kind.COUNTER, "", ("zone",))
OTHER = Metric("other", "", Kind.GAUGE, "")
BOARD = Metric("board", "", Kind.INFO, "", ("model",))
FIRST: Series = (HEAT, ("cpu", ""))
SECOND: Series = (HEAT, ("gpu", ""))


def made(text: str, source: Source) -> Expression:
    return compiled(text, parse(text), source)


def take(source: Source, at: float, series: Mapping[Series, float]) -> None:
    source.take(Snapshot(at=at, series=series))


def values(vector: Vector) -> dict[str, float]:
    """By the zone."""
    return {dict(labels).get("zone", ""): value for labels, value in vector}


def test_a_series_is_named_and_labelled_as_it_is_exported() -> None:
    source = Source()
    every = made('{__name__=~".+"}', source)
    take(source, 10.0, {FIRST: 50.0, (JOBS, ("a",)): 3.0, (BOARD, ("Pi 5",)): 1.0})
    assert every.evaluate(source, 10.0) == [
        ((("__name__", "heat_celsius"), ("zone", "cpu")), 50.0),
        ((("__name__", "jobs_total"), ("zone", "a")), 3.0),
        ((("__name__", "board_info"), ("model", "Pi 5")), 1.0),
    ]


def test_what_a_snapshot_does_not_hold_is_absent_at_once_and_its_past_is_not() -> None:
    source = Source()
    now, before = made("heat_celsius", source), made("heat_celsius offset 20s", source)
    longest, since = made("max_over_time(heat_celsius[1m])", source), made("absent(heat_celsius)", source)
    take(source, 100.0, {FIRST: 50.0, SECOND: 60.0})
    take(source, 110.0, {SECOND: 61.0})
    take(source, 120.0, {})
    assert now.evaluate(source, 120.0) == []
    assert since.evaluate(source, 120.0) == [((), 1.0)]
    assert values(before.evaluate(source, 120.0)) == {"cpu": 50.0, "gpu": 60.0}
    assert values(before.evaluate(source, 130.0)) == {"gpu": 61.0}
    assert values(longest.evaluate(source, 120.0)) == {"cpu": 50.0, "gpu": 61.0}


def test_a_series_ends_with_prometheus_stale_marker_and_may_come_back() -> None:
    history = History()
    for at, value in ((1000, 1.0), (2000, None), (3000, None), (4000, 4.0)):
        assert history.open(at)
        if value:
            history.put(FIRST, (), value, 60_000)
        history.put(SECOND, (("a", "b"),), float(at), 60_000)
        history.close()
    column = history.columns["heat_celsius"][FIRST]
    assert [bits(value) for value in column.values][1] == 0x7FF0000000000002
    assert [list(one.values) for one in windows(history, [column], 0, 5000)] == [[1.0, 4.0]]
    assert [list(one.times) for one in windows(history, [column], 1000, 5000)] == [[4000]]
    assert [found[1] for found in last(history, [column], 1999, LOOKBACK)] == [1.0]
    assert list(last(history, [column], 2000, LOOKBACK)) == []
    assert list(last(history, [column], 3000, LOOKBACK)) == []


def test_a_nan_that_was_measured_is_a_sample() -> None:
    history = History()
    history.open(1000)
    history.put(FIRST, (), math.nan, 60_000)
    history.close()
    column = history.columns["heat_celsius"][FIRST]
    assert math.isnan(next(last(history, [column], 1000, LOOKBACK))[1])
    assert struct.pack("=d", STALE) == struct.pack("=Q", 0x7FF0000000000002)


def test_a_range_is_open_on_the_left_and_closed_on_the_right() -> None:
    source = Source()
    counted = made("count_over_time(heat_celsius[30s])", source)
    for at in (100.0, 110.0, 120.0, 130.0):
        take(source, at, {FIRST: at})
    assert values(counted.evaluate(source, 130.0)) == {"cpu": 3.0}
    assert values(counted.evaluate(source, 129.999)) == {"cpu": 3.0}
    assert values(counted.evaluate(source, 140.0)) == {"cpu": 2.0}


@pytest.mark.parametrize("pace", [0.25, 1.0, 7.0])
@pytest.mark.parametrize(
    ("text", "reach"), [("rate(jobs_total[1m])", 60.0), ("deriv(heat_celsius[30m] offset 5m)", 2100.0)]
)
def test_no_more_is_kept_than_is_looked_back_on(text: str, reach: float, pace: float) -> None:
    """However often snapshots come; and nothing of what no rule looks back on."""
    source = Source()
    expression = made(f"{text} + other", source)
    assert expression.reach == reach * 1000
    for number in range(int(3 * reach / pace)):
        take(source, 100.0 + number * pace, {FIRST: 1.0 * number, (JOBS, ("a",)): 2.0 * number, (OTHER, ()): 1.0})
    spacing = max(pace, next(apart for most, apart in TIERS if reach * 1000 <= most) / 1000)
    kept = [len(one.values) for history in source.histories for row in history.columns.values() for one in row.values()]
    assert len(kept) == 1
    assert reach / spacing - 1 <= kept[0] <= reach / spacing + 66


def test_series_that_are_gone_are_forgotten() -> None:
    source = Source()
    expression = made("rate(jobs_total[1m])", source)
    for number in range(500):
        take(source, 100.0 + number, {(JOBS, (str(number),)): 1.0})
    assert expression.evaluate(source, 600.0) == []
    assert sum(len(row) for history in source.histories for row in history.columns.values()) < 130


def test_a_snapshot_that_is_not_newer_is_left_out() -> None:
    source = Source()
    heat = made("heat_celsius", source)
    take(source, 100.0, {FIRST: 1.0})
    take(source, 99.0, {FIRST: 2.0})
    take(source, 100.0, {FIRST: 3.0})
    assert values(heat.evaluate(source, 100.0)) == {"cpu": 1.0}


def test_a_value_stands_for_five_minutes() -> None:
    source = Source()
    heat = made("heat_celsius", source)
    take(source, 100.0, {FIRST: 1.0})
    assert values(heat.evaluate(source, 399.999)) == {"cpu": 1.0}
    assert heat.evaluate(source, 400.0) == []


def test_only_dates_and_timestamps_see_the_wall_clock() -> None:
    """Ranges are cut on the clock since boot, so that a step of the wall clock loses and repeats nothing."""
    source = Source()
    texts = ["time()", "timestamp(heat_celsius)", "time() - timestamp(heat_celsius)", "hour()", "year()"]
    now, stamp, age, hour, year = (made(text, source) for text in texts)
    counted = made("count_over_time(heat_celsius[1m])", source)
    for at in (100.0, 110.0, 120.0):
        take(source, at, {FIRST: 1.0})
    for wall in (1_700_000_000.0, 1_000_000_000.0):
        assert now.evaluate(source, 125.0, wall) == [((), wall)]
        assert values(stamp.evaluate(source, 125.0, wall)) == {"cpu": wall - 5}
        assert values(age.evaluate(source, 125.0, wall)) == {"cpu": 5.0}
        assert values(counted.evaluate(source, 125.0, wall)) == {"cpu": 3.0}
    assert hour.evaluate(source, 125.0, 1_700_000_000.0) == [((), 22.0)]
    assert year.evaluate(source, 125.0, 1_000_000_000.0) == [((), 2001.0)]


def test_snapshots_that_come_a_little_early_are_all_remembered() -> None:
    """A sweep every second is never exactly a second after the one before."""
    source = Source()
    counted = made("count_over_time(heat_celsius[1m])", source)
    for number in range(60):
        take(source, 100.0 + number + (0.03 if number % 2 else -0.03), {FIRST: 1.0})
    assert values(counted.evaluate(source, 159.03)) == {"cpu": 60.0}


def test_rules_loaded_again_find_the_past_that_was_there() -> None:
    source = Source()
    made("rate(jobs_total[1m])", source)
    for number in range(100):
        take(source, 100.0 + number, {(JOBS, ("a",)): 1.0 * number, FIRST: 1.0})
    source.forget()
    longer = made("count_over_time(jobs_total[100s])", source)
    for number in range(100, 190):
        take(source, 100.0 + number, {(JOBS, ("a",)): 1.0 * number, FIRST: 1.0})
    assert longer.evaluate(source, 289.0) == [((("zone", "a"),), 100.0)]


def test_histograms_are_the_series_that_the_exposition_has_of_them() -> None:
    """Name, labels and value of every line, and so a quantile of them."""
    waits, sketch, source = Metric("wait.time", "s", Kind.HISTOGRAM, "", ("line",)), Sketch(), Source()
    sketch.add([0.001, 0.002, 0.004, 0.004, 1.5])
    snapshot = Snapshot(at=10.0, histograms={(waits, ("a",)): sketch.exponential()})
    source.take(snapshot)
    lines = Exposition(lambda: snapshot).render(snapshot, openmetrics=False).decode().splitlines()
    wanted = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}
    found = made('{__name__=~"wait.+"}', source).evaluate(source, 10.0)
    assert {shown(labels).replace(", ", ","): value for labels, value in found} == {
        re.sub(r"line=(.*?),(le=.*?)}", r"\2,line=\1}", name): value for name, value in wanted.items()
    }
    median = made("histogram_quantile(0.5, wait_time_seconds_bucket)", source).evaluate(source, 10.0)
    assert values(median)[""] == pytest.approx(0.003, rel=0.5)
