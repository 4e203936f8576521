"""The engines that are held to the contract, each with real models of its own format, and whether they are here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from edgemon import survey
from edgemon.probe import supervisor
from edgemon.probe.result import Outcome, Result
from tests import litert_models, onnx_models
from tests.probe import EMBEDDED, ask

PROGRAM = """import json, sys, time
print("warming up")
print(json.dumps({"load": 0.25, "version": "7", "requested": ["NPU"], "placement": {"NPU": 0.75, "CPU": 0.25}}))
print(json.dumps({"output": {"name": "y", "shape": [2], "values": [1.0, VALUE]}}), flush=True)
while True:
    began = time.perf_counter()
    time.sleep(0.001)
    print(time.perf_counter() - began, flush=True)
"""


@dataclass(frozen=True)
class Engine:
    """How models for a runtime are made: a good one, one that gives NaN; `alone` times its inferences itself.

    `kernel` is its own reference kernel.
    """

    good: Callable[[Path], str]
    nan: Callable[[Path], str]
    options: dict[str, Any] = field(default_factory=dict)
    alone: bool = False
    kernel: str = "CPU 1 x 256 x 256 float32"


def ir(make: Callable[[Path], str], path: Path) -> str:
    """The model as OpenVINO's own format has it: a description and, beside it, the weights."""
    openvino = pytest.importorskip("openvino")
    made = make(path.with_suffix(".onnx"))
    openvino.save_model(openvino.Core().read_model(made), path.with_suffix(".xml"))
    return str(path.with_suffix(".xml"))


def program(value: str, path: Path) -> str:
    """A script that sleeps for a millisecond, says so, and never ends."""
    path.write_text(PROGRAM.replace("VALUE", value))
    return str(path)


def embedded(path: Path) -> str:
    """A copy of the embedded network."""
    path.write_bytes(Path(EMBEDDED).read_bytes())
    return str(path)


ENGINES = {
    "onnx": Engine(embedded, onnx_models.undefined),
    "litert": Engine(litert_models.dense, litert_models.undefined),
    "openvino": Engine(partial(ir, embedded), partial(ir, onnx_models.undefined)),
    "command": Engine(
        partial(program, "2.0"), partial(program, "float('nan')"), {"command": [sys.executable, "{model}"]}, alone=True
    ),
    "hailo": Engine(embedded, embedded),
}


@cache
def why_not(name: str) -> str:
    """Why an engine is not here, or an empty string."""
    found = survey.engine(name)
    return "" if found.outcome is Outcome.OK else found.detail


def run(name: str, model: str, python: str = "", **fields: Any) -> Result:
    """Probe a model with an engine."""
    fields = {"timeout": 30.0, **fields}
    return supervisor.run(ask(name, model=model, options=ENGINES[name].options, **fields), python)
