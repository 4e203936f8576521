"""Causes that come apart: device, memory, contention, steal, model; each a row of what rounds can look like."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from edgemon.judge.baseline import Baseline, Round, record, round_of, shared
from edgemon.judge.compare import Trend, change, compare
from edgemon.judge.verdict import CAUSES, State, judge
from edgemon.probe.result import Outcome, Result

KERNELS = {"compute": "matmul", "memory": "copy"}
MARK = "abc"
OK = Result("detector", Outcome.OK, at=100.0)
TEN = tuple(1.0 + step / 1000 for step in range(10))
BASELINE = Baseline(
    "detector", MARK, {}, TEN, at=1.0, kernels=KERNELS,
    references={"compute": tuple(0.5 * one for one in TEN), "memory": tuple(2 * one for one in TEN)},
)  # fmt: skip


def rounds(
    model: float, compute: float = 1.0, memory: float = 1.0, delay: float = 0.0, steal: float = 0.0
) -> list[Round]:
    """Five rounds in which everything is so many times what it was."""
    kernels = [{"compute": one * compute / 2, "memory": one * memory * 2} for one in TEN[:5]]
    return [
        Round(one * model, MARK, 10.0 + step, delay, steal, kernels[step], KERNELS) for step, one in enumerate(TEN[:5])
    ]


TABLE = [
    # model, compute, memory, run delay, steal -> state, cause
    (1.0, 1.0, 1.0, 0.0, 0.0, State.OK, "none"),
    (1.04, 1.0, 1.0, 0.0, 0.0, State.OK, "none"),  # below the effect
    (1.07, 1.0, 1.0, 0.0, 0.0, State.DEGRADED, "slower"),  # healthy references: 5 % show
    (1.03, 0.97, 0.98, 0.0, 0.0, State.DEGRADED, "slower"),  # a faster device hides half of 6 %
    (1.0, 0.94, 0.94, 0.0, 0.0, State.OK, "none"),  # it hides all of it: the inference is as fast as it was
    (1.02, 0.95, 1.0, 0.0, 0.0, State.OK, "none"),  # a model of memory gains nothing by a faster clock
    (1.07, 1.07, 1.07, 0.0, 0.0, State.OK, "none"),  # the device moved, within what a device may
    (1.3, 1.3, 1.3, 0.0, 0.0, State.DEGRADED, "device_slow"),
    (1.3, 1.25, 1.0, 0.0, 0.0, State.DEGRADED, "device_slow"),  # 4 % over the kernel
    (1.38, 1.3, 1.3, 0.0, 0.0, State.DEGRADED, "device_slow"),  # 6 % over a kernel that is off say nothing
    (1.5, 1.3, 1.3, 0.0, 0.0, State.DEGRADED, "slower"),  # 15 % do
    (1.25, 1.0, 1.6, 0.0, 0.0, State.DEGRADED, "memory_slow"),  # between the two kernels
    (1.9, 1.0, 1.6, 0.0, 0.0, State.DEGRADED, "slower"),  # beyond both
    (1.0, 1.0, 1.6, 0.0, 0.0, State.OK, "none"),  # a model that does not care for memory
    (1.0, 1.0, 1.0, 0.5, 0.0, State.OK, "none"),  # delay was subtracted, nothing is left
    (1.07, 1.0, 1.0, 0.5, 0.0, State.OK, "none"),  # what contention leaves behind
    (1.3, 1.0, 1.0, 0.5, 0.0, State.DEGRADED, "contention"),  # never blamed on the model
    (1.3, 1.3, 1.3, 0.5, 0.0, State.DEGRADED, "contention"),
    (1.3, 1.0, 1.0, 0.0, 0.3, State.DEGRADED, "steal"),
    (0.8, 1.0, 1.0, 0.0, 0.0, State.IMPROVED, "faster"),
    (0.8, 0.8, 0.8, 0.0, 0.0, State.IMPROVED, "faster"),  # a faster device is faster too
    (1.0, 1.3, 1.0, 0.0, 0.0, State.OK, "none"),  # a slow kernel alone makes no model faster
]


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_causes_come_apart(row: tuple[float, float, float, float, float, State, str]) -> None:
    model, compute, memory, delay, steal, state, cause = row
    verdict = judge(OK, rounds(model, compute, memory, delay, steal), BASELINE, {})
    assert (verdict.state, verdict.cause) == (state, cause), verdict
    assert verdict.cause in CAUSES
    assert verdict.slowdown == pytest.approx(model, rel=0.01)
    assert verdict.relative == pytest.approx(model / compute, rel=0.01)
    assert verdict.references == {
        "compute": pytest.approx(compute, rel=0.01),
        "memory": pytest.approx(memory, rel=0.01),
    }
    assert (verdict.advice == "") is (state is State.OK)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((1.3, 1.3, 1.3), "30.0% slower than the baseline; the device does fixed work 30.0% slower too"),
        ((1.25, 1.0, 1.6), "24.9% slower than the baseline; the device copies memory 59.9% slower too"),
        ((1.3, 1.0, 1.0, 0.5), "29.9% slower than the baseline; others had the CPU for 50% of the time"),
        ((1.07, 1.07, 1.07), "6.9% slower than the baseline, as is the device at fixed work"),
    ],
)
def test_the_sentence_says_why(given: tuple[float, ...], words: str) -> None:
    text = judge(OK, rounds(*given), BASELINE, {}).text
    assert [word for word in text.split() if "%" not in word] == [word for word in words.split() if "%" not in word]
    assert text.count("%") == words.count("%")


def test_the_evidence_names_the_kernels_and_what_they_did() -> None:
    evidence = judge(OK, rounds(1.5, 1.2, 1.1, 0.02, 0.01), BASELINE, {}).evidence
    assert evidence["compute kernel"].endswith("% (matmul)")
    assert {"memory kernel", "over compute", "run delay", "steal"} <= set(evidence)


def test_kernels_that_did_other_work_in_the_baseline_are_not_compared() -> None:
    other = replace(BASELINE, kernels={**KERNELS, "compute": "sha256"})
    verdict = judge(OK, rounds(1.3, 1.3, 1.3), other, {})
    assert (verdict.cause, verdict.relative, set(verdict.references)) == ("memory_slow", None, {"memory"})
    assert shared(KERNELS, KERNELS, other) == ("memory",)


def test_a_baseline_from_before_there_were_kernels_is_judged_by_the_model_alone() -> None:
    old = Baseline.from_json(
        {key: value for key, value in BASELINE.to_json().items() if key not in {"references", "kernels"}}
    )
    verdict = judge(OK, rounds(1.3, 1.3, 1.3), old, {})
    assert (verdict.state, verdict.cause, verdict.relative) == (State.DEGRADED, "slower", None)
    assert "edgemon sense" in verdict.advice


def test_a_baseline_holds_the_kernels_of_its_rounds_and_survives_json() -> None:
    facts = {"kernels": KERNELS}
    results = [
        replace(OK, latencies=[one], kernels={"compute": one / 2, "memory": one * 2}, facts=facts) for one in TEN
    ]
    made = record(results, {})
    assert made.references["compute"] == tuple(one / 2 for one in TEN)
    assert Baseline.from_json(made.to_json()) == made
    lacking = record([*results, replace(results[0], kernels={"compute": 0.5})], {})
    assert set(lacking.references) == {"compute"}


def test_a_round_carries_what_the_run_saw() -> None:
    seen = replace(OK, latencies=[1.0], kernels={"compute": 0.5}, witnesses={"steal": 0.2}, facts={"kernels": KERNELS})
    one = round_of(seen, MARK)
    assert (one.references, one.steal, one.kernels) == ({"compute": 0.5}, 0.2, KERNELS)


@pytest.mark.parametrize(
    ("device", "kept"),
    [
        ("CPUExecutionProvider", {"compute", "memory"}),
        ("CPU", {"compute", "memory"}),
        ("CUDAExecutionProvider", {"compute"}),
        ("EdgeTPU", {"compute"}),
    ],
)
def test_work_on_the_host_says_nothing_of_an_accelerator(device: str, kept: set[str]) -> None:
    """A GPU that throttles must not look like a slow model because the host is as fast as ever."""
    kernels = {"compute": "CUDA 4 x 1024", "memory": "host: copy of 32 MiB"}
    seen = replace(
        OK, latencies=[1.0], kernels={"compute": 0.5, "memory": 2.0}, facts={"requested": [device], "kernels": kernels}
    )
    assert set(round_of(seen, MARK).references) == set(record([seen] * 3, {}).references) == kept


def test_a_change_is_unsure_where_rounds_overlap() -> None:
    assert change([0.9, 1.3, 1.4], [1.0, 1.15, 0.9, 1.25, 1.1], 0.05).trend is Trend.UNSURE
    assert change([1.3] * 5, TEN, 0.05).trend is Trend.SLOWER


def simulate(truth: float, seed: int, trials: int = 200, host: float = 0.05) -> dict[str, int]:
    """Causes over simulated rounds: the host drifts (AR(1) 0.9, in common), each measurement adds 1.6 % of its own."""
    chance, counts = random.Random(seed), dict[str, int]()
    own, step = 0.016, host * math.sqrt(1 - 0.9**2)
    for _ in range(trials):
        drift, taken = chance.gauss(0, host), []
        for _number in range(15):
            drift = 0.9 * drift + chance.gauss(0, step)
            model, compute, memory = (math.exp(drift + chance.gauss(0, own)) for _ in range(3))
            taken.append((model, compute, memory))
        before, now = taken[:10], [(truth * m, c, r) for m, c, r in taken[10:]]
        made = replace(
            BASELINE, rounds=tuple(m for m, _, _ in before),
            references={"compute": tuple(c for _, c, _ in before), "memory": tuple(r for _, _, r in before)},
        )  # fmt: skip
        recent = [Round(m, MARK, 10.0, 0.0, 0.0, {"compute": c, "memory": r}, KERNELS) for m, c, r in now]
        found = compare(recent, made, 0.05)
        counts[found.cause] = counts.get(found.cause, 0) + 1
    return counts


def test_a_drifting_host_is_hardly_ever_taken_for_a_slower_model() -> None:
    assert simulate(1.0, seed=3).get("slower", 0) <= 1


def test_ten_percent_more_work_is_found_under_a_drifting_host() -> None:
    assert simulate(1.10, seed=4).get("slower", 0) >= 120
