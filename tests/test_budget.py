"""Budgets hold in every hour, whatever runs; what is left is made to last, and nobody is left out for ever."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemon.budget import HOUR, Account, Cost
from edgemon.config import Probe
from edgemon.limits import Budget, Total, Triggers
from tests.simulated import DAY, OK, SLOW, Device, Ran

RESOURCES = ("time", "cpu", "energy")


def worst(runs: list[Ran], resource: str, name: str = "") -> float:
    """The most that was spent in any hour, by the ends of runs."""
    spent = [(one.ended, one.cost.of(resource)) for one in runs if name in {"", one.name}]
    return max((sum(cost for at, cost in spent if end - HOUR < at <= end) for end, _ in spent), default=0.0)


budgets = st.builds(
    Total,
    time=st.sampled_from([0.0, 0.005, 0.02, 0.05]),
    cpu=st.sampled_from([0.0, 10.0, 60.0, 180.0]),
    energy=st.sampled_from([0.0, 20.0, 500.0]),
)
costs = st.builds(Cost, time=st.floats(0.2, 5.0), cpu=st.floats(0.0, 4.0), energy=st.floats(0.1, 30.0))
intervals = st.sampled_from([5.0, 30.0, 60.0, 600.0])


@settings(max_examples=12, deadline=None)
@given(budgets, st.lists(st.tuples(intervals, costs), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_no_hour_costs_more_than_the_budget(total: Total, plans: list[tuple[float, Cost]], dice: random.Random) -> None:
    """Of time, CPU and joules, with probes in doubt and events that call for more; a dearer run runs alone."""
    own = Budget(time=0.02, cpu=30.0)
    # the guess before the first run, seconds + idle, is no less than what runs cost here; joules cannot be guessed
    probes = {
        f"p{n}": Probe(interval=every, timeout=1.0, seconds=5.0, budget=own) for n, (every, _) in enumerate(plans)
    }
    device = Device(probes, cost=lambda name: plans[int(name[1:])][1], budget=total, triggers=Triggers())
    device.verdict = lambda _name: dice.choice([OK, OK, SLOW])
    for half in range(1, 6):
        device.until(half * HOUR / 2)
        device.call(dice.choice(list(probes)), "model")
    for resource, most in Account(total).limits.items():
        dearest = max(cost.of(resource) for _, cost in plans)
        unknown = sum(cost.of(resource) for _, cost in plans) if resource == "energy" else 0.0
        assert worst(device.runs, resource) <= max(most, dearest) + unknown + 1e-6
    for name in probes:
        assert worst(device.runs, "time", name) <= max(0.02 * HOUR, 5.0) + 1e-6
        assert worst(device.runs, "cpu", name) <= 30.0 + 1e-6
    assert {one.name for one in device.runs if one.began < HOUR} or not device.runs


def test_a_run_dearer_than_ever_exceeds_by_its_surprise_only() -> None:
    """Runs of 1 to 20 s, by chance: an hour's 72 s are exceeded by less than one run."""
    dice = random.Random(7)
    probe = Probe(interval=5.0, timeout=1.0)
    device = Device({"a": probe}, cost=lambda _: Cost(dice.uniform(1.0, 20.0)), budget=Total(time=0.02)).until(2 * DAY)
    assert 0.5 * 72 < worst(device.runs, "time") < 72 + 20


def test_what_is_left_lasts_for_the_hour() -> None:
    """A probe that wants four times its budget settles near it, without bursts and pauses, and no turn is lost."""
    device = Device({"a": Probe(interval=10.0, timeout=1.0)}, cost=lambda _: Cost(2.0), budget=Total(time=0.05))
    device.until(DAY)
    times = [at for at in device.times("a") if at > 4 * HOUR]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert max(gaps) < 3 * min(gaps)
    assert 0.7 < len(times) * 2.0 / (20 * HOUR) / 0.05 <= 1.0
    assert device.told()["edgemon.probe.interval"][("a",)] == pytest.approx(60, rel=0.5)
    assert 0.7 < device.told()["edgemon.probe.budget"][("", "time")] <= 1.0
    assert "edgemon.probe.skipped" not in device.told()


def test_a_probe_within_its_budget_is_never_slowed_down() -> None:
    device = Device({"a": Probe()}, cost=lambda _: Cost(1.7, 0.6), budget=Total()).until(DAY)
    assert len(device.runs) == pytest.approx(DAY / 60, abs=1)


def test_a_run_that_costs_more_than_an_hour_allows_comes_as_often_as_it_can_be_paid() -> None:
    """50 J at 20 J an hour: every two and a half hours."""
    device = Device({"a": Probe()}, cost=lambda _: Cost(1.0, 0.5, 50.0), budget=Total(energy=20.0)).until(4 * DAY)
    times = device.times("a")
    assert len(times) == pytest.approx(4 * 24 / 2.5, abs=1.5)
    assert {held.reason for _, _, held in device.holds} == {"budget_energy"}


def test_without_a_measurement_no_energy_budget_holds_anything() -> None:
    """And none is claimed to be kept: the ratio is absent."""
    device = Device({"a": Probe()}, cost=lambda _: Cost(1.0, 0.5), budget=Total(energy=1.0)).until(HOUR)
    assert len(device.runs) == pytest.approx(60, abs=1)
    assert set(device.told()["edgemon.probe.budget"]) == {("", "time"), ("", "cpu")}


def test_a_dear_probe_is_not_starved_by_cheap_ones() -> None:
    """One that takes 60 of the 180 s of an hour gets its turn although others would take all of them."""
    probes = {
        "dear": Probe(interval=1800.0, seconds=60.0, timeout=90.0),
        **{f"cheap{n}": Probe(interval=5.0, timeout=1.0) for n in range(3)},
    }
    device = Device(probes, cost=lambda name: Cost(60.0 if name == "dear" else 1.0), budget=Total()).until(DAY)
    assert len(device.times("dear")) >= 8
    assert all(len(device.times(f"cheap{n}")) >= 200 for n in range(3))
    assert worst(device.runs, "time") <= 180.0


@pytest.mark.parametrize(("used", "cost", "waits"), [(0, 10, 0), (90, 10, 0), (91, 10, 3500), (91, 150, 5300)])
def test_wait_is_the_time_until_enough_has_left_the_hour(used: float, cost: float, waits: float) -> None:
    account = Account(Budget(cpu=100.0))
    account.spend(0.0, Cost(cpu=used))
    assert account.wait(100.0, Cost(cpu=cost))[0] == pytest.approx(waits)


def test_what_was_spent_before_a_restart_counts() -> None:
    """Until it is an hour old, by the age it has."""
    device = Device({"a": Probe()}, budget=Total(cpu=10.0, time=0.0))
    device.schedule.remember({"a": [(3000.0, Cost(1.0, 4.5)), (100.0, Cost(1.0, 4.5))]})
    assert device.told()["edgemon.probe.budget"] == {("", "cpu"): pytest.approx(0.9)}
    assert device.until(HOUR).times("a")[0] == pytest.approx(600, abs=20)
