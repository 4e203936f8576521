"""Shapes against what ONNX itself says: the outputs of its operator tests, and its own shape inference."""

from __future__ import annotations

import glob
import os
import warnings
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.backend.test.case.node import collect_testcases

from edgemon.anatomy.values import Value
from edgemon.models import make
from tests.anatomy import LIGHT, model, walk

EMBEDDED = os.path.join(os.path.dirname(make.__file__), "mobilenet.onnx")


def known(case: Any) -> Any:
    """The case's model with its small inputs as constants, as shapes and axes are in real models, and no declared
    outputs to copy from."""
    made = onnx.ModelProto.FromString(case.model.SerializeToString())
    for one, array in zip(made.graph.input, case.data_sets[0][0], strict=False):
        if isinstance(array, np.ndarray) and array.size <= 64 and array.dtype.kind in "iufb" and array.itemsize <= 8:
            made.graph.initializer.append(onnx.numpy_helper.from_array(array, one.name))
    for one in made.graph.output:
        if one.type.HasField("tensor_type"):
            one.type.tensor_type.ClearField("shape")
    return made


def test_every_shape_and_small_value_agrees_with_the_outputs_of_onnx_s_operator_tests() -> None:
    """What is told of an operator's output is what the operator gives; some 1500 outputs of 200 operators are told."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cases divide by zero on purpose
        cases = collect_testcases(None)
    agreed, operators, wrong = 0, set(), []
    for case in cases:
        feeds = dict(zip([one.name for one in case.model.graph.input], case.data_sets[0][0], strict=False))
        shapes = {name: array.shape for name, array in feeds.items() if isinstance(array, np.ndarray)}
        for value, output in zip(walk(known(case), shapes), case.data_sets[0][1], strict=False):
            if not isinstance(output, np.ndarray) or value.shape is None or None in value.shape:
                continue
            if not same(value, output):
                wrong.append((case.name, value, output.shape))
            agreed += 1
            operators |= {node.op_type for node in case.model.graph.node}
    assert not wrong
    assert agreed >= 1300
    assert len(operators) >= 120


def same(value: Value, output: Any) -> bool:
    if value.shape != output.shape:
        return False
    integers = value.data is not None and output.dtype.kind in "iub" and None not in value.data
    return not integers or list(value.data or ()) == output.ravel().tolist()


@pytest.mark.parametrize("path", [EMBEDDED, *sorted(glob.glob(f"{LIGHT}/*.onnx"))], ids=os.path.basename)
def test_every_value_of_real_architectures_has_the_shape_that_onnx_infers(path: str) -> None:
    inferred = onnx.shape_inference.infer_shapes(onnx.load(path), data_prop=True)
    declared = {one.name: one for one in [*inferred.graph.value_info, *inferred.graph.output]}
    bare = onnx.load(path)
    del bare.graph.output[:], bare.graph.value_info[:]
    names = [name for node in bare.graph.node for name in node.output if name in declared]
    bare.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    for name, value in zip(names, walk(bare), strict=True):
        shape = declared[name].type.tensor_type.shape
        assert value.shape == tuple(one.dim_value for one in shape.dim), name
    assert len(names) >= 20


@pytest.mark.parametrize("size", [(1, 4, 8, 8), (2, 4, 16, 24), (5, 4, 1, 1)])
def test_a_shape_that_the_graph_computes_is_followed_to_the_reshape(size: tuple[int, int, int, int]) -> None:
    """What PyTorch exports for x.reshape(batch, -1) and for an upsampling by scale of a size computed."""
    made = model("""
        g (float[n, 4, h, w] x) => (float[a, b] flat, float[c, d, e, f] large) <
            int64 zero = {0}, int64[1] first = {0}, int64[1] rest = {-1}, int64[1] two = {2}, int64[1] four = {4},
            float[1] factor = {2.0}, float[0] roi = {}, float[0] none = {}> {
            shape = Shape(x)
            batch = Gather(shape, zero)
            row = Unsqueeze(batch, first)
            target = Concat <axis = 0> (row, rest)
            flat = Reshape(x, target)
            lead = Slice(shape, first, two, first)
            tail = Slice(shape, two, four, first)
            real = Cast <to = 1> (tail)
            scaled = Mul(real, factor)
            floor = Floor(scaled)
            whole = Cast <to = 7> (floor)
            wanted = Concat <axis = 0> (lead, whole)
            large = Resize(x, roi, none, wanted)
        }""")
    batch, channels, height, width = size
    flat, large = walk(made, {"x": size})
    assert flat.shape == (batch, channels * height * width)
    assert large.shape == (batch, channels, 2 * height, 2 * width)


def test_an_open_size_stays_open_and_is_never_guessed() -> None:
    made = model("""
        g (float[1, 4, h, w] x, float[4, 4, 3, 3] k) => (float[1, 4, a, b] y, float[c, d] z) <int64[2] to = {1, -1}> {
            y = Conv <pads = [1, 1, 1, 1]> (x, k)
            z = Reshape(y, to)
        }""")
    y, z = walk(made)
    assert y.shape == (1, 4, None, None)
    assert z.shape == (1, None)
