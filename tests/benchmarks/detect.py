"""After how many rounds a model that became slower is found: `python -m tests.benchmarks detect [--rounds N]`.

Each trial is some quiet rounds, then rounds in which the model does 5 or 10 % more work until the verdict says so; the
slow-down comes in the middle of a worker's life if it stays. `--rounds` is the number of trials of each size.

A host whose clock rises takes a slow-down back: where the compute kernel says that the device was so much faster than
at the baseline that less than half of it was left, nothing was slower, and the trial is told as hidden, not as missed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, repeat

from edgemon.judge.compare import COMPUTE
from edgemon.judge.statistics import median
from edgemon.judge.verdict import State
from tests.benchmarks.bench import RUNS, Bench
from tests.benchmarks.report import Bound, Conditions, Target, quantile, table

CALM = 6
"""Quiet rounds before each slow-down: more than a verdict is on."""
SIZES = {"5 %": (RUNS * 105 // 100, 30), "10 %": (RUNS * 110 // 100, 10)}
"""Runs in the place of twenty, and the rounds within which that must be found."""
SHARE = 0.95
"""Of the trials, what must be found in time."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The round after the slow-down whose verdict says so, 0 if none did; whether a faster device hid it."""

    found: int
    hidden: bool

    def __str__(self) -> str:
        return f"found after {self.found} rounds" if self.found else "hidden" if self.hidden else "not found"


def run(trials: int, worker: str, bound: Bound) -> list[Target]:
    """Measure, print, and hold against the goals."""
    print(f"\ndetection: {trials} slow-downs of 10 % and of 5 %, after {CALM} quiet rounds each, worker: {worker}")
    conditions, found = Conditions(), {size: list[Trial]() for size in SIZES}
    with tempfile.TemporaryDirectory(prefix="edgemon-detect-") as directory:
        bench = Bench(directory, worker, bound)
        try:
            bench.learn()
            for number in range(trials):
                for size, (runs, most) in reversed(SIZES.items()):
                    if bound.over():
                        break
                    found[size].append(trial(bench, runs, most))
                    bound.say(f"trial {number + 1} of {trials}, {size}: {found[size][-1]}")
        finally:
            bench.close()
    table("rounds from a slow-down to the verdict degraded", HEADS, [_row(size, one) for size, one in found.items()])
    print(f"  {conditions.tell()}")
    return [_target(size, one) for size, one in found.items() if one]


def trial(bench: Bench, runs: int, most: int) -> Trial:
    """Quiet rounds, then slow ones until the verdict says so, and how fast the device was meanwhile."""
    work: Iterator[int] = chain(repeat(RUNS, CALM), repeat(runs, most))
    device: list[float] = []
    for number, (one, verdict) in enumerate(bench.follow(work, []), 1):
        device += [one.references[COMPUTE]] * (number > CALM)
        if number > CALM and verdict.state is State.DEGRADED:
            return Trial(number - CALM, False)
    assert bench.baseline
    left = runs / RUNS * median(device) / median(bench.baseline.references[COMPUTE]) - 1
    return Trial(0, left < (runs / RUNS - 1) / 2)


HEADS = ["slower by", "trials", "hidden", "found", "in time within", "median", "p90", "slowest"]


def _row(size: str, trials: list[Trial]) -> list[str]:
    hits = [one.found for one in trials if one.found]
    told = [f"{quantile(hits or [0], share):g}" for share in (0.5, 0.9, 1.0)]
    hidden = sum(one.hidden for one in trials)
    return [size, str(len(trials)), str(hidden), str(len(hits)), f"{SIZES[size][1]} rounds", *told]


def _target(size: str, trials: list[Trial]) -> Target:
    real = [one for one in trials if not one.hidden]
    hits = sum(bool(one.found) for one in real)
    promise = f"{size} slower found within {SIZES[size][1]} rounds, in {SHARE:.0%} of trials"
    return Target(promise, f"{hits} of {len(real)}", hits >= SHARE * len(real))
