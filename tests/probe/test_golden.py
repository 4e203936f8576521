"""The ladder by which outputs are compared: bits, largest difference, cosine, largest element, NaN, shape."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemon.probe.golden import distance, finite, tensor, wrong
from edgemon.probe.result import Tolerance

NUMBERS = st.floats(-1e6, 1e6, width=32)
VECTORS = st.lists(NUMBERS, min_size=1, max_size=20)


def one(*values: float, name: str = "y", shape: list[int] | None = None) -> list[list[dict[str, Any]]]:
    """The outputs for one input: one tensor."""
    raw = struct.pack(f"{len(values)}f", *values)
    return [[tensor(name, "float32", [len(values)] if shape is None else shape, raw, values)]]


def test_a_tensor_is_plain_values_and_a_digest_of_all_its_bytes() -> None:
    made = tensor("y", "float32", (2, 1), b"bytes", (1, 2))
    digest = hashlib.sha256(b"bytes").hexdigest()
    assert made == {"name": "y", "dtype": "float32", "shape": [2, 1], "sha256": digest, "values": [1.0, 2.0]}


@given(VECTORS)
def test_an_output_is_at_no_distance_from_itself(values: list[float]) -> None:
    measured = distance(one(*values), one(*values))
    assert {name: measured[name] for name in ("bits", "max_abs", "top1")} == {"bits": 0, "max_abs": 0, "top1": 0}
    assert measured["cosine"] == pytest.approx(0, abs=1e-6)
    assert wrong(measured, Tolerance(max_abs=0.0, cosine=0.999, top1=True)) == ""


@given(VECTORS, st.data())
def test_every_measure_stays_in_its_range(golden: list[float], data: st.DataObject) -> None:
    ours = data.draw(st.lists(NUMBERS, min_size=len(golden), max_size=len(golden)))
    measured = distance(one(*ours), one(*golden))
    assert measured["bits"] in {0.0, 1.0}
    assert measured["top1"] in {0.0, 1.0}
    assert measured["max_abs"] >= 0
    assert -1e-9 <= measured["cosine"] <= 2 + 1e-9


def test_bits_differ_where_values_agree_within_tolerance() -> None:
    measured = distance(one(1.0, 2.0), one(1.0, 2.000001))
    assert measured["bits"] == 1.0
    assert wrong(measured, Tolerance()) == ""


def test_max_abs_is_relative_to_the_largest_golden_magnitude() -> None:
    measured = distance(one(-8.0, 3.0), one(-10.0, 3.0))
    assert measured["max_abs"] == pytest.approx(0.2)
    assert wrong(measured, Tolerance(max_abs=0.1)) == "largest difference is 0.2 of the golden range, allowed 0.1"
    assert wrong(measured, Tolerance(max_abs=0.2 + 1e-9, cosine=0.9)) == ""


def test_max_abs_is_absolute_where_all_golden_values_are_zero() -> None:
    assert distance(one(0.5, 0.0), one(0.0, 0.0))["max_abs"] == 0.5


def test_cosine_tells_another_direction_that_a_wide_max_abs_lets_pass() -> None:
    measured = distance(one(1.0, 0.0), one(0.0, 1.0))
    assert measured["cosine"] == 1.0
    assert "cosine similarity is 0.00000, allowed from 0.99" in wrong(measured, Tolerance(max_abs=10))


def test_a_zero_output_against_a_golden_that_is_not_is_as_far_as_can_be() -> None:
    assert distance(one(0.0, 0.0), one(0.0, 1.0))["cosine"] == 1.0
    assert distance(one(0.0, 0.0), one(0.0, 0.0))["cosine"] == 0.0


def test_top1_counts_only_when_asked_for() -> None:
    measured = distance(one(1.00, 1.01), one(1.01, 1.00))
    assert measured["top1"] == 1.0
    assert wrong(measured, Tolerance()) == ""
    assert wrong(measured, Tolerance(top1=True)) == "the largest element moved for 100 % of the outputs"


def test_the_worst_of_all_inputs_and_tensors_counts_and_shares_are_of_all() -> None:
    measured = distance(one(1.0, 2.0) + one(5.0, 2.0), one(1.0, 2.0) + one(1.0, 2.0))
    assert (measured["bits"], measured["top1"], measured["max_abs"]) == (0.5, 0.5, 2.0)


@pytest.mark.parametrize(
    "ours",
    [
        one(1.0, 2.0, name="z"),
        one(1.0, 2.0, shape=[2, 1]),
        one(1.0),
        [[]],
        [],
        one(1.0, 2.0) * 2,
        [one(1.0, 2.0)[0] * 2],
    ],
    ids=["name", "rank", "size", "no tensor", "no input", "one input more", "one tensor more"],
)
def test_other_names_shapes_or_counts_are_wrong_whatever_the_tolerance(ours: list[list[dict[str, Any]]]) -> None:
    measured = distance(ours, one(1.0, 2.0))
    assert measured == {}
    assert wrong(measured, Tolerance(1e6, -1)) == "outputs have other names or shapes than the golden ones"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_infinity_are_not_finite_wherever_they_stand(bad: float) -> None:
    assert finite(one(1.0) + one(2.0))
    assert not finite(one(1.0) + one(2.0, bad))


def test_empty_tensors_agree() -> None:
    measured = distance(one(), one())
    assert (measured["max_abs"], measured["top1"]) == (0.0, 0.0)
    assert wrong(measured, Tolerance()) == ""
