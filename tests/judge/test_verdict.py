"""Verdicts: the outcome first, then the fingerprint, then the rounds; rarely wrong on quiet machines."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from edgemon.judge.baseline import Baseline, Round, fingerprint, key_of, record
from edgemon.judge.verdict import CAUSES, State, Verdict, judge
from edgemon.probe.result import Outcome, Result

KEY = {"device": "Orin", "runtime": "onnx 1.32", "model": "abc", "providers": "CPUExecutionProvider"}
MARK = fingerprint(KEY)
OK = Result("detector", Outcome.OK, at=100.0, facts={"requested": ["CPUExecutionProvider"]})


def baseline(values: list[float], **changes: object) -> Baseline:
    return replace(Baseline("detector", MARK, KEY, tuple(values), at=1.0), **changes)  # type: ignore[arg-type]


def rounds(values: list[float], run_delay: float = 0.0) -> list[Round]:
    return [Round(value, MARK, 10.0 + step, run_delay) for step, value in enumerate(values)]


TEN = [1.0 + step / 1000 for step in range(10)]


@pytest.mark.parametrize(
    ("factor", "state", "cause"),
    [
        (1.0, State.OK, "none"),
        (1.04, State.OK, "none"),
        (1.2, State.DEGRADED, "slower"),
        (0.8, State.IMPROVED, "faster"),
    ],
)
def test_rounds_are_held_against_the_baseline(factor: float, state: State, cause: str) -> None:
    verdict = judge(OK, rounds([value * factor for value in TEN[:5]]), baseline(TEN), KEY)
    assert (verdict.state, verdict.cause) == (state, cause)
    assert verdict.slowdown == pytest.approx(factor, rel=0.01)


def test_a_change_smaller_than_the_effect_is_ok_however_certain() -> None:
    assert judge(OK, rounds([1.08] * 5), baseline(TEN), KEY, effect=0.1).state is State.OK


def test_a_large_but_uncertain_change_is_undecided() -> None:
    verdict = judge(OK, rounds([0.9, 1.3, 1.4]), baseline([1.0, 1.35, 0.9, 1.45, 1.1, 1.2, 0.95, 1.3, 1.05, 1.0]), KEY)
    assert (verdict.state, verdict.cause) == (State.UNDECIDED, "noisy")


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_rounds_are_undecided(count: int) -> None:
    assert judge(OK, rounds([2.0] * count), baseline(TEN), KEY).cause == "too_few_rounds"


def test_rounds_from_before_the_baseline_or_of_another_fingerprint_do_not_count() -> None:
    old = [Round(2.0, MARK, 0.5), Round(2.0, MARK, 0.9), Round(2.0, "other", 20.0)]
    assert judge(OK, [*old, *rounds([1.0, 1.0])], baseline(TEN), KEY).cause == "too_few_rounds"


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.CRASHED, Outcome.TIMEOUT, Outcome.WRONG_OUTPUT])
def test_whatever_is_not_ok_is_failing_with_its_outcome_as_cause(outcome: Outcome) -> None:
    verdict = judge(replace(OK, outcome=outcome, detail="why"), rounds([1.0] * 5), baseline(TEN), KEY)
    assert (verdict.state, verdict.cause, verdict.text) == (State.FAILING, outcome.value, "why")
    assert verdict.advice


def test_without_a_baseline_the_next_step_is_named() -> None:
    verdict = judge(OK, rounds([1.0] * 5), None, KEY)
    assert (verdict.state, verdict.cause) == (State.UNDECIDED, "no_baseline")
    assert "edgemon baseline record detector" in verdict.advice


def test_another_fingerprint_is_no_baseline_and_says_what_changed() -> None:
    verdict = judge(OK, rounds([9.0] * 5), baseline(TEN), {**KEY, "runtime": "onnx 1.33"})
    assert (verdict.state, verdict.cause) == (State.UNDECIDED, "changed")
    assert verdict.evidence == {"runtime": "onnx 1.32 -> onnx 1.33"}


def test_nodes_that_left_the_accelerator_are_a_fallback_even_when_the_speed_is_right() -> None:
    facts = {
        "requested": ["CUDAExecutionProvider"],
        "placement": {"CUDAExecutionProvider": 0.4, "CPUExecutionProvider": 0.6},
    }
    before = baseline(TEN, placement={"CUDAExecutionProvider": 1.0})
    verdict = judge(replace(OK, facts=facts), rounds(TEN[:5]), before, KEY)
    assert (verdict.state, verdict.cause) == (State.DEGRADED, "fallback")
    assert judge(replace(OK, facts=facts), rounds(TEN[:5]), None, KEY).cause == "no_baseline"


def test_an_accelerator_that_runs_nothing_is_a_fallback_without_any_baseline() -> None:
    facts = {
        "requested": ["CUDAExecutionProvider"],
        "placement": {"CUDAExecutionProvider": 0.0, "CPUExecutionProvider": 1.0},
    }
    assert judge(replace(OK, facts=facts), [], None, KEY).cause == "fallback"


def test_slow_rounds_in_which_others_had_the_cpu_are_blamed_on_them() -> None:
    assert judge(OK, rounds([1.3] * 5, run_delay=0.4), baseline(TEN), KEY).cause == "contention"


def test_every_cause_can_be_exported() -> None:
    for outcome in Outcome:
        assert judge(replace(OK, outcome=outcome), rounds(TEN), baseline(TEN), KEY).cause in CAUSES


def test_a_skipped_run_says_nothing_about_the_device() -> None:
    assert judge(replace(OK, outcome=Outcome.SKIPPED), rounds([9.0] * 5), baseline(TEN), KEY).state is State.UNDECIDED


def simulate(factor: float, spread: float, seed: int, trials: int = 300) -> dict[State, int]:
    """Verdicts over many baselines and five current rounds, the rounds differing by `spread`."""
    chance, counts = random.Random(seed), dict.fromkeys(State, 0)
    for _ in range(trials):
        before = [math.exp(chance.gauss(0, spread)) for _ in range(10)]
        now = [factor * math.exp(chance.gauss(0, spread)) for _ in range(5)]
        counts[judge(OK, rounds(now), baseline(before), KEY).state] += 1
    return counts


@pytest.mark.parametrize("spread", [0.01, 0.03, 0.06])
def test_a_quiet_device_is_hardly_ever_called_degraded(spread: float) -> None:
    counts = simulate(1.0, spread, seed=7)
    assert counts[State.DEGRADED] <= 3


def test_ten_percent_are_found_where_rounds_differ_by_two() -> None:
    assert simulate(1.10, 0.02, seed=8)[State.DEGRADED] > 250


def test_a_baseline_is_recorded_from_runs_on_one_fingerprint_only() -> None:
    device = {"device": "Orin"}
    one = replace(
        OK, latencies=[1.0, 2.0, 3.0], corrected=[1.0, 1.0, 3.0], facts={"runtime": "onnx", "placement": {"CPU": 1.0}}
    )
    made = record([one, one, one], device)
    assert (made.rounds, made.fingerprint) == ((1.0, 1.0, 1.0), fingerprint(key_of(one, device)))
    assert Baseline.from_json(made.to_json()) == made
    with pytest.raises(ValueError, match="differ"):
        record([one, replace(one, facts={"runtime": "openvino"})], device)
    with pytest.raises(ValueError, match="differ"):
        record([], device)


def test_states_are_ordered_from_best_to_worst() -> None:
    assert [state.value for state in State] == ["ok", "improved", "undecided", "degraded", "failing"]
    assert Verdict(State.OK, "none", "").advice == ""
