"""Real receivers of OTLP that can go away and come back on the same port with the same data.

Debian builds Prometheus without its OTLP receiver; vmagent takes OTLP for it and writes on by remote write.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.peers import peer
from tests.running import fetch, stop, until
from tests.test_prometheus import free

PATIENCE = 60.0
NAMING = (
    "-opentelemetry.usePrometheusNaming", "-opentelemetry.promoteAllResourceAttributes=false",
    "-opentelemetry.promoteResourceAttributes=service.name,service.instance.id",
    "-opentelemetry.promoteScopeMetadata=false",
)  # fmt: skip
"""Names and labels as Prometheus has them."""


@dataclass(frozen=True, slots=True)
class Database:
    """Prometheus' API is at `url`; OTLP is taken below `endpoint`; `flush` makes what was taken visible."""

    url: str
    endpoint: str
    flush: str

    def samples(self, match: str, at: float) -> list[tuple[dict[str, str], list[tuple[int, float]]]]:
        """Labels of each series, and its samples of the twelve hours before: milliseconds and value."""
        if self.flush:
            fetch(self.flush)
        status, text = fetch(f"{self.url}/api/v1/query?{urlencode({'query': f'{match}[12h]', 'time': f'{at:.3f}'})}")
        assert status == 200, text
        found: list[dict[str, Any]] = json.loads(text)["data"]["result"]
        return [
            (one["metric"], [(round(float(t) * 1000), float(value)) for t, value in one["values"]]) for one in found
        ]


@contextlib.contextmanager
def process(command: list[str], where: Path, ready: str) -> Iterator[None]:
    """A server, ready, and ended in the end."""
    with (where / f"{Path(command[0]).name}.log").open("ab") as log:
        one = subprocess.Popen(command, cwd=where, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def answers() -> bool:
        assert one.poll() is None, (where / f"{Path(command[0]).name}.log").read_text()
        with contextlib.suppress(OSError):
            return fetch(ready)[0] == 200
        return False

    try:
        until(answers, PATIENCE)
        yield
    finally:
        stop(one)


@contextlib.contextmanager
def prometheus(where: Path, port: int) -> Iterator[Database]:
    """Prometheus 3 that takes samples out of order, behind a vmagent at the port."""
    where.mkdir(exist_ok=True)
    url, agent = f"http://127.0.0.1:{free()}", f"http://127.0.0.1:{port}"
    (where / "prometheus.yml").write_text(json.dumps({"storage": {"tsdb": {"out_of_order_time_window": "7d"}}}))
    database = [
        peer("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data",
        "--web.enable-remote-write-receiver", f"--web.listen-address={url.removeprefix('http://')}",
    ]  # fmt: skip
    receiver = [
        peer("vmagent"), f"-httpListenAddr={agent.removeprefix('http://')}", f"-remoteWrite.url={url}/api/v1/write",
        "-remoteWrite.forcePromProto", "-remoteWrite.flushInterval=100ms", "-remoteWrite.queues=1", *NAMING,
    ]  # fmt: skip
    with process(database, where, f"{url}/-/ready"), process(receiver, where, f"{agent}/health"):
        yield Database(url, f"{agent}/opentelemetry", "")


@contextlib.contextmanager
def victoria(where: Path, port: int) -> Iterator[Database]:
    """VictoriaMetrics at the port."""
    where.mkdir(exist_ok=True)
    url = f"http://127.0.0.1:{port}"
    command = [
        peer("victoria-metrics"), "-storageDataPath=data", "-retentionPeriod=1y", "-memory.allowedBytes=64MB",
        f"-httpListenAddr={url.removeprefix('http://')}", "-search.latencyOffset=0s", *NAMING,
    ]  # fmt: skip
    with process(command, where, f"{url}/health"):
        yield Database(url, f"{url}/opentelemetry", f"{url}/internal/force_flush")
