"""The worker in every Python that is here, and ONNX Runtime as old devices have it."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from edgemon.probe import supervisor
from edgemon.probe.result import Outcome
from tests import servers
from tests.peers import venv
from tests.probe import EMBEDDED, ask

HOME = Path(supervisor.__file__).parents[1]
PYTHONS = sorted(Path("~/.pyenv/versions").expanduser().glob("*/bin/python"))
OLD_ENGINE = "onnxruntime==1.19.2"
"""The last release for Python 3.8, as on Ubuntu 20.04 and JetPack 5."""


def version(python: Path) -> tuple[int, ...]:
    program = "import sys; print('%d %d' % sys.version_info[:2])"
    return tuple(map(int, subprocess.run([python, "-c", program], capture_output=True, check=True).stdout.split()))


@pytest.mark.parametrize(
    "python", PYTHONS or [pytest.param("", marks=pytest.mark.skip("no ~/.pyenv/versions"))], ids=str
)
def test_the_worker_runs_in_every_python_from_3_8_on_and_older_ones_are_named(python: Path) -> None:
    found = version(python)
    result = supervisor.run(ask(options={"work": 100}), str(python))
    if found >= (3, 8):
        assert (result.outcome, result.detail) == (Outcome.OK, "")
        assert len(result.latencies) >= 5
        assert set(result.windows) == {"import", "load", "first", "warmup", "steady", "idle_start"}
    else:
        assert (result.outcome, result.stage) == (Outcome.CRASHED, "start")
        old = f"needs Python 3.8 or later, this is {found[0]}.{found[1]}"
        assert (old if found >= (3, 6) else "SyntaxError") in result.detail


@pytest.mark.parametrize(
    "python", PYTHONS or [pytest.param("", marks=pytest.mark.skip("no ~/.pyenv/versions"))], ids=str
)
def test_every_runtime_and_what_it_imports_compiles_in_every_python_from_3_8_on(python: Path) -> None:
    if version(python) < (3, 8):
        pytest.skip("too old")
    files = [HOME / "protobuf.py", *HOME.glob("runtimes/*.py"), *HOME.glob("probe/[!s]*.py")]
    program = "import sys; [compile(open(path).read(), path, 'exec') for path in sys.argv[1:]]"
    done = subprocess.run([python, "-c", program, *files], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_python_without_the_engine_is_named() -> None:
    without = [python for python in PYTHONS if version(python) >= (3, 8) and not has_engine(python)]
    if not without:
        pytest.skip("no Python from 3.8 on without onnxruntime in ~/.pyenv/versions")
    result = supervisor.run(ask("onnx", model=EMBEDDED), str(without[0]))
    assert (result.outcome, result.stage) == (Outcome.FAILED, "import")
    assert result.detail.startswith("ModuleNotFoundError: No module named ")


def has_engine(python: Path) -> bool:
    program = "import importlib.util as u, sys; sys.exit(not (u.find_spec('onnxruntime') and u.find_spec('numpy')))"
    return subprocess.run([python, "-c", program], check=False).returncode == 0


def old_python() -> str:
    """A Python 3.8."""
    found = [str(python) for python in PYTHONS if version(python) == (3, 8)]
    python = found[0] if found else shutil.which("python3.8")
    return python or pytest.skip("there is no Python 3.8 here")


@pytest.fixture(scope="session")
def old_engine() -> str:
    """A Python 3.8 with ONNX Runtime 1.19.2."""
    return venv("onnxruntime-1.19", old_python(), OLD_ENGINE, "numpy==1.24.4")


@pytest.mark.peer
def test_onnxruntime_1_19_on_python_3_8_matches_the_golden_outputs_and_has_no_placement(old_engine: str) -> None:
    """That engine does not record which provider a node ran on; registered providers are not put in its place."""
    golden = json.loads(Path(EMBEDDED.replace(".onnx", ".golden.json")).read_text())
    asked = ask("onnx", model=EMBEDDED, seeds=[0, 1], golden=golden["outputs"], golden_digest=golden["model_sha256"])
    result = supervisor.run(asked, old_engine)
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    assert result.facts["runtime_version"] == "1.19.2"
    assert result.facts["placement"] == {}
    assert result.facts["registered"] == ["CPUExecutionProvider"]
    assert result.distance["bits"] == 0.0
    assert len(result.latencies) >= 5
    assert result.facts["kernels"]["compute"] == "CPU 1 x 256 x 256 float32"
    assert all(corrected <= wall for corrected, wall in zip(result.corrected, result.latencies, strict=True))


@pytest.mark.parametrize("python", [one for one in PYTHONS if version(one) >= (3, 8)], ids=str)
def test_endpoints_are_probed_and_hostile_ones_named_by_every_python_from_3_8_on(python: Path) -> None:
    chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff\r\nabc"
    with servers.serving(servers.good()) as server:
        result = supervisor.run(replace(servers.ask(server), faults=True), str(python))
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    with servers.serving(servers.good(ready=lambda asked: iter([chunk]))) as server:
        result = supervisor.run(servers.ask(server), str(python))
    assert (result.outcome, result.stage) == (Outcome.FAILED, "ready")
    assert result.detail.endswith("the connection ended in the middle of the answer")


@pytest.mark.peer
def test_openvino_2023_3_on_python_3_8_runs_and_tells_what_executes() -> None:
    python = venv("openvino-2023", old_python(), "openvino==2023.3.0", "numpy==1.24.4")
    result = supervisor.run(ask("openvino", model=EMBEDDED, options={"device": "AUTO:NPU,CPU"}), python)
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    assert result.facts["runtime_version"].startswith("2023.3")
    assert (result.facts["requested"], result.facts["executed"]) == (["NPU", "CPU"], {"CPU": 1.0})
    assert result.facts["kernels"]["compute"] == "CPU 1 x 256 x 256 float32"
