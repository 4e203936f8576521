"""Tensors of the Open Inference Protocol: made, written and read without numpy (stdlib only, Python >= 3.8).

Both encodings of the REST protocol: JSON, and the binary tensor extension, in which raw little-endian bytes follow the
JSON.
"""

import array
import json
import math
import random
import struct
import sys
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

from edgemon.probe.golden import LONGEST, tensor
from edgemon.probe.inputs import FLOATS, SPAN, SPANS, Port, known, sized, unknown

KINDS = {
    "BOOL": ("?", "bool"),
    "UINT8": ("B", "uint8"),
    "UINT16": ("H", "uint16"),
    "UINT32": ("I", "uint32"),
    "UINT64": ("Q", "uint64"),
    "INT8": ("b", "int8"),
    "INT16": ("h", "int16"),
    "INT32": ("i", "int32"),
    "INT64": ("q", "int64"),
    "FP16": ("e", "float16"),
    "FP32": ("f", "float32"),
    "FP64": ("d", "float64"),
}
"""Datatypes of the protocol by struct's letter and numpy's name; BF16 and BYTES cannot be compared."""
MOST = 1 << 24
"""Elements of an input that is made."""
TINY = 2.0**-14 - 2.0**-25
"""The least that float16 rounds to a number that is no denormal."""


class Input(NamedTuple):
    """One input: its name, datatype, shape, and all its bytes."""

    name: str
    datatype: str
    shape: List[int]
    raw: bytes


def unpack(datatype: str, raw: bytes) -> List[Any]:
    """The values in little-endian bytes; ValueError when they are no whole number of them."""
    size = struct.calcsize("<" + KINDS[datatype][0])
    if len(raw) % size:
        raise ValueError("%d bytes are no whole number of %s" % (len(raw), datatype))
    return list(struct.unpack("<%d%s" % (len(raw) // size, KINDS[datatype][0]), raw))


def pack(datatype: str, values: Sequence[Any]) -> bytes:
    """The inverse of `unpack`; ValueError when a value is not of the datatype."""
    try:
        return struct.pack("<%d%s" % (len(values), KINDS[datatype][0]), *values)
    except (struct.error, OverflowError, TypeError):
        raise ValueError("a value is no %s" % datatype) from None


def make(declared: Sequence[Dict[str, Any]], shapes: Dict[str, List[int]], seed: int) -> List[Input]:
    """Inputs as a model's metadata declares them, bit for bit those of `Inputs` for the same seed."""
    names = [one["name"] for one in declared]
    unknown("shapes", shapes, names, "the model's inputs are")
    stream = numpys(seed)
    return [_make(one, shapes.get(one["name"]), stream) for one in declared]


def numpys(seed: int) -> random.Random:
    """The random numbers of numpy's RandomState(seed): the same generator, seeded by init_genrand (Matsumoto 2002)."""
    state = [seed & 0xFFFFFFFF]
    for index in range(1, 624):
        state.append((1812433253 * (state[-1] ^ (state[-1] >> 30)) + index) & 0xFFFFFFFF)
    stream = random.Random()  # noqa: S311 - inputs, no secrets
    stream.setstate((3, (*state, 624), None))
    return stream


def _make(declared: Dict[str, Any], given: Any, stream: random.Random) -> Input:
    datatype = declared["datatype"]
    port = Port(declared["name"], KINDS.get(datatype, ("", datatype))[1], declared["shape"])
    known(port)
    shape = sized(port, given, MOST)
    numbers = (stream.random() for _ in range(count(shape)))
    if datatype == "FP32":
        floats = array.array("f", numbers)
        if sys.byteorder == "big":
            floats.byteswap()
        return Input(port.name, datatype, shape, floats.tobytes())
    return Input(port.name, datatype, shape, pack(datatype, _drawn(port.dtype, numbers)))


def _drawn(dtype: str, numbers: Iterator[float]) -> List[Any]:
    """Uniform numbers from 0 to 1 as `Inputs` makes them of a type."""
    if dtype in FLOATS:
        least = TINY if dtype == "float16" else 0.0
        return [one if one >= least else 0.0 for one in numbers]
    low, high = SPANS.get(dtype, SPAN)
    return [low + int((high - low) * one) for one in numbers]


def count(shape: Sequence[int]) -> int:
    """Elements of a tensor; a scalar has one."""
    return math.prod(shape)


def write(inputs: Sequence[Input], outputs: Sequence[str], binary: bool) -> Tuple[bytes, Dict[str, str]]:
    """The body of an inference request, and its headers."""
    wanted = [{"name": name, "parameters": {"binary_data": True}} if binary else {"name": name} for name in outputs]
    asked = {"id": "edgemon", "inputs": [_written(one, binary) for one in inputs], "outputs": wanted}
    head = json.dumps(asked).encode()
    if not binary:
        return head, {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return head + b"".join(one.raw for one in inputs), headers


def _written(one: Input, binary: bool) -> Dict[str, Any]:
    data = {"parameters": {"binary_data_size": len(one.raw)}} if binary else {"data": unpack(one.datatype, one.raw)}
    return {"name": one.name, "datatype": one.datatype, "shape": one.shape, **data}


def read(body: bytes, header: Any) -> List[Dict[str, Any]]:
    """The plain tensors of an inference answer, by name; `header` is its Inference-Header-Content-Length, if any."""
    if header is not None and not (str(header).isdecimal() and int(header) <= len(body)):
        raise ValueError("the answer has a bad Inference-Header-Content-Length")
    length = len(body) if header is None else int(header)
    try:
        outputs = json.loads(body[:length])["outputs"]
        return sorted(_read(outputs, body[length:]), key=lambda one: str(one["name"]))
    except (TypeError, KeyError, AttributeError, UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise ValueError("the answer is no inference response of the Open Inference Protocol") from None


def _read(outputs: List[Dict[str, Any]], rest: bytes) -> Iterator[Dict[str, Any]]:
    if not outputs:
        raise ValueError("the answer holds no output")
    for one in outputs:
        name, datatype, shape = one["name"], one["datatype"], one["shape"]
        if datatype not in KINDS:
            raise ValueError("output %s is %s, which edgemon cannot compare" % (name, datatype))
        size = (one.get("parameters") or {}).get("binary_data_size")
        if size is None:
            values = list(flat(one["data"]))
            raw = pack(datatype, values)
        else:
            raw, rest = rest[:size], rest[size:]
            values = unpack(datatype, raw)
        yield plain(name, datatype, shape, raw, values)


def plain(name: str, datatype: str, shape: Sequence[int], raw: bytes, values: List[Any]) -> Dict[str, Any]:
    """The plain tensor of an output; ValueError when it has another number of values than its shape."""
    if len(values) != count(shape):
        raise ValueError("output %s has the shape %s but %d values" % (name, shape, len(values)))
    return tensor(name, KINDS[datatype][1], shape, raw, telling(values))


def telling(values: List[Any]) -> List[Any]:
    """The first values; where any is NaN or infinite, the first of those: they must not go unseen."""
    return ([value for value in values if not math.isfinite(value)] or values)[:LONGEST]


def flat(data: Any) -> Iterator[Any]:
    """The values of a list, which the protocol allows to be nested as the shape says."""
    for one in data:
        if isinstance(one, list):
            yield from flat(one)
        else:
            yield one
