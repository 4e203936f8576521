"""Which verdict which trouble gets: a confusion table over many rounds, and how often a quiet device is accused.

`python -m tests.benchmarks causes [--rounds N] [--quiet N]`. Each round is a real probe of the embedded model, pinned
to one core; the trouble is real too. Rounds are judged as the daemon judges them, by the last five. The rate of false
alarms is for a probe a minute; its bound for what was measured is exact (Poisson), and beside it stands what the judge
makes of many more rounds drawn from the measured ones: simulated, and labelled so.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from edgemon.config import EMBEDDED
from edgemon.judge.baseline import ROUNDS, Baseline, Round, fingerprint, key_of, record, round_of
from edgemon.judge.statistics import median
from edgemon.judge.verdict import ENOUGH, RECENT, State, Verdict, judge
from edgemon.probe import supervisor
from edgemon.probe.result import Outcome, Request, Result
from edgemon.prober import model_path
from tests.benchmarks import trouble
from tests.benchmarks.report import Conditions, Target, table

RUNS = 20
"""Runs of the embedded model that make one inference, so that one more is 5 %."""
SLOWER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "slower.py")
DAY = 1440
"""Rounds of a day at the default interval."""
SIMULATED = 20000
Start = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A trouble, the causes that name it, how much work the model does in it, and what it asks for."""

    name: str
    causes: frozenset[str]
    runs: int = RUNS
    start: Start = contextlib.nullcontext
    providers: list[str] = field(default_factory=list)


class Bench:
    """Probes pinned to one core, and what they are held against."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self.cores = trouble.cores()
        self.baseline: Baseline | None = None

    def probe(self, runs: int, providers: list[str]) -> Result:
        """One round."""
        asked = Request("bench", "onnx", model_path(EMBEDDED), idle=0.0, providers=providers)
        result = supervisor.run(asked, self._python(runs))
        if result.outcome is not Outcome.OK:
            raise RuntimeError(f"the probe did not work: {result.outcome.value}, {result.detail}")
        return result

    def _python(self, runs: int) -> str:
        path = os.path.join(self._directory, f"python-{runs}")
        if not os.path.exists(path):
            with open(path, "w") as file:
                file.write(f'#!/bin/sh\nexec taskset -c {self.cores[-1]} {sys.executable} {SLOWER} {runs} "$@"\n')
            os.chmod(path, 0o755)
        return path

    def judged(self, scenario: Scenario, count: int) -> list[tuple[Round, Verdict]]:
        """Rounds in trouble, each with the verdict by the last five; those too early for one are left out."""
        rounds: list[Round] = []
        found = []
        with scenario.start():
            for number in range(count):
                result = self.probe(scenario.runs, scenario.providers)
                key = key_of(result, {})
                rounds.append(replace(round_of(result, fingerprint(key)), at=math.inf))
                verdict = judge(result, rounds[-RECENT:], self.baseline, key)
                if number >= ENOUGH - 1:
                    found.append((rounds[-1], verdict))
        return found


def scenarios(cores: list[int]) -> list[Scenario]:
    """What is tried; other cores only where there are any."""
    own, others = cores[-1], cores[:-1]
    found = [
        Scenario("quiet", frozenset({"none"})),
        Scenario("5 % slower model", frozenset({"slower"}), RUNS * 105 // 100),
        Scenario("10 % slower model", frozenset({"slower"}), RUNS * 110 // 100),
        Scenario("20 % slower model", frozenset({"slower"}), RUNS * 120 // 100),
        Scenario(
            "same core, 50 % busy",
            frozenset({"contention", "none"}),
            start=lambda: trouble.running(trouble.busy(own, 0.5)),
        ),
        Scenario("fall-back to the CPU", frozenset({"fallback"}), providers=["AzureExecutionProvider"]),
    ]
    if others:
        innocent = frozenset({"none", "device_slow", "memory_slow", "steal", "noisy"})
        found += [
            Scenario(
                "other cores, busy", innocent, start=lambda: trouble.running(*(trouble.busy(c, 1.0) for c in others))
            ),
            Scenario("other cores, copying", innocent, start=lambda: trouble.running(*trouble.copies(others))),
        ]
    return found


def run(rounds: int, quiet: int) -> list[Target]:
    """Measure every scenario, print the table, and hold it against the goals."""
    conditions = Conditions()
    with tempfile.TemporaryDirectory(prefix="edgemon-causes-") as directory:
        bench = Bench(directory)
        bench.probe(RUNS, [])  # the files are read once before anything counts
        bench.baseline = record([replace(bench.probe(RUNS, []), at=0.0) for _ in range(2 * ROUNDS)], {})
        found = [(one, bench.judged(one, quiet if one.name == "quiet" else rounds)) for one in scenarios(bench.cores)]
    print(
        f"\ncauses: {2 * ROUNDS} rounds of baseline, {quiet} quiet ones, {rounds} of each trouble; {conditions.tell()}"
    )
    heads = ["trouble", "expected", "slowdown", "over compute", "run delay", "what was said"]
    table("confusion: trouble and verdict", heads, [_row(one, judged) for one, judged in found])
    print("  frequency scaling and throttling are not tried: nothing here may change a clock")
    calm = found[0][1]
    return [*_alarms(calm, bench.baseline), *(_target(one, judged) for one, judged in found)]


def _row(scenario: Scenario, judged: Sequence[tuple[Round, Verdict]]) -> list[str]:
    said = Counter(f"{v.state.value}/{v.cause}" for _, v in judged)
    slowdowns, relatives = [v.slowdown for _, v in judged if v.slowdown], [v.relative for _, v in judged if v.relative]
    return [
        scenario.name,
        f"{sum(v.cause in scenario.causes for _, v in judged)}/{len(judged)}",
        f"{median(slowdowns) - 1:+.1%}" if slowdowns else "-",
        f"{median(relatives) - 1:+.1%}" if relatives else "-",
        f"{median([one.run_delay for one, _ in judged]):.0%}",
        ", ".join(f"{name} {count}" for name, count in said.most_common()),
    ]


def _target(scenario: Scenario, judged: Sequence[tuple[Round, Verdict]]) -> Target:
    wanted = {"5 % slower model": 30, "10 % slower model": 10, "20 % slower model": 10}.get(scenario.name)
    if wanted:
        first = next((n for n, (_, v) in enumerate(judged, ENOUGH) if v.cause in scenario.causes), 0)
        return Target(
            f"{scenario.name} found within {wanted} rounds", f"round {first}" if first else "never", 0 < first <= wanted
        )
    if scenario.causes == {"fallback"}:
        share = sum(v.cause == "fallback" for _, v in judged) / len(judged)
        return Target("a fall-back is its own cause", f"{share:.0%}", share == 1)
    blamed = sum(v.cause == "slower" for _, v in judged)
    return Target(f"{scenario.name}: never blamed on the model", f"{blamed} of {len(judged)}", blamed == 0)


def _alarms(calm: Sequence[tuple[Round, Verdict]], baseline: Baseline) -> list[Target]:
    """False alarms of the quiet rounds, measured and simulated."""
    alarms = sum(v.state is State.DEGRADED for _, v in calm)
    bound = poisson(alarms) / len(calm)
    print(f"\nfalse alarms: {alarms} in {len(calm)} quiet rounds; {alarms / len(calm) * DAY:.1f} a day, "
          f"at most {bound * DAY:.1f} with 95 % confidence")  # fmt: skip
    rate = simulate([one for one, _ in calm], baseline)
    print(
        f"simulated: {rate * 1000:.2f} in 1,000 rounds ({SIMULATED} rounds drawn in blocks of 5 from the measured ones)"
    )
    return [
        Target(
            "false alarms in 1,000 quiet rounds <= 1 (simulated from measured rounds)",
            f"{rate * 1000:.2f}",
            rate <= 0.001,
        )
    ]


def simulate(calm: Sequence[Round], baseline: Baseline, seed: int = 1) -> float:
    """Share of degraded verdicts over rounds drawn in blocks, so that what hangs together stays together."""
    chance, rounds = random.Random(seed), list[Round]()
    while len(rounds) < SIMULATED:
        begin = chance.randrange(max(1, len(calm) - RECENT + 1))
        rounds += calm[begin : begin + RECENT]
    result = Result("bench", Outcome.OK)
    alarms = sum(
        judge(result, rounds[end - RECENT : end], baseline, baseline.key).state is State.DEGRADED
        for end in range(RECENT, SIMULATED)
    )
    return alarms / (SIMULATED - RECENT)


def poisson(events: int, confidence: float = 0.95) -> float:
    """The largest mean under which so few events are not yet surprising (exact, by bisection)."""
    low, high = 0.0, events + 10 * math.sqrt(events + 10)
    for _ in range(60):
        mean = (low + high) / 2
        below = sum(math.exp(-mean) * mean**k / math.factorial(k) for k in range(events + 1))
        low, high = (mean, high) if below > 1 - confidence else (low, mean)
    return high
