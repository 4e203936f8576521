"""An hour without a network: alerts flip, nobody answers, and then everything arrives, once and in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgemon import ruled
from edgemon.alerts.flip import Flip
from edgemon.alerts.memory import Moment
from edgemon.alerts.notify import Notifying
from edgemon.config import Config, Rules
from edgemon.receivers import Alertmanager, Notify, Webhook
from edgemon.ruling import Ruling
from edgemon.store import Store
from edgemon.sysfs import Root
from tests.alerts.server import Faulty, faulty
from tests.running import until

PATIENCE = 60.0
HOUR, EVERY = 3600, 15
DOWN = ["reset", 503, "close", (503, {"Retry-After": "120"})]
RULES = """
groups:
- name: site
  rules:
  - {alert: Hot, expr: 'edgemon_threshold{name="heat"} > 80', annotations: {summary: 'It is {{ $value }} °C.'}}
  - {alert: Slow, expr: 'edgemon_threshold{name="heat"} > 90', for: 1m, labels: {severity: critical}}
"""


class Site:
    """A device with its rules and receivers, on a clock that the test turns; the engine's, too."""

    def __init__(self, where: Path, *servers: Faulty) -> None:
        self.now, self.where, self.store = 1000.0, where, Store()
        (where / "rules.yml").write_text(RULES)
        hooks = {f"w{number}": Webhook(url=one.url) for number, one in enumerate(servers)}
        self.settings = Config(rules=Rules(files=(str(where / "rules.yml"),)), notify=Notify(webhooks=hooks))
        self.said: list[Flip] = []
        self.start()

    def start(self) -> None:
        self.notifying = Notifying(str(self.where), Root(), lambda: self.now)
        self.notifying.follow(self.settings.notify)
        self.ruling = Ruling(self.store, Root(), str(self.where), self.said.extend, self.notifying.announce)
        self.ruling.refresh = self.notifying.refresh
        self.ruling._now = lambda: Moment("boot", self.now, 1.7e9 + self.now)  # type: ignore[method-assign]
        self.ruling.follow(self.settings)

    def stop(self) -> None:
        self.ruling._memory.close()
        self.notifying.stop()

    def evaluate(self, heat: float) -> None:
        """A sweep, an evaluation, and a look at the clock by everybody who waits for it."""
        self.now += EVERY
        self.store.put("edgemon.thresholds", [ruled.THRESHOLD(heat, "heat")])
        self.store.snapshot = replace(self.store.commit(), at=self.now)
        self.ruling.evaluate(self.ruling.engine.groups[0])
        self.hurry()

    def later(self) -> bool:
        """Five minutes, after which a receiver is tried again however often it has failed."""
        self.now += 300
        self.hurry()
        return True

    def hurry(self) -> None:
        for _, courier in self.notifying._couriers.values():
            courier.hurry()


@pytest.fixture
def server() -> Iterator[Faulty]:
    with faulty() as it:
        yield it


def told(server: Faulty) -> list[tuple[str, str, str]]:
    """What the receiver took, in its order: alert, state and beginning."""
    flips = [(one["alerts"][0], one["status"]) for one in server.taken()]
    return [(one["labels"]["alertname"], status, one["startsAt"]) for one, status in flips]


def test_every_flip_of_an_hour_offline_is_delivered_once_and_in_order(tmp_path: Path, server: Faulty) -> None:
    """Two receivers away in every way there is, a restart in between; what the engine said is what each is told."""
    with faulty() as other:
        for one in (server, other):
            one.plan.extend(DOWN * 1000)
        site = Site(tmp_path, server, other)
        for number in range(HOUR // EVERY):
            site.evaluate(95.0 if number % 16 < 8 else 70.0)
            if number == HOUR // EVERY // 2:
                site.stop()
                site.start()
        announced = list({flip.identity: (flip.alertname, flip.state.value) for flip in site.said}.values())
        assert len(announced) == HOUR // EVERY // 16 * 4
        until(lambda: site.later() and len(server.got) > 10 and len(other.got) > 10, PATIENCE)
        assert (told(server), told(other)) == ([], [])
        for one in (server, other):
            one.plan.clear()
        for one in (server, other):
            until(lambda one=one: site.later() and len(told(one)) >= len(announced), PATIENCE)
        site.evaluate(70.0)
        for one in (server, other):
            assert [(name, state) for name, state, _ in told(one)] == announced
            assert len(set(told(one))) == len(announced)
            ids = [got.headers["webhook-id"] for got in one.got if got.headers["x-answer"] == "200"]
            assert len(set(ids)) == len(ids) == len(announced)
        site.stop()


def test_whoever_is_sent_an_alert_again_gets_its_present_value(tmp_path: Path, server: Faulty) -> None:
    """As by Prometheus: Alertmanager shows the better numbers; nobody is notified of a flip for that."""
    site = Site(tmp_path)
    site.settings = Config(
        rules=site.settings.rules, notify=Notify(alertmanagers={"a": Alertmanager(url=server.url, resend=60.0)})
    )
    site.stop()
    site.start()
    site.evaluate(81.0)
    until(lambda: server.got, PATIENCE)
    site.evaluate(85.5)
    site.now += 120
    site.hurry()
    until(lambda: len(server.got) > 1, PATIENCE)
    summaries = [one.json[0]["annotations"]["summary"] for one in server.got]
    assert summaries == ["It is 81 °C.", "It is 85.5 °C."]
    assert len(site.said) == 1
    site.stop()
