"""Engines beside those of the development environment, each in a Python of its own."""

from __future__ import annotations

import sys

import pytest

from tests.peers import venv


@pytest.fixture(scope="session")
def openvino_provider() -> str:
    """A Python whose ONNX Runtime has OpenVINO's execution provider, which cannot live beside the plain build."""
    return venv("onnxruntime-openvino", sys.executable, "onnxruntime-openvino==1.24.1", "numpy", "flatbuffers")
