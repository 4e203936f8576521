"""KServe's model server (its Python package, in a venv of its own) with the embedded model, probed over HTTP."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edgemon.probe import supervisor
from edgemon.probe.result import Outcome
from tests.probe import EMBEDDED
from tests.runtimes.conftest import KServe
from tests.servers import Server, ask

MODEL = "/v2/models/mobilenet"
pytestmark = pytest.mark.peer


@pytest.mark.parametrize("encoding", ["json", "binary"])
def test_the_served_model_gives_the_golden_outputs_of_the_local_one(kserve: KServe, encoding: str) -> None:
    """Two roads to the same bits: ONNX Runtime in the worker, which recorded them, and ONNX Runtime behind KServe."""
    golden = json.loads(Path(EMBEDDED.replace(".onnx", ".golden.json")).read_text())["outputs"]
    asked = replace(ask(Server(kserve.http), MODEL, endpoint={"tensors": encoding, "timeout": "20s"}), seeds=[0, 1])
    digest = supervisor.run(replace(asked, until="load")).facts["model_sha256"]
    result = supervisor.run(replace(asked, golden=golden, golden_digest=digest))
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    assert result.distance["bits"] == 0.0
    assert result.facts["runtime_version"] == "kserve 0.21.0"
    assert len(result.latencies) >= 3


def test_kserve_refuses_faulty_requests_and_stays_ready(kserve: KServe) -> None:
    asked = ask(Server(kserve.http), MODEL, endpoint={"timeout": "20s"})
    result = supervisor.run(replace(asked, faults=True))
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    assert result.facts["faults"] == {"tensor": 400, "datatype": 400, "shape": 400, "size": 400, "json": 422}


def test_a_model_that_is_not_there_is_named_by_kserve(kserve: KServe) -> None:
    result = supervisor.run(ask(Server(kserve.http), "/v2/models/other", endpoint={"timeout": "20s"}))
    assert (result.outcome, result.stage) == (Outcome.FAILED, "model_ready")
    assert result.detail == "the model is not ready: 404 Not Found: Model with name other does not exist."
