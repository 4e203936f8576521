"""Broken and hostile files: a clear ValueError or an honest count, in bounded time and memory, whatever the bytes."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tflite import TensorType as Type

from edgemon import anatomy
from edgemon.anatomy import onnx as graphs
from edgemon.anatomy import tflite
from edgemon.anatomy.budget import Budget
from edgemon.models import make
from tests.anatomy import model
from tests.anatomy.test_tflite import mobile

READERS = (graphs, tflite)
SEEDS = (
    Path(make.__file__).with_name("mobilenet.onnx").read_bytes(),
    mobile(Type.INT8, Type.INT32).build(),
    model("""g (float[n,8] x, float[8,8] w) => (y) <int64[2] to = {-1, 4}, bool c = {1}> {
        s = Shape(x)  r = Reshape(x, to)  e = Expand(x, s)  t = Transpose(r)
        y = If <then_branch = one () => (float[n,8] a) { a = MatMul(e, w) },
                else_branch = two () => (float[n,8] b) { b = Identity(x) }> (c) }""").SerializeToString(),
)  # fmt: skip


def survive(data: bytes) -> None:
    """Count it both ways; anything but a count or a ValueError fails the test."""
    for reader in READERS:
        try:
            told = reader.count(memoryview(data), {}).result()
        except ValueError:
            continue
        else:
            assert told["macs"] >= 0
            assert 0.0 <= told["coverage"] <= 1.0


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_every_truncation_is_survived(seed: int) -> None:
    data = SEEDS[seed]
    for length in [*range(min(len(data), 200)), *range(200, len(data), max(1, len(data) // 100))]:
        survive(data[:length])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.binary(max_size=400))
def test_random_bytes_are_survived(data: bytes) -> None:
    survive(data)


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_spoilt_bytes_are_survived(seed: int) -> None:
    """Single bytes set to what hurts varints, lengths and offsets most, near the front where the structure is."""
    chance = random.Random(seed)
    for _ in range(150):
        data = bytearray(SEEDS[seed])
        for _ in range(chance.choice([1, 2, 8, 64])):
            data[chance.randrange(len(data))] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        survive(bytes(data))


def number(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def field(at: int, data: bytes) -> bytes:
    return number(at << 3 | 2) + number(len(data)) + data


def bomb(kind: str) -> bytes:
    """A file made to cost as much as it can."""
    if kind == "fields":
        return field(7, b"".join(field(1, field(4, b"Relu")) for _ in range(400000)))
    if kind == "numbers":
        return field(7, field(1, field(5, field(8, b"\1" * 3000000)) + field(4, b"Add")))
    if kind == "nested":
        inner = b""
        for _ in range(5000):
            inner = field(1, field(4, b"If") + field(5, field(1, b"then_branch") + field(6, inner)))[:60000]
        return field(7, inner)
    if kind == "names":
        return field(7, field(1, field(1, b"x" * 3000000) * 25))
    if kind == "functions":  # each calls the next eight times: 8 ** 12 nodes
        calls = [
            field(1, b"f%d" % n) + field(10, b"l") + field(7, field(4, b"f%d" % (n + 1)) + field(7, b"l")) * 8
            for n in range(12)
        ]
        return field(7, field(1, field(4, b"f0") + field(7, b"l"))) + b"".join(field(25, one) for one in calls)
    empty = field(
        5, number(1 << 3) + number(0) + number(1 << 3) + number(1 << 40) + number(2 << 3) + number(7) + field(8, b"e")
    )
    return field(7, empty + field(1, field(1, b"e") + field(2, b"t") + field(4, b"Transpose")))


KINDS = ["fields", "numbers", "nested", "names", "functions", "empty"]
PROGRAM = """
import resource, sys, time
from edgemon import anatomy
from edgemon.anatomy import onnx, tflite
began = time.process_time()
sum(range(10 ** 7))
unit, before = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.process_time()
try:
    anatomy.count(sys.argv[1], {})
except ValueError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, (time.process_time() - began) / unit)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_bomb_costs_a_bounded_memory_and_time(kind: str, tmp_path: Path) -> None:
    """In a process of its own: memory above the start with what of the file was touched, CPU in sums of ten million."""
    path = tmp_path / "bomb.onnx"
    path.write_bytes(bomb(kind))
    command = [sys.executable, "-c", PROGRAM, str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()
    grown, sums = said[-1].split()
    assert int(grown) < 400 << 10
    assert float(sums) < 100


def test_the_budget_ends_with_its_units_or_its_time() -> None:
    budget = Budget(3)
    budget.spend(3)
    with pytest.raises(ValueError, match="too large to be counted"):
        budget.spend()
    late = Budget(10000, seconds=-1.0)
    late.spend(999)  # the clock is looked at every thousand units
    with pytest.raises(ValueError, match="takes too long to be counted on this device"):
        late.spend(2)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "cannot be read"),
        (b"<?xml version='1.0'?><net/>", "read as ONNX: it "),
        (b"\x1c\0\0\0TFL3", "read as LiteRT: the model is cut off or broken: it points to byte 28 of 8"),
        (field(1, b"x"), "read as ONNX: the model holds no graph: it is no ONNX model"),
    ],
)
def test_what_is_no_model_is_refused_with_the_reason(data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=says):
        anatomy.count(str(path), {})
