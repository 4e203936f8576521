"""Engines beside those of the development environment, each in a Python of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.peers import venv
from tests.probe import EMBEDDED, ROOT
from tests.running import stop, until
from tests.runtimes.engines import ENGINES, why_not

KSERVE = ("kserve==0.21.0", "onnxruntime>=1.17")


@dataclass(frozen=True)
class KServe:
    """The ports it listens on."""

    http: int
    grpc: int


@pytest.fixture(scope="session")
def openvino_provider() -> str:
    """A Python whose ONNX Runtime has OpenVINO's execution provider, which cannot live beside the plain build."""
    return venv("onnxruntime-openvino", sys.executable, "onnxruntime-openvino==1.24.1", "numpy", "flatbuffers")


@pytest.fixture(scope="session")
def kserve_python() -> str:
    """A Python with KServe, installed once for this venv; without it a skip, or a failure where peers must be."""
    return venv(KSERVE[0], sys.executable, *KSERVE, dependencies=True)


@pytest.fixture(scope="session")
def kserve(kserve_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KServe]:
    """KServe's model server with the embedded model, started once."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = KServe(*(int(free.getsockname()[1]) for free in (one, other)))
    log = tmp_path_factory.mktemp("kserve") / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [kserve_python, f"{ROOT}/tests/kserve_server.py", EMBEDDED, str(ports.http), str(ports.grpc)],
            env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"},
            stdout=file,
            stderr=file,
        )
    try:
        until(lambda: process.poll() is not None or live(ports), 90)
        assert process.poll() is None, log.read_text()
        yield ports
    finally:
        stop(process)


def live(ports: KServe) -> bool:
    """Whether it is ready over HTTP and listens for gRPC."""
    try:
        socket.create_connection(("127.0.0.1", ports.grpc), 5).close()
        with urllib.request.urlopen(f"http://127.0.0.1:{ports.http}/v2/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(params=ENGINES)
def name(request: pytest.FixtureRequest) -> str:
    """Each runtime whose engine is here."""
    if reason := why_not(request.param):
        pytest.skip(reason)
    return str(request.param)
