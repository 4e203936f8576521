"""Engines: which import, in which Python, and whether they can use what is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgemon import config
from edgemon.doctor import Severity, engines
from edgemon.inventory import Accelerator
from edgemon.sysfs import Root
from tests.doctor import examined, made, said

GPU = Accelerator("gpu", "0000:01:00.0", "RTX", "NVIDIA", "10de:2504", "550", "", "ok", "")
HAILO = GPU._replace(type="npu", vendor="Hailo")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python that has nothing."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return str(folder / "bin" / "python")


def test_a_real_engine_tells_its_version_its_providers_and_its_devices() -> None:
    import onnxruntime  # noqa: PLC0415

    patient = examined(Root(), probes={"default": config.Probe()})
    (found,) = [one for one in engines.GROUP.examine(patient) if one.what.startswith("onnx ")]
    assert found.severity is Severity.OK
    assert f"onnx {onnxruntime.__version__}: providers " in found.what
    assert "CPUExecutionProvider" in found.what
    if hasattr(onnxruntime, "get_ep_devices"):
        assert "devices CPUExecutionProvider: CPU" in found.what


def test_a_probe_whose_python_lacks_the_engine_is_a_problem(bare: str) -> None:
    patient = examined(Root(), probes={"detector": config.Probe(python=bare)})
    (found,) = [one for one in engines.GROUP.examine(patient) if one.severity is Severity.PROBLEM]
    assert f"probe detector needs onnx in {bare}" in found.what
    assert "No module named" in found.evidence


def test_an_engine_that_is_missing_and_not_wanted_is_no_fault(bare: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", bare)
    found = said(engines.GROUP, examined(Root()))
    assert [severity for severity, what in found if "onnx" in what] == ["ok"]


def test_an_engine_that_is_there_but_broken_is_a_warning(
    bare: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A package of that name whose native part is missing, as on the wrong processor."""
    (tmp_path / "numpy.py").write_text("")
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libcudart.so.12: cannot open shared object file')")
    monkeypatch.setattr(sys, "executable", bare)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (found,) = [one for one in engines.GROUP.examine(examined(Root())) if "onnx" in one.what and one.severity != "ok"]
    assert found.severity is Severity.WARNING
    assert "libcudart.so.12" in found.evidence


def test_an_accelerator_that_no_engine_can_use_is_a_warning_with_what_to_install() -> None:
    (gpu, hailo) = engines.unused([GPU, HAILO], {"onnx"}, {"CPUExecutionProvider"})
    assert "NVIDIA GPU 0000:01:00.0" in gpu.what
    assert "onnxruntime-gpu" in gpu.remedy
    assert "HailoRT" in hailo.remedy
    assert not list(engines.unused([GPU, HAILO], {"onnx", "hailo"}, {"CUDAExecutionProvider"}))


def test_a_capture_says_nothing_of_engines() -> None:
    assert said(engines.GROUP, made("== /proc/uptime\n1 1\n")) == []
