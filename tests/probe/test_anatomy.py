"""What a model is made of, through a real worker: told once for each model, and never at the cost of a probe."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper

from edgemon import anatomy, config
from edgemon.archive import Archive
from edgemon.probe import supervisor
from edgemon.probe.result import Outcome
from edgemon.prober import Prober
from edgemon.sysfs import Root
from tests import onnx_models as models
from tests.probe import EMBEDDED, ask
from tests.runtimes.test_old_pythons import PYTHONS, version


def test_the_worker_tells_what_the_model_is_made_of() -> None:
    result = supervisor.run(ask("onnx", model=EMBEDDED))
    assert result.facts["anatomy"] == anatomy.count(EMBEDDED, {})
    assert result.facts["anatomy"]["macs"] == 10488640


def test_a_model_that_is_known_is_not_counted_again() -> None:
    first = supervisor.run(ask("onnx", model=EMBEDDED))
    again = supervisor.run(ask("onnx", model=EMBEDDED, counted=first.facts["model_sha256"]))
    assert again.outcome is Outcome.OK
    assert "anatomy" not in again.facts


def test_what_has_no_model_file_has_no_anatomy_and_loading_alone_does_not_count() -> None:
    assert "anatomy" not in supervisor.run(ask()).facts
    assert "anatomy" not in supervisor.run(ask("onnx", model=EMBEDDED, until="load")).facts


def test_the_shapes_of_the_probe_are_those_that_are_counted(tmp_path: Path) -> None:
    """A product over rows of which the model leaves the number, and the probe gives it."""
    path = product(tmp_path / "m.onnx")
    result = supervisor.run(ask("onnx", model=path, shapes={"x": [5, 7, 8]}))
    assert (result.facts["anatomy"]["macs"], result.facts["anatomy"]["coverage"]) == (5 * 7 * 8 * 4, 1.0)


def product(path: Path) -> str:
    """y = x w, with x of n times m rows of 8."""
    weight = numpy_helper.from_array(np.ones((8, 4), "float32"), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    return models.write(path, nodes, [models.value("x", ["n", "m", 8])], [models.value("y", ["n", "m", 4])], [weight])


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(str(tmp_path / "state"))


def test_the_prober_asks_once_and_remembers_until_the_model_changes(archive: Archive, tmp_path: Path) -> None:
    """The second run's finding carries the first one's count; another file in its place is counted anew."""
    path = tmp_path / "model.onnx"
    shutil.copy(EMBEDDED, path)
    probe = config.Probe(model=str(path), samples=3, seconds=0.1, idle=0.0)
    prober = Prober("p", probe, archive, Root(), str(tmp_path / "state"))
    first = prober.run().result
    assert prober.run().result.facts["anatomy"] == first.facts["anatomy"]
    assert {one.value for one in prober.readings() if one.metric.name == "edgemon.probe.macs"} == {10488640}
    weight = numpy_helper.from_array(np.ones((4, 4), "float32"), "w")
    parts = [helper.make_node("MatMul", ["x", "w"], ["y"])], [models.value("x", [2, 4])], [models.value("y", [2, 4])]
    models.write(path, *parts, [weight])
    other = prober.run().result
    assert other.facts["model_sha256"] != first.facts["model_sha256"]
    assert other.facts["anatomy"]["macs"] == 32
    archive.close()


@pytest.mark.parametrize(
    "python", PYTHONS or [pytest.param("", marks=pytest.mark.skip("no ~/.pyenv/versions"))], ids=str
)
def test_every_python_from_3_8_on_counts_alike(python: Path) -> None:
    if version(python) < (3, 8):
        pytest.skip("older than the worker")
    program = (
        "import sys, types, json; p = types.ModuleType('edgemon'); p.__path__ = [sys.argv[1]]\n"
        "sys.modules['edgemon'] = p\n"
        "from edgemon import anatomy; print(json.dumps(anatomy.count(sys.argv[2], {})))"
    )
    command = [str(python), "-c", program, str(Path(anatomy.__file__).parents[1]), EMBEDDED]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert told == anatomy.count(EMBEDDED, {})


def test_the_daemon_s_side_never_loads_the_counter() -> None:
    program = "import edgemon.prober, edgemon.daemon, sys; print('edgemon.anatomy' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
