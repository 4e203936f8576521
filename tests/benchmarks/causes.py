"""Which verdict which trouble gets: a confusion table over many rounds, and how often a quiet device is accused.

`python -m tests.benchmarks causes [--rounds N] [--quiet N] [--worker auto|ephemeral|resident] [--minutes N]`. Each
round is a real probe of the embedded model, pinned to one core; the trouble is real too. Rounds are judged as the
daemon judges them, in workers that stay as they do there. The rate of false
alarms is for a probe a minute; its bound for what was measured is exact (Poisson), and beside it stands what the judge
makes of many more rounds drawn from the measured ones: simulated, and labelled so.
"""

from __future__ import annotations

import contextlib
import math
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import repeat

from edgemon.judge.baseline import ROUNDS, Baseline, Round
from edgemon.judge.epoch import ENOUGH, MORE, RECENT
from edgemon.judge.statistics import median
from edgemon.judge.verdict import State, Verdict, judge
from edgemon.probe.result import Outcome, Result
from tests.benchmarks import trouble
from tests.benchmarks.bench import RUNS, Bench
from tests.benchmarks.report import Bound, Conditions, Target, table

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


def judged(bench: Bench, scenario: Scenario, count: int, bound: Bound) -> list[tuple[Round, Verdict]]:
    """Rounds in trouble, each with its verdict; those too early for one are left out."""
    found = []
    with scenario.start():
        for number, one in enumerate(bench.follow(repeat(scenario.runs, count), scenario.providers)):
            bound.say(f"{scenario.name}, round {number + 1} of {count}, {one[1].state.value}/{one[1].cause}")
            if number >= ENOUGH - 1:
                found.append(one)
            if bound.over():
                break
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


def run(rounds: int, quiet: int, worker: str, bound: Bound) -> list[Target]:
    """Measure every scenario, print the table, and hold it against the goals."""
    conditions = Conditions()
    print(f"\ncauses: {2 * ROUNDS} rounds of baseline, {quiet} quiet ones, {rounds} of each trouble, worker: {worker}")
    found = []
    with tempfile.TemporaryDirectory(prefix="edgemon-causes-") as directory:
        bench = Bench(directory, worker, bound)
        try:
            bench.learn()
            for one in sorted(scenarios(bench.cores), key=lambda one: one.name == "quiet"):  # what takes longest, last
                if bound.over():
                    print(f"  {one.name}: left out, the time was up")
                    continue
                count = quiet if one.name == "quiet" else rounds
                found.append((one, judged(bench, one, count, bound)))
        finally:
            bench.close()
    heads = ["trouble", "expected", "slowdown", "over compute", "run delay", "processes", "what was said"]
    rows = [_row(one, verdicts) for one, verdicts in found if verdicts]
    table("confusion: trouble and verdict", heads, rows)
    print(f"  {conditions.tell()}")
    print("  frequency scaling and throttling are not tried: nothing here may change a clock")
    assert bench.baseline
    calm = [verdicts for one, verdicts in found if one.name == "quiet" and verdicts]
    alarms = _alarms(calm[0], bench.baseline) if calm else []
    return [*alarms, *(_target(one, verdicts) for one, verdicts in found if verdicts)]


def _row(scenario: Scenario, judged: Sequence[tuple[Round, Verdict]]) -> list[str]:
    said = Counter(f"{v.state.value}/{v.cause}" for _, v in judged)
    slowdowns, relatives = [v.slowdown for _, v in judged if v.slowdown], [v.relative for _, v in judged if v.relative]
    return [
        scenario.name,
        f"{sum(v.cause in scenario.causes for _, v in judged)}/{len(judged)}",
        f"{median(slowdowns) - 1:+.1%}" if slowdowns else "-",
        f"{median(relatives) - 1:+.1%}" if relatives else "-",
        f"{median([one.run_delay for one, _ in judged]):.0%}",
        str(len({one.process for one, _ in judged})),
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
        Target("false alarms in 1,000 quiet rounds <= 1", f"{alarms} in {len(calm)}", alarms * 1000 <= len(calm)),
        Target("the same, simulated from measured rounds", f"{rate * 1000:.2f}", rate <= 0.001),
    ]


def simulate(calm: Sequence[Round], baseline: Baseline, seed: int = 1) -> float:
    """Share of degraded verdicts over rounds drawn in blocks, so that what hangs together stays together."""
    chance, rounds = random.Random(seed), list[Round]()
    while len(rounds) < SIMULATED:
        begin = chance.randrange(max(1, len(calm) - RECENT + 1))
        rounds += calm[begin : begin + RECENT]
    result = Result("bench", Outcome.OK)
    alarms = sum(
        judge(result, rounds[end - MORE[-1] : end], baseline, baseline.key).state is State.DEGRADED
        for end in range(MORE[-1], SIMULATED)
    )
    return alarms / (SIMULATED - MORE[-1])


def poisson(events: int, confidence: float = 0.95) -> float:
    """The largest mean under which so few events are not yet surprising (exact, by bisection)."""
    low, high = 0.0, events + 10 * math.sqrt(events + 10)
    for _ in range(60):
        mean = (low + high) / 2
        below = sum(math.exp(-mean) * mean**k / math.factorial(k) for k in range(events + 1))
        low, high = (mean, high) if below > 1 - confidence else (low, mean)
    return high
