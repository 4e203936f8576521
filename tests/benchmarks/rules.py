"""A hundred rules over five hundred series: what an evaluation takes, and what the memory for it takes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from itertools import count

from edgemon.alerts.promql.load import load
from edgemon.alerts.promql.node import Expression
from edgemon.alerts.promql.select import Source
from edgemon.metric import Kind, Metric
from edgemon.store import Series, Snapshot
from tests.benchmarks.report import Conditions, Target, quantile, table

RULES, SERIES, WINDOW = 100, 500, 300.0
PACES = (1.0, 10.0)
"""Seconds between two snapshots."""
KINDS = (
    "rate(m{0}_total[5m]) > 0.5",
    "avg_over_time(m{0}[5m]) > 80",
    "max by (host) (max_over_time(m{0}[5m])) > 90",
    "increase(m{0}_total[5m]) / 300 > 2 and on (core) m{1} > 10",
    "m{0} > 70",
    "sum without (core) (rate(m{0}_total[5m])) > 1 unless m{1} > 5",
    "quantile_over_time(0.9, m{0}[5m]) - m{0} offset 4m > 3",
    "changes(m{0}[5m]) > 3 or deriv(m{0}[5m]) > 0.1",
    "m{0}_total / on (core, host) group_left () m{1} > 5",
    "absent(m{0}{{core=\"0\"}})",
)  # fmt: skip
"""Of what fleets alert on: rates, averages, extremes, thresholds, trends, joins, absence."""


def run(quick: bool) -> list[Target]:
    """Measure each pace in a process of its own, print, and hold against the targets."""
    conditions, rows, targets = Conditions(), [], []
    for pace in PACES[1:] if quick else PACES:
        child = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.rules", str(pace), "5" if quick else "60"],
            capture_output=True, check=True, text=True,
        )  # fmt: skip
        found: dict[str, float] = json.loads(child.stdout)
        rows.append([f"a snapshot every {pace:g} s", *[f"{value:.2f}" for value in found.values()]])
        targets.append(Target(f"100 rules <= 20 ms CPU, {pace:g} s", f"{found['p50']:.1f} ms", found["p50"] <= 20))
        targets.append(Target(f"100 rules <= 4 MB, {pace:g} s", f"{found['memory']:.2f} MB", found["memory"] <= 4))
    print(f"\nrules: {RULES} rules over {SERIES} series, windows of 5 minutes; {conditions.tell()}")
    heads = ["", "evaluation p50 ms", "p90 ms", "snapshot taken ms", "code MB", "all MB", "bytes a sample", "samples"]
    table("rules", heads, rows)
    return targets


def main(pace: float, rounds: int) -> None:
    """One pace: fill the window, then evaluate with every snapshot."""
    began = resident()
    source, series, clock = Source(), _series(), count(10_000.0, pace)
    expressions = [one for one in load(_rules(), source) if isinstance(one, Expression)]
    assert len(expressions) == RULES
    compiled = resident() - began
    number = 0
    for number in range(int(2 * WINDOW / pace)):
        _feed(source, series, next(clock), number)
    for _ in range(5):
        _all(expressions, source)
    evaluations, taken = [], []
    for more in range(rounds):
        start = time.process_time()
        _feed(source, series, next(clock), number + more)
        middle = time.process_time()
        _all(expressions, source)
        taken.append((middle - start) * 1000)
        evaluations.append((time.process_time() - middle) * 1000)
    samples = sum(one.samples() for one in source.histories)
    columns = [
        one.values for history in source.histories for family in history.columns.values() for one in family.values()
    ]
    stored = sum(sys.getsizeof(one) for one in columns) + sum(sys.getsizeof(one.times) for one in source.histories)
    print(
        json.dumps(
            {
                "p50": quantile(evaluations, 0.5), "p90": quantile(evaluations, 0.9), "taken": quantile(taken, 0.5),
                "code": compiled / 1e6, "memory": (resident() - began) / 1e6, "bytes": stored / samples,
                "samples": samples,
            }
        )
    )  # fmt: skip


def resident() -> int:
    """RSS now, in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def _rules() -> list[str]:
    return [KINDS[number % len(KINDS)].format(number % 25, (number + 1) % 25) for number in range(RULES)]


def _series() -> dict[Series, float]:
    """Twenty-five gauges and as many counters of ten cores."""
    gauges = [Metric(f"m{number}", "", Kind.GAUGE, "", ("core", "host")) for number in range(25)]
    counters = [Metric(f"m{number}", "", Kind.COUNTER, "", ("core", "host")) for number in range(25)]
    return {(metric, (str(core), "a")): 0.0 for metric in [*gauges, *counters] for core in range(SERIES // 50)}


def _feed(source: Source, series: dict[Series, float], at: float, number: int) -> None:
    for index, one in enumerate(series):
        grown = series[one] + (number + index) % 7
        series[one] = grown if one[0].kind is Kind.COUNTER else 20.0 + (number * 31 + index * 17) % 83
    source.take(Snapshot(at=at, series=dict(series)))


def _all(expressions: list[Expression], source: Source) -> None:
    for one in expressions:
        one.evaluate(source, source.at / 1000, 1.7e9)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
