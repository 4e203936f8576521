"""What comes near the effect: looked at in new processes and in more rounds, so that the effect itself is found."""

from __future__ import annotations

import pytest

from edgemon.judge.compare import MANY
from edgemon.judge.epoch import MORE, RECENT, gathered
from edgemon.judge.verdict import State, Verdict, doubtful, judge
from tests.judge.simulated import KEY, OK, Device, ran

TEN = [1.0 + step / 1000 for step in range(-5, 5)]
SERVER = Device(luck=0.006, noise=0.006, window=2 * MORE[-1])
"""As measured on a server."""

BASELINE = gathered("p", KEY, [ran(value, float(at)) for at, value in enumerate(TEN, 1)])


def told(values: list[float], delay: float = 0.0) -> Verdict:
    return judge(OK, [ran(value, 100.0 + at, 0.0, delay) for at, value in enumerate(values)], BASELINE, KEY)


@pytest.mark.parametrize(
    ("slower", "state", "doubt"),
    [(1.02, State.OK, False), (1.03, State.OK, True), (1.045, State.OK, True), (1.06, State.DEGRADED, True)],
)
def test_five_rounds_near_the_effect_are_ok_and_ask_for_new_processes(slower: float, state: State, doubt: bool) -> None:
    verdict = told([slower * one for one in TEN[:RECENT]])
    assert (verdict.state, doubtful(verdict)) == (state, doubt)


def test_from_ten_rounds_on_two_thirds_of_the_effect_are_enough() -> None:
    four = [1.042 * one for one in TEN]
    assert told(four[: MANY - 1]).state is State.OK
    verdict = told(four)
    assert (verdict.state, verdict.cause) == (State.DEGRADED, "slower")
    assert verdict.evidence["now"].endswith(", 10 rounds")
    assert told([1.032 * one for one in TEN]).state is State.OK


def test_rounds_before_a_slow_down_do_not_hide_it_for_long() -> None:
    calm, slow = TEN * 3, [1.045 * one for one in TEN]
    assert told([*calm, *slow]).state is State.DEGRADED


def test_when_it_is_over_five_rounds_are_enough_to_say_so() -> None:
    verdict = told([*(1.2 * one for one in TEN * 2), *TEN[:RECENT]])
    assert (verdict.state, doubtful(verdict)) == (State.OK, False)


def test_contention_that_comes_near_asks_for_no_new_processes_and_is_not_looked_at_in_more_rounds() -> None:
    verdict = told([1.045 * one for one in TEN * 2], delay=0.5)
    assert (verdict.state, verdict.cause, doubtful(verdict)) == (State.OK, "none", False)


# simulated


def test_a_device_slower_by_the_effect_is_found_within_thirty_rounds() -> None:
    late = 0
    for seed in range(40):
        verdicts = SERVER.followed(seed, 36, lambda at: 1.05 if at > 6 else 1.0)
        late += not any(one.state is State.DEGRADED for one in verdicts[6:])
    assert late <= 2


def test_a_device_as_fast_as_ever_is_not_accused_however_often_it_is_looked_at() -> None:
    verdicts = [one for seed in range(20) for one in SERVER.followed(seed, 100, lambda at: 1.0)]
    assert sum(one.state is State.DEGRADED for one in verdicts) <= 2


def test_a_device_that_is_half_the_effect_slower_is_seldom_accused() -> None:
    verdicts = [one for seed in range(20) for one in SERVER.followed(seed, 50, lambda at: 1.02)]
    assert sum(one.state is State.DEGRADED for one in verdicts) <= 10
