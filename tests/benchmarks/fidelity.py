"""A probe's median beside that of a bare loop of the same engine: does the supervision disturb what it measures?

ONNX Runtime and LiteRT are held against a loop of our own (`bare`), OpenVINO against its benchmark_app in sync mode.
"""

from __future__ import annotations

import importlib.util
import os
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass

from edgemon.asking import model_path
from edgemon.config import EMBEDDED
from edgemon.probe import supervisor
from edgemon.probe.result import Outcome, Request
from tests.benchmarks import models
from tests.benchmarks.report import Bound, Conditions, Target, interval, spread, table

BARE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bare.py")
APP = "import sys; sys.modules['openvino_telemetry'] = None; from openvino.tools.benchmark.main import main; main()"
"""OpenVINO's benchmark_app, without the package that phones home."""
PACKAGES = {"onnx": "onnxruntime", "litert": "ai_edge_litert", "openvino": "openvino"}
NICE = 19
GOAL = 0.02


@dataclass(frozen=True, slots=True)
class Case:
    """A model and the engine that runs it."""

    name: str
    engine: str
    model: str


@dataclass(frozen=True, slots=True)
class Round:
    """Medians in seconds, taken right after one another: a probe, a bare loop as nice as it, one at nice 0."""

    probe: float
    bare: float
    eager: float


def run(rounds: int, bound: Bound) -> list[Target]:
    """Measure every model, print, and hold against the goal."""
    print(f"\nfidelity: {rounds} rounds, each a probe and two bare loops in fresh processes")
    rows, targets = [], []
    conditions = Conditions()
    with tempfile.TemporaryDirectory(prefix="edgemon-bench-") as directory:
        for case in cases(directory):
            taken = list[Round]()
            for number in range(rounds):
                bound.say(f"{case.name}, round {number + 1} of {rounds}")
                taken.append(measure(case, number))
                if bound.over():
                    break
            rows.append(_row(case.name, taken))
            targets.append(_target(case.name, taken))
    heads = ["ms; ratio [95 % interval]", "probe", "bare, nice 19", "bare, nice 0", "probe/bare", "bare/bare, nice 0"]
    table("fidelity", heads, rows)
    print(f"  {conditions.tell()}")
    return targets


def cases(directory: str) -> list[Case]:
    """What can be measured here; what cannot is said."""
    made = models.write(directory)
    found = [Case(name, "onnx", path) for name, path in {"mobilenet, int8": model_path(EMBEDDED), **made}.items()]
    found.append(Case("convolutions, fp32, OpenVINO", "openvino", made["convolutions, fp32"]))
    if not missing("litert"):
        found.append(Case("dense, fp32, LiteRT", "litert", models.litert(directory)))
    for engine in PACKAGES:
        if missing(engine):
            print(f"\n{engine} is left out: {missing(engine)}")
    return [case for case in found if not missing(case.engine)]


def missing(engine: str) -> str:
    """Why an engine cannot be measured, or nothing."""
    names = [PACKAGES[engine], f"edgemon.runtimes.{engine}"]
    return ", ".join(f"there is no {name}" for name in names if not importlib.util.find_spec(name))


def measure(case: Case, number: int) -> Round:
    """One round; the order turns from round to round so that a drift of the machine favours none."""
    took: dict[int, float] = {}
    for turn in range(3):
        kind = (turn + number) % 3
        took[kind] = probe(case) if kind == 0 else bare(case, NICE if kind == 1 else 0)
    return Round(took[0], took[1], took[2])


def probe(case: Case) -> float:
    """The median of the steady inferences of one probe, by the path that the daemon takes."""
    result = supervisor.run(Request("bench", case.engine, case.model, idle=0.0))
    if result.outcome is not Outcome.OK:
        raise RuntimeError(f"the probe did not work: {result.outcome.value}, {result.detail}")
    return statistics.median(result.latencies)


def bare(case: Case, nice: int) -> float:
    """The median of the bare loop, in a fresh process, with one thread and the input of seed 0."""
    if case.engine == "openvino":
        return benchmark_app(case.model, nice)
    command = [sys.executable, BARE, case.engine, case.model, "1", "0", str(nice)]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def benchmark_app(model: str, nice: int) -> float:
    """The median that OpenVINO's own tool tells, one thread, one request after the other."""
    options = ["-m", model, "-d", "CPU", "-api", "sync", "-hint", "none", "-nstreams", "1", "-nthreads", "1", "-t", "1"]
    command = ["nice", "-n", str(nice), sys.executable, "-c", APP, *options]
    said = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    found = re.search(r"Median:\s+([\d.]+) ms", said)
    if not found:
        raise RuntimeError(f"benchmark_app tells no median: {said[-300:]}")
    return float(found[1]) / 1000


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
