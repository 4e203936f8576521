"""Cadence: a fleet does not probe in step, doubt makes turns closer, calm makes them rare, events call for one."""

from __future__ import annotations

import itertools
import random
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemon.budget import Cost
from edgemon.cadence import LOOK, SETTLED
from edgemon.config import Probe
from edgemon.judge.verdict import State, Verdict
from edgemon.limits import EVENTS, Triggers
from edgemon.schedule import phases
from tests.simulated import DAY, FREE, HOUR, OK, SLOW, Device

NO_BASELINE = Verdict(State.UNDECIDED, "no_baseline", "")


def gaps(device: Device, name: str = "a", since: float = 0.0) -> list[float]:
    """Seconds from the beginning of one run to that of the next."""
    times = [at for at in device.times(name) if at >= since]
    return [after - before for before, after in itertools.pairwise(times)]


def test_a_thousand_devices_switched_on_at_once_spread_evenly_over_the_interval() -> None:
    """No second of the minute has more than a few, and none of the quarters more than its share by a tenth."""
    dice = random.Random(3)
    names = [str(uuid.UUID(int=dice.getrandbits(128))) for _ in range(1000)]
    places = [phases(name, {"a": Probe()})["a"] for name in names]
    seconds = [sum(int(place * 60) == second for place in places) for second in range(60)]
    quarters = [sum(int(place * 4) == quarter for place in places) for quarter in range(4)]
    assert max(seconds) <= 35
    assert max(quarters) <= 280
    assert places == [phases(name, {"a": Probe()})["a"] for name in names]


def test_the_fleet_stays_apart_after_the_first_runs_though_those_come_at_once() -> None:
    """All start in the first seconds; an hour later their runs lie all over the minute."""
    ends = []
    for number in range(60):
        device = Device({"a": Probe()}, f"device {number}", triggers=Triggers(events=("start",)), **FREE).until(HOUR)
        assert device.runs[0].trigger == "start"
        assert device.runs[0].began <= 1.0
        ends.append(device.times("a")[-1] % 60)
    assert {int(end // 10) for end in ends} == set(range(6))


@pytest.mark.parametrize("count", [2, 3, 7])
def test_the_probes_of_one_device_lie_evenly_apart(count: int) -> None:
    places = sorted(phases("device", {f"p{n}": Probe() for n in range(count)}).values())
    around = [*(after - before for before, after in itertools.pairwise(places)), places[0] + 1 - places[-1]]
    assert around == pytest.approx([1 / count] * count)


def test_every_turn_is_off_its_place_by_up_to_a_tenth_which_never_adds_up() -> None:
    device = Device({"a": Probe()}, **FREE).until(DAY)
    first = phases("device", {"a": Probe()})["a"] * 60
    off = [at - first - 60 * number for number, at in enumerate(device.times("a"))]
    assert len(off) == pytest.approx(DAY / 60, abs=1)
    assert max(off) <= 6.0 + 1e-6
    assert min(off) >= -6.0 - 1e-6
    assert max(off) - min(off) > 10.0


def test_doubt_brings_ten_closer_rounds_and_no_more_though_it_stays() -> None:
    """Every quarter of the interval, then as before: a verdict that stays is no reason to probe more for ever."""
    device = Device({"a": Probe()}, **FREE).until(HOUR)
    device.verdict = lambda _name: SLOW
    device.until(4 * HOUR)
    close = [gap for gap in gaps(device) if gap < 25]
    assert len(close) == 10
    assert close == pytest.approx([15.0] * 10, abs=3.1)
    assert gaps(device)[-1] == pytest.approx(60, abs=12.1)


def test_when_all_is_well_again_the_closer_rounds_end_at_once() -> None:
    device = Device({"a": Probe(suspicious_interval=10.0)}, **FREE).until(HOUR)
    device.verdict = lambda _name: SLOW
    device.until(device.now + 75)
    device.verdict = lambda _name: OK
    device.until(3 * HOUR)
    assert 1 <= len([gap for gap in gaps(device) if gap < 12]) <= 5
    assert min(gaps(device, since=HOUR + 120)) > 29


def test_a_verdict_that_flaps_is_bounded_by_the_hour() -> None:
    device = Device({"a": Probe(suspicious_rounds=5)}, **FREE)
    device.verdict = lambda _name: device.chance.choice([OK, SLOW])
    device.until(DAY)
    close = [after for after, gap in zip(device.times("a")[1:], gaps(device), strict=True) if gap < 25]
    assert max(sum(end - HOUR < at <= end for at in close) for end in close) <= 6
    assert len(close) > 24


def test_what_no_further_run_can_decide_is_no_doubt() -> None:
    device = Device({"a": Probe()}, **FREE)
    device.verdict = lambda _name: NO_BASELINE
    assert min(gaps(device.until(2 * HOUR))) > 29


def test_calm_stretches_the_interval_up_to_its_bound_and_one_doubt_ends_it() -> None:
    device = Device({"a": Probe(calm_interval=300.0)}, **FREE).until(6 * HOUR)
    assert max(gaps(device)[: SETTLED - 1]) <= 90
    assert gaps(device)[-1] == pytest.approx(300, rel=0.21)
    assert device.told()["edgemon.probe.interval"][("a",)] == 300
    device.verdict = lambda _name: SLOW
    device.until(6 * HOUR + 400)
    device.verdict = lambda _name: OK
    assert max(gaps(device.until(6 * HOUR + 1500), since=6 * HOUR + 400)) <= 90


def test_an_event_calls_for_a_run_now_but_not_sooner_than_the_gap() -> None:
    device = Device({"a": Probe(interval=HOUR)}, triggers=Triggers(gap=30.0), **FREE).until(10.0)
    assert device.runs[0].trigger == "start"
    device.until(100.0)
    assert device.call("a", "model")
    device.until(101.0)
    assert device.runs[1].began == 100.0
    assert device.call("a", "runtime")
    assert device.call("a", "power_mode")  # one run answers both
    device.until(200.0)
    assert [(one.began, one.trigger) for one in device.runs[2:]] == [(130.0, "runtime")]
    assert device.told()["edgemon.probe.triggered"] == {("a", "start"): 1, ("a", "model"): 1, ("a", "runtime"): 1}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.1, 400.0), max_size=150), st.integers(0, 20), st.sampled_from([0.0, 10.0, 120.0]))
def test_however_many_events_there_are_calls_are_bounded(pauses: list[float], per_hour: int, gap: float) -> None:
    """Never two within the gap, nor more than so many in an hour; those not heeded are counted."""
    rules = Triggers(gap=gap, per_hour=per_hour, events=())
    device, refused = Device({"a": Probe(interval=7 * DAY)}, triggers=rules, **FREE), 0
    for number, pause in enumerate(pauses):
        device.until(device.now + pause)
        refused += not device.call("a", EVENTS[number % 4])
    called = [one.began for one in device.until(device.now + HOUR).runs if one.trigger]
    assert all(after - before >= gap - 1e-9 for before, after in itertools.pairwise(called))
    assert all(sum(end - HOUR < at <= end for at in called) <= per_hour for end in called)
    assert device.told().get("edgemon.probe.skipped", {}).get(("a", "gap"), 0) == refused


def test_turns_lost_to_a_busy_lane_are_missed_not_caught_up_on() -> None:
    """A run of 3.5 s every second: what was left out is counted by the lane, as for any job."""
    device = Device({"a": Probe(interval=1.0, timeout=1.0)}, **FREE)
    device.cost = lambda _name: Cost(3.5)
    device.until(HOUR)
    assert len(device.runs) == pytest.approx(HOUR / 3.5, rel=0.05)
    assert len(device.runs) + device.lane.missed == pytest.approx(HOUR, rel=0.05)
    assert "edgemon.probe.skipped" not in device.told()


def test_a_wall_clock_that_is_stepped_changes_no_turn() -> None:
    """By a day, forward and back: runs begin at the very seconds at which they would have anyway."""
    steady, stepped = Device({"a": Probe()}, **FREE), Device({"a": Probe()}, **FREE)
    for hour in range(1, 7):
        steady.until(hour * HOUR)
        stepped.until(hour * HOUR)
        stepped.offset = (-1) ** hour * DAY
    assert steady.times("a") == stepped.times("a")


def test_none_starves_on_a_lane_that_has_too_much_to_do() -> None:
    """Priority decides who goes first, not who goes at all: the lowest still runs in each of a few intervals."""
    probes = {f"p{n}": Probe(interval=10.0 * (n + 1), timeout=5.0, priority=5 - 5 * (n % 3)) for n in range(6)}
    device = Device(probes, cost=lambda _: Cost(8.0), **FREE).until(3 * HOUR)
    for name, probe in probes.items():
        assert max(gaps(device, name)) < 3 * probe.interval + 6 * 8.0 + LOOK


def test_of_probes_due_at_once_the_highest_priority_runs_first() -> None:
    probes = {name: Probe(priority=priority) for name, priority in (("low", -1), ("high", 10), ("mid", 0))}
    device = Device(probes, triggers=Triggers(), **FREE)
    device.now = 5.0
    assert [one.name for one in device.until(12.0).runs] == ["high", "mid", "low"]
