"""Fuzzing: what comes from outside, spoiled in every way, and held against the promise that nothing but it suffers.

Each surface has a corpus of good inputs, which are cut, repeated, spliced and salted. `make test` tries a few hundred
cases of each, always the same; `make fuzz`, or EDGEMON_FUZZ_CASES=20000, as many as it is told, others in every run.
The seed is printed: EDGEMON_FUZZ_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence

CASES = int(os.environ.get("EDGEMON_FUZZ_CASES", "0"))
SEED = int(os.environ.get("EDGEMON_FUZZ_SEED") or (random.randrange(1 << 32) if CASES else 1))
COUNTS: Counter[str] = Counter()
"""Cases tried by surface."""


def chances(surface: str, few: int) -> Iterator[random.Random]:
    """So many sources of chance, or as many as the environment says; each is a case."""
    for number in range(CASES or few):
        COUNTS[surface] += 1
        yield random.Random(f"{SEED} {surface} {number}")


def spoiled(surface: str, few: int, corpus: Sequence[bytes], salt: Sequence[bytes]) -> Iterator[bytes]:
    """Good inputs, each spoiled in up to six places."""
    for chance in chances(surface, few):
        data = chance.choice(corpus)
        for _ in range(chance.randint(1, 6)):
            data = _spoil(data, chance, chance.choice(salt), chance.choice(corpus))
        yield data


def _spoil(data: bytes, chance: random.Random, salt: bytes, other: bytes) -> bytes:
    at, length = chance.randrange(len(data) + 1), chance.choice((0, 1, 2, 5, 20, 100))
    head, middle, tail = data[:at], data[at : at + length], data[at + length :]
    flipped = bytes(byte ^ (1 << chance.randrange(8)) for byte in middle[:1]) + middle[1:]
    else_ = chance.randrange(len(other) + 1)
    return head + chance.choice(
        (
            tail,
            salt + middle + tail,
            salt + tail,
            middle * 3 + tail,
            flipped + tail,
            other[else_ : else_ + 10 * length] + tail,
            tail[:length] + middle + tail[length:],
        )
    )


YAML = [
    b"\n", b" ", b": ", b"- ", b"{", b"}", b"[", b"]", b"&a ", b"*a", b"!!int ", b"!!python/object:os.system ", b"|\n",
    b">", b"'", b'"', b"#", b"%", b"null", b"~", b"true", b"-1", b"1e999", b".nan", b".inf", b"9" * 40, b"0x", b"0b",
    b"2001-01-01", b"<<: ", b"\t", b"\0", b"\xff", "\u202e".encode(), b"\xed\xa0\x80", b"---\n", b"${HOME}", b"../" * 8,
    b"/dev/zero", b"? ", b"''", b"a" * 300,
]  # fmt: skip
"""What means something in YAML, or did to somebody's parser."""
