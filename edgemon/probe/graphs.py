"""Fixed graphs for reference kernels, written at run time: the tools that write models are on no device that runs them.

Each is a square product, again and again: as an ONNX model in Protocol Buffers, which ONNX Runtime and OpenVINO read,
and as a LiteRT model in FlatBuffers (flatbuffers.dev/internals). Standard library only, Python >= 3.8.
"""

import struct
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple, Union

from edgemon.protobuf import field

FULLY_CONNECTED, FULLY_CONNECTED_OPTIONS = 9, 8
"""BuiltinOperator and BuiltinOptions of LiteRT's schema.fbs."""


def matmul(size: int, depth: int, weights: bytes) -> bytes:
    """An ONNX model of `depth` products of a square input `x` with one square float32 weight, `depth * size**3` MACs.

    Field numbers are those of onnx.proto, beside the names.
    """
    shape = b"".join(field(1, field(1, size)) for _ in range(2))  # TensorShapeProto.dim.dim_value
    kind = field(1, field(1, 1) + field(2, shape))  # TypeProto.tensor_type: elem_type float, shape
    names = ["x"] + ["y%d" % step for step in range(depth)]
    nodes = [
        field(1, field(1, a.encode()) + field(1, b"w") + field(2, b.encode()) + field(4, b"MatMul"))
        for a, b in zip(names, names[1:])
    ]
    tensor = field(1, size) + field(1, size) + field(2, 1) + field(8, b"w") + field(9, weights)
    graph = b"".join(nodes) + field(2, b"reference") + field(5, tensor)
    graph += field(11, field(1, b"x") + field(2, kind)) + field(12, field(1, names[-1].encode()) + field(2, kind))
    return field(1, 7) + field(7, graph) + field(8, field(2, 13))  # ir_version, graph, opset_import.version


class Scalar(NamedTuple):
    """A number in a table, by struct's letter."""

    kind: str
    value: int


class Data(NamedTuple):
    """A vector of bytes whose first lies on a multiple of `align`."""

    content: bytes
    align: int = 4


Table = Dict[int, Any]
"""Fields by their place in the schema; a list of ints is a vector of int32, any other list one of tables."""
Node = Union[Table, Sequence[Any], Data, str]


def dense(size: int, depth: int, weights: bytes) -> bytes:
    """A LiteRT model of `depth` products of a square input with one square float32 weight, `depth * size**3` MACs."""
    names = ["x", *("y%d" % step for step in range(depth)), "w"]
    tensors = [_tensor(name, size, int(name == "w")) for name in names]
    operators = [
        {1: [step, depth + 1, -1], 2: [step + 1], 3: Scalar("B", FULLY_CONNECTED_OPTIONS), 4: {}}
        for step in range(depth)
    ]
    graph = {0: tensors, 1: [0], 2: [depth], 3: operators, 4: "reference"}
    code = {0: Scalar("b", FULLY_CONNECTED), 2: Scalar("i", 1), 3: Scalar("i", FULLY_CONNECTED)}
    model = {0: Scalar("I", 3), 1: [code], 2: [graph], 3: "reference", 4: [{}, {0: Data(weights, 16)}]}
    out = bytearray(b"\0\0\0\0TFL3")
    struct.pack_into("<I", out, 0, _put(out, model))
    return bytes(out)


def _tensor(name: str, size: int, buffer: int) -> Table:
    return {0: [size, size], 1: Scalar("b", 0), 2: Scalar("I", buffer), 3: name}


def _put(out: bytearray, node: Node) -> int:
    """Write a node behind what is there, and behind it what it points to; where it begins."""
    if isinstance(node, dict):
        return _table(out, node)
    if isinstance(node, str):
        return _vector(out, len(node), node.encode() + b"\0", 4)
    if isinstance(node, Data):
        return _vector(out, len(node.content), node.content, node.align)
    if all(isinstance(one, int) for one in node):
        return _vector(out, len(node), struct.pack("<%di" % len(node), *node), 4)
    begin = _vector(out, len(node), bytes(4 * len(node)), 4)
    _point(out, [(begin + 4 + 4 * place, one) for place, one in enumerate(node)])
    return begin


def _vector(out: bytearray, count: int, data: bytes, align: int) -> int:
    out += bytes(-(len(out) + 4) % align)
    begin = len(out)
    out += struct.pack("<I", count) + data
    return begin


def _table(out: bytearray, fields: Table) -> int:
    """A table behind its own list of places; every field has four bytes."""
    slots, order = max(fields, default=-1) + 1, sorted(fields)
    places = {slot: 4 + 4 * place for place, slot in enumerate(order)}
    sizes = (4 + 2 * slots, 4 + 4 * len(order))
    out += bytes(-(len(out) + sizes[0]) % 4)
    out += struct.pack("<%dH" % (2 + slots), *sizes, *(places.get(slot, 0) for slot in range(slots)))
    begin = len(out)
    out += struct.pack("<i", sizes[0]) + bytes(4 * len(order))
    later: List[Tuple[int, Any]] = []
    for slot, value in fields.items():
        if isinstance(value, Scalar):
            struct.pack_into("<" + value.kind, out, begin + places[slot], value.value)
        else:
            later.append((begin + places[slot], value))
    _point(out, later)
    return begin


def _point(out: bytearray, nodes: Sequence[Tuple[int, Any]]) -> None:
    """Write nodes, and at each place how far away its node is."""
    for place, node in nodes:
        out += bytes(-len(out) % 4)
        struct.pack_into("<I", out, place, _put(out, node) - place)
