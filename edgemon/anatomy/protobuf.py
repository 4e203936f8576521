"""Protocol Buffers' wire format (protobuf.dev/programming-guides/encoding), read lazily and within a budget.

A field's bytes are a view of the buffer, never a copy: the weights of a model are skipped, not read.
"""

from typing import Iterator, List, Tuple, Union

from edgemon.anatomy.budget import Budget

Field = Tuple[int, Union[int, memoryview]]


def varint(data: memoryview, at: int) -> Tuple[int, int]:
    """The unsigned number at an offset and the offset behind it."""
    value = shift = 0
    while shift < 70:
        if at >= len(data):
            raise ValueError("the model is cut off in the middle of a number")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise ValueError("the model holds a number of more than ten bytes")


def fields(data: memoryview, budget: Budget) -> Iterator[Field]:
    """The fields of a message in order: a varint or fixed number as it is, anything else as a view."""
    at, end = 0, len(data)
    while at < end:
        budget.spend()
        key, at = varint(data, at)
        kind, number = key & 7, key >> 3
        if not number:
            raise ValueError("the model holds a field without a number: it is no Protocol Buffers message")
        if kind == 0:
            value, at = varint(data, at)
            yield number, value
            continue
        if kind == 2:
            size, at = varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError("the model holds a field of the unknown wire type %d" % kind)
        if size > end - at:
            raise ValueError("the model is cut off: a field of %d bytes has %d left" % (size, end - at))
        view = data[at : at + size]
        at += size
        yield number, view if kind == 2 else int.from_bytes(view, "little")


def numbers(value: Union[int, memoryview], budget: Budget) -> List[int]:
    """A repeated integer field, packed or one of it."""
    if isinstance(value, int):
        return [signed(value)]
    found: List[int] = []
    at = 0
    while at < len(value):
        budget.spend()
        number, at = varint(value, at)
        found.append(signed(number))
    return found


def signed(value: int) -> int:
    """An int64 from its 64 bits."""
    return value - (1 << 64) if value >> 63 else value


def text(value: Union[int, memoryview], budget: Budget) -> str:
    """A string field."""
    budget.spend(len(view(value)) // 64)
    return bytes(view(value)).decode("utf-8", "replace")


def view(value: Union[int, memoryview]) -> memoryview:
    """A field that must not be a number."""
    if isinstance(value, int):
        raise ValueError("the model holds a number where a message belongs")  # noqa: TRY004 - one kind of error
    return value


def whole(value: Union[int, memoryview]) -> int:
    """A field that must be a number."""
    if not isinstance(value, int):
        raise ValueError("the model holds a message where a number belongs")  # noqa: TRY004 - one kind of error
    return value
