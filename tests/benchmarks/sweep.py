"""What a sweep of each captured device costs in CPU: `python -m tests.benchmarks sweep`.

The files lie on a disk and are opened and read as on the device; programs and libraries answer from the capture.
A sweep runs every sensor of every platform present, also those that are due every ten minutes only.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from edgemon.capture import load
from edgemon.collect import take
from edgemon.platforms import Platform, discover
from edgemon.replay import Replay
from edgemon.survey import present
from tests.benchmarks.report import Target, table
from tests.devices import DEVICES, HERE, Captured, unpack

MOST = 5.0
"""Milliseconds."""
EVERY = 10.0
"""Seconds between two sweeps, for what is remembered in between."""
SWEEPS = 13


class OnDisk(Captured):
    """A captured machine on a disk, whose clock a benchmark moves."""

    replay: Replay
    now = 0.0

    def ask(self, name: str, kwargs: Mapping[str, object]) -> Any:
        return self.replay.ask(name, kwargs)

    def execute(self, command: tuple[str, ...], timeout: float, /) -> str:
        return self.replay.execute(command, timeout)


class Cost(NamedTuple):
    """CPU in ms: the first sweep of a process, the median of the later ones, and the dearest of those."""

    median: float
    highest: float
    first: float
    series: int


def cost(device: str, folder: Path, known: Mapping[str, Platform]) -> Cost:
    """Sweep a captured machine again and again."""
    captured, now = unpack(device, folder), [0.0]
    root = OnDisk(captured.path, captured.failures)
    root._clock = lambda: now[0]
    root.replay = Replay(load(str(HERE / f"{device}.capture")))
    here, taken, count = present(known, root, ()), [], 0
    for number in range(SWEEPS):
        now[0] = number * EVERY
        began = time.process_time()
        sweeps = [take(one.name, sensor, root) for one in here for sensor in one.sensors]
        taken.append((time.process_time() - began) * 1e3)
        count = sum(len(sweep.readings) for sweep in sweeps)
    return Cost(statistics.median(taken[1:]), max(taken[1:]), taken[0], count)


def run() -> list[Target]:
    """Every device, the dearest last."""
    known = discover()
    with tempfile.TemporaryDirectory() as folder:
        costs = sorted((cost(device, Path(folder, device), known), device) for device in DEVICES)
    rows = [
        [device, f"{one.median:.2f}", f"{one.highest:.2f}", f"{one.first:.2f}", str(one.series)]
        for one, device in costs
    ]
    table("CPU of a sweep of every sensor, ms", ["device", "median", "highest", "first", "series"], rows)
    dearest, device = costs[-1]
    measured = f"{dearest.median:.2f} ms ({device}), at worst {max(one.highest for one, _ in costs):.2f} ms"
    return [Target(f"a sweep of any device: at most {MOST:g} ms of CPU", measured, dearest.median <= MOST)]
