"""Real receivers of OTLP that we did not write, on loopback: VictoriaMetrics, and Prometheus 3 behind vmagent."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.peers import peer
from tests.running import fetch, stop, until
from tests.test_prometheus import free

PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Database:
    """A receiver that answers Prometheus' API at `url` and takes OTLP below `endpoint`; `flush` shows what is new."""

    url: str
    endpoint: str
    flush: str = ""

    def get(self, path: str, **query: str) -> Any:
        """The data of an answer of the API."""
        if self.flush:
            fetch(self.url + self.flush)
        status, text = fetch(f"{self.url}/api/v1/{path}?{urlencode(query)}")
        assert status == 200, text
        return json.loads(text)["data"]

    def series(self, match: str) -> set[tuple[tuple[str, str], ...]]:
        """The label sets of all series that match, names included, less who they are from; bounds as numbers."""
        return {_labels(one) for one in self.get("series", **{"match[]": match})}

    def query(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """The values of an instant query by their label sets."""
        found = self.get("query", query=expression)["result"]
        return {_labels(one["metric"]): float(one["value"][1]) for one in found}


def _labels(one: dict[str, str]) -> tuple[tuple[str, str], ...]:
    bound = {"le": repr(float(one["le"]))} if "le" in one else {}
    return tuple(sorted((name, text) for name, text in {**one, **bound}.items() if name not in {"job", "instance"}))


def _started(command: Sequence[str], where: Path, ready: str) -> subprocess.Popen[bytes]:
    with (where / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=where, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def answers() -> bool:
        assert process.poll() is None, (where / "log").read_text()
        try:
            return fetch(ready)[0] == 200
        except OSError:
            return False

    try:
        until(answers, PATIENCE)
    except BaseException:
        stop(process)
        raise
    return process


@contextmanager
def victoria(where: Path, target: str = "", port: int = 0) -> Iterator[Database]:
    """VictoriaMetrics that names what is pushed as Prometheus does."""
    where.mkdir(exist_ok=True)
    url = f"http://127.0.0.1:{port or free()}"
    (where / "scrape.yml").write_text(
        json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": _scrapes(target)})
    )
    command = [
        peer("victoria-metrics"), "-promscrape.config=scrape.yml", "-storageDataPath=data", "-retentionPeriod=1y",
        f"-httpListenAddr={url.removeprefix('http://')}", "-opentelemetry.usePrometheusNaming",
        "-opentelemetry.promoteAllResourceAttributes=false", "-opentelemetry.promoteScopeMetadata=false",
        "-memory.allowedBytes=64MB", "-search.latencyOffset=0s", "-search.disableCache", "-dedup.minScrapeInterval=1ms",
    ]  # fmt: skip
    process = _started(command, where, f"{url}/health")
    try:
        yield Database(url, f"{url}/opentelemetry", "/internal/force_flush")
    finally:
        stop(process)


@contextmanager
def gateway(where: Path, target: str = "", port: int = 0) -> Iterator[Database]:
    """Prometheus 3 that takes samples out of order, behind a vmagent that takes OTLP at the port and writes on.

    Debian builds Prometheus without its OTLP receiver.
    """
    (where / "agent").mkdir(parents=True, exist_ok=True)
    url, agent = f"http://127.0.0.1:{free()}", f"http://127.0.0.1:{port or free()}"
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": _scrapes(target),
        "storage": {"tsdb": {"out_of_order_time_window": "7d"}},
    }
    (where / "prometheus.yml").write_text(json.dumps(config))
    command = [
        peer("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data",
        "--web.enable-remote-write-receiver", f"--web.listen-address={url.removeprefix('http://')}",
    ]  # fmt: skip
    before = [
        peer("vmagent"), f"-httpListenAddr={agent.removeprefix('http://')}", f"-remoteWrite.url={url}/api/v1/write",
        "-remoteWrite.forcePromProto", "-remoteWrite.flushInterval=100ms", "-opentelemetry.usePrometheusNaming",
        "-opentelemetry.promoteAllResourceAttributes=false", "-opentelemetry.promoteScopeMetadata=false",
    ]  # fmt: skip
    processes = [_started(command, where, f"{url}/-/ready")]
    try:
        processes.append(_started(before, where / "agent", f"{agent}/health"))
        yield Database(url, f"{agent}/opentelemetry")
    finally:
        for process in reversed(processes):
            stop(process)


def _scrapes(target: str) -> list[dict[str, Any]]:
    return [{"job_name": "pulled", "static_configs": [{"targets": [target]}]}] if target else []
