"""Protocol Buffers' wire format (protobuf.dev/programming-guides/encoding), written, and read lazily within a budget.

A field's bytes are a view of the buffer, never a copy: the weights of a model are skipped, not read. Whoever reads what
others wrote pays for each field, so that a hostile message costs no more than that. Standard library only, Python >=
3.8: models in the worker, and the messages of a served one.
"""

from typing import Any, Iterator, List, Sequence, Tuple, Union

Field = Tuple[int, Union[int, memoryview]]


class Budget:
    """What reading may cost; a purse with a clock is `edgemon.anatomy.budget.Budget`."""

    def __init__(self, units: int) -> None:
        self._left = units

    def spend(self, units: int = 1) -> None:
        """Pay; ValueError when nothing is left."""
        self._left -= units
        if self._left < 0:
            raise ValueError("it holds too many fields")


def field(number: int, value: Any) -> bytes:
    """A field to send: a number (negative ones as int64), or bytes or text with their length."""
    if isinstance(value, int):
        return written(number << 3) + written(value & 0xFFFFFFFFFFFFFFFF)
    data = value.encode() if isinstance(value, str) else bytes(value)
    return written(number << 3 | 2) + written(len(data)) + data


def packed(number: int, values: Sequence[int]) -> bytes:
    """A repeated integer field, packed."""
    return field(number, b"".join(written(value & 0xFFFFFFFFFFFFFFFF) for value in values))


def written(value: int) -> bytes:
    """An unsigned number as a varint."""
    out: List[int] = []
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def varint(data: memoryview, at: int) -> Tuple[int, int]:
    """The unsigned number at an offset and the offset behind it."""
    value = shift = 0
    while shift < 70:
        if at >= len(data):
            raise ValueError("it is cut off in the middle of a number")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise ValueError("it holds a number of more than ten bytes")


def fields(data: memoryview, budget: Budget) -> Iterator[Field]:
    """The fields of a message in order: a varint or fixed number as it is, anything else as a view."""
    at, end = 0, len(data)
    while at < end:
        budget.spend()
        key, at = varint(data, at)
        kind, number = key & 7, key >> 3
        if not number:
            raise ValueError("it holds a field without a number: it is no Protocol Buffers message")
        if kind == 0:
            value, at = varint(data, at)
            yield number, value
            continue
        if kind == 2:
            size, at = varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError("it holds a field of the unknown wire type %d" % kind)
        if size > end - at:
            raise ValueError("it is cut off: a field of %d bytes has %d left" % (size, end - at))
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
        raise ValueError("it holds a number where a message belongs")  # noqa: TRY004 - one kind of error
    return value


def whole(value: Union[int, memoryview]) -> int:
    """A field that must be a number."""
    if not isinstance(value, int):
        raise ValueError("it holds a message where a number belongs")  # noqa: TRY004 - one kind of error
    return value
