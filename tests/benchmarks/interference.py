"""What production feels: `python -m tests.benchmarks interference [--rounds N] [--minutes N]`.

A loop that runs a model forty times a second has a core; edgemon, its sensors and its worker are on that same core, as
it comes: one probe a minute, at the default budget and priority. Minutes in which edgemon runs alternate with minutes
in which it and its worker are stopped (SIGSTOP), and each pair gives the ratio of the 99th percentile of the frames.
`--rounds` is the number of pairs.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil

from edgemon.asking import model_path
from edgemon.config import EMBEDDED
from tests.benchmarks import process, trouble
from tests.benchmarks.report import Bound, Conditions, Target, interval, quantile, spread, table

RATE, RUNS = 40.0, 20
"""Frames a second, and runs of the embedded model that make one: some 5 ms."""
BLOCK = 60.0
"""Seconds of each kind: the default interval of a probe."""
GOAL = 1.05
PRODUCTION = os.path.join(os.path.dirname(os.path.abspath(__file__)), "production.py")


class Loop:
    """The production loop, and the latencies it has told."""

    def __init__(self, core: int) -> None:
        command = [sys.executable, PRODUCTION, str(core), str(RATE), model_path(EMBEDDED), str(RUNS)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)

    def block(self, seconds: float, bound: Bound, text: str) -> list[float]:
        """The latencies of the frames due in the next so many seconds."""
        assert self._process.stdout
        begin, found = time.monotonic(), list[float]()
        for line in self._process.stdout:
            due, took = map(float, line.split())
            bound.say(f"{text}, {len(found)} frames")
            if due > begin + seconds:
                return found
            if due >= begin:
                found.append(took)
        raise RuntimeError("the production loop has ended")

    def close(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.wait()


def run(pairs: int, quick: bool, bound: Bound) -> list[Target]:
    """Measure, print, and hold against the goal."""
    seconds, core, conditions = 5.0 if quick else BLOCK, trouble.cores()[-1], Conditions()
    print(f"\ninterference: {pairs} pairs of {seconds:g} s with edgemon and {seconds:g} s without, {RATE:g} frames a "
          f"second on core {core}, which edgemon shares")  # fmt: skip
    taken: list[tuple[list[float], list[float]]] = []
    settings: dict[str, object] = {"probes": {"default": {"interval": "2s"} if quick else {}}}
    with _on(core), process.edgemon("edgemon", settings) as daemon, contextlib.closing(Loop(core)) as loop:
        loop.block(2.0, bound, "settling")
        for number in range(pairs):
            if bound.over():
                break
            text = f"pair {number + 1} of {pairs}"
            kinds = {}
            for on in (True, False) if number % 2 else (False, True):
                with contextlib.nullcontext() if on else stopped(daemon.pid):
                    kinds[on] = loop.block(seconds, bound, f"{text}, {'with' if on else 'without'}")
            taken.append((kinds[True], kinds[False]))
        probes = _probes(daemon)
    print(f"  {conditions.tell()}; {probes:g} probes ran")
    return _told(taken)


@contextlib.contextmanager
def _on(core: int) -> Iterator[None]:
    """What is started meanwhile runs on this core only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The daemon and its workers stopped, once no worker is at work."""
    daemon = psutil.Process(pid)
    while any(_busy(one) for one in daemon.children(recursive=True)):
        time.sleep(0.2)
    family = [daemon, *daemon.children(recursive=True)]
    for one in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.suspend()
    try:
        yield
    finally:
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.resume()


def _busy(one: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        before = sum(one.cpu_times()[:2])
        time.sleep(0.3)
        return sum(one.cpu_times()[:2]) > before
    return False


def _probes(daemon: process.Daemon) -> float:
    """How many probes the daemon has run."""
    from tests.benchmarks.client import Client  # noqa: PLC0415 - only here

    with contextlib.closing(Client(daemon.port)) as client:
        text = client.scrape().text()
    lines = [line for line in text.splitlines() if line.startswith("edgemon_probe_runs_total{")]
    return sum(float(line.rpartition(" ")[2].split()[0]) for line in lines)


def _told(taken: list[tuple[list[float], list[float]]]) -> list[Target]:
    rows = []
    for share, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99")):
        with_, without = ([quantile(one[side], share) for one in taken] for side in (0, 1))
        ratios = [a / b for a, b in zip(with_, without, strict=True)]
        rows.append(
            [name, f"{statistics.median(with_) * 1e3:.3f}", f"{statistics.median(without) * 1e3:.3f}", spread(ratios)]
        )
    table("a frame of production, ms, median of the blocks", ["", "with edgemon", "without", "ratio"], rows)
    ratios = [quantile(one, 0.99) / quantile(other, 0.99) for one, other in taken]
    low, high = interval(ratios)
    middle = statistics.median(ratios)
    measured = f"{middle - 1:+.1%} [{low - 1:+.1%}, {high - 1:+.1%}], {len(taken)} pairs"
    return [Target("production's p99 on the same core within 5 %", measured, middle <= GOAL)]
