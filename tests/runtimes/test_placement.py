"""Where a model really runs: every way of falling back to the CPU in silence, on real engines, ends in the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edgemon.judge.baseline import Baseline
from edgemon.judge.verdict import State, Verdict, judge
from edgemon.probe import supervisor
from edgemon.probe.result import Outcome, Result
from tests import litert_models, onnx_models
from tests.probe import EMBEDDED, ask

CPU, OPENVINO, CUDA = "CPUExecutionProvider", "OpenVINOExecutionProvider", "CUDAExecutionProvider"


def probe(runtime: str, model: str, python: str = "", **fields: Any) -> Result:
    return supervisor.run(ask(runtime, model=model, profile=True, timeout=60.0, **fields), python)


def verdict(result: Result, before: Mapping[str, float] | None = None) -> Verdict:
    """The verdict without a baseline, or with one of this placement."""
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    known = Baseline("test", "other", {}, (1.0, 1.0, 1.0), before) if before else None
    return judge(result, [], known, {})


def fell(result: Result, text: str, before: Mapping[str, float] | None = None) -> Verdict:
    """The verdict, which must be the fall-back, in these words."""
    said = verdict(result, before)
    assert (said.state, said.cause, said.text) == (State.DEGRADED, "fallback", text)
    assert said.advice
    return said


def on_openvino(python: str, device: str, model: str = EMBEDDED) -> Result:
    """ONNX Runtime with OpenVINO's execution provider for a device."""
    return probe("onnx", model, python, options={"provider_options": {OPENVINO: {"device_type": device}}})


# ONNX Runtime with OpenVINO's provider


@pytest.mark.peer
def test_a_provider_that_takes_the_whole_graph_has_all_of_it_assigned_and_executed(openvino_provider: str) -> None:
    result = on_openvino(openvino_provider, "CPU")
    assert result.facts["registered"] == [OPENVINO, CPU]
    assert result.facts["placement"] == {OPENVINO: 1.0}
    assert result.facts["executed"] == {OPENVINO: 1.0}
    assert verdict(result).cause == "no_baseline"


@pytest.mark.peer
@pytest.mark.parametrize("device", ["NPU", "GPU", "HETERO:GPU,CPU", "AUTO:NPU,CPU"])
def test_a_device_that_is_missing_is_a_fallback_and_the_engines_reason_is_told(
    device: str, openvino_provider: str
) -> None:
    """The session works, on the CPU; the only sign is a line on standard error."""
    result = on_openvino(openvino_provider, device)
    assert result.facts["registered"] == [CPU]
    assert result.facts["executed"] == {CPU: 1.0}
    said = fell(result, f"0% of the graph is on {OPENVINO}")
    assert said.evidence["refused"].startswith(f"{OPENVINO}: ")
    assert "vailable" in said.evidence["refused"]


@pytest.mark.peer
def test_auto_that_registers_and_takes_nothing_is_a_fallback(openvino_provider: str) -> None:
    """The provider is the first of those registered, and every node is on the CPU."""
    result = on_openvino(openvino_provider, "AUTO")
    assert result.facts["registered"] == [OPENVINO, CPU]
    assert result.facts["placement"] == {OPENVINO: 0.0, CPU: 1.0}
    fell(result, f"0% of the graph is on {OPENVINO}")


@pytest.mark.peer
def test_one_unsupported_operator_shows_in_nodes_and_time_and_is_a_fallback_from_a_baseline_without_it(
    openvino_provider: str, tmp_path: Path
) -> None:
    result = on_openvino(openvino_provider, "CPU", onnx_models.partly(tmp_path / "partly.onnx"))
    placement, executed = result.facts["placement"], result.facts["executed"]
    assert placement[CPU] == pytest.approx(1 / 5)
    assert 0 < executed[CPU] < 1
    assert executed[CPU] + executed[OPENVINO] == pytest.approx(1.0)
    assert verdict(result).cause == "no_baseline"
    fell(result, f"80% of the graph is on {OPENVINO}, it was 100%", {OPENVINO: 1.0})


# ONNX Runtime as it is here


def test_a_provider_that_the_build_lacks_is_a_fallback_as_it_is_in_production() -> None:
    result = probe("onnx", EMBEDDED, providers=[CUDA, CPU])
    if not result.facts.get("refused"):
        pytest.skip("this onnxruntime has CUDA")
    assert result.facts["placement"] == {CUDA: 0.0, CPU: 1.0}
    said = fell(result, f"0% of the graph is on {CUDA}")
    assert said.evidence["refused"].startswith(f"{CUDA}: this onnxruntime is built without it; it has: ")


def test_a_misspelt_provider_is_refused_with_the_right_spelling() -> None:
    result = probe("onnx", EMBEDDED, providers=["OpenVinoExecutionProvider"])
    assert (result.outcome, result.stage) == (Outcome.FAILED, "load")
    assert result.detail.startswith(
        f"this onnxruntime has no OpenVinoExecutionProvider (did you mean {OPENVINO}?); it has: "
    )


@pytest.mark.parametrize("policy", ["PREFER_NPU", "PREFER_GPU"])
def test_a_policy_that_prefers_a_device_that_is_missing_is_a_fallback(policy: str) -> None:
    result = probe("onnx", EMBEDDED, options={"policy": policy})
    fell(result, f"0% of the graph is on {policy.removeprefix('PREFER_')}")


def test_a_policy_that_leaves_it_open_is_a_fallback_only_from_an_accelerator_it_once_chose() -> None:
    result = probe("onnx", EMBEDDED, options={"policy": "MAX_EFFICIENCY"})
    assert verdict(result).cause == "no_baseline"
    assert verdict(result, {CPU: 1.0}).cause != "fallback"
    fell(result, "0% of the graph is on an accelerator, it was 100%", {"QNNExecutionProvider": 1.0})


def test_the_time_is_profiled_in_a_session_of_its_own_and_only_when_asked_for() -> None:
    asked = ask("onnx", model=EMBEDDED)
    assert "executed" not in supervisor.run(asked).facts
    result = probe("onnx", EMBEDDED)
    assert (result.stage, result.facts["executed"]) == ("profile", {CPU: 1.0})


# OpenVINO itself


def test_openvino_auto_that_settles_for_the_cpu_is_a_fallback() -> None:
    result = probe("openvino", EMBEDDED, options={"device": "AUTO:NPU,CPU"})
    assert result.facts["requested"] == ["NPU", "CPU"]
    assert (result.facts["placement"], result.facts["executed"]) == ({"CPU": 1.0}, {"CPU": 1.0})
    fell(result, "0% of the graph is on NPU")


def test_openvino_auto_without_a_list_is_a_fallback_only_from_an_accelerator_it_once_chose() -> None:
    result = probe("openvino", EMBEDDED, options={"device": "AUTO"})
    assert result.facts["executed"] == {"CPU": 1.0}
    assert verdict(result).cause == "no_baseline"
    fell(result, "0% of the graph is on an accelerator, it was 100%", {"NPU": 1.0})


@pytest.mark.parametrize(
    "fields", [{"providers": ["NPU"]}, {"options": {"device": "GPU"}}, {"providers": ["X", "CPU"]}]
)
def test_an_openvino_device_that_is_missing_fails_with_those_there_are(fields: dict[str, Any]) -> None:
    result = probe("openvino", EMBEDDED, **fields)
    assert (result.outcome, result.stage) == (Outcome.FAILED, "load")
    assert result.detail.startswith(("device NPU: ", "device GPU: ", "device HETERO:X,CPU: "))
    assert "devices here: CPU" in result.detail
    assert "Exception from src/" not in result.detail.split(":")[1]


def test_openvino_on_the_cpu_is_no_fallback() -> None:
    result = probe("openvino", EMBEDDED, options={"device": "HETERO:CPU"})
    assert result.facts["placement"] == {"CPU": 1.0}
    assert verdict(result).cause == "no_baseline"


# LiteRT


def test_litert_tells_nodes_of_xnnpack_from_those_of_its_own_kernels(tmp_path: Path) -> None:
    model = litert_models.dense(tmp_path / "model.tflite")
    assert probe("litert", model).facts["placement"] == {"XNNPACK": 1.0}
    plain = probe("litert", model, options={"delegate": "none"})
    assert plain.facts["placement"] == {"CPU": 1.0}
    assert verdict(plain).cause == "no_baseline"
    assert verdict(plain, {"XNNPACK": 1.0}).cause != "fallback", "both are the CPU"


def test_a_delegate_that_does_not_load_leaves_all_to_the_cpu_and_says_why(tmp_path: Path) -> None:
    model = litert_models.dense(tmp_path / "model.tflite")
    result = probe("litert", model, options={"delegate": "edgetpu", "device": "usb"})
    if not result.facts.get("refused"):
        pytest.skip("there is an Edge TPU")
    assert result.facts["placement"] == {"EdgeTPU": 0.0, "XNNPACK": 1.0}
    assert result.facts["registered"] == ["XNNPACK"]
    said = fell(result, "0% of the graph is on EdgeTPU")
    assert "libedgetpu.so.1" in said.evidence["refused"]


def test_a_model_compiled_for_the_edge_tpu_fails_without_it_and_names_the_delegate(tmp_path: Path) -> None:
    result = probe("litert", litert_models.custom(tmp_path / "model.tflite"), options={"delegate": "edgetpu"})
    assert (result.outcome, result.stage) == (Outcome.FAILED, "load")
    assert "edgetpu-custom-op" in result.detail
    assert "libedgetpu.so.1: cannot open shared object file" in result.detail
