"""What comes near the effect: looked at in new processes and in more rounds, so that the effect itself is found."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from edgemon.judge.baseline import Round, fingerprint
from edgemon.judge.compare import MANY
from edgemon.judge.epoch import MORE, RECENT, gathered
from edgemon.judge.verdict import State, Verdict, doubtful, judge
from edgemon.probe.result import Outcome, Result

KEY = {"runtime": "onnx 1.32"}
OK = Result("p", Outcome.OK, at=1e6)
TEN = [1.0 + step / 1000 for step in range(-5, 5)]
LUCK, NOISE, RECYCLE = 0.006, 0.006, 10
"""Deviation between processes and within one, as measured on a server, and rounds of a worker that stays."""


def ran(value: float, at: float, process: float = 0.0, delay: float = 0.0) -> Round:
    return Round(
        value, fingerprint(KEY), at, delay, references={"compute": 1.0}, kernels={"compute": "k"}, process=process
    )


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


# simulated: a device whose processes differ, and whose rounds of one process do


def followed(seed: int, count: int, slower: Callable[[int], float]) -> list[Verdict]:
    """The verdicts on so many rounds of workers that stay for ten, and for none while there is doubt."""
    chance, found, history = random.Random(seed), list[Verdict](), list[Round]()
    start = [ran(chance.gauss(chance.gauss(1.0, LUCK), NOISE), float(n), float(-n)) for n in range(1, 11)]
    baseline = gathered("p", KEY, start)
    process, luck, left = 0.0, 1.0, 0
    for at in range(1, count + 1):
        if not left or (found and doubtful(found[-1])):
            process, luck, left = process + 1, chance.gauss(1.0, LUCK), RECYCLE
        left -= 1
        history.append(ran(chance.gauss(luck * slower(at), NOISE), 1000.0 + at, process))
        found.append(judge(OK, history[-2 * MORE[-1] :], baseline, KEY))
    return found


def test_a_device_slower_by_the_effect_is_found_within_thirty_rounds() -> None:
    late = 0
    for seed in range(40):
        verdicts = followed(seed, 36, lambda at: 1.05 if at > 6 else 1.0)
        late += not any(one.state is State.DEGRADED for one in verdicts[6:])
    assert late <= 2


def test_a_device_as_fast_as_ever_is_not_accused_however_often_it_is_looked_at() -> None:
    verdicts = [one for seed in range(20) for one in followed(seed, 100, lambda at: 1.0)]
    assert sum(one.state is State.DEGRADED for one in verdicts) <= 2


def test_a_device_that_is_half_the_effect_slower_is_seldom_accused() -> None:
    verdicts = [one for seed in range(20) for one in followed(seed, 50, lambda at: 1.02)]
    assert sum(one.state is State.DEGRADED for one in verdicts) <= 10
