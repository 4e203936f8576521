"""Statistics: against brute force, and against what they promise."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as some

from edgemon.judge.statistics import enough, mann_whitney, median, quantile, ratio

values = some.lists(some.floats(0.5, 2.0), min_size=1, max_size=7)


def test_the_exact_p_counts_arrangements() -> None:
    """Of all ways to choose which 3 of 7 ranks are the current ones, the share with so large a U."""
    current, baseline = [3.0, 6.0, 7.0], [1.0, 2.0, 4.0, 5.0]
    u = sum(a > b for a in current for b in baseline)
    ways = [sum(a > b for a in pick for b in set(range(7)) - set(pick)) for pick in itertools.combinations(range(7), 3)]
    assert mann_whitney(current, baseline)[1] == pytest.approx(sum(way >= u for way in ways) / len(ways))


def test_three_rounds_above_ten_have_p_one_in_286() -> None:
    a12, p = mann_whitney([3, 4, 5], [1 + step / 100 for step in range(10)])
    assert a12 == 1.0
    assert p == pytest.approx(1 / 286)


def test_ties_make_p_larger_never_smaller() -> None:
    assert mann_whitney([1, 1, 1], [1] * 10) == (0.5, 1.0)


@given(values, values)
def test_the_ratio_lies_within_its_bounds_and_turns_with_its_arguments(a: list[float], b: list[float]) -> None:
    estimate, low, high = ratio(a, b)
    assert low <= estimate <= high
    assert ratio(b, a)[0] == pytest.approx(1 / estimate)


def test_bounds_cover_the_truth_at_least_as_often_as_they_say() -> None:
    chance, hits = random.Random(1), 0
    for _ in range(400):
        current = [1.1 * math.exp(chance.gauss(0, 0.03)) for _ in range(5)]
        baseline = [math.exp(chance.gauss(0, 0.03)) for _ in range(10)]
        _, low, high = ratio(current, baseline)
        hits += low <= 1.1 <= high
    assert hits / 400 > 0.93


def test_samples_too_small_for_the_confidence_have_no_bounds() -> None:
    assert ratio([1.0], [1.0, 1.1])[1:] == (0.0, math.inf)


@pytest.mark.parametrize(
    ("count", "share", "there"),
    [(5, 0.5, True), (4, 0.5, False), (28, 0.9, False), (29, 0.9, True), (298, 0.99, False), (299, 0.99, True)],
)
def test_a_percentile_is_claimed_only_when_some_sample_lies_beyond_it(count: int, share: float, there: bool) -> None:
    assert enough(count, share) is there


@given(some.lists(some.floats(-1e6, 1e6), min_size=1))
def test_quantiles_are_values_that_were_measured(sample: list[float]) -> None:
    ordered = sorted(sample)
    assert quantile(ordered, 0.9) in sample
    assert quantile(ordered, 1.0) == ordered[-1]
    assert ordered[0] <= median(sample) <= ordered[-1]


def test_the_median_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="median of nothing"):
        median([])
