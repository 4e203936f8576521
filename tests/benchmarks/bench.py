"""Probes of a model that can be made slower, pinned to one core, judged as the daemon judges them."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from dataclasses import replace

from edgemon.asking import model_path
from edgemon.config import EMBEDDED, Probe
from edgemon.judge.baseline import ROUNDS, Baseline, Round, fingerprint, key_of, record, round_of
from edgemon.judge.epoch import MORE
from edgemon.judge.verdict import Verdict, doubtful, judge
from edgemon.probe.result import Outcome, Request, Result
from edgemon.residence import Residence
from tests.benchmarks import trouble
from tests.benchmarks.report import Bound

RUNS = 20
"""Runs of the embedded model that make one inference, so that one more is 5 %."""
SLOWER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "slower.py")


class Bench:
    """Where probes run, and what they are held against; `worker` is as in a probe's configuration."""

    def __init__(self, directory: str, worker: str, bound: Bound) -> None:
        self._file, self._bound = os.path.join(directory, "runs"), bound
        self.cores = trouble.cores()
        self._python = os.path.join(directory, "python")
        with open(self._python, "w") as file:
            file.write(f'#!/bin/sh\nexec taskset -c {self.cores[-1]} {sys.executable} {SLOWER} {self._file} "$@"\n')
        os.chmod(self._python, 0o755)
        self._home = Residence("bench", Probe(worker=worker), [])
        self._counted = ""
        self.baseline: Baseline | None = None

    def close(self) -> None:
        """Let the worker go."""
        self._home.close()

    def learn(self) -> None:
        """Record a baseline as by hand: each round in a process of its own. The files are read once before."""
        self.probe(RUNS, [], fresh=True)
        rounds = []
        for number in range(2 * ROUNDS):
            self._bound.say(f"baseline, round {number + 1} of {2 * ROUNDS}")
            rounds.append(replace(self.probe(RUNS, [], fresh=True), at=0.0))
        self.baseline = record(rounds, {})

    def probe(self, runs: int, providers: list[str], fresh: bool = False) -> Result:
        """One round."""
        with open(self._file, "w") as file:
            file.write(str(runs))
        asked = Request(
            "bench", "onnx", model_path(EMBEDDED), idle=0.0, providers=providers, fresh=fresh, counted=self._counted
        )
        result = self._home.run(asked, self._python)
        if result.outcome is not Outcome.OK:
            raise RuntimeError(f"the probe did not work: {result.outcome.value}, {result.detail}")
        self._counted = result.facts["model_sha256"]
        return result

    def follow(self, runs: Iterator[int], providers: list[str]) -> Iterator[tuple[Round, Verdict]]:
        """Rounds of so many runs each, with the verdict on them; in doubt each has a process of its own."""
        rounds: list[Round] = []
        verdict: Verdict | None = None
        for number in runs:
            result = self.probe(number, providers, fresh=verdict is not None and doubtful(verdict))
            key = key_of(result, {})
            rounds = [*rounds, replace(round_of(result, fingerprint(key)), at=math.inf)][-MORE[-1] :]
            verdict = judge(result, rounds, self.baseline, key)
            yield rounds[-1], verdict
