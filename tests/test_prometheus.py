"""A real Prometheus scrapes a running edgemon in both formats; promtool finds nothing to say about the exposition."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgemon import catalog, inference
from edgemon.metric import Kind, Metric
from edgemon.sinks.prometheus import TEXT, Exposition
from edgemon.store import Store
from tests.peers import peer
from tests.running import Running, fetch, running, stop, until
from tests.taken import taken

pytestmark = pytest.mark.peer

JOBS = {"openmetrics": {}, "text": {"scrape_protocols": ["PrometheusText0.0.4"]}}
"""Job and what it sets: nothing, which prefers OpenMetrics, or the text format only."""
JOB = pytest.mark.parametrize("job", JOBS)


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A Prometheus that scrapes edgemon, once a second and job."""

    url: str
    where: Path

    def api(self, path: str, **query: str) -> Any:
        """The data of an answer of its API."""
        status, text = fetch(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}")
        assert status == 200, text
        return json.loads(text)["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series now."""
        return [(one["metric"], float(one["value"][1])) for one in self.api("query", query=expression)["result"]]

    def targets(self) -> list[dict[str, Any]]:
        """Its targets."""
        found: list[dict[str, Any]] = self.api("targets")["activeTargets"]
        return found

    def log(self) -> str:
        """What it has said."""
        return (self.where / "log").read_text()


@pytest.fixture(scope="module")
def edgemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The daemon with its embedded probe, after its first run."""
    settings: dict[str, Any] = {"probes": {"default": {"interval": "5s"}}, "sensors": {"interval": "1s"}}
    with running(tmp_path_factory.mktemp("edgemon"), **settings) as daemon:
        until(lambda: inference.PROBE_DURATION.prometheus in daemon.get("/metrics")[1])
        yield daemon


@pytest.fixture(scope="module")
def prometheus(edgemon: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus, after it has scraped edgemon a few times in each format."""
    program, where = peer("prometheus"), tmp_path_factory.mktemp("prometheus")
    targets = [{"targets": [edgemon.address]}]
    scrapes = [{"job_name": name, "static_configs": targets, **more} for name, more in JOBS.items()]
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": scrapes}
    (where / "prometheus.yml").write_text(json.dumps(config))
    address = f"127.0.0.1:{free()}"
    arguments = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={address}"]
    with (where / "log").open("wb") as log:
        process = subprocess.Popen([program, *arguments], cwd=where, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield scraping(Prometheus(f"http://{address}", where), process)
    finally:
        stop(process)


def scraping(it: Prometheus, process: subprocess.Popen[bytes]) -> Prometheus:
    """Prometheus once it has three scrapes of each job."""

    def done() -> bool:
        assert process.poll() is None, it.log()
        try:
            counts = it.query("count_over_time(up[1m])")
        except (OSError, AssertionError):
            return False
        return len(counts) == len(JOBS) and all(count >= 3 for _, count in counts)

    until(done)
    return it


def free() -> int:
    """A port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
        return port


@JOB
def test_prometheus_finds_edgemon_up_and_has_no_scrape_error(prometheus: Prometheus, job: str) -> None:
    assert [value for _, value in prometheus.query(f'min_over_time(up{{job="{job}"}}[1m])')] == [1]
    (target,) = [one for one in prometheus.targets() if one["labels"]["job"] == job]
    assert (target["health"], target["lastError"]) == ("up", "")
    assert prometheus.query(f'scrape_samples_scraped{{job="{job}"}} > 100')
    assert "level=WARN" not in prometheus.log()
    assert "level=ERROR" not in prometheus.log()


@JOB
def test_a_probe_a_sensor_and_the_resource_arrive(prometheus: Prometheus, job: str) -> None:
    def values(metric: Metric, labels: str = "") -> list[float]:
        return [value for _, value in prometheus.query(f'{metric.prometheus}{{job="{job}",{labels}}}')]

    (steady,) = values(inference.PROBE_DURATION, 'probe="default",phase="steady"')
    assert steady > 0
    assert sum(values(inference.PROBE_VERDICT, 'probe="default"')) == 1
    (limit,) = values(catalog.MEMORY_LIMIT)
    assert limit > sum(values(catalog.PROCESS_MEMORY)) > 0
    assert values(catalog.CPU_TIME, 'cpu_logical_number="0",cpu_mode="user"')
    assert values(catalog.TARGET_INFO, 'service_name="edgemon"') == [1]


@JOB
def test_the_histogram_answers_for_quantiles_that_agree_with_the_probes_own(prometheus: Prometheus, job: str) -> None:
    """Buckets of the square root of two: the median that Prometheus interpolates is no further off than one of them."""
    name = inference.PROBE_INFERENCE.prometheus
    ((_, found),) = prometheus.query(f'histogram_quantile(0.5, {name}_bucket{{job="{job}"}})')
    ((_, steady),) = prometheus.query(f'{inference.PROBE_DURATION.prometheus}{{job="{job}",phase="steady"}}')
    assert 0.5 < found / steady < 2
    ((_, ratio),) = prometheus.query(
        f'{name}_count{{job="{job}"}} / ignoring(le) {name}_bucket{{job="{job}",le="+Inf"}}'
    )
    assert ratio == 1


def test_both_formats_give_the_same_series(prometheus: Prometheus) -> None:
    def names(job: str) -> set[frozenset[tuple[str, str]]]:
        found = prometheus.api("series", **{"match[]": f'{{job="{job}",__name__!~"scrape_.*"}}'})
        return {frozenset((key, value) for key, value in one.items() if key != "job") for one in found}

    assert names("openmetrics") == names("text")


@JOB
def test_types_and_help_arrive_as_declared(prometheus: Prometheus, edgemon: Running, job: str) -> None:
    found = prometheus.api("targets/metadata", match_target=f'{{job="{job}"}}')
    arrived = {one["metric"]: (one["type"], one["help"]) for one in found}
    assert {"edgemon_probe_duration_seconds", "system_memory_limit_bytes"} <= set(arrived)
    declared = dict(map(as_openmetrics if job == "openmetrics" else as_text, catalog.ALL))
    assert arrived == {name: declared[name] for name in arrived}


def as_openmetrics(metric: Metric) -> tuple[str, tuple[str, str]]:
    """Name, type and help as OpenMetrics has them: the family's name, and infos."""
    kind = "info" if metric.kind is Kind.INFO else metric.kind.prometheus
    return metric.family, (kind, metric.help)


def as_text(metric: Metric) -> tuple[str, tuple[str, str]]:
    """Name, type and help as the text format has them: the series' name, and an info is a gauge."""
    return metric.prometheus, (metric.kind.prometheus, metric.help)


def lint(exposition: str) -> tuple[int, str]:
    """Exit status and output of `promtool check metrics`."""
    command = [peer("promtool"), "check", "metrics"]
    done = subprocess.run(command, input=exposition, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_promtool_finds_nothing_to_say_about_the_running_daemon(edgemon: Running) -> None:
    status, text = edgemon.get("/metrics")
    assert (status, text.count("\n") > 200) == (200, True)
    assert lint(text) == (0, "")


def test_promtool_finds_nothing_to_say_about_any_metric_of_the_catalogue() -> None:
    store = Store()
    store.put("test", [taken(metric, *(f'{label}: é \\ " \n' for label in metric.labels)) for metric in catalog.ALL])
    store.commit()
    text = Exposition(lambda: store.snapshot).body(TEXT, compress=False).decode()
    assert text.count("# TYPE") == len(catalog.ALL)
    assert lint(text) == (0, "")


def test_promtool_accepts_every_float_there_is_and_refuses_what_is_none() -> None:
    store = Store()
    values = [float("inf"), float("-inf"), float("nan"), 5e-324, 1.7976931348623157e308, -0.0, 10**30]
    store.put("test", [catalog.TEMPERATURE(value, str(value), "", "") for value in values])
    store.commit()
    text = Exposition(lambda: store.snapshot).body(TEXT, compress=False).decode()
    assert lint(text) == (0, "")
    assert lint(text.replace("inf\n", "True\n"))[0] != 0
