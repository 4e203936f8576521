"""200 scrapes a second while 300 clients sit idle: over http, over https with a password, and anew for each scrape."""

from __future__ import annotations

import http.client
import ssl
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.access import USER, Keys, asking, basic, hashed
from tests.benchmarks.client import HEADERS
from tests.benchmarks.report import Conditions, Target, quantile, table
from tests.running import running
from tests.sinks import Client

RATE, IDLE, BOUND = 200, 300, 0.050
HEADS = {**HEADERS, "Authorization": basic()}


@dataclass(frozen=True, slots=True)
class Load:
    """What to scrape, and how: `fresh` connects anew each time; `authority` is a file of certificates, for https."""

    port: int
    seconds: float
    authority: str = ""
    fresh: bool = False

    def connect(self) -> http.client.HTTPConnection:
        """A connection, not yet open."""
        if not self.authority:
            return http.client.HTTPConnection("localhost", self.port, timeout=20)
        context = ssl.create_default_context(cafile=self.authority)
        return http.client.HTTPSConnection("localhost", self.port, timeout=20, context=context)


def scrape(load: Load) -> list[float]:
    """Seconds from when each scrape was due to its last byte: one that is late delays those behind it, and counts."""
    took, one = [], load.connect()
    begin = time.perf_counter()
    for number in range(int(load.seconds * RATE)):
        due = begin + number / RATE
        time.sleep(max(0.0, due - time.perf_counter()))
        if load.fresh:
            one.close()
        one.request("GET", "/metrics", headers=HEADS)
        answer = one.getresponse()
        answer.read()
        if answer.status != 200:
            raise OSError(f"/metrics answers {answer.status}")
        took.append(time.perf_counter() - due)
    return took


def run(seconds: float) -> list[Target]:
    """Measure each kind in turn; the targets are for connections that stay, as those of Prometheus do."""
    rows, targets = [], []
    with tempfile.TemporaryDirectory(prefix="edgemon-bench-") as folder:
        keys = Keys(Path(folder))
        web = keys.write(tls_server_config=keys.tls(), basic_auth_users={USER: hashed(cost=10)})
        for scheme, settings in {"http": {}, "https, password": {"web_config": web}}.items():
            where = Path(folder, scheme[:5])
            where.mkdir()
            for fresh, took, said in measured(where, settings, keys if settings else None, seconds):
                name = f"{scheme}, a new connection each" if fresh else scheme
                rows.append([name, *(f"{quantile(took, share) * 1e3:.1f}" for share in (0.5, 0.99, 1.0)), *said])
                if not fresh:
                    p99 = quantile(took, 0.99)
                    promise = f"{scheme}: p99 < 50 ms of {RATE}/s beside {IDLE} idle"
                    targets.append(Target(promise, f"{p99 * 1e3:.1f} ms", p99 < BOUND))
    heads = [f"{RATE} scrapes/s, {IDLE} idle", "p50 ms", "p99 ms", "max ms", "CPU", "RSS MB"]
    table("a crowd at the door", heads, rows)
    return targets


def measured(where: Path, settings: dict[str, Any], keys: Keys | None, seconds: float) -> Any:
    """For connections that stay, then for new ones: the times, and what they cost the daemon."""
    probes: dict[str, Any] = {}
    with ExitStack() as all_:
        daemon = all_.enter_context(running(where, ready=False, probes=probes, sensors={"interval": "1s"}, **settings))
        port, cost, conditions = int(daemon.address.rpartition(":")[2]), psutil.Process(daemon.pid), Conditions()
        context = keys.client() if keys else None
        for _ in range(IDLE):
            all_.enter_context(Client(port, host="localhost", context=context)).ask(asking(path="/readyz"))
        for fresh in (False, True):
            load = Load(port, seconds, str(keys.folder / "ca.pem") if keys else "", fresh)
            before, began = sum(cost.cpu_times()[:2]), time.monotonic()
            with ProcessPoolExecutor(1) as pool:
                took = pool.submit(scrape, load).result()
            share = (sum(cost.cpu_times()[:2]) - before) / (time.monotonic() - began)
            yield fresh, took, [f"{share:.0%}", f"{cost.memory_info().rss / 1e6:.1f}"]
        print(conditions.tell())
