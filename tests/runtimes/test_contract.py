"""What every runtime owes the worker, asked of each engine that is here with a real model of its own format."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

import pytest

from edgemon import survey
from edgemon.probe import supervisor
from edgemon.probe.result import Outcome
from tests.probe import ask
from tests.runtimes.engines import ENGINES, run


def test_every_runtime_is_held_to_the_contract() -> None:
    assert set(ENGINES) == set(survey.engines()) - {"fake", "http", "openinference"}, "those ask a server"


def test_every_phase_is_measured(name: str, tmp_path: Path) -> None:
    result = run(name, ENGINES[name].good(tmp_path / "model"), idle=0.01)
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    assert result.load_seconds
    assert result.first_seconds
    assert len(result.latencies) >= 5
    assert all(seconds > 0 for seconds in result.latencies)
    assert bool(result.idle_seconds) is not ENGINES[name].alone


def test_what_ran_is_told_in_the_same_words_by_all(name: str, tmp_path: Path) -> None:
    model = Path(ENGINES[name].good(tmp_path / "model"))
    facts = run(name, str(model), profile=True).facts
    files = [Path(sys.executable).resolve()] if name == "command" else []
    files += [model, *model.parent.glob("model.bin")]
    assert facts["runtime"] == name
    assert facts["runtime_version"] not in {"", "-"}
    assert facts["model_sha256"] == hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    assert facts["requested"] == ["NPU"] if name == "command" else facts["requested"]
    assert all(isinstance(facts[key], list) for key in ("requested", "registered"))
    for shares in (facts["placement"], facts.get("executed") or {"CPU": 1.0}):
        assert sum(shares.values()) == pytest.approx(1.0)
        assert all(isinstance(device, str) and device for device in shares)
    assert facts["options"].items() >= ENGINES[name].options.items()


def test_fixed_work_alternates_with_the_model_on_its_engine_and_device(name: str, tmp_path: Path) -> None:
    """So that a verdict can tell the accelerator from the model; only what times itself leaves no place for it."""
    result = run(name, ENGINES[name].good(tmp_path / "model"), kernel_share=0.5, seconds=0.3)
    kernels = result.facts.get("kernels", {})
    if ENGINES[name].alone:
        assert not kernels
        return
    assert kernels["compute"] == ENGINES[name].kernel
    assert result.kernels["compute"] > 0
    assert result.facts["roof"] == pytest.approx(256**3 / result.kernels["compute"])


def test_the_same_inputs_give_the_same_bits_in_another_process(name: str, tmp_path: Path) -> None:
    model = ENGINES[name].good(tmp_path / "model")
    first = run(name, model, seeds=[0, 1], record=True)
    assert first.outputs[0]
    again = run(name, model, seeds=[0, 1], golden=first.outputs, golden_digest=first.facts["model_sha256"], record=True)
    assert (again.outcome, again.distance["bits"]) == (Outcome.OK, 0.0)
    assert again.outputs == first.outputs
    assert first.outputs[0] != first.outputs[1]


def test_an_output_unlike_the_golden_one_is_wrong(name: str, tmp_path: Path) -> None:
    model = ENGINES[name].good(tmp_path / "model")
    first = run(name, model, record=True)
    first.outputs[0][0]["values"][1] += 1000.0
    result = run(name, model, golden=first.outputs, golden_digest=first.facts["model_sha256"])
    assert result.outcome is Outcome.WRONG_OUTPUT
    assert "of the golden range" in result.detail


def test_nan_is_wrong_output(name: str, tmp_path: Path) -> None:
    result = run(name, ENGINES[name].nan(tmp_path / "model"))
    assert (result.outcome, result.detail) == (Outcome.WRONG_OUTPUT, "the output holds NaN or infinity")


def test_a_missing_model_is_named(name: str, tmp_path: Path) -> None:
    path = str(tmp_path / "missing")
    result = run(name, path)
    assert (result.outcome, result.stage) == (Outcome.FAILED, "load")
    assert result.detail == f"model {path} cannot be read: no such file or directory"


@pytest.mark.parametrize("content", [b"no model\n" * 99, b"\0" * 5000, b"TFL3" * 500], ids=["text", "zeros", "magic"])
def test_a_file_that_is_no_model_fails_with_its_path(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "wrong"
    path.write_bytes(content)
    result = run(name, str(path))
    assert result.outcome is Outcome.FAILED
    assert str(path) in result.detail
    assert "\n" not in result.detail


def test_an_option_it_does_not_know_is_named_with_those_it_does(name: str, tmp_path: Path) -> None:
    asked = ask(name, model=ENGINES[name].good(tmp_path / "model"), options={"zzz": 1})
    result = supervisor.run(asked)
    assert (result.outcome, result.stage) == (Outcome.FAILED, "load")
    assert result.detail.startswith("options names zzz; known: ")


def test_nothing_is_written_to_the_home_directory(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime and OpenVINO both leave an id there and phone home unless they are kept from it."""
    model, home = ENGINES[name].good(tmp_path / "model"), tmp_path / "home"
    home.mkdir()
    for variable in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(variable, str(home))
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")  # or the worker has a TMPDIR of its own, which is removed
    for variable in ("CI", "ORT_DISABLE_TELEMETRY"):
        monkeypatch.delenv(variable, raising=False)
    assert run(name, model, profile=True).outcome is Outcome.OK
    assert list(home.rglob("*")) == []
