"""Many batches in few bytes: what they have in common is said once.

Batches of one device differ in little: the same series in the same order, another time, some other values. Those of
one signal and one length are therefore laid over each other: the first is kept whole; of the others, each XORed with
the one before, only the byte columns in which anything changed, column by column, and deflate over it all. That is
half of what deflate makes of them one after the other, and a sixth of one by one where a batch is longer than the 32
KiB deflate looks back (`python -m tests.benchmarks spool`).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from itertools import pairwise

from edgemon.sinks.otlp.batch import SIGNALS, Batch

LEVEL = 6
HEAD = struct.Struct("<BH")
"""Grade, number of batches; then the boot's id (a length and ASCII), a row for each batch, and the payloads."""
ROW = struct.Struct("<BQQII")
"""Signal, start, end, points, length of the payload."""


def pack(batches: Sequence[Batch]) -> bytes:
    """Batches of one grade and one boot, up to 65,535, as bytes."""
    first, boot = batches[0], batches[0].boot.encode("ascii", "replace")
    squeeze = zlib.compressobj(LEVEL)
    parts = [squeeze.compress(HEAD.pack(first.grade, len(batches)) + bytes([len(boot)]) + boot)]
    for one in batches:
        row = ROW.pack(SIGNALS.index(one.signal), one.start, one.end, one.points, len(one.payload))
        parts.append(squeeze.compress(row))
    for places in _alike([(one.signal, len(one.payload)) for one in batches]):
        parts.extend(squeeze.compress(part) for part in _fold([batches[place].payload for place in places]))
    return b"".join([*parts, squeeze.flush()])


def unpack(data: bytes) -> list[Batch]:
    """The batches again; ValueError when it is nothing that `pack` made."""
    try:
        return _unpack(zlib.decompress(data))
    except (zlib.error, struct.error, UnicodeDecodeError, IndexError) as error:
        raise ValueError(f"no batches: {error}") from None


def _unpack(data: bytes) -> list[Batch]:
    grade, count = HEAD.unpack_from(data)
    at = HEAD.size + 1 + data[HEAD.size]
    boot = data[HEAD.size + 1 : at].decode("ascii")
    rows = [ROW.unpack_from(data, at + number * ROW.size) for number in range(count)]
    at += count * ROW.size
    payloads: dict[int, bytes] = {}
    for places in _alike([(SIGNALS[row[0]], row[4]) for row in rows]):
        found, at = _unfold(data, at, rows[places[0]][4], len(places))
        payloads.update(zip(places, found, strict=True))
    if at != len(data):
        raise ValueError(f"no batches: {len(data) - at} bytes too many")
    return [
        Batch(SIGNALS[signal], grade, boot, start, end, points, payloads[number])
        for number, (signal, start, end, points, _) in enumerate(rows)
    ]


def _alike(keys: Sequence[tuple[str, int]]) -> list[list[int]]:
    """The places of the batches of one signal and one length, in the order of their first."""
    groups: dict[tuple[str, int], list[int]] = {}
    for place, key in enumerate(keys):
        groups.setdefault(key, []).append(place)
    return list(groups.values())


def _fold(payloads: Sequence[bytes]) -> list[bytes]:
    """The first payload; if there are more, a byte for each column, 1 where it changed, and the changed columns."""
    if len(payloads) == 1:
        return [payloads[0]]
    numbers = [int.from_bytes(one, "little") for one in payloads]
    length, changes, changed = len(payloads[0]), bytearray(), 0
    for before, after in pairwise(numbers):
        changed |= before ^ after
        changes += (before ^ after).to_bytes(length, "little")
    mask = changed.to_bytes(length, "little").translate(ONES)
    return [payloads[0], mask, b"".join(changes[column::length] for column in _columns(mask))]


def _unfold(data: bytes, at: int, length: int, count: int) -> tuple[list[bytes], int]:
    """So many payloads of that length again, and where they end."""
    first = data[at : at + length]
    at += length
    if count == 1:
        return [first], at
    mask = data[at : at + length]
    at += length
    changes = bytearray((count - 1) * length)
    for column in _columns(mask):
        changes[column::length] = data[at : at + count - 1]
        at += count - 1
    payloads, number = [first], int.from_bytes(first, "little")
    for row in range(count - 1):
        number ^= int.from_bytes(changes[row * length : (row + 1) * length], "little")
        payloads.append(number.to_bytes(length, "little"))
    return payloads, at


def _columns(mask: bytes) -> list[int]:
    return [column for column, changed in enumerate(mask) if changed]


ONES = bytes([0] + [1] * 255)
