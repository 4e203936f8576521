"""The ladder by which outputs are compared: bits, largest difference, cosine, largest element, NaN, shape."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemon.probe.golden import LONGEST, TOP, between, distance, finite, plain, tensor, wrong
from edgemon.probe.result import Tolerance
from edgemon.probe.watch import ANSWER

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


# top k


def test_topk_is_the_share_of_the_largest_that_are_no_longer_among_them() -> None:
    golden = one(9.0, 8.0, 7.0, 6.0, 1.0, 0.0)
    assert distance(one(8.0, 9.0, 7.0, 6.0, 1.0, 0.0), golden, 4)["topk"] == 0.0, "their order does not count"
    assert distance(one(9.0, 8.0, 7.0, 0.0, 1.0, 6.0), golden, 4)["topk"] == 0.25
    assert distance(one(0.0, 1.0, 6.0, 7.0, 8.0, 9.0), golden, 2)["topk"] == 1.0


def test_agreement_of_the_largest_counts_only_when_asked_for() -> None:
    measured = distance(one(9.0, 8.0, 7.0, 0.0, 1.0, 6.0), one(9.0, 8.0, 7.0, 6.0, 1.0, 0.0), 4)
    tolerant = Tolerance(max_abs=10, cosine=-1, top_k=4)
    assert wrong(measured, tolerant) == ""
    said = wrong(measured, replace(tolerant, agreement=0.9))
    assert said == "75 % of the 4 largest elements stayed among them, allowed from 90 %"
    assert wrong(measured, replace(tolerant, agreement=0.75)) == ""


# large outputs


def test_a_large_output_is_kept_as_an_even_sample_with_the_places_of_its_largest() -> None:
    array = np.random.RandomState(0).random_sample(1_000_000).astype("float32")
    kept = plain(np, "y", array)
    assert kept["shape"] == [1_000_000]
    assert kept["sha256"] == hashlib.sha256(array.tobytes()).hexdigest()
    assert len(kept["values"]) <= LONGEST
    assert kept["values"] == array[:: kept["step"]].tolist()
    assert kept["top"] == np.argsort(-array, kind="stable")[:TOP].tolist()


@pytest.mark.parametrize("tensors", [1, 10, 64])
def test_all_outputs_of_all_inputs_together_stay_bounded(tensors: int) -> None:
    inputs, array = 16, np.random.RandomState(0).random_sample(100_000)
    one_tensor = plain(np, "y", array, inputs * tensors)
    assert len(json.dumps([[one_tensor] * tensors] * inputs)) < ANSWER / 2


def test_one_element_that_becomes_the_largest_of_a_large_output_is_seen_though_it_is_not_in_the_sample() -> None:
    array = np.random.RandomState(0).random_sample(100_000).astype("float32")
    golden = plain(np, "y", array)
    array[golden["step"] + 1] = 2.0
    measured = distance([[plain(np, "y", array)]], [[golden]])
    assert (measured["bits"], measured["max_abs"]) == (1.0, 0.0)
    assert measured["top1"] == 1.0
    assert measured["topk"] == pytest.approx(0.2)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_one_nan_anywhere_in_a_large_output_is_seen(bad: float) -> None:
    array: Any = np.zeros(100_000, "float32")
    array[54321] = bad
    assert not finite([[plain(np, "y", array)]])


def test_samples_taken_in_other_steps_are_not_compared() -> None:
    array = np.random.RandomState(0).random_sample(100_000)
    assert distance([[plain(np, "y", array)]], [[plain(np, "y", array, 64)]]) == {}


def test_quantised_values_are_compared_as_real_ones() -> None:
    kept = plain(np, "y", np.array([0, 128, 255], "uint8"), 1, 0.5, 128)
    assert kept["values"] == [-64.0, 0.0, 63.5]
    assert kept["dtype"] == "uint8"


# variants of one model


def test_variants_are_compared_in_order_whatever_their_tensors_are_called() -> None:
    ours, theirs = one(1.0, 2.0, name="y"), one(1.0, 2.1, name="StatefulPartitionedCall:0")
    assert distance(ours, theirs) == {}
    assert between(ours, theirs)["max_abs"] == pytest.approx(0.1 / 2.1)
    assert between(ours, one(1.0)) == {}
