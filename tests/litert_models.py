"""Small LiteRT models, good and bad, written with the schema that the engine's package carries."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

OPTIONS = {
    "FULLY_CONNECTED": ("FullyConnectedOptions", schema.FullyConnectedOptionsT),
    "SUB": ("SubOptions", schema.SubOptionsT),
    "DIV": ("DivOptions", schema.DivOptionsT),
    "ADD": ("AddOptions", schema.AddOptionsT),
}
Op = tuple[str, list[int], list[int]]
"""Operator (a builtin's name, or any other for a custom one), the places of its inputs and of its outputs."""


class Tensor:
    """Name, shape, type and, for a constant, the data; `scale` and `zero` make it quantised."""

    def __init__(
        self,
        name: str,
        shape: Sequence[int],
        data: Any = None,
        kind: str = "FLOAT32",
        scale: float = 0.0,
        zero: int = 0,
    ) -> None:
        self.name, self.shape, self.kind, self.scale, self.zero = name, list(shape), kind, scale, zero
        self.data = None if data is None else np.frombuffer(np.ascontiguousarray(data).tobytes(), "uint8")

    def packed(self, buffer: int) -> Any:
        made = schema.TensorT()
        made.name, made.buffer, made.type = self.name, buffer, getattr(schema.TensorType, self.kind)
        made.shape = [1 if size < 0 else size for size in self.shape]
        if min(self.shape) < 0:
            made.shapeSignature = self.shape
        if self.scale:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [self.scale], [self.zero]
        return made


def write(
    path: os.PathLike[str], tensors: Sequence[Tensor], ops: Sequence[Op], inputs: list[int], outputs: list[int]
) -> str:
    """A model file of one graph; its path."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    names = sorted({op[0] for op in ops})
    model.version, model.description, model.operatorCodes = 3, "edgemon test", [code(name) for name in names]
    model.buffers = [schema.BufferT()]
    for tensor in tensors:
        model.buffers.append(schema.BufferT())
        model.buffers[-1].data = tensor.data
    graph.name, graph.inputs, graph.outputs = "main", inputs, outputs
    graph.tensors = [tensor.packed(place) for place, tensor in enumerate(tensors, 1)]
    graph.operators = [operator(names.index(name), name, used, made) for name, used, made in ops]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    with open(path, "wb") as file:
        file.write(builder.Output())
    return os.fspath(path)


def code(name: str) -> Any:
    made = schema.OperatorCodeT()
    known = getattr(schema.BuiltinOperator, name, None)
    made.builtinCode = schema.BuiltinOperator.CUSTOM if known is None else known
    made.deprecatedBuiltinCode, made.version = min(made.builtinCode, 127), 1
    if known is None:
        made.customCode = name
    return made


def operator(place: int, name: str, inputs: list[int], outputs: list[int]) -> Any:
    made = schema.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = place, inputs, outputs
    if name in OPTIONS:
        label, kind = OPTIONS[name]
        made.builtinOptionsType, made.builtinOptions = getattr(schema.BuiltinOptions, label), kind()
    return made


def dense(path: os.PathLike[str], size: int = 64, batch: int = 1) -> str:
    """Two operators, y = ceil(w x + b), in float32; a batch of -1 is open."""
    weight = np.random.RandomState(0).random_sample((size, size)).astype("float32")
    tensors = [
        Tensor("x", [batch, size]),
        Tensor("w", [size, size], weight),
        Tensor("b", [size], np.zeros(size, "float32")),
        Tensor("h", [batch, size]),
        Tensor("y", [batch, size]),
    ]
    return write(path, tensors, [("FULLY_CONNECTED", [0, 1, 2], [3]), ("CEIL", [3], [4])], [0], [4])


def variants(float_path: os.PathLike[str], int8_path: os.PathLike[str], size: int = 16) -> tuple[str, str]:
    """y = w x of one w, once in float32 and once in int8 with real inputs in [0, 1)."""
    weight = np.random.RandomState(1).randint(-127, 128, (size, size)).astype("int8")
    step, span = 1 / 127, size / 4
    real = [Tensor("x", [1, size]), Tensor("w", [size, size], weight.astype("float32") * step), Tensor("y", [1, size])]
    quantised = [
        Tensor("x", [1, size], kind="INT8", scale=1 / 255, zero=-128),
        Tensor("w", [size, size], weight, kind="INT8", scale=step),
        Tensor("y", [1, size], kind="INT8", scale=2 * span / 255),
    ]
    op: list[Op] = [("FULLY_CONNECTED", [0, 1, -1], [2])]
    return write(float_path, real, op, [0], [2]), write(int8_path, quantised, op, [0], [2])


def undefined(path: os.PathLike[str], size: int = 4) -> str:
    """y = (x - x) / (x - x), which is NaN."""
    tensors = [Tensor("x", [size]), Tensor("zero", [size]), Tensor("y", [size])]
    return write(path, tensors, [("SUB", [0, 0], [1]), ("DIV", [1, 1], [2])], [0], [2])


def custom(path: os.PathLike[str], name: str = "edgetpu-custom-op") -> str:
    """One operator that only a delegate can run, as the Edge TPU's compiler leaves it."""
    return write(path, [Tensor("x", [4]), Tensor("y", [4])], [(name, [0], [1])], [0], [1])


def two_outputs(path: os.PathLike[str], size: int) -> str:
    """y = x + x, z = ceil(x): as large as asked for."""
    tensors = [Tensor("x", [1, size]), Tensor("y", [1, size]), Tensor("z", [1, size])]
    return write(path, tensors, [("ADD", [0, 0], [1]), ("CEIL", [0], [2])], [0], [1, 2])
