"""Epochs: a changed fingerprint is told as old against new; a probe's own past is a baseline of its own."""

from __future__ import annotations

import random

import pytest

from edgemon.judge.baseline import Baseline, Round, fingerprint
from edgemon.judge.compare import Trend
from edgemon.judge.epoch import ENOUGH, MOST, RECENT, epochs, rolling, turn
from edgemon.judge.verdict import State, Verdict, interval, judge
from edgemon.probe.result import Outcome, Result

OLD, NEW = {"runtime": "onnx 1.30"}, {"runtime": "onnx 1.32"}
KERNELS = {"compute": "sha256"}


def rounds(key: dict[str, str], seconds: float, count: int, start: int = 0, seed: int = 1) -> list[Round]:
    """Rounds that differ by some 1 %."""
    chance = random.Random(seed)
    values = [seconds * chance.uniform(0.99, 1.01) for _ in range(count)]
    return [ran(value, key, start + n) for n, value in enumerate(values)]


def ran(seconds: float, key: dict[str, str], at: float) -> Round:
    return Round(seconds, fingerprint(key), float(at), references={"compute": 0.001}, kernels=KERNELS)


def verdict(history: list[Round], key: dict[str, str], baseline: Baseline | None = None) -> Verdict:
    result = Result("test", Outcome.OK, latencies=[history[-1].value], at=history[-1].at)
    return judge(result, history, baseline, key)


def test_rounds_in_a_row_with_one_fingerprint_are_an_epoch() -> None:
    history = [*rounds(OLD, 0.01, 3), *rounds(NEW, 0.01, 2, 3), *rounds(OLD, 0.01, 4, 5)]
    assert [(one.fingerprint, len(one.rounds)) for one in epochs(history)] == [
        (fingerprint(OLD), 3), (fingerprint(NEW), 2), (fingerprint(OLD), 4)
    ]  # fmt: skip


def test_a_new_epoch_says_how_much_it_changed_and_how_sure_that_is() -> None:
    found = turn([*rounds(OLD, 0.010, 12), *rounds(NEW, 0.012, 5, 12)], 0.05)
    assert found
    assert (found.before, found.now, found.since) == (fingerprint(OLD), fingerprint(NEW), 12)
    assert found.change.trend is Trend.SLOWER
    assert found.change.low < 1.2 < found.change.high
    assert found.change.ratio == pytest.approx(1.2, abs=0.02)


@pytest.mark.parametrize(("old", "new"), [(ENOUGH - 1, 9), (9, ENOUGH - 1), (9, 0)])
def test_with_too_few_rounds_on_either_side_nothing_is_said(old: int, new: int) -> None:
    assert turn([*rounds(OLD, 0.01, old), *rounds(NEW, 0.02, new, old)], 0.05) is None


def test_an_epoch_is_compared_with_the_one_before_and_not_with_others() -> None:
    history = [*rounds(NEW, 0.030, 9), *rounds(OLD, 0.010, 9, 9), *rounds(NEW, 0.010, 9, 18)]
    found = turn(history, 0.05)
    assert found
    assert found.change.trend is Trend.SAME


def test_the_rolling_baseline_is_what_came_before_the_rounds_that_are_judged() -> None:
    history = rounds(NEW, 0.01, RECENT + MOST + 7)
    found = rolling("test", NEW, history)
    assert found
    assert found.rounds == tuple(one.value for one in history[7:-RECENT])
    assert found.at == history[-RECENT - 1].at
    assert found.references["compute"] == (0.001,) * MOST


def test_rounds_with_another_reference_kernel_leave_it_out() -> None:
    history = rounds(NEW, 0.01, 20)
    history[3] = Round(0.01, fingerprint(NEW), 3.0, references={"compute": 1.0}, kernels={"compute": "other"})
    found = rolling("test", NEW, history)
    assert found
    assert not found.references


def test_without_a_pinned_baseline_a_probe_is_compared_with_its_own_past() -> None:
    history = [*rounds(NEW, 0.010, 15), *rounds(NEW, 0.013, RECENT, 15)]
    found = verdict(history, NEW)
    assert (found.state, found.cause) == (State.DEGRADED, "slower")
    assert "none is pinned" in found.evidence["baseline"]
    assert found.advice


def test_before_there_is_a_past_nothing_is_decided() -> None:
    found = verdict(rounds(NEW, 0.01, 14), NEW)
    assert (found.state, found.cause, found.drift) == (State.UNDECIDED, "no_baseline", None)


def test_a_slow_creep_shows_against_the_pinned_baseline_and_not_against_the_rolling_one() -> None:
    """Half a percent a round: after 40 rounds 22 % slower, of which the last 20 rounds know little."""
    history = [ran(0.010 * 1.005**n, NEW, n) for n in range(40)]
    pinned = Baseline("test", fingerprint(NEW), NEW, tuple(0.010 * (1 + 0.001 * n) for n in range(10)), at=-1.0)
    found = verdict(history, NEW, pinned)
    assert found.state is State.DEGRADED
    assert found.drift
    assert (found.slowdown or 0) > found.drift.ratio > 1


def test_a_changed_fingerprint_stays_undecided_and_tells_new_against_old() -> None:
    pinned = Baseline("test", fingerprint(OLD), OLD, (0.01,) * 10, at=-1.0)
    found = verdict([*rounds(OLD, 0.010, 12), *rounds(NEW, 0.012, 5, 12)], NEW, pinned)
    assert (found.state, found.cause) == (State.UNDECIDED, "changed")
    assert found.evidence["runtime"] == "onnx 1.30 -> onnx 1.32"
    assert found.evidence["new against old"].startswith("+")
    assert found.turn
    assert interval(found.turn.change) == found.evidence["new against old"]
