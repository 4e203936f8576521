"""Small ONNX models, good and bad, written with the onnx package."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

FLOAT, INT64, BOOL, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL, TensorProto.STRING
Shape = Sequence[int | str | None] | None


def kind(name: str) -> int:
    """The number of an element type by its name in ONNX."""
    return int(TensorProto.DataType.Value(name))


def value(name: str, shape: Shape = (4,), kind: int = FLOAT) -> Any:
    """The declaration of an input or output."""
    return helper.make_tensor_value_info(name, kind, shape)


def write(path: os.PathLike[str], nodes: Sequence[Any], inputs: Any, outputs: Any, constants: Any = ()) -> str:
    """A model file from its parts; its path."""
    graph = helper.make_graph(list(nodes), "test", list(inputs), list(outputs), list(constants))
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 2)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=7), os.fspath(path))
    return os.fspath(path)


def unary(path: os.PathLike[str], operator: str = "Neg", shape: Shape = (4,), kind: int = FLOAT) -> str:
    """y = operator(x)."""
    nodes = [helper.make_node(operator, ["x"], ["y"])]
    return write(path, nodes, [value("x", shape, kind)], [value("y", shape, kind)])


def undefined(path: os.PathLike[str], size: int = 4, finite: int = 0) -> str:
    """y = 0 / 0, computed at run time; its first `finite` values are ones instead."""
    zero = helper.make_node("Sub", ["x", "x"], ["zero"])
    divided = helper.make_node("Div", ["zero", "zero"], ["rest"])
    joined = helper.make_node("Concat", ["ones", "rest"], ["y"], axis=0)
    ones = numpy_helper.from_array(np.ones(finite, "float32"), "ones")
    return write(path, [zero, divided, joined], [value("x", [size])], [value("y", [finite + size])], [ones])


def endless(path: os.PathLike[str]) -> str:
    """A Loop whose condition stays true: adds for ever."""
    body = helper.make_graph(
        [helper.make_node("Add", ["sum", "sum"], ["more"]), helper.make_node("Identity", ["on"], ["still"])],
        "body",
        [value("step", [], INT64), value("on", [], BOOL), value("sum")],
        [value("still", [], BOOL), value("more")],
    )
    return write(path, [helper.make_node("Loop", ["", "yes", "x"], ["y"], body=body)], [value("x")], [value("y")], _YES)


def hoarding(path: os.PathLike[str]) -> str:
    """A Loop whose condition stays true: concatenates 8 MiB more each time."""
    body = helper.make_graph(
        [
            helper.make_node("Concat", ["kept", "x"], ["more"], axis=0),
            helper.make_node("Identity", ["on"], ["still"]),
        ],
        "body",
        [value("step", [], INT64), value("on", [], BOOL), value("kept", [None])],
        [value("still", [], BOOL), value("more", [None])],
    )
    node = helper.make_node("Loop", ["", "yes", "x"], ["y"], body=body)
    return write(path, [node], [value("x", [2 << 20])], [value("y", [None])], _YES)


def classifier(path: os.PathLike[str], labels: bool) -> str:
    """A classifier as scikit-learn exports it: one output is a sequence of maps, or a tensor of strings."""
    if labels:
        node = helper.make_node(
            "LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", keys_floats=[0.0], values_strings=["a"]
        )
        return write(path, [node], [value("x")], [value("y", [4], STRING)])
    node = helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2, 3])
    maps = helper.make_sequence_type_proto(helper.make_map_type_proto(INT64, helper.make_tensor_type_proto(FLOAT, [])))
    return write(path, [node], [value("x", [1, 4])], [helper.make_value_info("y", maps)])


def length(path: os.PathLike[str]) -> str:
    """Takes a tensor of strings, gives their number."""
    node = helper.make_node("Size", ["x"], ["y"])
    return write(path, [node], [value("x", kind=STRING)], [value("y", [], INT64)])


def external(path: os.PathLike[str], data: str = "weights.bin", keep: bool = False) -> str:
    """y = x + w with w in another file beside the model, which is removed unless kept."""
    weight = numpy_helper.from_array(np.arange(1024, dtype="float32"), "w")
    node = helper.make_node("Add", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "test", [value("x", [1024])], [value("y", [1024])], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    save(model, os.fspath(path), save_as_external_data=True, location=data, size_threshold=0)
    if not keep:
        os.remove(os.path.join(os.path.dirname(os.fspath(path)), data))
    return os.fspath(path)


_YES = [numpy_helper.from_array(np.array(True), "yes")]


def partly(path: os.PathLike[str]) -> str:
    """Five operators in a row, the third of which only the CPU has (Binarizer, of the ONNX-ML domain)."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Binarizer", ["b"], ["c"], domain="ai.onnx.ml", threshold=0.5),
        helper.make_node("MatMul", ["c", "w"], ["d"]),
        helper.make_node("Relu", ["d"], ["y"]),
    ]
    weight = numpy_helper.from_array(np.random.RandomState(0).random_sample((256, 256)).astype("float32"), "w")
    return write(path, nodes, [value("x", [1, 256])], [value("y", [1, 256])], [weight])
