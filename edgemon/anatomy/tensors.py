"""Stored tensors of an ONNX file: their types, and the elements of the small ones."""

import struct
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from edgemon.anatomy.budget import Budget
from edgemon.protobuf import numbers, view

SMALL = 256
"""Elements of a tensor that is read and not only measured: shapes, axes and scales are that short."""
RANK = 64
DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
    17: "float8e4m3fn", 18: "float8e4m3fnuz", 19: "float8e5m2", 20: "float8e5m2fnuz", 21: "uint4", 22: "int4",
    23: "float4e2m1",
}  # fmt: skip
FORMATS = {
    "float32": "f", "float64": "d", "int64": "q", "int32": "i", "uint8": "B", "int8": "b", "bool": "?", "float16": "e",
    "int16": "h", "uint16": "H", "uint32": "I", "uint64": "Q",
}  # fmt: skip


class Tensor(NamedTuple):
    """A stored tensor; `data` holds its elements, flat, when it is small, numeric and in the file itself."""

    name: str
    dtype: str
    dims: Tuple[int, ...]
    data: Optional[Tuple[Any, ...]]


def size(dims: List[int]) -> int:
    """Elements of a shape; ValueError for one that no tensor can have."""
    size = 1
    if len(dims) > RANK:
        raise ValueError("the model holds a tensor of %d dimensions" % len(dims))
    for dim in dims:
        size *= dim
        if not 0 <= dim < 1 << 48 or size >= 1 << 48:
            raise ValueError("the model holds a tensor of the impossible shape %s" % dims)
    return size


def elements(dtype: str, stored: Dict[int, List[Any]], size: int, budget: Budget) -> Optional[Tuple[Any, ...]]:
    """The elements of a small tensor, None where they are of no use or not all there."""
    made: List[Any] = []
    code = FORMATS.get(dtype, "")
    budget.spend(size // 8)
    if 9 in stored and code:
        raw = view(stored[9][0])
        if len(raw) != size * struct.calcsize("<" + code):
            return None
        made = list(struct.unpack("<%d%s" % (size, code), raw))
    elif dtype in ("float32", "float64"):
        for value in stored.get(4 if dtype == "float32" else 10, []):
            made += _unpacked(value, "f" if dtype == "float32" else "d")
    elif dtype in ("int64", "int32", "uint8", "int8", "bool"):
        for value in stored.get(7 if dtype == "int64" else 5, []):
            made += numbers(value, budget)
    return tuple(made) if len(made) == size else None


def _unpacked(value: Union[int, memoryview], code: str) -> List[float]:
    width = struct.calcsize("<" + code)
    data = value.to_bytes(8, "little")[:width] if isinstance(value, int) else value
    return [one[0] for one in struct.iter_unpack("<" + code, data[: min(len(data), SMALL * width) // width * width])]
