"""After how many rounds a model that became slower is found: `python -m tests.benchmarks detect [--rounds N]`.

Each trial is some quiet rounds, then rounds in which the model does 5 or 10 % more work until the verdict says so; the
slow-down comes in the middle of a worker's life if it stays. `--rounds` is the number of trials of each size.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import chain, repeat

from edgemon.judge.verdict import State
from tests.benchmarks.bench import RUNS, Bench
from tests.benchmarks.report import Bound, Conditions, Target, quantile, table

CALM = 6
"""Quiet rounds before each slow-down: more than a verdict is on."""
SIZES = {"5 %": (RUNS * 105 // 100, 30), "10 %": (RUNS * 110 // 100, 10)}
"""Runs in the place of twenty, and the rounds within which that must be found."""
SHARE = 0.95
"""Of the trials, what must be found in time."""


def run(trials: int, worker: str, bound: Bound) -> list[Target]:
    """Measure, print, and hold against the goals."""
    print(f"\ndetection: {trials} slow-downs of 10 % and of 5 %, after {CALM} quiet rounds each, worker: {worker}")
    conditions, found = Conditions(), {size: list[int]() for size in SIZES}
    with tempfile.TemporaryDirectory(prefix="edgemon-detect-") as directory:
        bench = Bench(directory, worker, bound)
        try:
            bench.learn()
            for number in range(trials):
                for size, (runs, most) in reversed(SIZES.items()):
                    if bound.over():
                        break
                    found[size].append(trial(bench, runs, most))
                    bound.say(f"trial {number + 1} of {trials}, {size}: {found[size][-1] or 'not'} found")
        finally:
            bench.close()
    table("rounds from a slow-down to the verdict degraded", HEADS, [_row(size, one) for size, one in found.items()])
    print(f"  {conditions.tell()}")
    return [_target(size, one) for size, one in found.items() if one]


def trial(bench: Bench, runs: int, most: int) -> int:
    """The round after the slow-down whose verdict says so, 0 if none did."""
    work: Iterator[int] = chain(repeat(RUNS, CALM), repeat(runs, most))
    for number, (_, verdict) in enumerate(bench.follow(work, []), 1):
        if number > CALM and verdict.state is State.DEGRADED:
            return number - CALM
    return 0


HEADS = ["slower by", "trials", "found", "in time within", "median", "p90", "slowest"]


def _row(size: str, rounds: list[int]) -> list[str]:
    hits = [one for one in rounds if one] or [0]
    told = [f"{quantile(hits, share):g}" for share in (0.5, 0.9, 1.0)]
    return [size, str(len(rounds)), str(sum(map(bool, rounds))), f"{SIZES[size][1]} rounds", *told]


def _target(size: str, rounds: list[int]) -> Target:
    hits = sum(map(bool, rounds))
    promise = f"{size} slower found within {SIZES[size][1]} rounds, in {SHARE:.0%} of trials"
    return Target(promise, f"{hits} of {len(rounds)}", hits >= SHARE * len(rounds))
