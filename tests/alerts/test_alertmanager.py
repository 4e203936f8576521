"""The real Alertmanager takes our alerts as Prometheus' own: grouped, silenced, kept alive and resolved."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from edgemon.alerts.alertmanager import Alertmanager
from edgemon.alerts.courier import Courier
from edgemon.alerts.flip import Flip, fingerprint
from edgemon.alerts.outbox import Outbox
from edgemon.alerts.receiver import Delivery, Link
from edgemon.alerts.webhook import payload
from tests.alerts.flips import flip
from tests.alerts.manager import alertmanager
from tests.alerts.server import Faulty, faulty
from tests.peers import peer
from tests.running import fetch, stop, until
from tests.test_prometheus import free

pytestmark = pytest.mark.peer

EXTRA = {"instance": "kitchen", "site": "Tromsø"}


@dataclass(frozen=True, slots=True)
class Real:
    """A running Alertmanager, and the web server that it notifies."""

    url: str
    told: Faulty

    def alerts(self, name: str) -> dict[str, dict[str, Any]]:
        """What it knows of an alert, by fingerprint."""
        status, text = fetch(f"{self.url}/api/v2/alerts")
        assert status == 200
        return {one["fingerprint"]: one for one in json.loads(text) if one["labels"]["alertname"] == name}

    def notified(self, name: str) -> list[Any]:
        """The notifications it has sent of a group."""
        return [got.json for got in self.told.got if got.json["groupLabels"] == {"alertname": name}]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """Alertmanager groups by alertname and tells a webhook."""
    with faulty() as told:
        route = {"receiver": "pager", "group_by": ["alertname"], "group_wait": "1s", "group_interval": "1s"}
        config = {"route": route, "receivers": [{"name": "pager", "webhook_configs": [{"url": f"{told.url}/told"}]}]}
        with alertmanager(tmp_path_factory.mktemp("alertmanager"), config) as url:
            yield Real(url, told)


def ours(real: Real, resend: float = 60.0) -> Alertmanager:
    return Alertmanager("alertmanager/site", Link(real.url), resend, EXTRA)


def send(real: Real, *flips: Flip) -> None:
    answer = ours(real).deliver(flips)
    assert answer.outcome is Delivery.SENT, answer.detail


def now() -> float:
    """Whole seconds, as rule evaluations have them."""
    return float(int(time.time()))


def test_it_computes_the_fingerprints_we_do(real: Real) -> None:
    """Whatever the labels, our own and those from outside."""
    labels: list[dict[str, str]] = [
        {},
        {"a": "b"},
        {"Z": "1", "a": "2", "_x": "é\n\"'\\"},
        {"emoji": "🔥" * 20},
        {"none": ""},
    ]
    flips = [flip("Prints", starts_at=now(), labels=one) for one in labels]
    send(real, *flips)
    expected = {fingerprint({**EXTRA, **one.labels}) for one in flips}
    assert len(expected) == 4
    assert set(until(lambda: real.alerts("Prints"))) == expected


def test_an_alert_arrives_whole(real: Real) -> None:
    one = flip("Whole", starts_at=now() - 30.5, annotations={"summary": "It is hot."}, generator_url="http://kitchen/x")
    send(real, one)
    (got,) = until(lambda: real.alerts("Whole")).values()
    assert got["labels"] == {"alertname": "Whole", "severity": "warning", **EXTRA}
    assert (got["annotations"], got["generatorURL"]) == ({"summary": "It is hot."}, "http://kitchen/x")
    assert unix(got["startsAt"]) == one.starts_at
    assert got["status"]["state"] == "active"


def test_alerts_of_one_group_are_one_notification_and_resolve_as_one(real: Real) -> None:
    began = time.time()  # what began longer ago than group_wait is told at once
    both = [flip("Group", starts_at=began, labels={"zone": zone}) for zone in ("cpu", "gpu")]
    send(real, *both)
    first = until(lambda: real.notified("Group"))[0]
    assert (first["status"], len(first["alerts"])) == ("firing", 2)
    send(real, *(flip("Group", "resolved", began, labels=one.labels, ends_at=time.time()) for one in both))
    last = until(lambda: [one for one in real.notified("Group") if one["status"] == "resolved"])[-1]
    assert [one["status"] for one in last["alerts"]] == ["resolved", "resolved"]
    until(lambda: not real.alerts("Group"))


def test_a_silenced_alert_is_suppressed_and_nobody_is_told(real: Real) -> None:
    """By amtool, with a label from outside; the same alert of another name is told."""
    amtool = [peer("amtool"), "--alertmanager.url", real.url, "silence", "add", "--author=test", "--comment=test"]
    subprocess.run([*amtool, "alertname=Quiet", "instance=kitchen"], check=True, capture_output=True, timeout=30)
    send(real, flip("Quiet", starts_at=now()), flip("Loud", starts_at=now()))
    until(lambda: real.notified("Loud"))
    (quiet,) = real.alerts("Quiet").values()
    assert (quiet["status"]["state"], len(quiet["status"]["silencedBy"])) == ("suppressed", 1)
    assert real.notified("Quiet") == []


def test_our_webhooks_are_like_its_own(real: Real) -> None:
    """The same flip, told by Alertmanager and by us: the same keys and values, but for its own address."""
    began = now() - 60
    for state in ("firing", "resolved"):
        one = flip("Same", state, began, annotations={"summary": "é"}, generator_url="http://kitchen/x")
        send(real, one)
        theirs = until(lambda state=state: [it for it in real.notified("Same") if it["status"] == state])[-1]
        theirs.pop("notification_reason", None)  # of 0.33 and later; a flip is told once, for one reason
        mine = payload(one, "pager", {**EXTRA, **one.labels}, theirs["externalURL"])
        for told in (theirs, mine):
            for alert in told["alerts"]:
                alert.update({key: unix(alert[key]) for key in ("startsAt", "endsAt")})
        assert mine == theirs


def unix(text: str) -> float:
    """Seconds since 1970 of a time in RFC 3339, of which Go cuts zeros."""
    whole, _, rest = text.removesuffix("Z").partition(".")
    return (
        datetime.fromisoformat(f"{whole}+00:00") - datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    ).total_seconds() + float(f"0.{rest or 0}")


def test_sent_again_it_stays_and_left_alone_it_ends(real: Real, tmp_path: Path) -> None:
    """With a second between, an alert holds for four: it outlives them while we are there, not when we are gone."""
    box, one = Outbox(str(tmp_path)), flip("Alive", starts_at=now())
    box.follow(["alertmanager/site"])
    box.put(one)
    courier = Courier(ours(real, resend=1.0), box, lambda: [one])
    courier.start()
    first = until(lambda: list(real.alerts("Alive").values()))[0]
    until(lambda: time.time() > unix(first["endsAt"]) + 2)
    (later,) = real.alerts("Alive").values()
    assert (later["status"]["state"], later["startsAt"]) == ("active", first["startsAt"])
    assert courier.stop(5.0)
    until(lambda: not real.alerts("Alive"))
    box.close()


def test_what_cannot_be_dated_is_left_to_its_clock(real: Real) -> None:
    """A device that does not know the time yet: the alert fires now, by Alertmanager's clock, and is resolved."""
    lost = Alertmanager("alertmanager/site", Link(real.url), 60.0, EXTRA, wall=lambda: 1000.0)
    assert lost.deliver([flip("Undated", starts_at=0.0)]).outcome is Delivery.SENT
    (got,) = until(lambda: real.alerts("Undated")).values()
    assert unix(got["startsAt"]) > 1e9
    resolved = flip("Undated", "resolved", 0.0)
    assert lost.deliver([Flip(resolved.labels, resolved.state)]).outcome is Delivery.SENT
    until(lambda: not real.alerts("Undated"))


def test_a_beginning_that_a_clock_step_has_put_into_the_future_is_taken(real: Real) -> None:
    """Alertmanager refuses what ends before it begins."""
    send(real, flip("Stepped", starts_at=now() + 86400))
    assert until(lambda: real.alerts("Stepped"))


def test_what_is_wrong_is_refused_with_its_words(real: Real) -> None:
    answer = ours(real).deliver([Flip({"alertname": "Bad", "": "x"}, flip().state, now())])
    assert answer.outcome is Delivery.REFUSED
    assert answer.detail.startswith("status 400: ")


def test_a_check_asks_its_api(real: Real) -> None:
    assert ours(real).check().outcome is Delivery.SENT
    assert Alertmanager("alertmanager/x", Link(f"{real.url}/wrong"), 60.0, {}).check().outcome is Delivery.REFUSED


def test_prometheus_sends_what_we_send(tmp_path: Path) -> None:
    """One alert from a real Prometheus and from us: the same fields, and an end four times the resend delay away."""
    begins = time.time() + 9  # Prometheus takes five seconds to know its Alertmanagers
    rule = {
        "alert": "Hot",
        "expr": f"(vector(time()) > {begins} < {begins + 3}) * 0 + 1",
        "labels": {"severity": "warning"},
    }
    with faulty() as told:
        target = {"static_configs": [{"targets": [told.url.removeprefix("http://")]}]}
        config = {
            "global": {"evaluation_interval": "1s", "external_labels": EXTRA},
            "rule_files": ["rules.yml"],
            "alerting": {"alertmanagers": [target]},
        }
        (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "g", "rules": [rule]}]}))
        (tmp_path / "prometheus.yml").write_text(json.dumps(config))
        command = [peer("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
        command += [f"--web.listen-address=127.0.0.1:{free()}", "--rules.alert.resend-delay=60s"]
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            firing, resolved = until(lambda: len(told.got) >= 2 and told.got[:2])
        finally:
            stop(process)
        (theirs,), (ended,) = firing.json, resolved.json
        one = flip(starts_at=unix(theirs["startsAt"]), generator_url=theirs["generatorURL"])
        mine = Alertmanager("alertmanager/x", Link(told.url), 60.0, EXTRA, wall=lambda: one.starts_at)
        for state in ("firing", "resolved"):
            mine.deliver([flip(state=state, starts_at=one.starts_at, generator_url=one.generator_url)])
        (ours_firing,), (ours_resolved,) = told.got[-2].json, told.got[-1].json
    assert (firing.path, firing.headers["content-type"]) == (told.got[-1].path, told.got[-1].headers["content-type"])
    assert {**ours_firing, "startsAt": 0, "endsAt": 0} == {"annotations": {}, **theirs, "startsAt": 0, "endsAt": 0}
    assert set(ours_resolved) - {"annotations"} == set(ended) - {"annotations"}
    assert unix(ours_firing["endsAt"]) - unix(ours_firing["startsAt"]) == 240
    assert round(unix(theirs["endsAt"]) - unix(theirs["startsAt"])) == 240
    assert unix(ended["endsAt"]) <= time.time()
