"""Makes the built-in probe model and its golden outputs: `python -m edgemon.models.make [--check]` (developers only).

Scales are powers of two and sums stay below 2**24: float32 and integer kernels agree to the bit, in any order. Weights
are even and biases odd: no sum lies midway between two outputs, so every way of rounding agrees. Weights are 7-bit
integers from the start: 16-bit partial sums on x86 without VNNI cannot saturate (2 * 255 * 64 < 2**15).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from edgemon.probe.golden import tensor

Array: TypeAlias = NDArray[Any]

SEED, IMAGES, CLASSES, SHAPE, OPSET, IR = 68, 32, 100, (1, 3, 96, 96), 13, 7
STEM, BLOCKS = 16, ((32, 1), (48, 2), (64, 1), (96, 2), (96, 1), (128, 2), (192, 1), (256, 2), (256, 1))
PIXEL, STEP, LOGIT = 2.0**-8, 2.0**-6, 2.0**-3
CEILING, SPREAD = 255 * STEP, 3.0


@dataclass(frozen=True)
class Layer:
    """A convolution with same padding, depthwise if its weight has one input; weight / scale are integers."""

    weight: Array
    scale: Array
    bias: Array
    stride: int

    def __call__(self, x: Array) -> Array:
        """The convolution, summed one kernel tap at a time."""
        size, (_, inputs, kernel, _) = x.shape[2], self.weight.shape
        x = np.pad(x, ((0, 0), (0, 0), *[(kernel // 2, kernel // 2)] * 2))
        rule = "oc,nohw->nohw" if inputs == 1 else "oc,nchw->nohw"
        total: Array = self.bias[:, None, None]
        for row, column in product(range(kernel), repeat=2):
            view = x[:, :, row : row + size : self.stride, column : column + size : self.stride]
            total = total + np.einsum(rule, self.weight[:, :, row, column], view, optimize=True)
        return total


def image(seed: int) -> Array:
    """The probe's input for a seed."""
    return np.random.RandomState(seed).random_sample(SHAPE).astype("float32")


def shapes() -> list[tuple[int, int, int, int]]:
    """Outputs, inputs, kernel and stride of the stem, of each block's two convolutions and of the classifier."""
    rows, width = [(STEM, SHAPE[1], 3, 2)], STEM
    for wider, stride in BLOCKS:
        rows += [(width, 1, 3, stride), (wider, width, 1, 1)]
        width = wider
    return [*rows, (CLASSES, width, 1, 1)]


def network() -> list[Layer]:
    """The layers, each channel normalised over calibration images; all is drawn from one stream."""
    stream = np.random.RandomState(SEED)
    x: Array = stream.random_sample((IMAGES, *SHAPE[1:]))
    layers: list[Layer] = []
    for outputs, inputs, kernel, stride in shapes():
        last = outputs == CLASSES
        x = x.mean((2, 3), keepdims=True) if last else x
        integers = 2 * np.floor(stream.random_sample((outputs, inputs, kernel, kernel)) * 64) - 64
        sums = Layer(integers, np.ones(outputs), np.zeros(outputs), stride)(x)
        scale = 2.0 ** np.rint(np.log2((SPREAD if last else 1) / sums.std((0, 2, 3))))
        bias = (0 if last else 1) - scale * sums.mean((0, 2, 3))
        layers.append(Layer(integers * scale[:, None, None, None], scale, bias, stride))
        x = np.clip(layers[-1](x), 0, CEILING)
    return layers


def reference(x: Array, layers: Sequence[Layer]) -> Array:
    """The logits in float64, without quantised activations."""
    for layer in layers[:-1]:
        x = np.clip(layer(x), 0, CEILING)
    return layers[-1](x.mean((2, 3), keepdims=True))[:, :, 0, 0]


@dataclass(frozen=True)
class Graph:
    """An ONNX graph under construction; a value is named after its node."""

    nodes: list[NodeProto] = field(default_factory=list)
    tensors: list[TensorProto] = field(default_factory=list)

    def node(self, op: str, name: str, *inputs: str | Array, **attributes: Any) -> str:
        """Adds a node; an array among its inputs becomes an initializer."""
        names = [each if isinstance(each, str) else f"{name}_{place}" for place, each in enumerate(inputs)]
        pairs = zip(inputs, names, strict=True)
        self.tensors.extend(numpy_helper.from_array(each, label) for each, label in pairs if not isinstance(each, str))
        self.nodes.append(helper.make_node(op, names, [name], name, **attributes))
        return name

    def rounded(self, value: str, name: str, step: float, zero: int = 0) -> str:
        """Adds the pair that quantises a value to unsigned 8 bits and back."""
        scale = np.array(step, "float32"), np.array(zero, "uint8")
        return self.node("DequantizeLinear", name, self.node("QuantizeLinear", name + "_u8", value, *scale), *scale)

    def constant(self, name: str, integers: Array, scale: Array) -> str:
        """Adds integers, dequantised per output channel."""
        zero = np.zeros(len(scale), integers.dtype)
        return self.node("DequantizeLinear", name, integers, scale.astype("float32"), zero, axis=0)

    def layer(self, op: str, name: str, value: str, layer: Layer, step: float, **attributes: Any) -> str:
        """Adds a Conv or Gemm with 8-bit weights and 32-bit bias, for an input of this step."""
        integers = (layer.weight / layer.scale[:, None, None, None]).astype("int8")
        weight = self.constant(name + "_weight", integers[:, :, 0, 0] if op == "Gemm" else integers, layer.scale)
        bias = (np.floor(layer.bias / (layer.scale * step) / 2) * 2 + 1).astype("int32")
        return self.node(op, name, value, weight, self.constant(name + "_bias", bias, layer.scale * step), **attributes)


def assemble(layers: Sequence[Layer]) -> ModelProto:
    """The quantised model."""
    graph, step, limits = Graph(), PIXEL, (np.array(0, "float32"), np.array(CEILING, "float32"))
    value = graph.rounded("image", "pixels", step)
    for number, layer in enumerate(layers[:-1]):
        outputs, inputs, kernel, _ = layer.weight.shape
        shape: dict[str, Any] = {"kernel_shape": [kernel] * 2, "pads": [kernel // 2] * 4, "strides": [layer.stride] * 2}
        shape["group"] = outputs if inputs == 1 else 1
        value = graph.layer("Conv", f"conv{number}", value, layer, step, **shape)
        value, step = graph.rounded(graph.node("Clip", f"clip{number}", value, *limits), f"relu{number}", STEP), STEP
    value = graph.rounded(graph.node("GlobalAveragePool", "pool", value), "mean", STEP)
    value = graph.rounded(graph.node("Flatten", "flat", value), "features", STEP)
    graph.rounded(graph.layer("Gemm", "dense", value, layers[-1], STEP, transB=1), "logits", LOGIT, 128)
    ends = ("image", SHAPE), ("logits", (1, CLASSES))
    start, end = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ends)
    body = helper.make_graph(graph.nodes, "mobilenet", [start], [end], graph.tensors)
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(body, opset_imports=opsets, ir_version=IR, producer_name="edgemon")


def infer(model: bytes, images: Sequence[Array]) -> Array:
    """The logits of each image, from ONNX Runtime on one CPU thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return np.stack([session.run(["logits"], {"image": each})[0] for each in images])


def fidelity(model: bytes, layers: Sequence[Layer]) -> float:
    """The lowest cosine, over eight inputs, between the logits with and without quantised activations."""
    images = [image(seed) for seed in range(8)]
    got, want = infer(model, images)[:, 0], reference(np.concatenate(images).astype("float64"), layers)
    return float(((got * want).sum(1) / np.sqrt((got**2).sum(1) * (want**2).sum(1))).min())


def golden(model: bytes) -> dict[str, Any]:
    """The model's digest, input seeds and expected outputs, as a baseline keeps them."""
    seeds = [0, 1]
    outputs = [
        [tensor("logits", each.dtype.name, each.shape, each.tobytes(), each.ravel().tolist())]
        for each in infer(model, [image(seed) for seed in seeds])
    ]
    return {"model_sha256": hashlib.sha256(model).hexdigest(), "seeds": seeds, "outputs": outputs}


def build() -> dict[str, bytes]:
    """The contents of both files, by name."""
    layers = network()
    proto = assemble(layers)
    checker.check_model(proto, full_check=True)
    model = proto.SerializeToString(deterministic=True)
    if (cosine := fidelity(model, layers)) < 0.98:
        sys.exit(f"quantisation destroys the signal: cosine {cosine:.4f} is below 0.98")
    return {"mobilenet.onnx": model, "mobilenet.golden.json": (json.dumps(golden(model)) + "\n").encode()}


def main() -> None:
    """Writes the files beside this script, or with --check compares them."""
    parser = argparse.ArgumentParser(description="Make the built-in probe model and its golden outputs.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the committed files differ")
    check = parser.parse_args().check
    for name, content in build().items():
        path = Path(__file__).with_name(name)
        if not check:
            path.write_bytes(content)
        elif not path.is_file() or path.read_bytes() != content:
            sys.exit(f"{path}: missing or stale; run python -m edgemon.models.make and commit both files")


if __name__ == "__main__":
    main()
