"""Rounds of one process share its luck: what they say of the device must hold of several processes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgemon.judge.baseline import Baseline, Round, processes
from edgemon.judge.compare import Trend, change
from edgemon.judge.contrast import Side, contrast
from edgemon.judge.epoch import MOST, gathered, rolling, spread, turn
from edgemon.judge.verdict import State, doubtful, judge
from tests.judge.simulated import KEY, OK, RECYCLE, Device, ran

BOARD = Device(luck=0.03, noise=0.01, window=5)


def rounds(values: list[float], of: list[float], at: float = 100.0) -> list[Round]:
    return [ran(value, at + n, process) for n, (value, process) in enumerate(zip(values, of, strict=True))]


TEN = gathered("p", KEY, rounds([1.0 + step / 1000 for step in range(10)], [float(n) for n in range(1, 11)], 0.0))


@pytest.mark.parametrize(
    ("of", "state", "said"),
    [
        ([50.0] * 5, State.UNDECIDED, "too few processes"),
        ([50.0, 50.0, 50.0, 51.0, 51.0], State.UNDECIDED, "too few processes"),
        ([50.0, 50.0, 50.0, 51.0, 52.0], State.DEGRADED, "slower than the baseline"),
        ([50.0, 51.0, 52.0, 53.0, 54.0], State.DEGRADED, "slower than the baseline"),
        ([0.0] * 5, State.DEGRADED, "slower than the baseline"),
    ],
    ids=["one", "two", "three", "five", "not known"],
)
def test_a_slower_device_is_one_on_which_several_processes_are_slower(of: list[float], state: State, said: str) -> None:
    verdict = judge(OK, rounds([1.2, 1.201, 1.202, 1.203, 1.204], of), TEN, KEY)
    assert verdict.state is state
    assert said in verdict.text
    assert doubtful(verdict)


def test_the_evidence_tells_how_many_processes_there_were() -> None:
    verdict = judge(OK, rounds([1.0] * 5, [50.0] * 5), TEN, KEY)
    assert (verdict.state, doubtful(verdict)) == (State.OK, False)
    assert verdict.evidence["now"].endswith("5 rounds of 1 process")


def test_a_baseline_of_one_process_proves_nothing_however_many_rounds_it_has() -> None:
    values = [1.0 + step / 1000 for step in range(20)]
    one = gathered("p", KEY, rounds(values, [7.0] * 20, 0.0))
    assert one.processes == (7.0,) * 20
    assert judge(OK, rounds([1.2] * 5, [50.0 + n for n in range(5)]), one, KEY).state is State.UNDECIDED
    assert (
        contrast(Side("a", TEN), Side("b", replace(one, rounds=tuple(2 * v for v in values)))).model.trend
        is Trend.UNSURE
    )


def test_a_new_epoch_of_one_process_is_told_but_is_not_certain() -> None:
    new = [replace(one, fingerprint="new") for one in rounds([1.2] * 8, [50.0] * 8)]
    found = turn([*rounds([1.0 + n / 1000 for n in range(10)], [float(n) for n in range(1, 11)], 0.0), *new], 0.05)
    assert found
    assert found.change.trend is Trend.UNSURE
    assert found.change.ratio == pytest.approx(1.2, abs=0.01)


def test_the_rolling_baseline_sees_as_many_processes_as_it_can() -> None:
    of = [float(1 + n // RECYCLE) for n in range(95)]
    history = rounds([1.0 + n / 1e5 for n in range(95)], of)
    assert len(spread(history, of)) == MOST  # two of each
    assert {one.process for one in spread(history, of)} == set(of)
    found = rolling("p", KEY, history)
    assert found
    assert len(set(found.processes)) == 9
    assert spread(history[:4], of[:4]) == history[:4]
    assert len(spread(history[:30], [1.0] * 30)) == MOST
    apart = rounds([1.0] * 30, [float(n) for n in range(1, 31)])
    assert spread(apart, processes(apart)) == apart[-MOST:]
    assert processes(apart) == ()


def test_of_a_series_the_size_is_told_by_the_rounds_and_the_certainty_by_the_processes() -> None:
    now, of = [1.1, 1.1, 1.1, 1.1, 1.1], [1.0, 2.0, 3.0, 4.0, 4.0]
    found = change(now, TEN.rounds, 0.05, (of, ()))
    assert (found.trend, found.ratio) == (Trend.SLOWER, change(now, TEN.rounds, 0.05).ratio)
    assert (
        change([1.1, 1.1, 1.1, 1.0, 1.0], TEN.rounds, 0.05, ([1.0, 1.0, 1.0, 2.0, 3.0], ())).trend is not Trend.SLOWER
    )


# simulated: processes differ by 3 %, rounds of one by 1 %


def alarms(known: bool) -> int:
    """Rounds on which a device as fast as ever is called degraded, of 2,000."""
    verdicts = [one for seed in range(20) for one in BOARD.followed(seed, 100, lambda at: 1.0, known)]
    return sum(one.state is State.DEGRADED for one in verdicts)


def test_the_luck_of_a_process_is_no_alarm_but_would_be_if_its_rounds_were_taken_for_processes() -> None:
    assert alarms(known=False) >= 20
    assert alarms(known=True) <= 4


@pytest.mark.parametrize(("slower", "within"), [(1.25, 10), (1.12, 30)])
def test_a_slower_device_is_found_within_few_rounds_although_workers_stay(slower: float, within: int) -> None:
    late = 0
    for seed in range(20):
        verdicts = BOARD.followed(seed, 30 + within, lambda at: slower if at > 30 else 1.0)
        late += not any(one.state is State.DEGRADED for one in verdicts[30:])
    assert late <= 1


def test_a_baseline_with_processes_survives_json() -> None:
    one = gathered("p", KEY, rounds([1.0, 1.1, 1.2], [1.0, 1.0, 2.0]))
    assert Baseline.from_json(one.to_json()) == one
    assert one.processes == (1.0, 1.0, 2.0)
