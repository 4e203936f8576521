"""Packing: the same batches again, in few bytes, and an error for everything else."""

from __future__ import annotations

import random
import zlib

import pytest

from edgemon.sinks.otlp.batch import SIGNALS, Batch
from edgemon.spool.pack import pack, unpack
from tests.spool import BOOT, batch


def test_what_is_packed_is_unpacked() -> None:
    """Of any signals, lengths and contents, empty ones included; 300 by chance, the same ones every time."""
    chance = random.Random(1)
    for _ in range(300):
        grade, kinds = chance.randrange(3), [chance.randrange(40) for _ in range(3)]
        batches = [
            Batch(
                chance.choice(SIGNALS), grade, BOOT, chance.getrandbits(64), chance.getrandbits(64),
                chance.getrandbits(32), chance.randbytes(chance.choice([0, *kinds])),
            )
            for _ in range(chance.randrange(1, 12))
        ]  # fmt: skip
        assert unpack(pack(batches)) == batches


def test_batches_that_are_alike_cost_little_more_than_one() -> None:
    """Where each is longer than deflate's window, so that it would find nothing of the one before."""
    batches = [batch(number, 50_000) for number in range(30)]
    one, all_of_them = len(pack(batches[:1])), len(pack(batches))
    assert all_of_them < 6 * one
    assert len(zlib.compress(b"".join(one.payload for one in batches))) > 25 * one


def test_bytes_that_are_no_batches_are_refused() -> None:
    """Cut off at every byte, or nothing of the kind."""
    data = pack([batch(number, 60) for number in range(3)])
    broken = [data[:end] for end in range(len(data))]
    broken += [b"", b"\0" * 100, zlib.compress(b""), zlib.compress(b"\0" * 300), random.Random(1).randbytes(100)]
    for raw in broken:
        with pytest.raises(ValueError, match="no batches"):
            unpack(raw)
