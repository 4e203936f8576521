"""MACs and parameters of LiteRT models, on files that the schema's own generated code wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tflite import BuiltinOperator as Op
from tflite import TensorType as Type

from edgemon import anatomy
from edgemon.anatomy import tflite as counter
from tests.anatomy.lite import Lite


def count(lite: Lite, shapes: Mapping[str, Sequence[int]] | None = None) -> dict[str, Any]:
    return counter.count(memoryview(lite.build()), shapes or {}).result()


def mobile(kind: int, bias: int, batch: bool = False) -> Lite:
    """The first three layers of MobileNet v1: a convolution, a depthwise and a pointwise one; then the classifier.

    `batch` leaves the first size of every tensor open.
    """
    it = Lite()

    def value(*shape: int) -> int:
        return it.tensor([1, *shape], kind, signature=[-1, *shape] if batch else None)

    x, a, b = value(224, 224, 3), value(112, 112, 32), value(112, 112, 32)
    c, d = value(112, 112, 64), value(1000)
    it.add(Op.CONV_2D, [x, it.tensor([32, 3, 3, 3], kind, True), it.tensor([32], bias, True)], [a])
    it.add(Op.DEPTHWISE_CONV_2D, [a, it.tensor([1, 3, 3, 32], kind, True), it.tensor([32], bias, True)], [b])
    it.add(Op.CONV_2D, [b, it.tensor([64, 1, 1, 32], kind, True), it.tensor([64], bias, True)], [c])
    mean, axes = value(64), it.tensor([2], Type.INT32, True)
    it.add(Op.MEAN, [c, axes], [mean])
    it.add(Op.FULLY_CONNECTED, [mean, it.tensor([1000, 64], kind, True), -1], [d])
    it.add(Op.SOFTMAX, [d], [value(1000)])
    return it


MACS = 112 * 112 * (32 * 27 + 32 * 9 + 64 * 32) + 64 * 1000
PARAMETERS = (32 * 27 + 32) + (32 * 9 + 32) + (64 * 32 + 64) + 64 * 1000


@pytest.mark.parametrize(
    ("kind", "bias", "name"), [(Type.FLOAT32, Type.FLOAT32, "float32"), (Type.INT8, Type.INT32, "int8")]
)
def test_mobilenet_s_layers_are_counted_exactly(kind: int, bias: int, name: str) -> None:
    """Pooling and softmax have no MACs, the axes of the mean are no parameters, an omitted bias is none."""
    told = count(mobile(kind, bias))
    assert (told["macs"], told["parameters"]) == (MACS, PARAMETERS)
    assert (told["coverage"], told["nodes"], told["precision"]) == (1.0, 4, {name: 1.0})
    biases = 32 + 32 + 64
    assert sum(told["parameter_bytes"].values()) == (PARAMETERS - biases) * (1 if name == "int8" else 4) + 4 * biases


def test_the_file_is_known_by_its_identifier(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(mobile(Type.INT8, Type.INT32).build())
    assert anatomy.count(str(path), {"t0": [1, 224, 224, 3]})["macs"] == MACS


def operator(
    code: int, tensors: Sequence[tuple[Sequence[int], bool]], out: Sequence[int], adjoint: bool = False
) -> Lite:
    it = Lite()
    inputs = [it.tensor(shape, 0, stored) for shape, stored in tensors]
    it.add(code, inputs, [it.tensor(out)], adjoint=adjoint)
    return it


@pytest.mark.parametrize(
    ("lite", "macs"),
    [
        (
            operator(Op.TRANSPOSE_CONV, [([4], True), ([8, 2, 2, 16], True), ([1, 5, 5, 16], False)], [1, 10, 10, 8]),
            25 * 16 * 8 * 4,
        ),
        (operator(Op.BATCH_MATMUL, [([2, 4, 8], False), ([2, 8, 6], False)], [2, 4, 6]), 2 * 4 * 8 * 6),
        (operator(Op.BATCH_MATMUL, [([2, 8, 4], False), ([2, 8, 6], False)], [2, 4, 6], True), 2 * 4 * 8 * 6),
        (operator(Op.CONV_3D, [([1, 8, 8, 8, 3], False), ([3, 3, 3, 3, 4], True)], [1, 6, 6, 6, 4]), 216 * 4 * 81),
        (operator(Op.SVDF, [([1, 40], False), ([64, 40], True), ([64, 10], True)], [1, 32]), 64 * 40 + 64 * 10),
        (
            operator(Op.UNIDIRECTIONAL_SEQUENCE_LSTM,
                     [([1, 25, 40], False), *[([64, 40], True)] * 4, *[([64, 64], True)] * 4, *[([64], True)] * 4],
                     [1, 25, 64]),
            25 * 4 * 64 * (40 + 64),
        ),
    ],
)  # fmt: skip
def test_an_operator_costs_what_its_mathematics_takes(lite: Lite, macs: int) -> None:
    told = count(lite)
    assert (told["macs"], told["coverage"]) == (macs, 1.0)


def test_what_the_edge_tpu_compiler_made_is_opaque() -> None:
    """The compiled part hides its MACs and its parameters, and the coverage says so."""
    it = Lite()
    it.add(
        Op.CUSTOM, [it.tensor([1, 224, 224, 3], Type.UINT8)], [it.tensor([1, 1000], Type.UINT8)], "edgetpu-custom-op"
    )
    told = count(it)
    assert (told["macs"], told["parameters"], told["coverage"]) == (0, None, 0.0)
    assert told["uncounted"] == {"edgetpu-custom-op": 1}


def test_an_operator_newer_than_the_table_is_missed() -> None:
    told = count(operator(208, [([1, 8], False)], [1, 8]))
    assert (told["coverage"], told["uncounted"]) == (0.0, {"BUILTIN_208": 1})


@pytest.mark.parametrize("batch", [1, 4])
def test_an_open_batch_is_followed_through_the_network(batch: int) -> None:
    """As Keras exports: the first size of every tensor is open, the file says 1, and the probe's shapes say more."""
    told = count(mobile(Type.FLOAT32, Type.FLOAT32, True), {"t0": [batch, 224, 224, 3]})
    assert (told["macs"], told["coverage"]) == (batch * MACS, 1.0)


def test_a_batch_that_a_reshape_mixes_with_another_size_is_not_followed() -> None:
    """The file says [1, 8] for what is [10, 8]: ten rows, of which it could not know the number when it was made."""
    it = Lite()
    x, rows = it.tensor([1, 10, 8], 0, signature=[-1, 10, 8]), it.tensor([1, 8], 0, signature=[-1, 8])
    it.add(Op.RESHAPE, [x], [rows])
    it.add(Op.FULLY_CONNECTED, [rows, it.tensor([4, 8], 0, True), -1], [it.tensor([1, 4], 0, signature=[-1, 4])])
    told = count(it)
    assert (told["macs"], told["uncounted"]) == (0, {"FULLY_CONNECTED": 1})


def test_where_another_size_is_open_or_given_anew_the_file_s_shapes_are_not_believed() -> None:
    it = Lite()
    it.add(
        Op.CONV_2D,
        [it.tensor([1, 1, 1, 3], 0, signature=[-1, -1, -1, 3]), it.tensor([8, 3, 3, 3], 0, True), -1],
        [it.tensor([1, 1, 1, 8], 0, signature=[-1, -1, -1, 8])],
    )
    assert count(it)["uncounted"] == {"CONV_2D": 1}
    anew = count(mobile(Type.FLOAT32, Type.FLOAT32), {"t0": [1, 192, 192, 3]})
    assert (anew["macs"], anew["coverage"], anew["parameters"]) == (0, 0.0, PARAMETERS)
