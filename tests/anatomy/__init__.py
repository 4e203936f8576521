"""What the anatomy tests share: models made in memory, walked and counted."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import onnx
import onnx.backend.test
from onnx import parser

from edgemon.anatomy import onnx as counter
from edgemon.anatomy.budget import Budget
from edgemon.anatomy.graph import Parser
from edgemon.anatomy.values import Value

LIGHT = os.path.join(os.path.dirname(onnx.backend.test.__file__), "data", "light")
"""Nine architectures that the onnx package carries, their weights made by the graph."""


def model(text: str, opset: int = 17) -> Any:
    """A model from ONNX's own textual form; weights are declared as initialisers without elements worth telling."""
    return parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}, "com.microsoft" : 1]>\n{text}')


def count(made: Any, shapes: Mapping[str, Sequence[int]] | None = None) -> dict[str, Any]:
    """What is counted of a model."""
    return counter.count(memoryview(made.SerializeToString()), shapes or {}).result()


def walk(made: Any, shapes: Mapping[str, Sequence[int]] | None = None) -> list[Value]:
    """What is known of a model's outputs."""
    budget = Budget()
    it = counter.Walk(Parser(budget).model(memoryview(made.SerializeToString())), budget)
    told = it.model.graph.inputs.items()
    return it.graph(it.model.graph, {name: counter._input(name, *one, shapes or {}) for name, one in told})
