"""Engines beside those of the development environment, each in a Python of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import venv as environments
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers import venv
from tests.probe import EMBEDDED, ROOT
from tests.running import stop, until
from tests.runtimes.engines import ENGINES, why_not

KSERVE = ("kserve==0.21.0", "onnxruntime>=1.17")
PLACE = Path(sys.prefix) / "peers" / KSERVE[0]


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
    found = PLACE / "bin" / "python"
    if not (PLACE / "installed").exists():
        try:
            environments.create(PLACE, with_pip=True, clear=True)
            pip = ["-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check", *KSERVE]
            subprocess.run([found, *pip], check=True, capture_output=True, text=True, timeout=300)
            (PLACE / "installed").touch()
        except (OSError, subprocess.SubprocessError) as error:
            said = str(getattr(error, "stderr", "") or error).strip().splitlines()
            reason = f"{KSERVE[0]} cannot be had: {said[-1] if said else error}"
            if os.environ.get("EDGEMON_REQUIRE_PEERS") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
    return str(found)


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
