"""The loop: an alert asks, a longer run confirms or withdraws it, within guards; the calendar asks too."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from edgemon import hardware
from edgemon.budget import Cost
from edgemon.config import Config
from edgemon.limits import Budget
from edgemon.probe.result import Outcome
from edgemon.rebenching import LIMIT, reports
from tests.rebenched import PROBE, Device

HOT = hardware.THROTTLED(1.0, "soc", "soc", "thermal")
COOL = hardware.THROTTLED(0.0, "soc", "soc", "thermal")
WEAK = hardware.THROTTLED(1.0, "soc", "soc", "power")
HOUR, DAY = 3600.0, 86400.0


def made(where: Path, *names: str, **settings: Any) -> Device:
    """A device with a baseline for each probe."""
    it = Device(where, *names, **settings)
    for name in it.config.probes:
        it.learn(name)
    return it


def test_a_slow_probe_is_confirmed_with_better_numbers_and_its_baseline_stays(tmp_path: Path) -> None:
    """Ten rounds, where the alert rested on three; the bounds are those of ten against ten."""
    it = made(tmp_path)
    before = [one.to_json() for one in it.archive.baselines()]
    it.took["a"] = 1.3
    first = it.turns(3)
    it.fire(probe="a")
    it.until(it.now + 60)
    (report,) = reports(it.archive)
    assert (report.outcome, report.makes, report.alerts, report.rounds) == ("degraded", "confirmed", ("Slow",), 10)
    low, value, high = report.low or 0, report.slowdown or 0, report.high or 9
    assert 1.25 < low < value < high < 1.35
    assert high - low < (first.verdict.high or 9) - (first.verdict.low or 0)
    assert f"slower than the baseline [{low - 1:+.1%}, {high - 1:+.1%}]" in str(report)
    told = it.told()
    assert it.alerts() == {("a", "Slow", "confirmed")}
    assert told["rebenchmark.verdict"]["a", "degraded"] == 1
    assert told["rebenchmark.slowdown"] == {("a", "pinned"): report.slowdown}
    assert told["rebenchmark.slowdown.bound"] == {("a", "low"): report.low, ("a", "high"): report.high}
    assert (told["rebenchmark.rounds"]["a",], told["rebenchmark.duration"]["a",]) == (10, report.duration)
    assert told["rebenchmarks"] == {("a", "alert", "degraded"): 1}
    assert [one.to_json() for one in it.archive.baselines()] == before
    it.fire(resolved=True, probe="a")
    it.until(it.now + 60)
    assert it.alerts() == set()


def test_a_probe_that_is_well_withdraws_the_alert_for_the_time_of_the_cool_down(tmp_path: Path) -> None:
    """The alert ends thereby, and that changes nothing; when it comes back after that time it is looked at anew."""
    it = made(tmp_path, again={"cool_down": 600.0})
    it.fire(probe="a")
    it.until(it.now + 60)
    assert it.alerts() == {("a", "Slow", "withdrawn")}
    it.fire(resolved=True, probe="a")
    it.until(it.now + 500)
    assert it.alerts() == {("a", "Slow", "withdrawn")}
    it.until(it.now + 100)
    assert it.alerts() == set()
    it.took["a"] = 1.5
    it.fire(probe="a")
    it.until(it.now + 60)
    assert it.alerts() == {("a", "Slow", "confirmed")}


def test_a_failing_run_confirms_at_once(tmp_path: Path) -> None:
    it = made(tmp_path)
    it.outcomes["a"] = Outcome.CRASHED
    it.fire("Failing", probe="a")
    it.until(it.now + 60)
    assert it.runs == ["a"]
    assert it.alerts() == {("a", "Failing", "confirmed")}


def test_without_a_baseline_the_rounds_from_before_are_one_and_without_them_it_is_undecided(tmp_path: Path) -> None:
    it = Device(tmp_path, again={"cool_down": 0.0})
    it.fire(probe="a")
    it.until(it.now + 60)
    assert it.alerts() == {("a", "Slow", "undecided")}
    it.turns(20)
    it.took["a"] = 1.3
    it.fire("Again", probe="a")
    it.until(it.now + 60)
    last = reports(it.archive)[-1]
    assert (last.makes, last.baseline) == ("confirmed", "rolling")
    assert it.archive.baselines() == []


def test_another_model_is_undecided_since_nothing_is_known_of_it(tmp_path: Path) -> None:
    it = made(tmp_path)
    it.model = "def"
    it.fire(probe="a")
    it.until(it.now + 60)
    (report,) = reports(it.archive)
    assert (report.outcome, report.cause, report.makes) == ("undecided", "changed", "undecided")


def test_between_two_of_a_probe_there_is_the_cool_down(tmp_path: Path) -> None:
    """A second alert waits for it as long as it fires; another probe does not."""
    it = made(tmp_path, "a", "b", again={"cool_down": HOUR})
    it.fire(probe="a")
    it.until(it.now + 60)
    began = it.now
    it.fire("Other", probe="a")
    it.fire("Other", probe="b")
    it.until(began + HOUR - 120)
    assert it.runs == ["a"] * 10 + ["b"] * 10
    assert it.it.waits["a"].reason == "cool_down"
    assert it.told()["rebenchmark.waiting"] == {("a", "cool_down"): 1}
    assert ("a", "Other", "pending") in it.alerts()
    it.until(began + HOUR + 60)
    assert it.runs[20:] == ["a"] * 10


def test_an_alert_that_is_over_before_its_turn_asks_for_nothing(tmp_path: Path) -> None:
    it = made(tmp_path)
    it.fire(probe="a")
    it.until(it.now + 60)
    it.fire("Other", probe="a")
    it.until(it.now + 60)
    it.fire("Other", resolved=True, probe="a")
    it.until(it.now + 3 * HOUR)
    assert len(it.runs) == 10
    assert it.it.waits == {}


def test_a_day_has_a_budget(tmp_path: Path) -> None:
    """Twenty seconds each, fifty a day: the third waits until the first is a day old."""
    it = made(tmp_path, "a", "b", "c", again={"budget": 50.0})
    it.turns(1, "c")
    it.schedule.plans["c"].ran(it.cost, it.turns(1, "c").verdict)
    for name in "abc":
        it.fire(probe=name)
    it.until(it.now + 120)
    first = it.now
    assert len(it.runs) == 20
    assert str(it.it.waits["c"]) == "budget_day (40s of 50s in 24 hours are used)"
    assert it.told()["rebenchmark.budget"] == {(): 0.8}
    it.until(first + DAY - 120)
    assert len(it.runs) == 20
    it.until(first + DAY + 60)
    assert len(it.runs) == 30


def test_one_that_alone_exceeds_the_budget_of_a_day_is_let_through_once_a_day(tmp_path: Path) -> None:
    it = made(tmp_path, "a", "b", again={"budget": 5.0})
    it.fire(probe="a")
    it.fire(probe="b")
    it.until(it.now + HOUR)
    assert it.runs == ["a"] * 10


def test_what_a_probe_may_cost_in_an_hour_holds_a_round_too(tmp_path: Path) -> None:
    """Ten CPU seconds an hour are ten rounds; three are spent, so three wait for the next hour."""
    it = made(tmp_path, probes={"a": Config().probes["default"]}, budget=Budget(cpu=10.0))
    plan = it.schedule.plans["a"]
    for _ in range(3):
        plan.ran(it.cost, it.turns(1).verdict)
    it.fire(probe="a")
    it.until(it.now + 120)
    assert len(it.runs) == 7
    assert it.it.waits["a"].reason == "budget_cpu"
    it.until(it.now + 1.2 * HOUR)
    assert len(it.runs) == 10
    assert it.alerts() == set() or {state for *_, state in it.alerts()} == {"withdrawn"}


def test_a_throttled_device_is_left_alone(tmp_path: Path) -> None:
    it = made(tmp_path)
    it.see(HOT)
    it.fire(probe="a")
    it.until(it.now + 600)
    assert it.runs == []
    assert it.it.waits["a"].reason == "throttled"
    it.see(COOL)
    it.until(it.now + 60)
    assert it.runs == ["a"] * 10


@pytest.mark.parametrize("cause", ["thermal", "thermal_throttling"])
def test_unless_the_cause_is_heat(tmp_path: Path, cause: str) -> None:
    """Then what it costs is what is to be told."""
    it = made(tmp_path)
    it.see(HOT)
    it.fire("EdgemonThrottled", cause=cause)
    it.until(it.now + 60)
    assert it.runs == ["a"] * 10
    assert {alert for _, alert, _ in it.alerts()} == {"EdgemonThrottled"}


def test_what_began_in_the_heat_is_finished_in_it(tmp_path: Path) -> None:
    """Although the alert is resolved meanwhile, which may be the doing of the rounds themselves."""
    it = made(tmp_path)
    it.see(HOT)
    it.fire(probe="a", cause="thermal")
    it.until(it.now + 9)
    it.fire(resolved=True, probe="a", cause="thermal")
    it.until(it.now + 60)
    assert it.runs == ["a"] * 10
    assert it.alerts() == {("a", "Slow", "withdrawn")}


def test_heat_that_begins_midway_holds_the_rest(tmp_path: Path) -> None:
    """For two hours at most: then what there is says what it can, or nothing is said."""
    it = made(tmp_path)
    it.took["a"] = 1.3
    it.fire(probe="a")
    it.until(it.now + 9)
    assert len(it.runs) == 5
    it.see(WEAK)
    it.until(it.now + LIMIT + 60)
    (report,) = reports(it.archive)
    assert (len(it.runs), report.rounds, report.outcome, report.makes) == (5, 5, "degraded", "confirmed")


def test_too_few_rounds_are_abandoned(tmp_path: Path) -> None:
    it = made(tmp_path)
    it.fire(probe="a")
    it.until(it.now + 3)
    it.see(WEAK)
    it.until(it.now + LIMIT + 60)
    (report,) = reports(it.archive)
    assert (report.rounds, report.outcome, report.makes) == (2, "abandoned", "undecided")
    assert it.told()["rebenchmarks"] == {("a", "alert", "abandoned"): 1}


def test_an_alert_of_the_whole_device_asks_for_every_probe_the_doubtful_first(tmp_path: Path) -> None:
    it = made(tmp_path, "a", "b", "c")
    it.took["c"] = 1.3
    it.turns(3, "a")
    it.turns(3, "c")
    it.fire("Device", hw_id="soc")
    it.until(it.now + 120)
    assert it.runs == ["c"] * 10 + ["a"] * 10 + ["b"] * 10
    assert it.alerts() == {("a", "Device", "withdrawn"), ("b", "Device", "withdrawn"), ("c", "Device", "confirmed")}


def test_alerts_that_ask_for_the_same_share_one(tmp_path: Path) -> None:
    it = made(tmp_path)
    it.fire(probe="a")
    it.fire("Other", probe="a")
    it.until(it.now + 120)
    assert len(it.runs) == 10
    assert it.alerts() == {("a", "Slow", "withdrawn"), ("a", "Other", "withdrawn")}


def test_rules_without_the_label_and_probes_that_are_not_there_ask_for_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    it = made(tmp_path)
    it.fire(action="restart", probe="a")
    it.fire(probe="b")
    it.until(it.now + 120)
    assert it.runs == []
    assert "alert Slow asks for a re-benchmark of b, which is no probe here" in caplog.text


def test_a_restart_neither_repeats_nor_forgets(tmp_path: Path) -> None:
    """The engine that starts announces again what fires; cool-down, budget and withdrawal go on."""
    it = made(tmp_path, "a", "b", again={"budget": 100.0})
    one, two = it.fire(probe="a"), it.fire(probe="b")
    it.until(it.now + 19)
    assert it.runs == ["a"] * 10
    it.start()
    it.it.heed([one, two])
    it.until(it.now + 60)
    assert it.runs == ["a"] * 10 + ["b"] * 10
    assert it.alerts() == {("a", "Slow", "withdrawn"), ("b", "Slow", "withdrawn")}
    assert it.told()["rebenchmark.budget"] == {(): 0.4}
    it.start()
    it.fire("Other", probe="a")
    it.until(it.now + 60)
    assert it.it.waits["a"].reason == "cool_down"


def test_one_in_hand_when_it_was_killed_is_done_anew(tmp_path: Path) -> None:
    it = made(tmp_path)
    flip = it.fire(probe="a")
    it.until(it.now + 9)
    it.start()
    it.it.heed([flip])
    it.until(it.now + 60)
    assert [one.rounds for one in reports(it.archive)] == [10]


def test_another_configuration_of_the_probe_begins_it_anew(tmp_path: Path) -> None:
    it = made(tmp_path)
    it.fire(probe="a")
    it.until(it.now + 9)
    other = Config(probes={"a": PROBE.__class__(model="/b", runtime="fake")}, budget=it.config.budget)
    it.schedule.follow(other)
    it.until(it.now + 60)
    assert len(it.runs) == 5 + 10


def test_the_calendar_asks_once_a_week_in_its_window_and_keeps_the_trend(tmp_path: Path, berlin: None) -> None:
    it = made(tmp_path, "a", "b", probes={"quiet": PROBE.__class__(model="/m", runtime="fake", rebenchmark="never")},
              again={"calendar": "weekly, 02:00-05:00", "budget": 1.0})  # fmt: skip
    for week in range(4):
        it.took["a"] = 1 + week / 10
        it.until(it.now + 7 * DAY)
    found = reports(it.archive)
    assert {name: len([one for one in found if one.probe == name]) for name in ("a", "b", "quiet")} == {
        "a": 5, "b": 5, "quiet": 0,
    }  # fmt: skip
    assert {time.localtime(one.at).tm_hour for one in found} <= {2, 3, 4}
    assert {one.trigger for one in found} == {"calendar"}
    slowdowns = [round(one.slowdown or 0, 1) for one in found if one.probe == "a"]
    assert slowdowns[0] == 1.0
    assert slowdowns[-1] == 1.3
    assert slowdowns == sorted(slowdowns)


def test_a_wall_clock_that_jumps_about_makes_no_second_one(tmp_path: Path, berlin: None) -> None:
    """Three days of a clock that jumps between weeks each hour."""
    it = made(tmp_path, again={"calendar": "weekly"})
    for hour in range(72):
        it.offset = (hour % 5 - 2) * 7 * DAY
        it.until(it.now + HOUR)
    assert len(reports(it.archive)) == 1


def test_a_board_that_boots_in_1970_waits_for_its_clock(tmp_path: Path, berlin: None) -> None:
    it = made(tmp_path, again={"calendar": "daily"})
    it.offset = -it.wall() + HOUR
    it.until(it.now + 2 * DAY)
    assert it.runs == []
    it.offset = 0.0
    it.until(it.now + HOUR)
    assert len(it.runs) == 10


def test_what_holds_a_probe_holds_what_the_calendar_wants_until_its_window_closes(tmp_path: Path, berlin: None) -> None:
    it = made(tmp_path, again={"calendar": "daily, 02:00-05:00"})
    it.see(HOT)
    it.until(4 * HOUR)
    assert it.it.waits["a"].reason == "throttled"
    it.until(6 * HOUR)
    assert it.it.waits == {}
    it.see(COOL)
    it.until(23 * HOUR)
    assert it.runs == []
    it.until(30 * HOUR)
    assert len(it.runs) == 10


def test_a_costly_round_of_the_calendar_does_not_use_up_the_alerts_budget(tmp_path: Path, berlin: None) -> None:
    it = made(tmp_path, "a", "b", again={"calendar": "daily", "budget": 30.0})
    it.cost = Cost(60.0, 1.0)
    it.until(it.now + 2 * HOUR)
    assert len(it.runs) == 20
    assert it.told()["rebenchmark.budget"] == {(): 0.0}
