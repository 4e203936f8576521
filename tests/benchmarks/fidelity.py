"""A probe's median beside that of a bare ONNX Runtime loop: does the supervision disturb what it measures?"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass

from edgemon.config import EMBEDDED
from edgemon.probe import supervisor
from edgemon.probe.result import Outcome, Request
from edgemon.prober import model_path
from tests.benchmarks import models
from tests.benchmarks.report import Conditions, Target, interval, spread, table

BARE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bare.py")
NICE = 19
GOAL = 0.02


@dataclass(frozen=True, slots=True)
class Round:
    """Medians in seconds, taken right after one another: a probe, a bare loop as nice as it, one at nice 0."""

    probe: float
    bare: float
    eager: float


def run(quick: bool) -> list[Target]:
    """Measure every model, print, and hold against the goal."""
    rounds = 5 if quick else 20
    rows, targets = [], []
    conditions = Conditions()
    with tempfile.TemporaryDirectory(prefix="edgemon-bench-") as directory:
        for name, path in {"mobilenet, int8": model_path(EMBEDDED), **models.write(directory)}.items():
            taken = [measure(path, number) for number in range(rounds)]
            rows.append(_row(name, taken))
            targets.append(_target(name, taken))
    heads = ["ms; ratio [95 % interval]", "probe", "bare, nice 19", "bare, nice 0", "probe/bare", "bare/bare, nice 0"]
    print(f"\nfidelity: {rounds} rounds, each a probe and two bare loops in fresh processes; {conditions.tell()}")
    table("fidelity", heads, rows)
    return targets


def measure(model: str, number: int) -> Round:
    """One round; the order turns from round to round so that a drift of the machine favours none."""
    took: dict[int, float] = {}
    for turn in range(3):
        kind = (turn + number) % 3
        took[kind] = probe(model) if kind == 0 else bare(model, NICE if kind == 1 else 0)
    return Round(took[0], took[1], took[2])


def probe(model: str) -> float:
    """The median of the steady inferences of one probe, by the path that the daemon takes."""
    result = supervisor.run(Request("bench", "onnx", model, idle=0.0))
    if result.outcome is not Outcome.OK:
        raise RuntimeError(f"the probe did not work: {result.outcome.value}, {result.detail}")
    return statistics.median(result.latencies)


def bare(model: str, nice: int) -> float:
    """The median of the bare loop, in a fresh process, with one thread and the input of seed 0."""
    command = [sys.executable, BARE, model, "1", "0", str(nice)]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def _row(name: str, taken: list[Round]) -> list[str]:
    columns = [[one.probe for one in taken], [one.bare for one in taken], [one.eager for one in taken]]
    times = [f"{statistics.median(column) * 1000:.4f}" for column in columns]
    return [name, *times, spread(_ratios(taken)), spread([one.bare / one.eager for one in taken])]


def _ratios(taken: list[Round]) -> list[float]:
    return [one.probe / one.bare for one in taken]


def _target(name: str, taken: list[Round]) -> Target:
    ratio = statistics.median(_ratios(taken))
    low, high = interval(_ratios(taken))
    measured = f"{ratio - 1:+.1%} [{low - 1:+.1%}, {high - 1:+.1%}]"
    return Target(f"probe within 2 % of the bare loop: {name}", measured, abs(ratio - 1) <= GOAL)
