"""FlatBuffers (flatbuffers.dev/internals), read in place: every offset is checked against the buffer first."""

import struct
from typing import List, Optional, Tuple

from edgemon.anatomy.budget import Budget


class Table:
    """A table of a buffer. Fields are asked for by number; one that is left out has its default."""

    def __init__(self, data: memoryview, at: int, budget: Budget) -> None:
        self._data, self._at, self._budget = data, at, budget
        self._fields = at - number(data, at, "<i")
        self._count = (number(data, self._fields, "<H") - 4) // 2

    def _field(self, index: int) -> Optional[int]:
        """Where a field is, None when it is left out."""
        if index >= self._count:
            return None
        offset = number(self._data, self._fields + 4 + 2 * index, "<H")
        return self._at + offset if offset else None

    def scalar(self, index: int, code: str, default: int = 0) -> int:
        """A number, its format as in `struct`."""
        at = self._field(index)
        return default if at is None else number(self._data, at, "<" + code)

    def text(self, index: int) -> str:
        """A string."""
        at = self._field(index)
        if at is None:
            return ""
        begin, length = self._vector(at, 1)
        self._budget.spend(length // 64)
        return bytes(self._data[begin : begin + length]).decode("utf-8", "replace")

    def table(self, index: int) -> Optional["Table"]:
        """A table in a table."""
        at = self._field(index)
        return None if at is None else self._table(at)

    def tables(self, index: int) -> List["Table"]:
        """A list of tables."""
        at = self._field(index)
        if at is None:
            return []
        begin, length = self._vector(at, 4)
        self._budget.spend(length * 4)
        return [self._table(begin + 4 * place) for place in range(length)]

    def numbers(self, index: int) -> Optional[List[int]]:
        """A list of int32; None when it is left out."""
        at = self._field(index)
        if at is None:
            return None
        begin, length = self._vector(at, 4)
        self._budget.spend(length)
        return list(struct.unpack_from("<%di" % length, self._data, begin))

    def length(self, index: int) -> int:
        """Bytes of a list of bytes."""
        at = self._field(index)
        return 0 if at is None else self._vector(at, 1)[1]

    def _table(self, at: int) -> "Table":
        return Table(self._data, at + number(self._data, at, "<I"), self._budget)

    def _vector(self, at: int, width: int) -> Tuple[int, int]:
        """Where a list's entries begin and how many there are, all of them inside the buffer."""
        begin = at + number(self._data, at, "<I")
        length = number(self._data, begin, "<I")
        if begin + 4 + length * width > len(self._data):
            raise ValueError("the model is cut off: a list of %d entries reaches beyond its end" % length)
        return begin + 4, length


def number(data: memoryview, at: int, code: str) -> int:
    """A little-endian number; ValueError when it is not wholly inside the buffer."""
    if not 0 <= at <= len(data) - struct.calcsize(code):
        raise ValueError("the model is cut off or broken: it points to byte %d of %d" % (at, len(data)))
    return int(struct.unpack_from(code, data, at)[0])


def root(data: memoryview) -> Table:
    """The table a buffer is about."""
    return Table(data, number(data, 0, "<I"), Budget())
