"""The models that are probed, made with fixed seeds."""

from __future__ import annotations

import importlib
import os

import numpy as np
import onnx
from onnx import helper, numpy_helper

WIDTH, SIZE, LAYERS = 64, 56, 4
Layers = list[tuple[str, list[int], dict[str, list[int]]]]
"""Operator, shape of its weight, attributes."""


def write(directory: str) -> dict[str, str]:
    """Path by name: a convolution net in fp32 and a tiny multilayer perceptron."""
    return {
        "convolutions, fp32": _save(
            directory, "convolutions", _convolutions(), [1, WIDTH, SIZE, SIZE], [1, WIDTH, SIZE, SIZE]
        ),
        "tiny MLP, fp32": _save(directory, "mlp", _mlp(), [1, 32], [1, 8]),
    }


def litert(directory: str) -> str:
    """Four dense layers in LiteRT's format, as the tests write it; only where the engine's package is."""
    made = importlib.import_module("tests.litert_models")
    width, layers, random = 512, 4, np.random.RandomState(1)
    tensors = [made.Tensor("x", [1, width])]
    ops: list[tuple[str, list[int], list[int]]] = []
    for number in range(layers):
        weight = random.standard_normal((width, width)).astype(np.float32) / np.float32(np.sqrt(width))
        tensors += [made.Tensor(f"w{number}", [width, width], weight), made.Tensor(f"y{number}", [1, width])]
        ops.append(("FULLY_CONNECTED", [max(0, 2 * number), 2 * number + 1, -1], [2 * number + 2]))
    return str(made.write(os.path.join(directory, "dense.tflite"), tensors, ops, [0], [2 * layers]))


def _convolutions() -> Layers:
    return [("Conv", [WIDTH, WIDTH, 3, 3], {"pads": [1, 1, 1, 1]})] * LAYERS


def _mlp() -> Layers:
    return [("MatMul", [32, 64], {}), ("MatMul", [64, 64], {}), ("MatMul", [64, 8], {})]


def _save(directory: str, name: str, layers: Layers, shape: list[int], gives: list[int]) -> str:
    """A chain of layers with a Relu behind each."""
    random = np.random.RandomState(1)
    nodes, weights, last = [], [], "input"
    for number, (kind, size, attributes) in enumerate(layers):
        values = random.standard_normal(size).astype(np.float32) / np.float32(np.sqrt(np.prod(size[1:])))
        weights.append(numpy_helper.from_array(values, f"weight{number}"))
        nodes.append(helper.make_node(kind, [last, f"weight{number}"], [f"sum{number}"], **attributes))
        last = f"output{number}"
        nodes.append(helper.make_node("Relu", [f"sum{number}"], [last]))
    declared = helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, shape)
    output = helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, gives)
    graph = helper.make_graph(nodes, name, [declared], [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path = os.path.join(directory, f"{name}.onnx")
    onnx.save(model, path)
    return path
