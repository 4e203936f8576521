"""LiteRT, the real one, with an external delegate of our own that computes nothing; and as older devices have it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgemon.judge.placement import fallback
from edgemon.probe import supervisor
from edgemon.probe.result import Outcome, Result
from tests import litert_models
from tests.peers import venv
from tests.probe import ROOT, ask
from tests.runtimes.test_old_pythons import PYTHONS, version

FULLY_CONNECTED, CEIL, SIN = 9, 104, 66


@pytest.fixture(scope="module")
def delegate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The compiled delegate."""
    if not (compiler := shutil.which("gcc")):
        pytest.skip("needs gcc")
    made = str(tmp_path_factory.mktemp("delegate") / "libclaim.so")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", made, Path(__file__).with_name("delegate.c")], check=True)
    return made


@pytest.fixture
def model(tmp_path: Path) -> str:
    """FULLY_CONNECTED, then CEIL."""
    return litert_models.dense(tmp_path / "model.tflite")


def load(model: str, **options: Any) -> Result:
    """Load only: what the delegate leaves in the outputs is anybody's guess."""
    return supervisor.run(ask("litert", model=model, options=options, until="load"))


@pytest.mark.parametrize("claim", [FULLY_CONNECTED, CEIL])
def test_nodes_of_an_external_delegate_are_told_from_xnnpacks(claim: int, delegate: str, model: str) -> None:
    result = load(model, delegate=delegate, delegate_options={"claim": claim})
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    assert result.facts["requested"] == ["libclaim.so"]
    assert result.facts["placement"] == {"libclaim.so": 0.5, "XNNPACK": 0.5}
    assert fallback(result.facts, {}) is None
    assert fallback(result.facts, {"libclaim.so": 1.0})


def test_a_delegate_that_loads_and_takes_nothing_is_a_fallback(delegate: str, model: str) -> None:
    """The engine says nothing of it: the delegate is there, and every node is on the CPU."""
    result = load(model, delegate=delegate, delegate_options={"claim": SIN})
    assert result.facts["registered"] == ["libclaim.so", "XNNPACK"]
    assert result.facts["placement"] == {"libclaim.so": 0.0, "XNNPACK": 1.0}
    fell = fallback(result.facts, {})
    assert fell
    assert fell[0] == "0% of the graph is on libclaim.so"


@pytest.mark.parametrize(
    ("claim", "label"), [(FULLY_CONNECTED, "libclaim.so 4 x 1024 x 1024 float32"), (SIN, "host: sha256 of 512 KiB")]
)
def test_fixed_work_runs_on_the_delegate_or_is_the_hosts_and_says_so(
    claim: int, label: str, delegate: str, model: str
) -> None:
    """A kernel that the delegate does not take would say of the accelerator what the CPU does."""
    options = {"delegate": delegate, "delegate_options": {"claim": claim}}
    assert supervisor.run(ask("litert", model=model, options=options)).facts["kernels"]["compute"] == label


def test_a_delegate_that_refuses_is_told_in_its_own_words(delegate: str, model: str) -> None:
    result = load(model, delegate=delegate, delegate_options={"fail": "no such device"})
    assert result.facts["refused"]["libclaim.so"].endswith("no such device")
    assert result.facts["registered"] == ["XNNPACK"]
    assert fallback(result.facts, {})


def test_an_operator_that_only_a_delegate_knows_is_that_delegates(delegate: str, tmp_path: Path) -> None:
    """32 is CUSTOM, as which the Edge TPU's compiler leaves its part of a graph."""
    model = litert_models.custom(tmp_path / "model.tflite")
    result = load(model, delegate=delegate, delegate_options={"claim": 32})
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    assert result.facts["placement"] == {"libclaim.so": 1.0}


def test_an_open_batch_is_one_and_shapes_are_given_to_it(tmp_path: Path) -> None:
    model = litert_models.dense(tmp_path / "model.tflite", batch=-1)
    assert supervisor.run(ask("litert", model=model, record=True)).outputs[0][0]["shape"] == [1, 64]
    result = supervisor.run(ask("litert", model=model, shapes={"x": [3, 64]}, record=True))
    assert result.outputs[0][0]["shape"] == [3, 64]
    assert result.facts["inputs"] == "seeded real 3x64"


@pytest.mark.peer
def test_tflite_runtime_is_taken_where_there_is_no_newer_engine(model: str) -> None:
    """The last release, on Python 3.9, as Coral's own packages pin it."""
    found = [str(python) for python in PYTHONS if version(python) == (3, 9)]
    if not found:
        pytest.skip("there is no Python 3.9 here")
    python = venv("tflite-runtime", found[0], "tflite-runtime==2.14.0", "numpy==1.26.4")
    result = supervisor.run(ask("litert", model=model), python)
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    assert result.facts["runtime_version"] == "tflite-runtime 2.14.0"
    assert result.facts["kernels"]["compute"] == "CPU 1 x 256 x 256 float32"
    assert result.facts["placement"] == {"XNNPACK": 1.0}


@pytest.mark.parametrize(
    ("files", "true"), [(["__init__.py"], False), (["utils/__init__.py", "utils/edgetpu.py"], True)]
)
def test_the_pycoral_of_pypi_is_not_taken_for_corals(files: list[str], true: bool, tmp_path: Path) -> None:
    """That one is an atlas of coral reefs; Coral's has pycoral.utils.edgetpu."""
    for name in ["__init__.py", *files]:
        path = tmp_path / "pycoral" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    code = "from edgemon.runtimes.litert import coral; print(coral())"
    where = os.pathsep.join([str(tmp_path), ROOT])
    said = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": where}, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == str(true)
