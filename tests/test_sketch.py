"""The exponential sketch: OpenTelemetry's buckets, and classic ones cut from them exactly."""

from __future__ import annotations

import bisect
import math

from hypothesis import given
from hypothesis import strategies as st

from edgemon.sketch import BOUNDS, SCALE, Exponential, Sketch

VALUES = st.lists(st.floats(1e-7, 1e3), max_size=60)


def counted(values: list[float]) -> Exponential:
    sketch = Sketch()
    sketch.add(values)
    return sketch.exponential()


@given(VALUES)
def test_every_value_lies_in_the_bucket_that_counts_it(values: list[float]) -> None:
    told, base = counted(values), 2 ** (1 / 2**SCALE)
    assert told.count == len(values)
    assert math.isclose(told.sum, math.fsum(values), abs_tol=1e-12)
    for number, count in enumerate(told.counts):
        low = base ** (told.offset + number)
        assert sum(low * (1 + 1e-12) < value <= low * base * (1 - 1e-12) for value in values) <= count


@given(VALUES)
def test_classic_buckets_count_the_values_up_to_their_bound(values: list[float]) -> None:
    ordered = sorted(values)
    classic = list(counted(values).classic())
    assert [bound for bound, _ in classic] == [*BOUNDS, math.inf]
    for bound, count in classic:
        near = bisect.bisect_left(ordered, bound * (1 - 1e-12)), bisect.bisect_right(ordered, bound * (1 + 1e-12))
        assert near[0] <= count <= near[1], "a value on the bound itself may be rounded to either side"


def test_powers_of_two_lie_in_the_bucket_that_ends_with_them() -> None:
    for power in range(-16, 4):
        counts = dict(counted([2.0**power]).classic())
        assert counts[2.0**power] == 1
        assert counts[BOUNDS[BOUNDS.index(2.0**power) - 1]] == 0


@given(VALUES, VALUES)
def test_counts_only_grow_and_the_bounds_stay_so_that_any_two_add_up(some: list[float], more: list[float]) -> None:
    sketch = Sketch()
    sketch.add(some)
    before = list(sketch.exponential().classic())
    sketch.add(more)
    after, other = list(sketch.exponential().classic()), list(counted(more).classic())
    assert [count for _, count in after] == [a + b for (_, a), (_, b) in zip(before, other, strict=True)]
    assert [bound for bound, _ in after] == [bound for bound, _ in before]


def test_nothing_and_zero_are_counted_too() -> None:
    assert counted([]) == Exponential(SCALE, 0, (), 0, 0.0)
    assert counted([]).count == 0
    told = counted([0.0, 1.0])
    assert (told.zeros, told.count) == (1, 2)
    assert next(iter(told.classic())) == (BOUNDS[0], 1)


def test_what_was_told_does_not_change_with_the_sketch() -> None:
    sketch = Sketch()
    sketch.add([1.0])
    told = sketch.exponential()
    sketch.add([1.0, 2.0])
    assert (told.count, sketch.count) == (1, 3)
