"""The life of alerts: by the clock that nobody sets, over restarts, reboots and power cuts."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgemon.alerts.alert import State
from edgemon.alerts.engine import Engine
from edgemon.alerts.memory import GRACE, OUTAGE, Memory, Moment
from edgemon.alerts.promql.parse import parse
from edgemon.alerts.promql.values import Labels
from edgemon.alerts.rules import Group, Rule
from edgemon.alerts.samples import Samples

BOOT = Moment("one", 10_000.0, 1_700_000_000.0)


def series_of(name: str) -> Labels:
    return (("__name__", name), ("n", name))


def rule(name: str, text: str, alert: bool = True, **more: Any) -> Rule:
    return Rule(name, text, parse(text), alert, **more)


class Bench:
    """An engine whose series and clock a test sets; `at` is CLOCK_BOOTTIME, `wall` what people see."""

    def __init__(self, *rules: Rule, at: float = 10_000.0, **group: Any) -> None:
        self.engine = Engine(Samples())
        self.group = Group("g", "f.yml", rules, **group)
        self.engine.follow([self.group], 15.0)
        self.at, self.wall = at, 1_700_000_000.0

    def go(self, seconds: float = 15.0, **series: float) -> list[tuple[str, str]]:
        """Let time pass and evaluate; the names and states of what flipped."""
        self.at, self.wall = self.at + seconds, self.wall + seconds
        for name, value in series.items():
            self.engine.samples.write(series_of(name), round(self.at * 1000), value)
        flipped = self.engine.evaluate(self.engine.groups[0], self.at, self.wall)
        return [(one.alertname, one.state.value) for one in map(self.engine.flip, flipped)]

    def states(self) -> dict[str, str]:
        return {
            rule.rule.name: one.state.value for _, rule, machine in self.engine.machines() for one in machine.active()
        }

    def now(self) -> Moment:
        return Moment("one", self.at, self.wall)


def test_a_step_of_the_wall_clock_neither_fires_nor_silences_anything() -> None:
    bench = Bench(rule("Slow", "x > 1", hold=60.0), rule("Kept", "x > 1", keep=60.0))
    assert bench.go(x=2) == [("Kept", "firing")]
    bench.wall -= 1e9
    assert bench.go(x=2) == []
    bench.wall += 2e9
    assert bench.go(x=2) == []
    assert bench.go(x=2) == []
    assert bench.go(x=2) == [("Slow", "firing")]
    bench.wall -= 1e9
    assert bench.go(x=0) == [("Slow", "resolved")]
    assert bench.states() == {"Kept": "firing"}
    assert [bench.go(x=0) for _ in range(4)][-1] == [("Kept", "resolved")]


def test_a_flip_carries_its_labels_and_annotations_and_when_it_began_and_ended() -> None:
    bench = Bench(rule("Hot", "x > 1", labels={"site": "own"}, annotations={"a": "{{ $value }}"}))
    at, wall = bench.at, bench.wall
    assert bench.go(x=3) == [("Hot", "firing")]
    (alert,) = bench.engine.groups[0].rules[0].machine.alerts.values()  # type: ignore[union-attr]
    flip = bench.engine.flip(alert)
    assert flip.labels == {"alertname": "Hot", "n": "x", "site": "own"}
    assert (flip.starts_at, flip.ends_at, flip.at, flip.value) == (wall + 15, 0.0, at + 15, 3.0)
    assert flip.annotations == {"a": "3"}
    assert bench.go(x=0) == [("Hot", "resolved")]
    assert (bench.engine.flip(alert).starts_at, bench.engine.flip(alert).ends_at) == (wall + 15, wall + 30)


def test_recorded_series_feed_later_rules_of_the_same_evaluation_and_end_with_their_source() -> None:
    bench = Bench(
        rule("double:x", "x * 2", alert=False), rule("Big", "double:x > 5"), rule("Old", "double:x offset 15s > 5")
    )
    assert bench.go(x=3) == [("Big", "firing")]
    assert bench.go(x=3) == [("Old", "firing")]
    bench.engine.samples.end(series_of("x"), round((bench.at + 15) * 1000))
    assert bench.go() == [("Big", "resolved")]
    assert bench.go() == [("Old", "resolved")]


def test_a_rule_that_fails_is_counted_and_the_others_go_on() -> None:
    bench = Bench(rule("Bad", "x + on() group_left() {__name__=~'x|y'}"), rule("Good", "x > 1"))
    assert bench.go(x=2, y=2) == [("Good", "firing")]
    counts = {
        reading.labels[1]: reading.value
        for reading in bench.engine.readings()
        if reading.metric.name == "edgemon.rule.failures"
    }
    assert counts == {"Bad": 1, "Good": 0}
    assert "many-to-many" in bench.engine.groups[0].rules[0].error


def test_an_exceeded_limit_ends_what_fired_so_that_nobody_waits_for_its_end() -> None:
    bench = Bench(rule("Many", "{__name__=~'x|y'} > 1"), limit=1)
    assert bench.go(x=2) == [("Many", "firing")]
    assert bench.go(x=2, y=2) == [("Many", "resolved")]
    assert bench.engine.groups[0].rules[0].error == "exceeded limit of 1 with 2 alerts"


def test_rules_read_again_go_on_where_they_were_and_what_is_gone_is_resolved() -> None:
    kept, gone = rule("Kept", "x > 1", hold=60.0), rule("Gone", "x > 1")
    bench = Bench(kept, gone)
    assert bench.go(x=2) == [("Gone", "firing")]
    ended = bench.engine.follow([replace(bench.group, rules=[kept])], 15.0, bench.at, bench.wall)
    assert [(bench.engine.flip(one).alertname, bench.engine.flip(one).state.value) for one in ended] == [
        ("Gone", "resolved")
    ]
    assert [bench.go(x=2) for _ in range(4)] == [[], [], [], [("Kept", "firing")]]


def over(where: Path, bench: Bench, now: Moment, *rules: Rule) -> Bench:
    """The same rules after a restart at another moment, with what the file remembers."""
    memory = Memory(str(where))
    memory.save(
        [("g", one) for _, _, machine in bench.engine.machines() for one in machine.alerts.values()], bench.now()
    )
    memory.close()
    again = Bench(*rules, at=now.at)
    again.wall = now.wall
    memory = Memory(str(where))
    for _, alert in memory.load(now):
        again.engine.groups[0].rules[0].machine.alerts[alert.labels] = alert  # type: ignore[union-attr]
    memory.close()
    return again


@pytest.mark.parametrize("boot", ["one", "two"])
def test_pending_goes_on_over_a_restart_and_over_a_reboot_and_absence_does_not_count(tmp_path: Path, boot: str) -> None:
    slow = rule("Slow", "x > 1", hold=60.0)
    bench = Bench(slow)
    for _ in range(3):
        bench.go(x=2)
    away = Moment(boot, bench.at + 300 if boot == "one" else 40.0, bench.wall + 300)
    again = over(tmp_path, bench, away, slow)
    assert again.go(x=2) == []
    assert again.go(x=2) == [("Slow", "firing")]


@pytest.mark.parametrize("step", [-1.0, OUTAGE + 1])
def test_pending_begins_anew_after_a_long_absence_or_one_that_a_clock_makes_unknown(
    tmp_path: Path, step: float
) -> None:
    slow = rule("Slow", "x > 1", hold=60.0)
    bench = Bench(slow)
    bench.go(x=2)
    again = over(tmp_path, bench, Moment("two", 40.0, bench.wall + step), slow)
    assert [again.go(x=2) for _ in range(4)] == [[]] * 4
    assert again.go(x=2) == [("Slow", "firing")]


def test_what_fired_goes_on_after_a_restart_until_its_series_speak_or_have_had_their_time(tmp_path: Path) -> None:
    hot = rule("Hot", "x > 1")
    bench = Bench(hot)
    assert bench.go(x=2) == [("Hot", "firing")]
    silent = over(tmp_path, bench, replace(BOOT, boot="two", at=30.0), hot)
    assert silent.go() == []
    assert silent.states() == {"Hot": "firing"}
    assert silent.go(GRACE) == [("Hot", "resolved")]
    heard = over(tmp_path, bench, replace(BOOT, boot="two", at=30.0), hot)
    assert heard.go(x=2) == []
    assert heard.go(x=0) == [("Hot", "resolved")]


def test_a_damaged_file_or_row_costs_itself_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(rule("Hot", "x > 1"))
    bench.go(x=2)
    memory = Memory(str(tmp_path))
    alerts = [("g", one) for _, _, machine in bench.engine.machines() for one in machine.alerts.values()]
    assert memory.save(alerts, bench.now())
    memory.close()
    with sqlite3.connect(tmp_path / "alerts.sqlite") as disk:
        for data in ("{}", "[]", "nothing", json.dumps({"state": "odd"})):
            disk.execute("INSERT INTO alerts VALUES ('g', ?)", (data,))
    disk.close()
    memory = Memory(str(tmp_path))
    assert [alert.state for _, alert in memory.load(bench.now())] == [State.FIRING]
    assert caplog.text.count("an alert is damaged and left out") == 4
    memory.close()
    (tmp_path / "alerts.sqlite").write_bytes(b"no database" * 1000)
    memory = Memory(str(tmp_path))
    assert memory.load(bench.now()) == []
    assert memory.save(alerts, bench.now())
    memory.close()
    assert list(tmp_path.glob("alerts.sqlite.broken-*"))


def test_a_directory_that_cannot_be_written_leaves_alerts_in_memory_until_it_can(tmp_path: Path) -> None:
    where = tmp_path / "state"
    where.write_text("a file in the way")
    memory = Memory(str(where))
    assert not memory.save([], BOOT)
    assert [reading.value for reading in memory.readings()] == [0.0, 1.0]
    where.unlink()
    assert memory.save([], BOOT)
    assert [reading.value for reading in memory.readings()] == [1.0, 0.0]
    memory.close()
