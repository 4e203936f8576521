"""Energy: integrals within their bound, gaps left out and counted, counters as they are, nothing added twice."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemon import catalog, hardware
from edgemon.energy import Meter, Spent, total
from edgemon.metric import Metric, Reading

MAIN: tuple[str, ...] = ("VDD_IN", "VDD_IN", "")
CPU: tuple[str, ...] = ("VDD_CPU", "VDD_CPU", "VDD_IN")


def fed(
    meter: Meter, power: Callable[[float], float], moments: list[float], labels: tuple[str, ...] = MAIN
) -> list[Reading]:
    """What comes of the last of these samples of a power."""
    last: list[Reading] = []
    for at in moments:
        last = meter.add([catalog.POWER(power(at), *labels)], at, 1.0)
    return last


def value(readings: list[Reading], metric: Metric) -> float:
    (found,) = [reading.value for reading in readings if reading.metric is metric]
    assert found is not None
    return found


def test_a_constant_power_integrates_exactly_and_without_doubt() -> None:
    taken = fed(Meter(), lambda _: 5.0, [0, 1, 2.5, 4])
    assert value(taken, catalog.ENERGY) == 20
    assert value(taken, hardware.ENERGY_ERROR) == 0
    assert value(taken, hardware.ENERGY_UNMEASURED) == 0


def test_the_energy_has_the_labels_of_the_power() -> None:
    taken = fed(Meter(), lambda _: 5.0, [0, 1], CPU)
    assert [reading.labels for reading in taken] == [CPU, (CPU[0],), (CPU[0],)]


steps = st.lists(st.tuples(st.floats(0.05, 2.0), st.floats(0, 60), st.floats(0, 1)), min_size=1, max_size=40)


@given(steps)
def test_a_power_that_moves_one_way_between_samples_is_within_the_bound(
    drawn: list[tuple[float, float, float]],
) -> None:
    """Between two samples the power jumps once, anywhere: the worst that one way allows."""
    meter, at, watts, joules = Meter(), 0.0, 0.0, 0.0
    taken = meter.add([catalog.POWER(watts, *MAIN)], at, 1.0)
    for seconds, after, where in drawn:
        joules += watts * seconds * where + after * seconds * (1 - where)
        at, watts = at + seconds, after
        taken = meter.add([catalog.POWER(watts, *MAIN)], at, 1.0)
    bound = value(taken, hardware.ENERGY_ERROR)
    assert abs(value(taken, catalog.ENERGY) - joules) <= bound + 1e-9 * (1 + joules)


@given(steps)
def test_an_integral_never_falls(drawn: list[tuple[float, float, float]]) -> None:
    meter, at, before = Meter(), 0.0, 0.0
    meter.add([catalog.POWER(7.0, *MAIN)], at, 1.0)
    for seconds, watts, _ in drawn:
        at += seconds
        after = value(meter.add([catalog.POWER(watts, *MAIN)], at, 1.0), catalog.ENERGY)
        assert after >= before
        before = after


def test_a_pause_of_more_than_three_periods_is_left_out_and_counted() -> None:
    meter = Meter()
    taken = fed(meter, lambda _: 5.0, [0, 1, 5, 6])
    assert value(taken, catalog.ENERGY) == 10
    assert value(taken, hardware.ENERGY_UNMEASURED) == 4
    assert meter.spent(0, 6) == {}


def test_where_the_hardware_counts_nothing_is_integrated() -> None:
    meter = Meter()
    for at in range(12):
        assert not meter.add([catalog.POWER(9.0, *MAIN), catalog.ENERGY(100.0 + 5 * at, *MAIN)], float(at), 1.0)
    assert meter.spent(2, 8)[MAIN] == Spent(30, 0)


def test_a_counter_that_began_anew_says_nothing_about_that_time() -> None:
    meter = Meter()
    for at, joules in enumerate([90, 95, 100, 2, 7, 12, 17, 22, 27, 32]):
        meter.add([catalog.ENERGY(float(joules), *MAIN)], float(at), 1.0)
    assert meter.spent(0, 9) == {}
    assert meter.spent(3, 9)[MAIN].joules == 30


def test_a_window_between_samples_is_interpolated_and_says_how_far_off_that_can_be() -> None:
    meter = Meter()
    fed(meter, lambda at: 10 * at, [0, 1, 2, 3, 4, 5, 6, 7])
    spent = meter.spent(0.5, 6.5)[MAIN]
    assert spent.joules == pytest.approx(5 * (6.5**2 - 0.5**2), abs=spent.error)
    assert 0 < spent.error <= 7 * 5


def test_a_counter_may_step_anywhere_in_the_interval_that_a_window_cuts() -> None:
    meter = Meter()
    for at in range(12):
        meter.add([catalog.ENERGY(10.0 * at, *MAIN)], float(at), 1.0)
    spent = meter.spent(2.5, 8.0)[MAIN]
    assert tuple(spent) == pytest.approx((55, 5))


@pytest.mark.parametrize(("begin", "end"), [(-1, 5), (2, 9), (3, 6)])
def test_a_window_that_samples_do_not_span_or_hold_too_few_of_has_no_energy(begin: float, end: float) -> None:
    meter = Meter()
    fed(meter, lambda _: 5.0, [0, 1, 2, 3, 4, 5, 6, 7, 8])
    assert meter.spent(begin, end) == {}


def test_only_rails_that_no_other_contains_add_up() -> None:
    spent = {MAIN: Spent(10, 1), CPU: Spent(4, 0.5), ("GPU", "GPU", ""): Spent(7, 0.25)}
    assert total(spent) == Spent(17, 1.25)


def test_without_the_rail_that_contains_another_there_is_no_total() -> None:
    assert total({CPU: Spent(4, 0.5)}) is None
    assert total({CPU: Spent(4, 0.5), ("GPU", "GPU", ""): Spent(7, 0.25)}) is None
    assert total({}) is None


def test_an_absent_or_stale_sample_changes_nothing() -> None:
    meter = Meter()
    fed(meter, lambda _: 5.0, [0, 1])
    meter.add([catalog.POWER(None, *MAIN)], 2.0, 1.0)
    taken = fed(meter, lambda _: 500.0, [1, 0.5])
    assert value(taken, catalog.ENERGY) == 5
    assert math.isclose(value(fed(meter, lambda _: 5.0, [2]), catalog.ENERGY), 10)
