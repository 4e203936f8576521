"""What is known of a tensor while a graph is walked, and the arithmetic of shapes. None is what is not known."""

from math import prod
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

Dims = Tuple[Optional[int], ...]
SMALL = 256
LARGEST = 1 << 56
"""Elements or MACs beyond which a number is that of a broken or hostile model."""


class Unknown(Exception):  # noqa: N818 - no error: what cannot be told is not told
    """Something a result depends on is not known."""


class Value(NamedTuple):
    """A tensor: dtype, shape (None: not even the rank), the elements of a small one, flat (None: an open element).

    `stored` is the dtype behind a DequantizeLinear: what the engine computes with when it fuses the pair.
    """

    dtype: str = ""
    shape: Optional[Dims] = None
    data: Optional[Tuple[Any, ...]] = None
    stored: str = ""


class Call(NamedTuple):
    """One node and the values that reach it; an omitted input is None."""

    op: str
    attributes: Dict[str, Any]
    inputs: List[Optional[Value]]
    opset: int
    outputs: int

    def value(self, index: int) -> Value:
        """An input that must be there."""
        found = self.optional(index)
        if found is None:
            raise Unknown
        return found

    def optional(self, index: int) -> Optional[Value]:
        """An input that may be left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def shape(self, index: int) -> Dims:
        """An input's shape, of known rank."""
        found = self.value(index).shape
        if found is None:
            raise Unknown
        return found

    def dims(self, index: int) -> Tuple[int, ...]:
        """An input's shape, known wholly."""
        return known(self.shape(index))

    def data(self, index: int) -> Tuple[Any, ...]:
        """An input's elements; Unknown when they are not."""
        found = self.value(index).data
        if found is None:
            raise Unknown
        return found

    def whole(self, name: str, default: int) -> int:
        """An integer attribute."""
        found = self.attributes.get(name, default)
        if not isinstance(found, int):
            raise Unknown
        return found

    def list(self, name: str, index: int = -1) -> Optional[List[Any]]:
        """A list that is an attribute or, in newer opsets, an input; None when it is neither."""
        found = self.attributes.get(name)
        if found is None and index >= 0 and self.optional(index) is not None:
            found = list(self.data(index))
        if found is not None and (not isinstance(found, list) or len(found) > SMALL):
            raise Unknown
        return found


def known(shape: Sequence[Optional[int]]) -> Tuple[int, ...]:
    """A shape without open sizes; Unknown otherwise."""
    found = tuple(size for size in shape if size is not None)
    if len(found) != len(shape):
        raise Unknown
    return found


def size(shape: Sequence[Optional[int]]) -> int:
    """Elements of a shape."""
    return bounded(prod(known(shape)))


def bounded(number: int) -> int:
    """A count that a real model can have."""
    if not 0 <= number < LARGEST:
        raise Unknown
    return number


def sane(value: Value) -> Value:
    """The value, or one of unknown shape when the shape cannot be; elements only where they fit the shape."""
    shape, data = value.shape, value.data
    if shape is not None and (len(shape) > 64 or any(one is not None and not 0 <= one < LARGEST for one in shape)):
        return Value(value.dtype)
    if data is not None and (len(data) > SMALL or shape is None or None in shape or prod(known(shape)) != len(data)):
        data = None
    return Value(value.dtype, shape, data, value.stored)


def axis_of(axis: int, rank: int) -> int:
    """An axis counted from the front."""
    if not -rank <= axis < rank:
        raise Unknown
    return axis % rank


def broadcast(shapes: Sequence[Dims]) -> Dims:
    """The common shape by ONNX's and NumPy's rule; an open size beside a larger one than 1 is that one."""
    made: List[Optional[int]] = []
    rank = max((len(shape) for shape in shapes), default=0)
    for place in range(rank):
        column = [shape[place - rank + len(shape)] for shape in shapes if place - rank + len(shape) >= 0]
        large = [one for one in column if one is not None and one != 1]
        if any(one != large[0] for one in large):
            raise Unknown
        made.append(large[0] if large else (None if None in column else 1))
    return tuple(made)


def plain(shape: Optional[Dims], like: Value) -> Value:
    """A tensor of a shape and another's dtype."""
    return Value(like.dtype, shape)
