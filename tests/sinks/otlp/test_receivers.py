"""What is pushed has the names and labels of what is pulled, in Prometheus 3 (behind vmagent) and VictoriaMetrics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from edgemon import catalog, identity, inference
from edgemon.metric import Kind
from edgemon.push import Otlp
from edgemon.sinks.otlp.batch import Batch
from edgemon.sinks.otlp.client import Client
from edgemon.sinks.otlp.metrics import Metrics
from edgemon.sinks.otlp.stamp import restamp
from edgemon.sinks.otlp.trace import Round
from edgemon.sinks.prometheus import Exposition
from edgemon.sketch import Sketch
from edgemon.store import Snapshot, Store
from edgemon.sysfs import Root
from tests.running import until
from tests.servers import answer, serving
from tests.sinks.otlp.receivers import PATIENCE, Database, gateway, victoria

pytestmark = pytest.mark.peer
SECOND = 1_000_000_000
LATENCIES = [0.001 * 1.07**number for number in range(100)]
META = r'{__name__!~"up|scrape_.+", job="pulled"}'


def snapshot() -> Snapshot:
    """A series of every metric of the catalogue, and a distribution; now."""
    store, sketch = Store(), Sketch()
    sketch.add(LATENCIES)
    readings = [
        metric(number + 0.5, *(f"{name} é" if "logical" not in name else "3" for name in metric.labels))
        for number, metric in enumerate(catalog.ALL)
        if metric.kind is not Kind.HISTOGRAM and metric is not catalog.TARGET_INFO
    ]
    inferences = inference.PROBE_INFERENCE.distribution(sketch.exponential(), "cam")
    store.put("test", [identity.target(Root()), inferences, *readings])
    return store.commit()


@dataclass
class Device:
    """One device that is pulled from and pushes the same."""

    snapshot: Snapshot
    metrics: Metrics

    def push(self, database: Database, snapshot: Snapshot | None = None, **settings: Any) -> list[Batch]:
        """Push a snapshot, stamped by this machine's clock."""
        chosen = Otlp(endpoint=database.endpoint, **settings)
        self.metrics.follow(chosen, identity.attributes(Root()))
        client = Client(chosen)
        offset = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        sent = list(self.metrics.tell(snapshot or self.snapshot, [round_()]).batches)
        for batch in sent:
            assert client.send("metrics", restamp(batch, offset)).outcome == "delivered"
        client.close()
        return sent


def round_() -> Round:
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return Round("cam", b"t" * 16, b"s" * 8, now, now, now - SECOND, (LATENCIES[-1],))


@pytest.fixture(params=[gateway, victoria], ids=["prometheus", "victoriametrics"], scope="module")
def pulled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Database, Device]]:
    """A database that has scraped the device, and the device, which has pushed nothing yet."""
    device = Device(snapshot(), Metrics("boot", 1))
    page = Exposition(lambda: device.snapshot).render(device.snapshot, openmetrics=False)
    head = "Content-Type: text/plain; version=0.0.4; charset=utf-8"
    with (
        serving({"/metrics": lambda _: answer(200, page, head)}) as server,
        request.param(tmp_path_factory.mktemp("db"), f"127.0.0.1:{server.port}") as database,
    ):
        until(lambda: len(database.series(META)) > len(catalog.ALL) - 2, PATIENCE)
        yield database, device


PUSHED = '{__name__=~".+", job!="pulled"}'


def named(database: Database, match: str) -> set[Any]:
    """The series, but for what VictoriaMetrics and vmagent name otherwise than Prometheus' own translation does.

    They make no target_info, and a ratio of any up-down counter of unit 1, as Prometheus does of gauges only.
    """
    found = database.series(match)
    return {
        one if dict(one)["__name__"] != "hw_network_up_ratio" else (("__name__", "hw_network_up"), *one[1:])
        for one in found
        if dict(one)["__name__"] != "target_info"
    }


def test_every_name_and_label_is_the_same_pulled_and_pushed(pulled: tuple[Database, Device]) -> None:
    """Of every metric of the catalogue, with classic buckets."""
    database, device = pulled
    device.push(database, histogram="explicit")
    theirs = named(database, META)
    assert len(theirs) > len(catalog.ALL) - 2
    until(lambda: named(database, PUSHED) == theirs or _differ(named(database, PUSHED), theirs), PATIENCE)


def test_values_are_the_same_and_times_their_own(pulled: tuple[Database, Device]) -> None:
    """What was seen an hour ago, and sent now, is an hour old; sent twice, it is there once."""
    database, device = pulled
    before = snap_of(device.snapshot, device.snapshot.at - 3600)
    device.push(database, before)
    device.push(database, before)
    name = catalog.UPTIME.prometheus
    value = device.snapshot.series[catalog.UPTIME, ()]

    def points() -> Any:
        found = database.get("query", query=f'{name}{{job!="pulled"}}[10m]', time=str(time.time() - 3500))["result"]
        return found and found[0]["values"]

    ((at, text),) = until(points, PATIENCE)
    assert float(text) == value
    assert abs(at - (time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - before.at))) < 1


def test_quantiles_of_the_histogram_are_those_of_the_values(pulled: tuple[Database, Device]) -> None:
    """Within a bucket: of 9 % where exponential ones are understood, of 41 % in the classic ones of the page."""
    database, device = pulled
    kind, bound, width = ("exponential", "vmrange", 0.1) if database.flush else ("explicit", "le", 0.42)
    device.push(database, histogram=kind)
    buckets = f'{inference.PROBE_INFERENCE.prometheus}_bucket{{{bound}!="", job!="pulled"}}'
    found = until(lambda: database.query(f"histogram_quantile(0.5, {buckets})"), PATIENCE)
    assert list(found.values()) == [pytest.approx(sorted(LATENCIES)[50], rel=width)]


def test_a_series_that_is_no_more_ends_at_once(pulled: tuple[Database, Device]) -> None:
    """And not after the receiver's five minutes."""
    database, device = pulled
    name, hot = catalog.TEMPERATURE.prometheus, catalog.TEMPERATURE(40.0, "soc", "soc", "")
    here, at = f'{name}{{hw_id="soc"}}', device.snapshot.at
    there = Snapshot(1, at + 1, {(hot.metric, hot.labels): 40.0})
    device.push(database, there)
    until(lambda: database.query(here), PATIENCE)
    device.push(database, Snapshot(2, at + 2))
    until(lambda: not database.query(here), PATIENCE)


def snap_of(one: Snapshot, at: float) -> Snapshot:
    return Snapshot(one.number, at, one.series, one.histograms)


def _differ(ours: set[Any], theirs: set[Any]) -> bool:
    """Whether all has arrived, which it then must be the same."""
    assert len(ours) < len(theirs), (sorted(ours - theirs), sorted(theirs - ours))
    return False
