"""Hailo without its hardware: a stand-in for hailo_platform proves only how its answers are taken, not the device's.

Names and messages are those of hailo_platform 4.18 to 5.2 (pyhailort.py, InferModel).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemon.probe import supervisor
from edgemon.probe.result import Outcome, Result
from tests.probe import ask

STAND_IN = """
import numpy
__version__ = "4.20.0"

class HailoRTException(Exception): pass
class FormatType: FLOAT32 = "FormatType.FLOAT32"
class HailoSchedulingAlgorithm: ROUND_ROBIN = 1
class Format: type = "FormatType.UINT8"

class Device:
    @staticmethod
    def scan(): return DEVICES

class Stream:
    format = Format()
    def __init__(self, name, shape): self.name, self.shape = name, shape
    def set_format_type(self, kind): assert kind == FormatType.FLOAT32

class Configured:
    priority = None
    def set_scheduler_priority(self, priority): assert priority == 0
    def create_bindings(self, inputs, outputs): return inputs, outputs
    def run(self, bindings, timeout):
        inputs, outputs = bindings[0]
        assert timeout > 0 and inputs["image"].dtype == "uint8"
        outputs["scores"][:] = inputs["image"].reshape(-1)[:4]

class Model:
    inputs, outputs = [Stream("image", [8, 8, 3])], [Stream("scores", [4])]
    def configure(self): return Configured()

class VDevice:
    @staticmethod
    def create_params(): return type("Params", (), {})()
    def __init__(self, params):
        assert params.scheduling_algorithm == HailoSchedulingAlgorithm.ROUND_ROBIN
        assert (params.group_id, params.multi_process_service) == ("SHARED", False)
        if ERROR: raise HailoRTException(ERROR)
    def create_infer_model(self, path): return Model()
"""


@pytest.fixture
def hef(tmp_path: Path) -> str:
    path = tmp_path / "model.hef"
    path.write_bytes(b"\x01HEF")
    return str(path)


def probe(hef: str, monkeypatch: pytest.MonkeyPatch, error: str = "", devices: str = "['0000:01:00.0']") -> Result:
    package = Path(hef).with_name("hailo_platform.py")
    package.write_text(f"ERROR, DEVICES = {error!r}, {devices}\n{STAND_IN}")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    options = {"multi_process_service": False}
    return supervisor.run(ask("hailo", model=hef, seeds=[0, 1], options=options, record=True))


def test_inputs_are_the_hefs_bytes_and_outputs_are_floats(hef: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = probe(hef, monkeypatch)
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    assert result.facts["placement"] == {"Hailo": 1.0}
    assert result.facts["runtime_version"] == "4.20.0"
    assert result.outputs[0][0]["dtype"] == "float32"
    assert result.outputs[0][0]["values"] != result.outputs[1][0]["values"]


@pytest.mark.parametrize("status", ["73 (HAILO_DEVICE_IN_USE)", "74 (HAILO_OUT_OF_PHYSICAL_DEVICES)"])
def test_a_device_that_production_has_for_itself_is_a_run_skipped(
    status: str, hef: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = probe(hef, monkeypatch, f"libhailort failed with error: {status}")
    assert (result.outcome, result.stage) == (Outcome.SKIPPED, "device_busy")
    assert result.detail.startswith("the Hailo device is in use by another process; run hailort_service")


def test_another_error_of_the_library_is_a_failure_in_its_words(hef: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = probe(hef, monkeypatch, "libhailort failed with error: 76 (HAILO_INVALID_DRIVER_VERSION)")
    assert (result.outcome, result.stage) == (Outcome.FAILED, "load")
    assert "HAILO_INVALID_DRIVER_VERSION" in result.detail


def test_no_device_at_all_is_a_failure_not_a_busy_device(hef: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = probe(hef, monkeypatch, "libhailort failed with error: 74 (HAILO_OUT_OF_PHYSICAL_DEVICES)", "[]")
    assert (result.outcome, result.detail) == (Outcome.FAILED, "no Hailo device; see: hailortcli scan")
