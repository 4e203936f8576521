"""A worker that stays beside one that is started for each run: what a run costs, and what it finds."""

from __future__ import annotations

import statistics
from dataclasses import replace

from edgemon.asking import request
from edgemon.config import Probe
from edgemon.residence import Residence
from tests.benchmarks.report import Conditions, Target, table

MODES = ("ephemeral", "resident")
WARM = 2
"""Rounds that are left out: the first counts the model, and of the second the worker stays."""


def run(rounds: int) -> list[Target]:
    """Rounds of both in turn, on the embedded model as it is probed by default."""
    conditions, modes = Conditions(), {mode: Mode(mode) for mode in MODES}
    for _ in range(WARM + rounds):
        for mode in modes.values():
            mode.round()
    heads = ["worker", "CPU a run, s", "wall, s", "p50, ms", "RSS between runs, MiB"]
    table(f"one probe, {rounds} rounds", heads, [mode.row() for mode in modes.values()])
    for mode in modes.values():
        mode.home.close()
    print(f"\n{conditions.tell()}")
    return []


class Mode:
    """One way to live, and what its rounds came to."""

    def __init__(self, name: str) -> None:
        self.name, probe = name, Probe(worker=name, recycle=100_000)
        self.home = Residence(name, probe, [])
        self._asked = request(name, probe)
        self._cpu, self._wall = list[float](), list[float]()
        self._p50, self._memory = list[float](), list[float]()

    def round(self) -> None:
        """Once more; an error if it is not ok."""
        result = self.home.run(self._asked)
        if result.detail:
            raise RuntimeError(f"{self.name}: {result.detail}")
        self._asked = replace(self._asked, counted=result.facts["model_sha256"])
        self._cpu.append(result.cpu_seconds or 0.0)
        self._wall.append(result.wall_seconds or 0.0)
        self._p50.append(statistics.median(result.corrected) * 1000)
        self._memory.append(self.home.memory() / (1 << 20))

    def row(self) -> list[str]:
        """Medians."""
        columns = (self._cpu, self._wall, self._p50, self._memory)
        return [self.name, *(f"{statistics.median(column[WARM:]):.3f}" for column in columns)]
