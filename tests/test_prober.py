"""From configuration to verdict: real workers, a real archive, the simulated runtime's busy loop."""

from __future__ import annotations

import contextlib
import math
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemon import catalog, config, inference, promises
from edgemon.archive import Archive, alone
from edgemon.energy import Meter
from edgemon.finding import Finding, sentence, verdict_readings
from edgemon.identity import device
from edgemon.judge.baseline import ROUNDS, Baseline, record
from edgemon.judge.diagnosis import Cause, Strength
from edgemon.judge.epoch import ENOUGH
from edgemon.judge.validity import CONTENDED
from edgemon.judge.verdict import State, Verdict
from edgemon.metric import Reading
from edgemon.probe.result import Outcome, Result
from edgemon.prober import Prober
from edgemon.residence import Residence
from edgemon.sysfs import Root
from tests import litert_models
from tests import onnx_models as models
from tests.probe import ROOT, no_descriptors
from tests.running import until

PROBE = config.Probe(
    model="/a/model",
    runtime="fake",
    options={"work": 1000},
    idle=0.0,
    samples=5,
    seconds=0.04,
    effect=0.2,
    scheduling="normal",  # 40 ms are nothing beside the other tests
)
ONNX = replace(PROBE, runtime="onnx", model=config.EMBEDDED, options={})


class Bench:
    """A device with an archive of its own."""

    def __init__(self, directory: Path) -> None:
        self.state = str(directory / "state")
        self.root = Root(str(directory))
        self.archive = Archive(self.state)

    def prober(self, probe: config.Probe) -> Prober:
        return Prober("test", probe, self.archive, self.root, self.state)

    def learn(self, probe: config.Probe, count: int = ENOUGH) -> Baseline:
        """Record a baseline, as `edgemon baseline record` does."""
        prober = self.prober(probe)
        made = record([prober.run(record=True).result for _ in range(count)], device(self.root))
        self.archive.keep(made)
        return made

    def find(self, probe: config.Probe, count: int = ENOUGH) -> Finding:
        """What some rounds of a new prober come to."""
        prober = self.prober(probe)
        return [prober.run() for _ in range(count)][-1]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    it = Bench(tmp_path)
    yield it
    it.archive.close()


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Baseline:
    """Ten rounds of a millisecond an inference."""
    bench = Bench(tmp_path_factory.mktemp("baseline"))
    made = bench.learn(PROBE, ROUNDS)
    bench.archive.close()
    return made


def aged(directory: Path, factor: float) -> str:
    """An interpreter in which the simulated device is so many times slower, although nothing was configured anew."""
    path = directory / "python"
    path.write_text(
        f"#!{sys.executable}\n"
        f"import runpy, sys\nsys.path.insert(0, {ROOT!r})\nfrom edgemon.runtimes.fake import Fake\n"
        "make = Fake.__init__\n"
        "def slower(self, request):\n    make(self, request)\n"
        f"    self._work *= {factor}\n"
        "Fake.__init__ = slower\ndel sys.argv[0]\nrunpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    path.chmod(0o755)
    return str(path)


def test_without_a_baseline_nothing_is_decided_and_the_command_to_record_one_is_told(bench: Bench) -> None:
    finding = bench.find(PROBE, 1)
    assert (finding.verdict.state, finding.verdict.cause) == (State.UNDECIDED, "no_baseline")
    assert "edgemon baseline record test" in finding.verdict.advice
    assert finding.baseline is None


def test_fewer_than_three_rounds_are_too_few(bench: Bench, baseline: Baseline) -> None:
    bench.archive.keep(baseline)
    verdict = bench.find(PROBE, ENOUGH - 1).verdict
    assert (verdict.state, verdict.cause) == (State.UNDECIDED, "too_few_rounds")


def test_the_same_device_is_ok(bench: Bench, baseline: Baseline) -> None:
    bench.archive.keep(baseline)
    finding = bench.find(PROBE)
    assert finding.fingerprint == baseline.fingerprint
    assert (finding.verdict.state, finding.verdict.cause) == (State.OK, "none")
    assert finding.verdict.slowdown == pytest.approx(1.0, abs=0.2)


def test_in_doubt_rounds_come_from_new_processes_although_the_worker_may_stay(
    bench: Bench, baseline: Baseline, tmp_path: Path
) -> None:
    bench.archive.keep(baseline)
    probe = replace(PROBE, python=aged(tmp_path, 3.0), worker="resident", seconds=0.1)
    prober, home = bench.prober(probe), Residence("test", probe, [])
    prober.ask = home.run
    found = [prober.run() for _ in range(6)]
    home.close()
    started, states = [one.result.started for one in found], [one.verdict.state for one in found]
    assert started[1] == started[2], "until there is a verdict the worker stays; the first run profiles, apart"
    assert states[2] is State.UNDECIDED, "three rounds of two processes are two"
    assert len(set(started)) == 5


def test_a_slower_device_is_degraded(bench: Bench, baseline: Baseline, tmp_path: Path) -> None:
    bench.archive.keep(baseline)
    finding = bench.find(replace(PROBE, python=aged(tmp_path, 1.6)), 5)
    assert finding.fingerprint == baseline.fingerprint
    delay = float(finding.verdict.evidence["run delay"].rstrip("%")) / 100
    if delay >= CONTENDED and finding.verdict.state is State.UNDECIDED:
        pytest.skip(f"other tasks took {delay:.0%} of this machine's time")
    assert finding.verdict.state is State.DEGRADED
    assert finding.verdict.cause == "slower" or (finding.verdict.cause == "contention" and delay >= CONTENDED)
    assert finding.verdict.slowdown == pytest.approx(1.6, rel=0.25)
    assert finding.verdict.low
    assert finding.verdict.low > 1.1
    assert "slower than the baseline" in sentence(finding)


def test_a_faster_device_is_improved(bench: Bench, baseline: Baseline, tmp_path: Path) -> None:
    bench.archive.keep(baseline)
    verdict = bench.find(replace(PROBE, python=aged(tmp_path, 0.6)), 5).verdict
    assert (verdict.state, verdict.cause) == (State.IMPROVED, "faster")
    assert verdict.slowdown == pytest.approx(0.6, rel=0.25)


def test_rounds_are_remembered_over_a_restart(bench: Bench, baseline: Baseline) -> None:
    bench.archive.keep(baseline)
    bench.find(PROBE, ENOUGH - 1)
    bench.archive.close()
    bench.archive = Archive(bench.state)
    assert bench.find(PROBE, 1).verdict.state is State.OK


def test_other_options_are_another_fingerprint_of_which_nothing_is_concluded(bench: Bench, baseline: Baseline) -> None:
    bench.archive.keep(baseline)
    finding = bench.find(replace(PROBE, options={"work": 2000}))
    assert finding.fingerprint != baseline.fingerprint
    assert (finding.verdict.state, finding.verdict.cause) == (State.UNDECIDED, "changed")
    assert finding.verdict.text == "the baseline is for another options"
    assert finding.verdict.evidence == {
        "options": '{"scheduling": "normal", "work": 1000} -> {"scheduling": "normal", "work": 2000}'
    }
    assert "edgemon baseline accept test" in finding.verdict.advice


def test_another_model_is_named_as_what_changed(bench: Bench, baseline: Baseline) -> None:
    bench.archive.keep(baseline)
    verdict = bench.find(replace(PROBE, model="/another/model"), 1).verdict
    assert (verdict.cause, list(verdict.evidence)) == ("changed", ["model"])


def test_a_baseline_of_each_fingerprint_is_kept_and_the_right_one_is_found(bench: Bench, baseline: Baseline) -> None:
    bench.archive.keep(baseline)
    other = bench.learn(replace(PROBE, options={"work": 2000}))
    assert bench.find(PROBE, 1).baseline == baseline
    assert bench.find(replace(PROBE, options={"work": 2000}), 1).baseline == other


FAILURES = {
    "wrong": ("wrong_output", "of the golden range"),
    "nan": ("wrong_output", "NaN"),
    "raise": ("failed", "told to raise"),
    "segfault": ("crashed", "SIGSEGV"),
    "spin": ("timeout", "no answer within 0.5 s"),
}


@pytest.mark.parametrize("behaviour", FAILURES)
def test_whatever_goes_wrong_is_failing_with_its_cause_and_advice(
    behaviour: str, bench: Bench, baseline: Baseline
) -> None:
    bench.archive.keep(baseline)
    verdict = bench.find(replace(PROBE, options={"work": 1000, "behaviour": behaviour}, timeout=0.5), 1).verdict
    cause, text = FAILURES[behaviour]
    assert (verdict.state, verdict.cause) == (State.FAILING, cause)
    assert text in verdict.text
    assert verdict.advice


def test_a_failure_is_over_with_the_next_good_run(bench: Bench, baseline: Baseline) -> None:
    bench.archive.keep(baseline)
    bench.find(PROBE)
    assert bench.find(replace(PROBE, options={"work": 1000, "behaviour": "abort"}), 1).verdict.state is State.FAILING
    assert bench.find(PROBE, 1).verdict.state is State.OK


def test_a_cancelled_run_is_no_run(bench: Bench) -> None:
    prober, cancel = bench.prober(PROBE), threading.Event()
    before = prober.run()
    cancel.set()
    finding = prober.run(cancel)
    assert (finding.result.outcome, finding.verdict.cause) == (Outcome.SKIPPED, "skipped")
    assert prober.finding is before
    assert told(prober)["edgemon.probe.skipped"] == {("test", "stopping"): 1}


def test_while_another_edgemon_probes_the_turn_is_skipped(bench: Bench) -> None:
    prober = bench.prober(PROBE)
    with alone(bench.state, "probe") as held:
        assert held
        finding = prober.run()
    assert (finding.result.outcome, finding.result.stage) == (Outcome.SKIPPED, "busy")
    assert told(prober)["edgemon.probe.skipped"] == {("test", "busy"): 1}
    assert prober.run().result.outcome is Outcome.OK


def test_a_probe_that_cannot_even_be_asked_for_is_a_failed_run_and_the_next_one_works(bench: Bench) -> None:
    prober = bench.prober(ONNX)
    with no_descriptors():
        finding = prober.run()
    assert (finding.result.outcome, finding.verdict.cause) == (Outcome.FAILED, "failed")
    assert finding.result.detail.startswith("cannot be asked: ")
    assert finding.result.detail.endswith("mobilenet.golden.json: too many open files")
    assert finding.result.at > 0
    assert prober.run().result.outcome is Outcome.OK
    assert told(prober)["edgemon.probe.runs"][("test", "failed")] == 1


def told(prober: Prober) -> dict[str, dict[tuple[str, ...], float]]:
    """A prober's readings by metric and labels."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for reading in prober.readings():
        if not isinstance(reading, Reading):
            found.setdefault(reading.metric.name, {})[reading.labels] = reading.value.count
            continue
        series = found.setdefault(reading.metric.name, {})
        assert reading.labels not in series
        if reading.value is not None:
            series[reading.labels] = reading.value
    return found


def test_readings_tell_the_last_run_and_count_all_of_them(bench: Bench, baseline: Baseline) -> None:
    bench.archive.keep(baseline)
    prober = bench.prober(replace(PROBE, seconds=0.5))  # time for kernels on a machine that is busy
    for _ in range(ENOUGH):
        prober.run()
    found = told(prober)
    assert found["edgemon.probe.runs"][("test", "ok")] == ENOUGH
    assert sum(found["edgemon.probe.runs"].values()) == ENOUGH
    assert found["edgemon.probe.inference.duration"][("test",)] >= ENOUGH * PROBE.samples
    assert set(found["edgemon.probe.kernel.duration"]) == {("test", "compute"), ("test", "memory")}
    assert sum(found["edgemon.probe.validity"].values()) == 1
    assert [labels for labels, value in found["edgemon.probe.verdict"].items() if value] == [("test", "ok")]
    assert {labels[1] for labels in found["edgemon.probe.duration"]} == {
        "import", "load", "first", "idle_start", "steady",
    }  # fmt: skip


def test_before_the_first_run_there_is_no_outcome_and_no_verdict(bench: Bench) -> None:
    assert set(told(bench.prober(PROBE))) == {"edgemon.probe.runs", "edgemon.probe.cpu.time", "edgemon.probe.wall.time"}


# with the real engine


def test_the_embedded_model_is_ok_against_its_own_baseline_and_its_golden_outputs(bench: Bench) -> None:
    probe = replace(ONNX, effect=2.0)
    made = bench.learn(probe)
    assert made.placement in ({}, {"CPUExecutionProvider": 1.0})
    finding = bench.find(probe)
    assert (finding.verdict.state, finding.verdict.cause) == (State.OK, "none")
    assert finding.result.distance["bits"] == 0.0


def test_a_graph_that_falls_back_to_the_cpu_is_degraded_without_any_baseline(bench: Bench) -> None:
    finding = bench.find(replace(ONNX, providers=("AzureExecutionProvider",)), 1)
    if finding.result.outcome is Outcome.FAILED or not finding.result.facts["placement"]:
        pytest.skip(finding.result.detail or "this onnxruntime has no record of node assignment")
    assert (finding.verdict.state, finding.verdict.cause) == (State.DEGRADED, "fallback")
    assert finding.verdict.text == "0% of the graph is on AzureExecutionProvider"


def test_where_the_time_goes_is_profiled_once_and_told_of_every_run_of_the_same_fingerprint(bench: Bench) -> None:
    prober = bench.prober(ONNX)
    first, second = prober.run(), prober.run()
    assert (first.result.stage, second.result.stage) == ("profile", "idle_start")
    assert second.result.facts["executed"] == first.result.facts["executed"] == {"CPUExecutionProvider": 1.0}
    assert told(prober)["edgemon.probe.placement"] == {
        ("test", "assigned", "CPUExecutionProvider"): 1.0,
        ("test", "executed", "CPUExecutionProvider"): 1.0,
    }
    facts = {key: value for key, value in second.result.facts.items() if key != "executed"}
    moved = replace(second.result, facts={**facts, "placement": {"NPU": 1.0}})
    assert "executed" not in prober.judge(moved).result.facts, "it was told of another placement"


def test_other_inputs_are_a_change_and_their_outputs_are_not_compared(bench: Bench, tmp_path: Path) -> None:
    for name, fill in {"one": 1.0, "two": 2.0}.items():
        np.save(tmp_path / f"{name}.npy", np.full((4,), fill, "float32"))
    model = models.unary(tmp_path / "model.onnx")
    probe = replace(ONNX, model=model, inputs=({"x": str(tmp_path / "one.npy")},))
    bench.learn(probe)
    assert bench.find(probe, 1).result.distance["bits"] == 0.0
    finding = bench.find(replace(probe, inputs=({"x": str(tmp_path / "two.npy")},)), 1)
    assert (finding.verdict.cause, list(finding.verdict.evidence)) == ("changed", ["inputs"])
    assert finding.result.distance == {}
    seeded = bench.find(replace(probe, inputs=()), 1)
    assert (seeded.verdict.cause, list(seeded.verdict.evidence)) == ("changed", ["inputs"])


def test_the_int8_variant_of_a_model_is_held_against_the_outputs_of_the_float_one(bench: Bench, tmp_path: Path) -> None:
    real, int8 = litert_models.variants(tmp_path / "real.tflite", tmp_path / "int8.tflite")
    probe = replace(ONNX, runtime="litert", model=int8, compare_with="real")
    assert bench.find(probe, 1).result.reference == {}, "there is no baseline of the other yet"
    other = Prober("real", replace(ONNX, runtime="litert", model=real), bench.archive, bench.root, bench.state)
    bench.archive.keep(record([other.run(record=True).result for _ in range(ENOUGH)], device(bench.root)))
    prober = bench.prober(probe)
    reference = prober.run().result.reference
    assert 0 < reference["max_abs"] < 0.05, "quantised to 8 bits"
    assert 0 < reference["cosine"] < 0.01
    assert told(prober)["edgemon.probe.reference.distance"][("test", "real", "max_abs")] == reference["max_abs"]
    np.save(tmp_path / "x.npy", np.zeros((1, 16), "float32"))
    finding = bench.find(replace(probe, inputs=({"x": str(tmp_path / "x.npy")},)), 1)
    assert finding.result.reference == {}, "the other was fed something else"


def test_an_accelerator_that_is_anothers_is_a_run_skipped_for_that_reason(bench: Bench) -> None:
    prober = bench.prober(PROBE)
    prober._note(prober.judge(Result("test", Outcome.SKIPPED, "the Hailo device is in use", "device_busy")))
    assert told(prober)["edgemon.probe.skipped"] == {("test", "device_busy"): 1}
    assert told(prober)["edgemon.probe.runs"][("test", "failed")] == 0


@pytest.mark.parametrize("shape", [(8, 4), (1, 8)])
def test_other_shapes_are_a_change_not_a_wrong_output(shape: tuple[int, ...], bench: Bench, tmp_path: Path) -> None:
    model = models.unary(tmp_path / "open.onnx", shape=["batch", "size"])
    probe = replace(ONNX, model=model, shapes={"x": (1, 4)})
    bench.learn(probe)
    finding = bench.find(replace(probe, shapes={"x": shape}), 1)
    assert (finding.verdict.state, finding.verdict.cause) == (State.UNDECIDED, "changed")
    assert list(finding.verdict.evidence) == ["inputs"]
    again: Any = bench.find(probe, 1)
    assert again.result.distance["bits"] == 0.0


def test_a_model_that_changed_is_named_not_compared_with_the_old_outputs(bench: Bench, tmp_path: Path) -> None:
    model = models.unary(tmp_path / "model.onnx")
    probe = replace(ONNX, model=model)
    bench.learn(probe)
    models.unary(tmp_path / "model.onnx", "Abs")
    finding = bench.find(probe, 1)
    assert (finding.verdict.cause, list(finding.verdict.evidence)) == ("changed", ["model"])


def test_the_share_that_misses_the_deadline_and_the_baseline_s_start_are_told(bench: Bench) -> None:
    learnt = bench.learn(PROBE)
    assert {"import", "load", "first"} <= set(learnt.phases)
    for deadline, missed in ((1e-9, 1.0), (600.0, 0.0), (0.0, None)):
        prober = bench.prober(replace(PROBE, deadline=deadline))
        prober.run()
        told = {(one.metric, *one.labels[1:]): one.value for one in prober.readings()}
        assert told.get((promises.DEADLINE,)) == (deadline or None)
        assert told.get((promises.DEADLINE_MISSED,)) == missed
        assert told[promises.BASELINE_PHASE, "load"] == learnt.phases["load"]


def test_the_bounds_of_a_slowdown_and_the_rank_of_causes_are_told() -> None:
    causes = [Cause(name, Strength.LIKELY, "", (), (), "") for name in ("steal", "unexplained")]
    for low, high, bounds in ((1.2, 1.4, {"low": 1.2, "high": 1.4}), (0.0, math.inf, {}), (None, None, {})):
        verdict = Verdict(State.DEGRADED, "slower", "", 1.3, low, high)
        finding = Finding(Result("a", Outcome.OK), {}, "", verdict, None, causes=tuple(causes))
        told = list(verdict_readings(finding, "a"))
        found = {one.labels[2]: one.value for one in told if one.metric is promises.SLOWDOWN_BOUND}
        assert found == bounds
        ranks = {one.labels[1:]: one.value for one in told if one.metric is promises.CAUSE_RANK}
        assert ranks == {("steal", "likely"): 1, ("unexplained", "likely"): 2}


@contextlib.contextmanager
def powered(watts: float) -> Iterator[Meter]:
    """A meter that is told of one rail with a steady power, fifty times a second."""
    meter, over = Meter(), threading.Event()

    def work() -> None:
        while not over.wait(0.02):
            meter.add([catalog.POWER(watts, "VDD_IN", "VDD_IN", "")], time.clock_gettime(time.CLOCK_BOOTTIME), 1.0)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        until(meter.measures)
        yield meter
    finally:
        over.set()
        thread.join()


def test_an_inference_has_its_energy_where_power_is_metered(bench: Bench) -> None:
    """A device of seven watts, whatever it does: all of them are an inference's gross, and nothing is above idle."""
    probe = replace(PROBE, idle=0.3)
    with powered(7.0) as meter:
        prober = Prober("test", probe, bench.archive, Root(), bench.state, meter)
        result = prober.run().result
    assert result.metered > 100
    begin, end = result.windows["energy"]
    found = result.facts["joules"]
    assert found["gross"] == pytest.approx(7 * (end - begin) / result.metered, rel=0.01)
    assert found["idle"] == pytest.approx(7, rel=0.01)
    assert abs(found["net"]) <= found["error"] + 1e-6
    told = {(one.metric, one.labels[1]): one.value for one in prober.readings() if len(one.labels) == 2}
    assert (inference.PROBE_OPERATIONS_PER_JOULE, "gross") not in told, "the simulated model has no operations"
    kinds = {one.labels[1] for one in prober.readings() if one.metric is inference.PROBE_ENERGY}
    assert kinds == {"gross"}
    assert prober.run().result.metered == 0, "not every run takes the time for it"


def test_without_a_meter_or_in_a_replay_no_energy_is_claimed(bench: Bench) -> None:
    assert bench.prober(PROBE).run().result.metered == 0
    with powered(7.0) as meter:
        assert Prober("test", PROBE, bench.archive, bench.root, bench.state, meter).run().result.metered == 0
