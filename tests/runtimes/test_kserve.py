"""KServe's model server (its Python package, in a venv of its own) with the embedded model, probed over HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgemon.probe import supervisor
from edgemon.probe.result import Outcome
from tests.probe import EMBEDDED, ROOT
from tests.running import stop, until
from tests.servers import Server, ask

PACKAGES = ("kserve==0.21.0", "onnxruntime>=1.17")
PLACE = Path(sys.prefix) / "peers" / PACKAGES[0]
MODEL = "/v2/models/mobilenet"
pytestmark = pytest.mark.peer


@pytest.fixture(scope="session")
def python() -> str:
    """A Python with KServe, installed once for this venv; without it a skip, or a failure where peers must be."""
    found = PLACE / "bin" / "python"
    if not (PLACE / "installed").exists():
        try:
            venv.create(PLACE, with_pip=True, clear=True)
            pip = ["-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check", *PACKAGES]
            subprocess.run([found, *pip], check=True, capture_output=True, text=True, timeout=300)
            (PLACE / "installed").touch()
        except (OSError, subprocess.SubprocessError) as error:
            said = str(getattr(error, "stderr", "") or error).strip().splitlines()
            reason = f"{PACKAGES[0]} cannot be had: {said[-1] if said else error}"
            if os.environ.get("EDGEMON_REQUIRE_PEERS") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
    return str(found)


@pytest.fixture(scope="module")
def kserve(python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    log = tmp_path_factory.mktemp("kserve") / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [python, f"{ROOT}/tests/kserve_server.py", EMBEDDED, str(port)],
            env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"},
            stdout=file,
            stderr=file,
        )
    try:
        until(lambda: process.poll() is not None or live(port), 90)
        assert process.poll() is None, log.read_text()
        yield Server(port)
    finally:
        stop(process)


def live(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.mark.parametrize("encoding", ["json", "binary"])
def test_the_served_model_gives_the_golden_outputs_of_the_local_one(kserve: Server, encoding: str) -> None:
    """Two roads to the same bits: ONNX Runtime in the worker, which recorded them, and ONNX Runtime behind KServe."""
    golden = json.loads(Path(EMBEDDED.replace(".onnx", ".golden.json")).read_text())["outputs"]
    asked = replace(ask(kserve, MODEL, endpoint={"tensors": encoding, "timeout": "20s"}), seeds=[0, 1])
    digest = supervisor.run(replace(asked, until="load")).facts["model_sha256"]
    result = supervisor.run(replace(asked, golden=golden, golden_digest=digest))
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    assert result.distance["bits"] == 0.0
    assert result.facts["runtime_version"] == "kserve 0.21.0"
    assert len(result.latencies) >= 3


def test_kserve_refuses_faulty_requests_and_stays_ready(kserve: Server) -> None:
    asked = ask(kserve, MODEL, endpoint={"timeout": "20s"})
    result = supervisor.run(replace(asked, faults=True))
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    assert result.facts["faults"] == {"tensor": 400, "datatype": 400, "shape": 400, "size": 400, "json": 422}


def test_a_model_that_is_not_there_is_named_by_kserve(kserve: Server) -> None:
    result = supervisor.run(ask(kserve, "/v2/models/other", endpoint={"timeout": "20s"}))
    assert (result.outcome, result.stage) == (Outcome.FAILED, "model_ready")
    assert result.detail == "the model is not ready: 404 Not Found: Model with name other does not exist."
