"""MACs and parameters of ONNX models: by hand, by onnx-tool, and of what cannot be counted."""

from __future__ import annotations

import glob
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_tool
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgemon import anatomy
from edgemon.models import make
from tests.anatomy import LIGHT, count, model

EMBEDDED = os.path.join(os.path.dirname(make.__file__), "mobilenet.onnx")
MODELS = sorted(glob.glob(os.path.join(LIGHT, "*.onnx")))


def test_the_embedded_network_is_counted_exactly() -> None:
    """Layer by layer from the script that made it: outputs, inputs of a group, kernel and stride; INT8 throughout."""
    size, macs, weights, biases = make.SHAPE[2], 0, 0, 0
    for outputs, inputs, kernel, stride in make.shapes():
        size = 1 if outputs == make.CLASSES else math.ceil(size / stride)
        macs += outputs * size * size * inputs * kernel * kernel
        weights += outputs * inputs * kernel * kernel
        biases += outputs
    told = anatomy.count(EMBEDDED, {})
    assert (told["macs"], told["parameters"]) == (macs, weights + biases) == (10488640, 208628)
    assert told["parameter_bytes"] == {"int8": weights, "int32": 4 * biases}
    assert (told["coverage"], told["nodes"], told["uncounted"]) == (1.0, len(make.shapes()), {})
    assert told["precision"] == {"int8": 1.0}


def test_vgg_19_is_counted_exactly() -> None:
    """By hand: sixteen 3 x 3 convolutions on 224, 112, 56, 28 and 14, and three dense layers."""
    widths = [(224, [64, 64]), (112, [128] * 2), (56, [256] * 4), (28, [512] * 4), (14, [512] * 4)]
    macs, inputs = 0, 3
    for size, layers in widths:
        for outputs in layers:
            macs += size * size * outputs * inputs * 9
            inputs = outputs
    macs += 7 * 7 * 512 * 4096 + 4096 * 4096 + 4096 * 1000
    assert anatomy.count(os.path.join(LIGHT, "light_vgg19.onnx"), {})["macs"] == macs == 19632062464


@pytest.mark.parametrize("path", MODELS, ids=os.path.basename)
def test_real_architectures_agree_with_onnx_tool_which_adds_the_biases(path: str) -> None:
    """onnx-tool counts one MAC for each bias added; without these both say the same to the last MAC."""
    graph = onnx_tool.Model(path, {"verbose": False}).graph
    graph.graph_reorder_nodes()
    graph.shape_infer(None)
    graph.profile()
    dense = 0
    for node in graph.nodemap.values():
        if node.op_type in {"Conv", "Gemm", "MatMul"}:
            biases = math.prod(graph.tensormap[node.output[0]].get_shape()) if len(node.input) > 2 else 0
            dense += int(np.ravel(node.macs)[0]) - biases
    told = anatomy.count(path, {})
    assert (told["macs"], told["coverage"], told["uncounted"]) == (dense, 1.0, {})
    assert dense > 1e8


def test_there_are_architectures_to_count() -> None:
    assert len(MODELS) >= 9


@pytest.mark.parametrize(
    ("operator", "inputs", "macs"),
    [
        (
            "Conv <group = 2, strides = [2, 2], pads = [1, 1, 1, 1]>",
            "float[1,8,9,9] x, float[6,4,3,3] w",
            6 * 25 * 4 * 9,
        ),
        ("Conv <group = 8>", "float[2,8,10] x, float[8,1,3] w", 2 * 8 * 8 * 3),
        ("ConvTranspose <strides = [2, 2]>", "float[1,8,5,5] x, float[8,4,2,2] w", 8 * 25 * 4 * 4),
        ("ConvTranspose <group = 2>", "float[1,8,5,5] x, float[8,2,3,3] w", 8 * 25 * 2 * 9),
        ("MatMul", "float[7,3,64] x, float[64,32] w", 7 * 3 * 64 * 32),
        ("MatMul", "float[2,1,4,8] x, float[1,5,8,6] w", 2 * 5 * 4 * 8 * 6),
        ("MatMul", "float[8] x, float[8,6] w", 48),
        ("Gemm <transA = 1, transB = 1>", "float[64,10] x, float[32,64] w", 10 * 64 * 32),
        ("MatMulInteger", "uint8[3,16] x, int8[16,5] w", 3 * 16 * 5),
        ("ConvInteger", "uint8[1,3,6,6] x, uint8[4,3,3,3] w", 4 * 16 * 27),
        ('Einsum <equation = "bhqd,bhkd->bhqk">', "float[2,4,5,8] x, float[2,4,7,8] w", 2 * 4 * 5 * 7 * 8),
        ('Einsum <equation = "bi,bi->bi">', "float[2,4] x, float[2,4] w", 0),
        ("com.microsoft.FusedMatMul <transB = 1>", "float[3,16] x, float[5,16] w", 3 * 16 * 5),
    ],
)
def test_an_operator_costs_what_its_mathematics_takes(operator: str, inputs: str, macs: int) -> None:
    told = count(model(f"g ({inputs}) => (y) {{ y = {operator} (x, w) }}"))
    assert (told["macs"], told["coverage"], told["nodes"]) == (macs, 1.0, 1)


@pytest.mark.parametrize(("operator", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize(("direction", "directions"), [("forward", 1), ("bidirectional", 2)])
def test_a_recurrent_layer_takes_its_weights_once_a_step(
    operator: str, gates: int, direction: str, directions: int
) -> None:
    steps, batch, features, hidden = 11, 2, 16, 32
    told = count(
        model(f"""g (float[{steps},{batch},{features}] x, float[{directions},{gates * hidden},{features}] w,
        float[{directions},{gates * hidden},{hidden}] r) => (y) {{
        y = {operator} <hidden_size = {hidden}, direction = "{direction}"> (x, w, r) }}""")
    )
    assert told["macs"] == steps * batch * directions * gates * hidden * (features + hidden)
    assert told["coverage"] == 1.0


def test_attention_is_scores_and_their_sum_over_the_values() -> None:
    """A decomposed attention of 12 heads costs what the fused operator says of the same sizes."""
    fused = count(
        model("""g (float[1,128,768] x, float[768,2304] w, float[2304] b) => (y) {
        y = com.microsoft.Attention <num_heads = 12> (x, w, b) }""")
    )
    apart = count(
        model("""g (float[1,128,768] x, float[768,2304] w, float[1,12,128,64] q, float[1,12,64,128] k,
        float[1,12,128,64] v) => (p, o) { p = MatMul(x, w)  s = MatMul(q, k)  a = Softmax(s)  o = MatMul(a, v) }""")
    )
    newer = count(
        model(
            """g (float[1,12,128,64] q, float[1,12,128,64] k, float[1,12,128,64] v) => (y) {
        y = Attention(q, k, v) }""",
            23,
        )
    )
    attention = 2 * 128 * 128 * 768
    assert fused["macs"] == apart["macs"] == 128 * 768 * 2304 + attention
    assert newer["macs"] == attention


def pair(name: str, kind: int = TensorProto.INT8) -> list[Any]:
    """A QuantizeLinear and its inverse."""
    zero = numpy_helper.from_array(np.zeros((), helper.tensor_dtype_to_np_dtype(kind)), f"{name}_zero")
    scale = numpy_helper.from_array(np.ones((), np.float32), f"{name}_scale")
    return [zero, scale]


def quantised(activations: bool) -> Any:
    """A convolution with 8-bit weights, its input quantised as well or not."""
    nodes = [helper.make_node("DequantizeLinear", ["w8", "w_scale", "w_zero"], ["w"])]
    if activations:
        nodes.append(helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["x8"]))
        nodes.append(helper.make_node("DequantizeLinear", ["x8", "x_scale", "x_zero"], ["xq"]))
    nodes.append(helper.make_node("Conv", ["xq" if activations else "x", "w"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros((4, 3, 3, 3), np.int8), "w8"), *pair("w"), *pair("x", TensorProto.UINT8)],
    )
    return helper.make_model(graph)


@pytest.mark.parametrize(("activations", "precision"), [(True, "int8"), (False, "float32")])
def test_a_convolution_is_int8_only_when_both_of_its_operands_are(activations: bool, precision: str) -> None:
    """Weights alone in eight bits save memory; the MACs are computed as the input is. Scales are no parameters."""
    told = count(quantised(activations))
    assert told["precision"] == {precision: 1.0}
    assert (told["parameters"], told["parameter_bytes"]) == (108, {"int8": 108})


def test_external_data_is_counted_by_its_declared_size_and_never_read(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.zeros((64, 3, 7, 7), np.float16), "w")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, None)],
        [weight],
    )
    path = str(tmp_path / "model.onnx")
    onnx.save_model(helper.make_model(graph), path, save_as_external_data=True, location="weights", size_threshold=0)
    os.remove(tmp_path / "weights")
    told = anatomy.count(path, {})
    assert (told["macs"], told["parameters"]) == (64 * 26 * 26 * 147, 64 * 147)
    assert told["parameter_bytes"] == {"float16": 64 * 147 * 2}


def test_what_is_not_known_lowers_the_coverage_and_is_named() -> None:
    """An operator of a stranger, one whose input shape is open, and a loop around a product."""
    told = count(model("""
        g (float[1,8] x, float[8,8] w, float[a,b] open, int64 n, bool c) => (y, p, s, l) {
            y = MatMul(x, w)
            p = com.stranger.Magic(y)
            s = MatMul(open, open)
            l = Loop(n, c, y) <body = body (int64 i, bool k, float[1,8] v) => (bool k2, float[1,8] v2) {
                k2 = Identity(k)
                v2 = MatMul(v, w)
            }>
        }""".replace("l = Loop(n, c, y) <", "l = Loop <").replace("}>\n", "}> (n, c, y)\n")))  # fmt: skip
    assert told["macs"] == 64
    assert told["uncounted"] == {"com.stranger.Magic": 1, "MatMul": 1, "Loop": 1}
    assert told["coverage"] == 0.25


@pytest.mark.parametrize(("condition", "macs"), [("1", 64), ("0", 128)])
def test_an_if_whose_condition_is_known_is_its_branch(condition: str, macs: int) -> None:
    told = count(
        model(f"""
        g (float[1,8] x, float[8,8] w) => (y) <bool c = {{{condition}}}> {{
            y = If <then_branch = one () => (float[1,8] a) {{ a = MatMul(x, w) }},
                    else_branch = two () => (float[1,8] b) {{ t = MatMul(x, w)  b = MatMul(t, w) }}> (c)
        }}""")
    )
    assert (told["macs"], told["coverage"]) == (macs, 1.0)


def test_a_function_of_the_model_is_counted_each_time_it_is_called() -> None:
    made = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17, "local" : 1]>
        g (float[2,8] x, float[8,8] w) => (z) { y = local.Layer(x, w)  z = local.Layer(y, w) }
        <domain: "local", opset_import: ["" : 17]> Layer (a, b) => (d) { c = MatMul(a, b)  d = Relu(c) }""")
    told = count(made)
    assert (told["macs"], told["nodes"], told["coverage"]) == (2 * 128, 2, 1.0)


def test_a_compiled_part_hides_macs_and_parameters() -> None:
    told = count(model("g (float[1,8] x) => (y) { y = com.microsoft.EPContext(x) }"))
    assert (told["macs"], told["parameters"], told["coverage"]) == (0, None, 0.0)
