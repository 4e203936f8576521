"""Random series as devices and their faults make them, for Prometheus and for edgemon alike."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from random import Random

from edgemon.alerts.promql.history import GAP, History, bits
from edgemon.alerts.promql.select import Source
from edgemon.alerts.promql.values import STALE, STALE_BITS, labelset
from edgemon.metric import Kind, Metric
from edgemon.store import Series
from tests.alerts.oracle import Line, Sample

BASE = 1_700_000_010_000
"""Milliseconds since 1970 of the first sample; a multiple of 15 s."""
SPAN = 50 * 60_000
STEP = 15_000
HOSTS = ("a", "b", "c", "d")


def made(random: Random, prefix: str) -> list[Line]:
    """Some forty series over SPAN, whose names begin with a prefix."""
    lines = []
    for host in HOSTS:
        for zone in ("1", "2"):
            level = random.choice([0.0, 20.0, 1e6])
            values = [level + random.gauss(0, 1 + level / 10) for _ in _times()]
            lines.append(_line(random, prefix, "gauge", values, host=host, zone=zone))
    lines += [
        _line(random, prefix, "level", [float(random.randint(-2, 3)) for _ in _times()], host=host, zone="1")
        for host in HOSTS
    ]
    lines += [
        _line(random, prefix, "jobs_total", _counter(random), host=host, code=code)
        for host in HOSTS
        for code in ("200", "500")
    ]
    lines += [line for host in HOSTS[:2] for line in _histogram(random, prefix, host)]
    odd = [math.nan, math.inf, -math.inf, -0.0, 1.0, -1.5, 1.5e308, -1.5e308, 1e-300, 2.0**53]
    for host in HOSTS[:3]:
        chosen = random.sample(odd, 4)
        lines.append(_line(random, prefix, "odd", [random.choice(chosen) for _ in _times()], host=host))
    lines += [
        _line(random, prefix, "sparse", [random.random() for _ in _times()], gaps=0.7, host=host, zone="2")
        for host in HOSTS
    ]
    lines += [
        _line(random, prefix, "info", [1.0 for _ in _times()], host=host, version=random.choice(["1", "2"]))
        for host in HOSTS
    ]
    lines += [
        Line({"__name__": f"{prefix}_{name}", "host": "a"}, [(at, 1.0) for at in _times()[first::2][:50]])
        for name, first in (("early", 0), ("late", 102))
    ]
    return lines


def _times() -> range:
    return range(BASE, BASE + SPAN, STEP)


def _line(random: Random, prefix: str, name: str, values: list[float], gaps: float = 0.02, **labels: str) -> Line:
    """On the beat or beside it; sometimes it starts late, pauses, ends, or ends with a marker."""
    jitter = random.choice([0, 0, 20, 900, 5000])
    start = random.choice([0, 0, 0, random.randrange(len(values))])
    samples: list[Sample] = []
    paused = 0
    for index, at in enumerate(_times()):
        paused = max(0, paused - 1)
        if index < start or paused or random.random() < gaps:
            continue
        moment = at + (random.randint(0, jitter) if jitter else 0)
        if random.random() < 0.01:
            paused = random.choice([1, 5, 30])
            samples.append((moment, STALE if random.random() < 0.6 else values[index]))
        else:
            samples.append((moment, values[index]))
    return Line({"__name__": f"{prefix}_{name}", **labels}, samples or [(BASE, values[0])])


def _counter(random: Random) -> list[float]:
    value, values = float(random.randint(0, 50)), []
    pace = random.choice([0, 1, 1000])
    for _ in _times():
        value = 0.0 if random.random() < 0.02 else value + random.randint(0, pace) * random.choice([1, 1, 0.1])
        values.append(value)
    return values


def _histogram(random: Random, prefix: str, host: str) -> list[Line]:
    bounds = ["0.1", "0.5", "1", "2.5", "+Inf"]
    counts = [random.choice([0.0, 1e5]), *[0.0] * (len(bounds) - 1)]
    columns: list[list[float]] = [[] for _ in bounds]
    for _ in _times():
        for index in range(len(bounds)):
            counts[index] += random.randint(0, 3)
        running = 0.0
        for index, count in enumerate(counts):
            running = (running + count) * random.choice([1, 1, 1, 1, 1 - 1e-13, 1 - 1e-4])
            columns[index].append(running)
    return [
        _line(random, prefix, "lag_bucket", column, gaps=0.01, host=host, le=bound)
        for bound, column in zip(bounds, columns, strict=True)
    ]


@cache
def _metric(name: str, labels: tuple[str, ...]) -> Metric:
    return Metric(name, "", Kind.GAUGE, "for tests", labels)


def remembered(lines: list[Line]) -> Source:
    """A source that has seen all of it, each sample at its own time."""
    history, source = History(), Source()
    rows: dict[int, list[tuple[Line, float]]] = {}
    for line in lines:
        for at, value in line.samples:
            rows.setdefault(at, []).append((line, value))
    first = min(rows)
    history.open(first)
    for line in lines:  # as Prometheus does, keep the order in which they came
        _put(history, line, dict(line.samples).get(first, GAP))
    for at in sorted(rows.keys() - {first}):
        history.open(at)
        for line, value in rows[at]:
            _put(history, line, value)
    source.histories = [history] * len(source.histories)
    return source


def _put(history: History, line: Line, value: float) -> None:
    history.put(_series(line), labelset(line.labels), value, 2 * SPAN)


def _series(line: Line) -> Series:
    names = tuple(sorted(name for name in line.labels if name != "__name__"))
    return _metric(line.labels["__name__"], names), tuple(line.labels[name] for name in names)


def on_the_beat(lines: list[Line]) -> list[Line]:
    """The same as a scrape sees them: every sample on the beat, and a marker at the first beat that lacks one."""
    result = []
    for line in lines:
        beats = {at - (at - BASE) % STEP: value for at, value in line.samples if bits(value) != STALE_BITS}
        samples = []
        for at in _times():
            if at in beats:
                samples.append((at, beats[at]))
            elif samples and at - STEP in beats:
                samples.append((at, STALE))
        result.append(Line(line.labels, samples))
    return result


def snapshots(lines: list[Line]) -> Iterator[tuple[int, dict[Series, float]]]:
    """What the store would hold, beat by beat."""
    rows: dict[int, dict[Series, float]] = {at: {} for at in _times()}
    for line in lines:
        for at, value in line.samples:
            if bits(value) != STALE_BITS:
                rows[at][_series(line)] = value
    yield from rows.items()
