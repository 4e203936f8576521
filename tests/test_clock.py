"""Time: lanes keep their pace on a clock of their own, whatever the wall clock does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgemon.lanes import Job, Lane
from tests import faketime
from tests.running import HERE, Running, running, until
from tests.test_daemon import QUICK, series

DAY = 86400


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Run:
    """A lane on an injected clock, and when its jobs ran."""

    def __init__(self, *jobs: tuple[str, float, float], takes: float = 0.0, jitter: float = 0.0) -> None:
        self.clock, self.chance = Clock(), 0.5
        self.lane = Lane("test", self.clock, lambda: self.chance)
        self.began = self.clock.now
        self.ran: list[tuple[str, float]] = []
        self.lane.set([Job(name, every, self.job(name, takes), delay, jitter) for name, every, delay in jobs])

    def job(self, name: str, takes: float) -> Callable[[], None]:
        def act() -> None:
            self.ran.append((name, round(self.clock.now - self.began, 6)))
            self.clock.now += takes

        return act

    def until(self, seconds: float) -> Run:
        """Let the lane work until then, sleeping as long as it says."""
        while self.clock.now < self.began + seconds:
            pause = self.lane.step()
            self.clock.now += pause if pause is not None else seconds
        return self

    def times(self, name: str = "a") -> list[float]:
        return [at for one, at in self.ran if one == name]


def test_the_grid_does_not_drift_with_the_time_a_job_takes() -> None:
    """A job of 0.3 s every second begins at whole seconds for an hour."""
    run = Run(("a", 1.0, 0.0), takes=0.3).until(3600)
    assert run.times() == list(range(3600))
    assert (run.lane.runs, run.lane.missed) == (3600, 0)


def test_the_first_turn_comes_after_the_delay() -> None:
    assert Run(("a", 10.0, 3.0)).until(25).times() == [3.0, 13.0, 23.0]


def test_jitter_moves_each_turn_but_never_adds_up() -> None:
    """Always late by the most it can be, and always early: after 1000 turns still within a tenth of the grid."""
    for chance, first, off in ((1.0, 0.0, 1.0), (0.0, 0.0, -1.0)):
        run = Run(("a", 10.0, 0.0), jitter=0.1)
        run.chance = chance
        run.until(10_000)
        assert run.times()[0] == first
        assert run.times()[1:] == pytest.approx([10.0 * n + off for n in range(1, len(run.times()))])
        assert run.lane.missed == 0


def test_turns_that_find_the_lane_busy_are_counted_and_left_out() -> None:
    """A job of 3.5 s every second: it runs late once and goes on with the next place on the grid, never in a burst."""
    run = Run(("a", 1.0, 0.0), takes=3.5).until(12)
    assert run.times() == [0.0, 3.5, 7.0, 10.5]
    assert run.lane.missed == 2 + 3 + 2


def test_a_suspended_machine_makes_up_for_nothing() -> None:
    """A clock that leaps an hour is one late turn and 3600 missed, not 3600 turns at once."""
    run = Run(("a", 1.0, 0.0)).until(3)
    run.clock.now += 3600
    run.until(3605)
    assert run.times() == [0.0, 1.0, 2.0, 3603.0, 3604.0]
    assert run.lane.missed == 3600


def test_two_jobs_on_one_lane_take_turns() -> None:
    run = Run(("a", 2.0, 0.0), ("b", 2.0, 1.0), takes=0.5).until(6)
    assert run.ran == [("a", 0.0), ("b", 1.0), ("a", 2.0), ("b", 3.0), ("a", 4.0), ("b", 5.0)]


def test_a_greedy_job_does_not_starve_the_other() -> None:
    """Due at once, the one that has waited longest comes first."""
    run = Run(("a", 1.0, 0.0), ("b", 1.0, 0.0), takes=5.0).until(60)
    assert abs(len(run.times("a")) - len(run.times("b"))) <= 1


def test_lag_is_how_late_the_last_turn_began() -> None:
    run = Run(("a", 10.0, 0.0)).until(5)
    run.clock.now = run.began + 12.5
    run.lane.step()
    assert run.lane.lag == 2.5


def test_set_replaces_every_job_and_their_grids_start_anew() -> None:
    run = Run(("a", 1.0, 0.0), ("b", 1.0, 0.0)).until(2.5)
    run.lane.set([Job("c", 1.0, run.job("c", 0.0), delay=0.25)])
    run.ran.clear()
    run.until(5)
    assert run.ran == [("c", run.ran[0][1] + n) for n in range(len(run.ran))]
    assert {name for name, _ in run.ran} == {"c"}


def test_a_lane_without_jobs_says_so_and_takes_new_ones() -> None:
    run = Run()
    assert run.lane.step() is None
    run.lane.set([Job("a", 1.0, run.job("a", 0.0))])
    assert run.lane.step() == 0.0


def test_a_job_that_fails_is_counted_and_does_not_end_the_lane(caplog: pytest.LogCaptureFixture) -> None:
    """Its next turn comes as ever, and others are not disturbed."""
    lane, done = Lane("test"), threading.Event()

    def fail() -> None:
        raise OSError("no such sensor")

    lane.set([Job("bad", 0.01, fail), Job("good", 0.01, done.set, delay=0.05)])
    lane.start()
    assert done.wait(10)
    assert until(lambda: lane.failures >= 2)
    assert "bad failed in lane test" in caplog.text
    assert lane.stop(10)


def test_a_lane_that_sleeps_takes_new_jobs_at_once() -> None:
    lane, done = Lane("test"), threading.Event()
    lane.set([Job("never", 3600, lambda: None, delay=3600)])
    lane.start()
    lane.set([Job("now", 3600, done.set)])
    assert done.wait(10)
    assert lane.stop(10)


def test_stop_waits_for_the_job_in_hand_no_longer_than_it_is_told() -> None:
    lane, begun, free = Lane("test"), threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        free.wait(30)

    lane.set([Job("hang", 1.0, hang)])
    lane.start()
    assert begun.wait(10)
    assert not lane.stop(0.05)
    busy = lane.busy()
    assert busy
    assert (busy[0], busy[1] > 0) == ("hang", True)
    free.set()
    assert lane.stop(10)
    assert lane.busy() is None


def test_a_lane_that_never_started_can_be_stopped() -> None:
    assert Lane("test").stop(0.01)


SELDOM = ('sensor="filesystems"', 'sensor="clock"')


@pytest.mark.peer
def test_a_wall_clock_stepped_by_a_day_changes_no_pace(tmp_path: Path) -> None:
    """Forward and back: sweeps and probes go on, none is missed in bulk, no time is negative, stamps follow."""
    stamp = tmp_path / "step"
    env = faketime.set_by(stamp, "+0", tmp_path, str(HERE))
    with running(tmp_path, env, probes={"a": QUICK}, sensors={"interval": "200ms"}) as daemon:
        until(lambda: series(daemon).get('edgemon_probe_runs_total{probe="a",outcome="ok"}'))
        for days in (1, -1, 0):
            stamp.write_text(f"{days * DAY:+d}")
            before, began = series(daemon), time.monotonic()
            after = settled(daemon, time.time() + days * DAY, before)
            passed = time.monotonic() - began
            sweeps = grown(before, after, 'edgemon_lane_runs_total{lane="sensing"}')
            missed = grown(before, after, 'edgemon_lane_missed_total{lane="sensing"}')
            due = passed * (1 / 0.2 + 1)  # sweeps, and the samples of power between them
            assert due - 7 <= sweeps + missed <= due + 7
            assert missed <= 0.8 * due  # a busy machine; the step itself would be 432000
            assert grown(before, after, 'edgemon_lane_runs_total{lane="probing"}') <= passed + 3
            for lane in ("sensing", "probing"):
                assert after[f'edgemon_lane_lag_seconds{{lane="{lane}"}}'] < 60
                assert after[f'edgemon_lane_failures_total{{lane="{lane}"}}'] == 0
            assert 0 <= grown(before, after, "process_uptime_seconds") <= passed + 1
            assert not {name: seen for name, seen in after.items() if "_seconds" in name and seen < 0}
            assert daemon.get("/healthz") == (200, "ok\n")


def grown(before: dict[str, float], after: dict[str, float], name: str) -> float:
    return after[name] - before[name]


def settled(daemon: Running, wall: float, before: dict[str, float]) -> dict[str, float]:
    """The first scrape whose stamps are near that wall time, two probes later; some sensors are read less often."""
    runs = 'edgemon_probe_runs_total{probe="a",outcome="ok"}'
    stamps = ("edgemon_sensor_last_success_timestamp_seconds", "edgemon_probe_last_success_timestamp_seconds")

    def near() -> dict[str, float] | None:
        found = series(daemon)
        times = [seen for name, seen in found.items() if name.startswith(stamps) and not any(map(name.count, SELDOM))]
        good = found[runs] >= before[runs] + 2 and all(abs(seen - wall) < 300 for seen in times)
        return found if good else None

    found: dict[str, float] = until(near)
    return found
