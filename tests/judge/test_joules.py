"""Energy of an inference: what is above idle, how sure that is, and when nothing is said."""

from __future__ import annotations

from dataclasses import astuple

import pytest

from edgemon.energy import Spent
from edgemon.judge.joules import Joules, joules
from edgemon.probe.result import Outcome, Result

WINDOWS = {"idle_before": [0.0, 1.0], "energy": [2.0, 4.0], "idle": [5.0, 6.0]}
RUN = Result("test", Outcome.OK, windows=WINDOWS, metered=100)


def meter(idle: float, work: float, error: float = 0.0, after: float | None = None) -> dict[float, Spent]:
    """Energy of each window, by its begin: watts while idle (before, after) and while the model runs."""
    return {0.0: Spent(idle, error), 2.0: Spent(2 * work, error), 5.0: Spent(idle if after is None else after, error)}


def of(spent: dict[float, Spent], run: Result = RUN) -> Joules | None:
    return joules(run, lambda begin, _end: spent.get(begin))


def test_net_is_what_the_model_adds_to_idle() -> None:
    found = of(meter(idle=3.0, work=8.0))
    assert found
    assert astuple(found) == pytest.approx((0.16, 0.10, 0.0, 3.0))


def test_an_idle_power_that_moved_is_part_of_the_uncertainty() -> None:
    found = of(meter(idle=3.0, work=8.0, after=4.0))
    assert found
    assert found.idle == 3.5
    assert found.error == pytest.approx(0.5 * 2 / 100)


def test_the_meters_bounds_add_up() -> None:
    found = of(meter(idle=3.0, work=8.0, error=0.5))
    assert found
    assert found.error == pytest.approx((0.5 + 0.5 * 2) / 100)


@pytest.mark.parametrize("missing", [{2.0}, {0.0, 5.0}])
def test_without_the_energy_of_work_or_of_idle_nothing_is_said(missing: set[float]) -> None:
    assert of({at: one for at, one in meter(3.0, 8.0).items() if at not in missing}) is None


def test_one_idle_window_is_enough() -> None:
    found = of({at: one for at, one in meter(3.0, 8.0).items() if at != 5.0})
    assert found
    assert found.net == pytest.approx(0.10)


def test_a_run_that_metered_nothing_has_no_energy() -> None:
    assert of(meter(3.0, 8.0), Result("test", Outcome.OK, windows=WINDOWS)) is None
    assert of(meter(3.0, 8.0), Result("test", Outcome.OK, metered=5)) is None
