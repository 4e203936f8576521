"""How far a run can be trusted: each reason from what the run saw, and the grade from the reasons."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edgemon.judge.baseline import Baseline
from edgemon.judge.validity import REASONS, Grade, usable, validity
from edgemon.probe.result import Outcome, Result

STEADY = [0.001 + step * 1e-8 for step in range(100)]
GOOD = Result(
    "p", Outcome.OK, latencies=STEADY, corrected=STEADY, run_delay=0.01,
    kernels={"compute": 0.5, "memory": 2.0}, facts={"kernels": {"compute": "matmul", "memory": "copy"}},
    witnesses={"timer": 1e-7, "steal": 0.0, "suspended": 0.0, "settled": 1.0, "throttles": 0.0,
               "clock_begin": 1.8e9, "clock_end": 1.8e9},
)  # fmt: skip
BASELINE = Baseline(
    "p", "abc", {}, (0.001,), references={"compute": (0.5,), "memory": (2.0,)}, kernels=GOOD.facts["kernels"]
)


def seen(**witnesses: float) -> dict[str, Any]:
    return {"witnesses": {**GOOD.witnesses, **witnesses}}


TABLE: list[tuple[dict[str, Any], str, Grade]] = [
    (seen(throttles=3), "throttled", Grade.LIMITED),
    (seen(clock_end=1.2e9), "clock_changed", Grade.LIMITED),
    ({"run_delay": 0.2}, "contended", Grade.LIMITED),
    (seen(steal=0.2), "stolen", Grade.LIMITED),
    ({"latencies": STEADY[:4], "corrected": STEADY[:4]}, "few_samples", Grade.LIMITED),
    ({"latencies": STEADY[:2], "corrected": STEADY[:2]}, "few_samples", Grade.INVALID),
    ({"kernels": {"compute": 0.6, "memory": 2.0}}, "reference_off", Grade.LIMITED),
    ({"kernels": {"compute": 0.5, "memory": 1.5}}, "reference_off", Grade.LIMITED),
    (seen(settled=0.0), "unsettled", Grade.LIMITED),
    ({"corrected": [0.001, 0.002] * 50}, "unsteady", Grade.LIMITED),
    (seen(timer=2e-5), "coarse_timer", Grade.LIMITED),
    (seen(timer=2e-4), "coarse_timer", Grade.INVALID),
    (seen(suspended=2.0), "suspended", Grade.INVALID),
]


def test_a_quiet_run_is_valid() -> None:
    graded = validity(GOOD, BASELINE)
    assert graded
    assert (graded.grade, graded.reasons) == (Grade.VALID, {})
    assert usable(GOOD)


@pytest.mark.parametrize(("changes", "reason", "grade"), TABLE)
def test_each_reason_limits_or_spoils_the_run(changes: dict[str, Any], reason: str, grade: Grade) -> None:
    graded = validity(replace(GOOD, **changes), BASELINE)
    assert graded
    assert (graded.grade, list(graded.reasons)) == (grade, [reason])
    assert graded.reasons[reason]


def test_every_reason_is_declared_and_every_declared_one_can_come() -> None:
    assert {reason for _, reason, _ in TABLE} == set(REASONS)


def test_what_the_machine_does_not_tell_is_no_reason() -> None:
    graded = validity(replace(GOOD, witnesses={}, kernels={}, run_delay=None), None)
    assert graded
    assert graded.grade is Grade.VALID


def test_a_run_that_measured_nothing_has_no_grade() -> None:
    assert validity(Result("p", Outcome.CRASHED)) is None


def test_kernels_that_did_other_work_in_the_baseline_are_not_off() -> None:
    other = replace(BASELINE, kernels={"compute": "sha256", "memory": "copy"})
    graded = validity(replace(GOOD, kernels={"compute": 9.0, "memory": 2.0}), other)
    assert graded
    assert graded.grade is Grade.VALID
