"""The daemon beside node_exporter: memory, CPU, scrapes, start-up, and what each sensor takes."""

from __future__ import annotations

import contextlib
import re
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass, field

from tests.benchmarks import process
from tests.benchmarks.client import Client, Scrape, closed_loop
from tests.benchmarks.process import Daemon
from tests.benchmarks.report import Conditions, Target, quantile, table

MB = 1e6
SETTLE = 5.0
"""Seconds before the measurement: the first probe has run, and nothing is new any more."""
IDLE = {"sensors": {"interval": "10s"}, "probes": {"default": {}}}
SETTINGS = {"sensors": {"interval": "1s"}, "probes": {"default": {"interval": "60s"}}}
SENSOR = re.compile(r'edgemon_sensor_duration_seconds\{platform="(\w+)",sensor="(\w+)"\}')


@dataclass(slots=True)
class Watched:
    """What was seen of one daemon while it was scraped once a second."""

    daemon: Daemon
    scrapes: list[Scrape] = field(default_factory=list)
    memory: list[tuple[int, int]] = field(default_factory=list)
    peak: int = 0
    cpu: float = 0.0
    children: float = 0.0
    startups: list[float] = field(default_factory=list)
    loops: dict[int, list[float]] = field(default_factory=dict)

    def milliseconds(self, share: float) -> float:
        """A quantile of the latency of the once-a-second client."""
        return quantile([one.seconds for one in self.scrapes], share) * 1000

    def series(self) -> int:
        """How many series the last scrape held."""
        return len(self.scrapes[-1].series())

    def per_series(self) -> float:
        """CPU of the process for each series it exports, in millionths of a core."""
        return self.cpu * 1e6 / self.series()


def run(seconds: float, quick: bool) -> list[Target]:
    """Measure, print, and hold against the targets."""
    path = process.node_exporter()
    if path is None:
        print("node_exporter is not here: nothing to compare edgemon with")
    conditions = Conditions()
    with contextlib.ExitStack() as running:
        idle = running.enter_context(process.edgemon("edgemon", IDLE))
        ours = Watched(running.enter_context(process.edgemon("edgemon", SETTINGS)))
        all_of = [ours] + ([Watched(running.enter_context(process.exporter(path)))] if path else [])
        time.sleep(SETTLE)
        resting = watch(all_of, seconds, idle)
        for clients in (1, 4):
            for one in all_of:
                one.loops[clients] = closed_loop(one.daemon.port, clients, 1.0 if quick else 5.0)
    restart(all_of, path, 1 if quick else 5)
    print(f"\ndaemon: {seconds:g} s of one scrape a second; {conditions.tell()}")
    tell(all_of, resting)
    sensors(ours)
    return promises(all_of)


def watch(all_of: list[Watched], seconds: float, idle: Daemon) -> float:
    """Scrape each once a second, in turns, and note what it costs; the share of a core that the idle one took."""
    resting = idle.cpu()
    for one in all_of:
        one.cpu, one.children = one.daemon.cpu(), one.daemon.children()
    began = time.monotonic()
    with contextlib.ExitStack() as opened:
        clients = [opened.enter_context(contextlib.closing(Client(one.daemon.port))) for one in all_of]
        for turn in range(round(seconds) * len(all_of)):
            time.sleep(max(0.0, began + turn / len(all_of) - time.monotonic()))
            one = all_of[turn % len(all_of)]
            one.scrapes.append(clients[turn % len(all_of)].scrape())
            one.memory.append(one.daemon.memory())
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    took = time.monotonic() - began
    for one in all_of:
        one.cpu = (one.daemon.cpu() - one.cpu) / took
        one.children = (one.daemon.children() - one.children) / took
        one.peak = max(one.daemon.peak(), *(rss for rss, _ in one.memory))  # the kernel's counter lags by pages
    return (idle.cpu() - resting) / took


def restart(all_of: list[Watched], path: str | None, times: int) -> None:
    """Start each a few times, alone, in turns."""
    for _ in range(times):
        for one in all_of:
            starting = process.exporter(path) if path and one is not all_of[0] else process.edgemon("edgemon", SETTINGS)
            with starting as daemon:
                one.startups.append(daemon.startup)


def tell(all_of: list[Watched], resting: float) -> None:
    """Print everything, a column for each daemon, and edgemon's share of the other's."""
    rows = [
        _row("RSS median, MB", [statistics.median(rss for rss, _ in one.memory) / MB for one in all_of]),
        _row("RSS max, MB", [max(rss for rss, _ in one.memory) / MB for one in all_of]),
        _row("RSS peak ever (VmHWM), MB", [one.peak / MB for one in all_of]),
        _row("PSS median, MB", [statistics.median(pss for _, pss in one.memory) / MB for one in all_of]),
        _row("PSS max, MB", [max(pss for _, pss in one.memory) / MB for one in all_of]),
        _row("CPU of the process, % of a core", [one.cpu * 100 for one in all_of]),
        _row("CPU of its children, % of a core", [one.children * 100 for one in all_of]),
        _row("series", [float(one.series()) for one in all_of]),
        _row("CPU per series, 1e-6 of a core", [one.per_series() for one in all_of]),
        _row("scrape p50, 1 a second, ms", [one.milliseconds(0.50) for one in all_of]),
        _row("scrape p99, 1 a second, ms", [one.milliseconds(0.99) for one in all_of]),
        *_loops(all_of),
        _row("bytes on the wire (gzip)", [float(len(one.scrapes[-1].body)) for one in all_of]),
        _row("bytes of text", [float(len(one.scrapes[-1].text())) for one in all_of]),
        _row("start to first good scrape, s", [statistics.median(one.startups) for one in all_of]),
    ]
    table("daemon", ["", *(one.daemon.name for one in all_of), *(["ratio"] if len(all_of) > 1 else [])], rows)
    print(f"  edgemon as it comes (10 s between sweeps, not scraped): {resting * 100:.3f} % of a core")


def _loops(all_of: list[Watched]) -> list[list[str]]:
    rows = []
    for clients in all_of[0].loops:
        for share in (0.50, 0.99):
            label = f"scrape p{share * 100:.0f}, closed loop of {clients}, ms"
            rows.append(_row(label, [quantile(one.loops[clients], share) * 1000 for one in all_of]))
    return rows


def _row(label: str, values: list[float]) -> list[str]:
    cells = [f"{value:.0f}" if value >= 1000 or value == int(value) else f"{value:.3f}" for value in values]
    return [label, *cells, *([f"{values[0] / values[1]:.3f}" if values[1] else "-"] if len(values) > 1 else [])]


def sensors(ours: Watched) -> None:
    """Print what each sensor says its passes take; a pass shows as a duration that was not there before."""
    passes: dict[str, set[float]] = defaultdict(set)
    for scrape in ours.scrapes:
        for name, value in scrape.series().items():
            if found := SENSOR.fullmatch(name):
                passes[".".join(found.groups())].add(value * 1e6)
    total = {name: sum(took) / len(ours.scrapes) for name, took in passes.items()}
    rows = [
        [name, str(len(passes[name])), f"{statistics.median(passes[name]):.0f}", f"{total[name]:.0f}"]
        for name in sorted(total, key=total.__getitem__, reverse=True)
    ]
    table("sensors", ["wall time", "passes", "µs a pass", "µs a scrape"], [*rows, ["all", "", "", _whole(total)]])


def _whole(parts: dict[str, float]) -> str:
    return f"{sum(parts.values()):.0f}"


def promises(all_of: list[Watched]) -> list[Target]:
    """The targets of the design."""
    ours = all_of[0]
    found = [Target("RSS, at its peak, <= 32 MB", f"{ours.peak / MB:.1f} MB", ours.peak <= 32 * MB)]
    for other in all_of[1:]:
        cpu = ours.per_series() / other.per_series()
        scrape = ours.milliseconds(0.5) / other.milliseconds(0.5)
        found.append(Target("CPU per series <= 0.5 of node_exporter's", f"{cpu:.3f}", cpu <= 0.5))
        found.append(Target("scrape p50 <= 0.2 of node_exporter's", f"{scrape:.3f}", scrape <= 0.2))
    return found
