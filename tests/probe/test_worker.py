"""The worker: real processes with the simulated runtime, whose crashes are real ones."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemon.probe import supervisor
from edgemon.probe.result import Outcome, Request, Result, Tolerance
from tests.probe import MIB, ROOT, ask

PHASES = ("import_seconds", "load_seconds", "first_seconds", "idle_seconds")


TEXT = st.text(max_size=20)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
SECONDS = st.floats(0, 1e9)
TIMES = st.lists(SECONDS, max_size=5)
TENSORS = st.lists(st.lists(st.dictionaries(TEXT, PLAIN, max_size=3), max_size=2), max_size=2)
REQUESTS = st.builds(
    Request,
    probe=TEXT,
    runtime=TEXT,
    seeds=st.lists(st.integers(0, 2**32 - 1), max_size=3),
    shapes=st.dictionaries(TEXT, st.lists(st.integers(0, 2**40), max_size=4), max_size=2),
    options=st.dictionaries(TEXT, PLAIN, max_size=3),
    golden=TENSORS,
    tolerance=st.builds(Tolerance, SECONDS, st.floats(-1, 1), st.booleans()),
)
RESULTS = st.builds(
    Result,
    probe=TEXT,
    outcome=st.sampled_from(Outcome),
    detail=TEXT,
    at=SECONDS,
    load_seconds=st.none() | SECONDS,
    latencies=TIMES,
    corrected=TIMES,
    run_delay=st.none() | st.floats(0, 1),
    kernels=st.dictionaries(TEXT, SECONDS, max_size=2),
    witnesses=st.dictionaries(TEXT, SECONDS, max_size=2),
    windows=st.dictionaries(TEXT, st.lists(SECONDS, min_size=2, max_size=2).map(sorted), max_size=2),
    slices=st.lists(st.lists(SECONDS, min_size=2, max_size=2).map(sorted), max_size=2),
    inferences=st.integers(0, 10**9),
    peak_memory=st.none() | st.integers(0, 2**50),
    facts=st.dictionaries(TEXT, PLAIN, max_size=3),
    distance=st.dictionaries(TEXT, SECONDS, max_size=3),
    outputs=TENSORS,
)


def behave(behaviour: str, **fields: Any) -> Result:
    return supervisor.run(ask(options={"behaviour": behaviour, "work": 100}, **fields))


def runs() -> bool:
    return supervisor.run(ask(options={"work": 100})).outcome is Outcome.OK


def test_every_phase_is_measured() -> None:
    result = supervisor.run(ask(options={"work": 1000}))
    assert (result.outcome, result.detail, result.stage) == (Outcome.OK, "", "idle_start")
    assert all(getattr(result, phase) >= 0 for phase in PHASES)
    assert result.first_seconds
    assert result.first_seconds >= 0.001
    assert result.idle_seconds
    assert result.idle_seconds >= 0.001
    assert min(result.latencies) >= 0.001
    assert result.cpu_seconds
    assert result.wall_seconds
    assert result.cpu_seconds > 0.001
    assert result.wall_seconds > sum(result.latencies)
    assert result.at > 1e9
    assert result.boottime > 0


@pytest.mark.parametrize("work", [5, 1000])
def test_corrected_is_never_above_the_latency_nor_below_zero_and_run_delay_is_a_share(work: int) -> None:
    result = supervisor.run(ask(options={"work": work}))
    pairs = list(zip(result.corrected, result.latencies, strict=True))
    assert pairs
    assert all(0 <= corrected <= latency for corrected, latency in pairs)
    assert result.run_delay is not None
    assert 0 <= result.run_delay <= 1.01


def test_there_are_at_least_the_samples_asked_for_when_time_allows() -> None:
    assert len(supervisor.run(ask(options={"work": 200}, samples=150, seconds=20.0)).latencies) >= 150


def test_the_time_cap_ends_the_steady_phase_before_the_samples_are_reached() -> None:
    result = supervisor.run(ask(options={"work": 20000}, samples=1000, seconds=0.2))
    assert 3 <= len(result.latencies) <= 11


def test_a_model_slower_than_the_time_cap_still_gives_three_samples() -> None:
    assert len(supervisor.run(ask(options={"work": 60000}, samples=1000, seconds=0.05)).latencies) == 3


def test_a_quick_model_is_looked_at_for_a_quarter_of_a_second() -> None:
    result = supervisor.run(ask(options={"work": 1000}, samples=3, seconds=0.3))
    assert result.wall_seconds
    assert result.wall_seconds >= 0.25
    assert len(result.latencies) > 3


def test_the_samples_of_a_very_quick_model_are_thinned_so_that_the_answer_fits() -> None:
    """Without thinning a quarter of a second of empty inferences is an answer beyond the supervisor's 8 MiB."""
    result = supervisor.run(ask(options={"work": 0}, samples=10000, seconds=5.0))
    assert result.outcome is Outcome.OK
    assert 10000 <= len(result.latencies) < 20000
    assert len(result.corrected) == len(result.latencies)


def test_a_run_carries_its_kernels_its_witnesses_and_its_windows() -> None:
    result = supervisor.run(ask(options={"work": 1000, "compute": 700, "memory": 900}, seconds=1.0, idle=0.1))
    assert result.kernels["compute"] == pytest.approx(0.0007, rel=0.5)
    assert result.kernels["memory"] == pytest.approx(0.0009, rel=0.5)
    assert result.facts["kernels"] == {"compute": "simulated", "memory": "simulated"}
    assert "roof" not in result.facts, "a simulated kernel counts no MACs"
    assert {"timer", "suspended", "settled"} <= set(result.witnesses)
    before, steady, idle = (result.windows[name] for name in ("idle_before", "steady", "idle"))
    assert before[0] < before[1] <= steady[0] < steady[1] <= idle[0] < idle[1]
    assert idle[1] - idle[0] >= 0.1
    assert all(steady[0] <= begin < end <= steady[1] for begin, end in result.slices)
    assert result.inferences >= len(result.latencies)


def test_without_a_share_for_kernels_the_model_is_alone() -> None:
    result = supervisor.run(ask(options={"work": 1000}, kernel_share=0.0))
    assert (result.outcome, result.kernels, len(result.slices)) == (Outcome.OK, {}, 1)


def test_the_kernels_memory_is_not_counted_as_the_models(tmp_path: Path) -> None:
    """The same run with the standard library's kernels, whose buffers are some 16 to 64 MiB, and without any."""
    program = f"""#!{sys.executable}
import runpy, sys
sys.path.insert(0, {ROOT!r})
from edgemon.runtimes.fake import Fake
del Fake.kernels, sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    (tmp_path / "python").write_text(program)
    (tmp_path / "python").chmod(0o755)
    alone, paired = (
        supervisor.run(ask(kernel_share=share, seconds=1.0), str(tmp_path / "python")) for share in (0, 0.2)
    )
    assert paired.facts["kernels"]["compute"].startswith("host: sha256")
    assert alone.peak_memory
    assert paired.peak_memory
    assert abs(paired.peak_memory - alone.peak_memory) < 8 * MIB


def test_the_idle_start_follows_a_pause() -> None:
    result = supervisor.run(ask(options={"work": 100}, idle=0.4))
    assert result.wall_seconds
    assert result.wall_seconds >= 0.4
    assert result.idle_seconds is not None


@pytest.mark.parametrize(("until", "measured"), [("import", 1), ("load", 2)])
def test_a_run_can_end_after_import_or_load(until: str, measured: int) -> None:
    result = supervisor.run(ask(until=until))
    assert (result.outcome, result.stage) == (Outcome.OK, until)
    assert sum(getattr(result, phase) is not None for phase in PHASES) == measured
    assert result.facts["runtime_version"] == "1"
    assert result.latencies == []


def test_peak_memory_is_the_workers_own_not_what_it_inherited() -> None:
    held = bytearray(128 * MIB)
    peak = supervisor.run(ask()).peak_memory
    del held
    assert peak
    assert MIB < peak < 100 * MIB


ENDINGS = {
    "raise": (Outcome.FAILED, "told to raise"),
    "segfault": (Outcome.CRASHED, "crashed with SIGSEGV in load"),
    "abort": (Outcome.CRASHED, "crashed with SIGABRT in load"),
    "exit": (Outcome.CRASHED, "exited with status 3 without an answer in load"),
    "nonsense": (Outcome.FAILED, "behaviour nonsense is unknown; known: abort, "),
}


@pytest.mark.parametrize("behaviour", ENDINGS)
def test_a_model_that_fails_or_crashes_is_named_with_its_stage_and_the_next_probe_runs(behaviour: str) -> None:
    result = behave(behaviour)
    outcome, detail = ENDINGS[behaviour]
    assert (result.outcome, result.stage) == (outcome, "load")
    assert result.detail.startswith(detail)
    assert result.latencies == []
    assert runs()


def test_a_model_that_loops_for_ever_is_a_timeout_with_its_stage() -> None:
    result = behave("spin", timeout=0.5)
    assert (result.outcome, result.detail) == (Outcome.TIMEOUT, "no answer within 0.5 s, killed in load")
    assert runs()


def test_a_model_that_allocates_without_end_meets_the_limit_which_is_named() -> None:
    result = behave("allocate", memory=200 * MIB)
    assert (result.outcome, result.stage) == (Outcome.FAILED, "load")
    assert "200 MiB" in result.detail
    assert "memory" in result.detail
    assert runs()


def test_a_model_that_prints_megabytes_does_not_disturb_the_answer() -> None:
    result = behave("chatter")
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    assert result.latencies


def test_a_failure_keeps_what_was_measured_before_it() -> None:
    result = behave("raise")
    assert result.import_seconds is not None
    assert result.load_seconds is None
    assert result.facts == {"runtime_version": "1", "confined": True}


def test_an_unknown_runtime_is_a_failure_of_the_import() -> None:
    result = supervisor.run(ask("nonsense"))
    assert (result.outcome, result.stage) == (Outcome.FAILED, "import")
    assert "edgemon.runtimes.nonsense" in result.detail


def test_nan_is_wrong_output_without_any_golden() -> None:
    result = behave("nan", record=True)
    assert (result.outcome, result.detail) == (Outcome.WRONG_OUTPUT, "the output holds NaN or infinity")
    assert result.latencies
    assert math.isnan(result.outputs[0][0]["values"][0])


def test_outputs_of_both_seeds_are_recorded_and_match_when_they_are_golden_the_next_time() -> None:
    plain = behave("ok", model="m", seeds=[0, 1], record=True)
    assert len(plain.outputs) == 2
    assert plain.outputs[0] != plain.outputs[1]
    golden = ask(model="m", seeds=[0, 1], golden=plain.outputs, golden_digest=plain.facts["model_sha256"])
    again = supervisor.run(golden)
    assert (again.outcome, again.outputs) == (Outcome.OK, [])
    assert again.distance == {
        "bits": 0.0,
        "max_abs": 0.0,
        "cosine": pytest.approx(0.0, abs=1e-9),
        "top1": 0.0,
        "topk": 0.0,
    }
    wrong = supervisor.run(replace(golden, options={"behaviour": "wrong"}))
    assert wrong.outcome is Outcome.WRONG_OUTPUT
    assert "of the golden range, allowed 0.05" in wrong.detail
    assert wrong.distance["bits"] == 1.0


def test_golden_outputs_of_another_model_are_not_compared() -> None:
    plain = behave("ok", model="m", record=True)
    other = ask(
        model="n", golden=plain.outputs, golden_digest=plain.facts["model_sha256"], options={"behaviour": "wrong"}
    )
    result = supervisor.run(other)
    assert (result.outcome, result.distance) == (Outcome.OK, {})


def test_simulated_results_say_so() -> None:
    facts = supervisor.run(ask(options={"work": 123})).facts
    assert facts["simulated"] is True
    assert facts["runtime"] == "fake"
    assert facts["options"] == {"work": 123}


# what is asked and answered


@given(REQUESTS)
def test_a_request_survives_json(request: Request) -> None:
    assert Request.from_json(json.loads(json.dumps(request.to_json()))) == request


@given(RESULTS)
def test_a_result_survives_json(result: Result) -> None:
    assert Result.from_json(json.loads(json.dumps(result.to_json()))) == result


GOOD: dict[str, Any] = {"probe": "p", "outcome": "ok"}


@given(st.sampled_from(sorted(Result("p", Outcome.OK).to_json())), PLAIN)
def test_an_answer_is_a_result_with_fields_of_the_right_kind_or_a_type_or_value_error(name: str, value: Any) -> None:
    try:
        result = Result.from_json({**GOOD, name: value})
    except (TypeError, ValueError):
        return
    assert isinstance(result.outcome, Outcome)
    assert isinstance(result.facts, dict)
    assert all(isinstance(each, (int, float)) for each in result.latencies + result.corrected)
    assert sum(isinstance(each, str) for each in (result.probe, result.detail, result.stage)) == 3


@pytest.mark.parametrize(
    "answer", [{}, {"probe": "p"}, {**GOOD, "outcome": "fine"}, {**GOOD, "more": 1}, {"outcome": "ok"}]
)
def test_an_answer_without_the_needed_fields_or_with_others_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        Result.from_json(answer)
