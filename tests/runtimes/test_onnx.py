"""ONNX Runtime, the real one: good models, bad ones and hostile ones, each in a worker."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgemon.probe import supervisor
from edgemon.probe.result import Outcome, Request, Result
from tests import onnx_models as models
from tests.probe import EMBEDDED, MIB, ROOT, ask, interpreter

CPU = "CPUExecutionProvider"
SIZE = os.path.getsize(EMBEDDED)


def probe(model: str, python: str = "", **fields: Any) -> Result:
    return supervisor.run(ask("onnx", model=model, **fields), python)


def refused(model: str, python: str = "", **fields: Any) -> str:
    """Probe a bad model, which must fail while it is loaded, then a good one, which must not; what was said."""
    result = probe(model, python, **fields)
    assert (result.outcome, result.stage) == (Outcome.FAILED, "load")
    assert result.facts["runtime_version"]
    assert result.latencies == []
    assert probe(EMBEDDED).outcome is Outcome.OK
    return result.detail


# good models


def embedded(**fields: Any) -> Request:
    with open(EMBEDDED.replace(".onnx", ".golden.json"), encoding="utf-8") as file:
        golden = json.load(file)
    made = ask("onnx", model=EMBEDDED, seeds=[0, 1], golden=golden["outputs"], golden_digest=golden["model_sha256"])
    return replace(made, **fields)


def test_the_embedded_model_matches_its_golden_outputs_to_the_bit_for_both_seeds() -> None:
    result = supervisor.run(embedded(record=True))
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    assert result.distance == {
        "bits": 0.0,
        "max_abs": 0.0,
        "cosine": pytest.approx(0, abs=1e-9),
        "top1": 0.0,
        "topk": 0.0,
    }
    assert len(result.outputs) == 2
    assert result.outputs[0] != result.outputs[1]


def test_every_phase_is_measured_and_what_ran_is_recorded() -> None:
    result = supervisor.run(embedded())
    phases = (result.import_seconds, result.load_seconds, result.first_seconds, result.idle_seconds)
    assert all(seconds and seconds > 0 for seconds in phases)
    assert len(result.latencies) >= 5
    assert all(c <= wall for c, wall in zip(result.corrected, result.latencies, strict=True))
    assert result.run_delay is not None
    assert 0 <= result.run_delay <= 1.01
    facts = result.facts
    assert (facts["runtime"], facts["requested"], facts["registered"]) == ("onnx", [CPU], [CPU])
    assert facts["model_sha256"] == embedded().golden_digest
    assert facts["options"] == {"threads": 1}
    assert facts["runtime_version"].count(".") == 2


def test_the_placement_is_the_engines_own_record() -> None:
    facts = supervisor.run(embedded()).facts
    if tuple(map(int, facts["runtime_version"].split(".")[:2])) < (1, 24):
        pytest.skip("this onnxruntime has no record of node assignment")
    assert facts["placement"] == {CPU: 1.0}


def test_nodes_that_fall_back_to_the_cpu_show_although_the_provider_is_registered() -> None:
    result = supervisor.run(embedded(providers=["AzureExecutionProvider"]))
    if result.outcome is Outcome.FAILED:
        pytest.skip(result.detail)
    assert result.facts["registered"][0] == "AzureExecutionProvider"
    assert result.facts["placement"] == {"AzureExecutionProvider": 0.0, CPU: 1.0}


def test_options_reach_the_engine_and_are_recorded() -> None:
    config = {"session.intra_op.allow_spinning": 1}
    result = supervisor.run(embedded(threads=2, options={"config": config}))
    assert result.facts["options"] == {"threads": 2, "config": config}
    other = supervisor.run(embedded(options={"config": {"session.load_model_format": "ORT"}}))
    assert (other.outcome, other.stage) == (Outcome.FAILED, "load"), "the model is not in that format"


def test_shapes_are_given_to_open_inputs_and_recorded(tmp_path: Path) -> None:
    model = models.unary(tmp_path / "open.onnx", shape=["batch", "height", 4])
    result = probe(model, shapes={"x": [2, 3, 4]}, record=True)
    assert result.outcome is Outcome.OK
    assert result.outputs[0][0]["shape"] == [2, 3, 4]
    assert result.facts["inputs"] == "seeded real 2x3x4"


def test_an_open_batch_is_one(tmp_path: Path) -> None:
    result = probe(models.unary(tmp_path / "batch.onnx", shape=["batch", 4]), record=True)
    assert result.outputs[0][0]["shape"] == [1, 4]


@pytest.mark.parametrize("kind", ["FLOAT16", "DOUBLE", "INT8", "UINT8", "INT16", "INT32", "INT64", "BOOL"])
def test_inputs_of_every_common_type_are_made(kind: str, tmp_path: Path) -> None:
    model = models.unary(tmp_path / "typed.onnx", "Identity", kind=models.kind(kind))
    result = probe(model, record=True)
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    assert len(result.outputs[0][0]["values"]) == 4


def test_weights_in_another_file_are_found_beside_the_model(tmp_path: Path) -> None:
    assert probe(models.external(tmp_path / "model.onnx", keep=True)).outcome is Outcome.OK


def test_no_file_appears_in_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime from 1.29 on writes and sends telemetry at import unless told not to; nothing undoes that."""
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")  # or the worker has a TMPDIR of its own, which is removed
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    assert supervisor.run(embedded()).outcome is Outcome.OK
    assert list(tmp_path.rglob("*")) == []


# bad models


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "missing.onnx")
    assert refused(path) == f"model {path} cannot be read: no such file or directory"


def test_a_directory_for_a_model_is_named(tmp_path: Path) -> None:
    assert refused(str(tmp_path)) == f"model {tmp_path} cannot be read: is a directory"


def test_an_unreadable_model_is_named(tmp_path: Path) -> None:
    """As root, the worker is started without the capabilities by which root reads everything."""
    model = tmp_path / "secret.onnx"
    model.write_bytes(Path(EMBEDDED).read_bytes())
    model.chmod(0)
    drop = "import ctypes, os, sys; p = ctypes.CDLL(None).prctl; p(24, 1, 0, 0, 0); p(24, 2, 0, 0, 0)"
    again = "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    python = interpreter(tmp_path / "python", f'exec $PYTHON -c "{drop}; {again}" "$@"')
    assert refused(str(model), python) == f"model {model} cannot be read: permission denied"


def test_an_empty_model_is_named(tmp_path: Path) -> None:
    model = tmp_path / "empty.onnx"
    model.touch()
    assert refused(str(model)) == f"model {model} is empty"


@pytest.mark.parametrize("length", [1, 2, 100, 10_000, SIZE // 2, SIZE - 100, SIZE - 1])
def test_a_truncated_model_is_refused_by_the_engine_with_its_path(length: int, tmp_path: Path) -> None:
    model = tmp_path / "truncated.onnx"
    model.write_bytes(Path(EMBEDDED).read_bytes()[:length])
    assert f"Load model from {model} failed" in refused(str(model))


@pytest.mark.parametrize("content", [b"no model " * 99, b"\0" * 5000, b"{}", b"TFL3" * 500], ids=repr)
def test_a_file_that_is_no_model_is_refused_by_the_engine_with_its_path(content: bytes, tmp_path: Path) -> None:
    model = tmp_path / "other.onnx"
    model.write_bytes(content)
    assert f"Load model from {model} failed" in refused(str(model))


def test_an_open_input_without_shapes_is_told_what_to_write(tmp_path: Path) -> None:
    model = models.unary(tmp_path / "open.onnx", shape=["batch", "height", 4])
    assert refused(model) == (
        "input x has the open shape ['batch', 'height', 4]: give it in the probe's shapes, as in {x: [1, 1, 4]}"
    )


@pytest.mark.parametrize("shape", [[2, 3], [2, 3, 5], [2, -3, 4], [2, 3, 4, 1]], ids=str)
def test_shapes_that_do_not_fit_are_told_what_the_model_declares(shape: list[int], tmp_path: Path) -> None:
    model = models.unary(tmp_path / "open.onnx", shape=["batch", "height", 4])
    said = refused(model, shapes={"x": shape})
    assert said == f"input x has the shape ['batch', 'height', 4], which the probe's shapes {shape} do not fit"


def test_shapes_for_an_input_the_model_does_not_have_are_refused(tmp_path: Path) -> None:
    said = refused(models.unary(tmp_path / "model.onnx"), shapes={"image": [4]})
    assert said == "shapes names image; the model's inputs are x"


def test_an_input_too_large_to_make_is_refused_before_memory_is_touched(tmp_path: Path) -> None:
    said = refused(models.unary(tmp_path / "large.onnx", shape=[1 << 20, 1 << 20]))
    assert said == "input x has 1099511627776 elements, edgemon makes up to 268435456"
    model = models.unary(tmp_path / "open.onnx", shape=["n", "m"])
    assert "out of memory (limit 1024 MiB)" in refused(model, shapes={"x": [1 << 20, 1 << 20]}, memory=1024 * MIB)


def test_an_input_type_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    model = models.length(tmp_path / "text.onnx")
    assert refused(model) == "input x is of type tensor(string), which edgemon cannot make"


def test_an_output_type_that_cannot_be_compared_is_named(tmp_path: Path) -> None:
    said = refused(models.classifier(tmp_path / "labels.onnx", labels=True))
    assert said == "output y is a tensor(string), which edgemon cannot compare"
    said = refused(models.classifier(tmp_path / "maps.onnx", labels=False))
    assert said == "output y is a seq(map(int64,tensor(float))), which edgemon cannot compare"


def test_missing_external_data_is_named_with_its_path(tmp_path: Path) -> None:
    said = refused(models.external(tmp_path / "model.onnx"))
    assert "external data" in said.lower()
    assert "weights.bin" in said


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    assert "Nonsense" in refused(models.unary(tmp_path / "model.onnx", "Nonsense"))


def test_a_provider_that_the_build_lacks_is_named_with_those_it_has() -> None:
    said = refused(EMBEDDED, providers=["NonsenseExecutionProvider", CPU])
    assert said.startswith("this onnxruntime has no NonsenseExecutionProvider; it has: ")
    assert CPU in said.split("it has: ")[1].split(", ")


# models that run, badly


def test_a_loop_that_never_ends_is_a_timeout_in_the_first_inference(tmp_path: Path) -> None:
    result = probe(models.endless(tmp_path / "endless.onnx"), timeout=1.5)
    assert (result.outcome, result.detail) == (Outcome.TIMEOUT, "no answer within 1.5 s, killed in first")
    assert probe(EMBEDDED).outcome is Outcome.OK


def test_a_loop_that_takes_memory_for_ever_meets_the_limit(tmp_path: Path) -> None:
    result = probe(models.hoarding(tmp_path / "hoarding.onnx"), memory=400 * MIB)
    assert (result.outcome, result.stage) == (Outcome.FAILED, "first")
    assert "memory" in result.detail
    assert probe(EMBEDDED).outcome is Outcome.OK


@pytest.mark.parametrize("finite", [0, 5000])
def test_nan_is_wrong_output_also_behind_more_values_than_are_kept(finite: int, tmp_path: Path) -> None:
    result = probe(models.undefined(tmp_path / "undefined.onnx", finite=finite))
    assert (result.outcome, result.detail) == (Outcome.WRONG_OUTPUT, "the output holds NaN or infinity")
    assert result.latencies, "it is measured all the same"


def test_an_output_unlike_the_golden_one_is_wrong_and_says_by_how_much() -> None:
    asked = embedded()
    for tensors in asked.golden:
        tensors[0]["values"][3] += 100.0
        tensors[0]["sha256"] = ""
    result = supervisor.run(asked)
    assert result.outcome is Outcome.WRONG_OUTPUT
    assert "of the golden range, allowed 0.05" in result.detail
    assert result.distance["bits"] == 1.0


def test_an_output_within_tolerance_is_ok_and_its_distance_is_told() -> None:
    asked = embedded()
    for tensors in asked.golden:
        tensors[0]["values"][3] += 0.125
        tensors[0]["sha256"] = ""
    result = supervisor.run(asked)
    assert (result.outcome, result.distance["bits"]) == (Outcome.OK, 1.0)
    assert 0 < result.distance["max_abs"] < 0.05


def test_golden_outputs_of_other_shapes_are_wrong() -> None:
    asked = embedded()
    asked.golden[0][0]["shape"] = [100]
    result = supervisor.run(asked)
    assert (result.outcome, result.detail) == (
        Outcome.WRONG_OUTPUT,
        "outputs have other names or shapes than the golden ones",
    )


# the kernel of fixed work


def test_the_compute_kernel_is_a_product_of_matrices_on_the_same_provider_and_gives_a_roof() -> None:
    result = probe(EMBEDDED, seconds=1.0)
    assert result.facts["kernels"]["compute"] == "CPU 1 x 256 x 256 float32"
    assert result.facts["roof"] == pytest.approx(256**3 / result.kernels["compute"])
    assert result.facts["roof"] > 1e7


def test_a_provider_that_cannot_run_the_kernel_leaves_it_to_the_standard_library(tmp_path: Path) -> None:
    """Here the engine itself refuses the graph; the model is measured all the same."""
    text = f'exec $PYTHON -c "{BROKEN}" "$@"'
    result = probe(EMBEDDED, interpreter(tmp_path / "python", text), seconds=1.0)
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    assert result.facts["kernels"]["compute"] == "host: sha256 of 512 KiB"
    assert "roof" not in result.facts


BROKEN = (
    f"import runpy, sys; sys.path.insert(0, '{ROOT}'); from edgemon.runtimes import onnx; "
    "onnx.matmul = lambda *_: b'no model'; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
)
"""The worker in which the reference graph is no model."""
