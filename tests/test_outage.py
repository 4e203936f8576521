"""Hours without a receiver, with restarts, a kill and a boot in 1970 between: all of it arrives, once, at its own time.

The device's clocks are simulated, ten seconds a step; spool, sender, client and receivers are the real ones.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from edgemon import catalog
from edgemon.almanac import Almanac, Grade
from edgemon.buffer import Buffer
from edgemon.clock import SECOND, Clock
from edgemon.forward import Forwarder
from edgemon.push import Otlp
from edgemon.sinks.otlp.client import Client
from edgemon.sinks.otlp.metrics import Metrics
from edgemon.sinks.otlp.stamp import restamp
from edgemon.spool import Spool
from edgemon.store import Snapshot
from tests.running import until
from tests.sinks.otlp.receivers import PATIENCE, Database, gateway, victoria
from tests.spool import account
from tests.test_prometheus import free

pytestmark = pytest.mark.peer

STEP = 20
HOUR = 3600 // STEP
NAMES = ("hw_temperature_celsius", "system_network_io_bytes_total")
Points = dict[str, dict[int, float]]
"""Value by time in milliseconds, by the name of the series."""


@dataclass
class Device:
    """A device whose process and whose machine can be started anew; `true` turns boot time into the right time."""

    where: Path
    endpoint: str
    boot: str = "a"
    at: int = 100 * SECOND
    true: int = 0
    wrong: int = 0
    synchronised: bool = True
    made: Points = field(default_factory=lambda: defaultdict(dict))
    count: int = 0

    def start(self) -> None:
        """Start the daemon's pushing side."""
        self.almanac = Almanac(str(self.where / "clock.json"))
        self.clock = Clock(self.boot, self.almanac, 600.0, self._clocks, lambda: self.synchronised)
        self.spool = Spool(str(self.where / "spool"), Buffer(), self.clock.age, self._now)
        settings = Otlp(endpoint=self.endpoint)
        self.metrics = Metrics(self.boot, self.at)
        self.metrics.follow(settings, {"service.name": "edgemon", "service.instance.id": "one"})
        send = Client(settings).send
        self.forwarder = Forwarder(self.spool, self.clock, send, restamp, self._now)

    def reboot(self, boot: str, off_for: int, wrong: int = 0) -> None:
        """The power was off for so many seconds; the wall clock says something `wrong` afterwards, until it is set."""
        self.true += self.at + (off_for - 30) * SECOND
        self.at, self.boot, self.wrong, self.synchronised = 30 * SECOND, boot, wrong, not wrong
        self.start()

    def set_clock(self) -> None:
        """NTP sets it."""
        self.wrong, self.synchronised = 0, True

    def run(self, steps: int) -> None:
        """Measure, write and send."""
        for _ in range(steps):
            self.at += STEP * SECOND
            self.count += 1
            values = {
                (catalog.TEMPERATURE, ("cpu", "", "")): float(self.count),
                (catalog.NETWORK_IO, ("eth0", "receive")): 1000.0 * self.count,
            }
            moment = (self.at + self.true) // 10**6
            for name, value in zip(NAMES, values.values(), strict=True):
                self.made[name][moment] = value
            for batch in self.metrics.tell(Snapshot(self.count, self.at / SECOND, values)).batches:
                self.forwarder.put(batch)
            self.spool.keep()
            for _ in range(5):
                if self.forwarder.turn() > 0:
                    break

    def drain(self) -> None:
        """Send until nothing waits; an hour is enough for hours."""
        end = self.at + 3600 * SECOND
        while account(self.spool)["buffered"] and self.at < end:
            self.at += max(int(self.forwarder.turn() * SECOND), SECOND // 1000)
        assert account(self.spool)["buffered"] == 0

    def kill(self) -> int:
        """Lose what is in memory; how many batches that was."""
        lost = self.spool._waiting.pending(2)
        for entry in lost:
            for name in NAMES:
                del self.made[name][(entry.batch.end + self.true) // 10**6]
        return len(lost)

    def _now(self) -> float:
        return self.at / SECOND

    def _clocks(self) -> tuple[int, int]:
        return self.at, self.at + (self.wrong or self.true)


@dataclass
class Outage:
    """A device after an outage, and the receiver that has all it sent."""

    device: Device
    database: Database
    unsure: tuple[int, int]

    def found(self) -> Points:
        """All samples the receiver has, once it has as many as were made; VictoriaMetrics shows them after seconds."""
        return {name: until(lambda name=name: self._read(name), PATIENCE) for name in NAMES}

    def _read(self, name: str) -> dict[int, float] | None:
        series = self.database.get("query", query=f"{name}[12h]", time=f"{time.time() + 600:.3f}")["result"]
        if sum(len(one["values"]) for one in series) < len(self.device.made[name]):
            return None
        (one,) = series
        read = {round(float(at) * 1000): float(value) for at, value in one["values"]}
        assert len(read) == len(one["values"])
        return read


Receiver = Callable[..., AbstractContextManager[Database]]


@pytest.fixture(params=[gateway, victoria], ids=["prometheus", "victoriametrics"], scope="module")
def outage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outage]:
    """Six minutes on line; then five hours without a receiver, and what a device goes through in them."""
    receiver: Receiver = request.param
    where, port = tmp_path_factory.mktemp("outage"), free()
    device = Device(where, "", true=time.time_ns() - 100 * SECOND - (5 * 3600 + 1200) * SECOND)
    with receiver(where / "db", port=port) as database:
        device.endpoint = database.endpoint
        device.start()
        device.run(18)
        assert account(device.spool)["sent"] > 0
        assert account(device.spool)["buffered"] == 0
    device.run(HOUR)
    device.spool.close()
    device.start()
    device.run(HOUR)
    assert device.kill() * STEP <= 300
    device.start()
    device.run(HOUR // 2)
    device.spool.close()
    began = device.at + device.true
    device.reboot("b", 60, wrong=1)
    device.run(HOUR // 2)
    device.spool.close()
    device.reboot("c", 90, wrong=1)
    ended = device.at + device.true
    device.run(HOUR // 3)
    device.set_clock()
    device.run(HOUR)
    with receiver(where / "db", port=port) as database:
        device.run(6)
        device.drain()
        yield Outage(device, database, (began // 10**6, ended // 10**6))


def test_every_point_is_there_once_at_its_own_time(outage: Outage) -> None:
    """Of every boot whose clock was set, before or after: to the millisecond, with its value."""
    first, last = outage.unsure
    for name, found in outage.found().items():
        assert {at: value for at, value in found.items() if not first < at < last} == {
            at: value for at, value in outage.device.made[name].items() if not first < at < last
        }


def test_a_boot_whose_clock_was_never_set_lies_between_its_neighbours(outage: Outage) -> None:
    """All of it, in its order, at its pace, after the end of the boot before and before the beginning of the next."""
    first, last = outage.unsure
    for name, found in outage.found().items():
        made = [value for at, value in sorted(outage.device.made[name].items()) if first < at < last]
        kept = [(at, value) for at, value in sorted(found.items()) if first < at < last]
        assert [value for _, value in kept] == made
        assert {after[0] - before[0] for before, after in pairwise(kept)} == {STEP * 1000}
        assert len(kept) == HOUR // 2


def test_no_point_was_dropped_or_refused(outage: Outage) -> None:
    """The account of the process that sent the backlog; on disk nothing is left."""
    found = account(outage.device.spool)
    assert found["dropped"] == found["buffered"] == 0
    assert found["sent"] == found["collected"] > 4 * HOUR
    assert list((outage.device.where / "spool").glob("*.spool")) == []
    assert outage.device.clock.grade is Grade.NTP


def test_no_point_lies_in_the_future(outage: Outage) -> None:
    now = time.time() * 1000 + 300_000
    assert all(at <= now for found in outage.found().values() for at in found)
