"""Statistics: against brute force, and against what they promise."""

from __future__ import annotations

import functools
import itertools
import math
import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from edgemon.judge.statistics import bounds, enough, mann_whitney, median, quantile, ratio, spread

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


@functools.cache
def ways(first: int, second: int, u: int) -> int:
    """Mann and Whitney's own recursion: the largest value is one of the first, and above all of the second, or not."""
    if u < 0 or first * second < u:
        return 0
    return 1 if not first or not second else ways(first - 1, second, u - second) + ways(first, second - 1, u)


@pytest.mark.parametrize(("first", "second"), [(1, 1), (3, 10), (5, 20), (12, 7), (25, 20)])
def test_the_p_is_that_of_mann_and_whitneys_recursion(first: int, second: int) -> None:
    chance, total = random.Random(first), math.comb(first + second, first)
    for shift in (0.0, 0.5, 2.0):
        current = [chance.random() + shift for _ in range(first)]
        baseline = [chance.random() for _ in range(second)]
        u = sum(a > b for a in current for b in baseline)
        exact = Fraction(sum(ways(first, second, one) for one in range(u, first * second + 1)), total)
        assert mann_whitney(current, baseline)[1] == pytest.approx(float(exact), rel=1e-12)


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


@pytest.mark.parametrize(
    ("count", "share", "ranks"),
    [
        (100, 0.50, (40, 61)),
        (100, 0.90, (84, 96)),
        (200, 0.90, (171, 189)),
        (200, 0.95, (184, 197)),
        (1000, 0.99, (983, 997)),
        (367, 0.99, (359, None)),
        (368, 0.99, (360, 368)),
        (6, 0.50, (1, 6)),
        (5, 0.50, (None, None)),
        (0, 0.50, (None, None)),
    ],
)
def test_ranks_that_bound_a_quantile_are_those_of_the_binomial_tables(
    count: int, share: float, ranks: tuple[int | None, int | None]
) -> None:
    assert bounds(count, share) == ranks


@given(some.integers(1, 60), some.sampled_from([0.5, 0.9, 0.95, 0.99]))
@settings(deadline=None)
def test_bounds_are_the_tightest_that_exact_enumeration_allows(count: int, share: float) -> None:
    def below(rank: int) -> Fraction:
        """The chance that fewer than `rank` of the samples lie below the quantile."""
        p = Fraction(share).limit_denominator(100)
        return sum((math.comb(count, k) * p**k * (1 - p) ** (count - k) for k in range(rank)), Fraction(0))

    tail = Fraction(25, 1000)
    low = max((rank for rank in range(1, count + 1) if below(rank) <= tail), default=None)
    high = min((rank for rank in range(1, count + 1) if below(rank) >= 1 - tail), default=None)
    assert bounds(count, share) == (low, high)


def test_bounds_of_many_samples_hold_the_quantile_as_often_as_they_say() -> None:
    chance, hits = random.Random(2), 0
    low, high = bounds(300, 0.9)
    assert low
    assert high
    for _ in range(400):
        ordered = sorted(chance.expovariate(1.0) for _ in range(300))
        hits += ordered[low - 1] <= math.log(10) <= ordered[high - 1]
    assert 0.93 < hits / 400 <= 1.0


def test_bounds_of_twenty_thousand_samples_are_those_of_the_normal_limit() -> None:
    low, high = bounds(20000, 0.5)
    assert low == pytest.approx(10000 - 1.96 * math.sqrt(5000), abs=1.5)
    assert high == pytest.approx(10001 + 1.96 * math.sqrt(5000), abs=1.5)


def test_the_spread_is_the_deviation_of_a_normal_over_its_median_and_few_outliers_do_not_show() -> None:
    chance = random.Random(3)
    values = [chance.gauss(10, 0.5) for _ in range(4000)]
    assert spread(values) == pytest.approx(0.05, rel=0.1)
    assert spread([*values, *[1000.0] * 100]) == pytest.approx(0.05, rel=0.1)
    assert spread([0.0, 0.0]) == 0.0
