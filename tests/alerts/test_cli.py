"""On the command line and in the daemon: who answers, who took a test, and what the metrics say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.alerts.server import Faulty, faulty
from tests.running import running, until
from tests.test_daemon import BRISK, configure, edgemon, reload, series

LAMP = {"argv": ["/bin/sh", "-c", 'cat >>"$0"; echo >>"$0"']}


@pytest.fixture
def server() -> Iterator[Faulty]:
    with faulty() as it:
        yield it


def test_a_test_tells_everybody_and_says_who_took_it(tmp_path: Path, server: Faulty) -> None:
    notify = {
        "alertmanagers": {"site": {"url": server.url}},
        "webhooks": {"pager": {"url": f"{server.url}/hook"}},
        "commands": {"lamp": {"argv": [*LAMP["argv"], str(tmp_path / "lamp")]}},
    }
    ran = edgemon("notify", "test", "--config", configure(tmp_path, notify=notify))
    assert (ran.returncode, ran.stderr) == (0, "")
    names = ["alertmanager/site", "webhook/pager", "command/lamp"]
    assert [line.split() for line in ran.stdout.splitlines()] == [
        [name, state, "taken"] for state in ("firing", "resolved") for name in names
    ]
    posted = [got.json["alerts"][0] for got in server.got if got.path == "/hook"]
    assert [(one["labels"]["alertname"], one["labels"]["severity"], one["status"]) for one in posted] == [
        ("EdgemonTest", "info", "firing"), ("EdgemonTest", "info", "resolved"),
    ]  # fmt: skip
    assert posted[0]["startsAt"] == posted[1]["startsAt"] < posted[1]["endsAt"]
    assert (tmp_path / "lamp").read_text().count('"EdgemonTest"') == 4
    assert not (tmp_path / "state").exists()


def test_a_test_that_somebody_did_not_take_is_exit_1_and_says_why(tmp_path: Path, server: Faulty) -> None:
    notify = {"webhooks": {"gone": {"url": "http://127.0.0.1:1/"}, "well": {"url": server.url}}}
    ran = edgemon("notify", "test", "--config", configure(tmp_path, notify=notify))
    assert ran.returncode == 1
    assert ran.stdout.splitlines()[:2] == [
        "webhook/gone                 firing    unreachable: connection refused",
        "webhook/well                 firing    taken",
    ]


def test_without_anybody_to_tell_a_test_is_exit_2(tmp_path: Path) -> None:
    ran = edgemon("notify", "test", "--config", configure(tmp_path))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "edgemon: notify: names nobody; see `edgemon config --example`\n"


def test_check_says_who_answers(tmp_path: Path, server: Faulty) -> None:
    notify = {
        "alertmanagers": {"site": {"url": f"{server.url}/prefix/"}, "gone": {"url": "http://127.0.0.1:1"}},
        "commands": {"lamp": {"argv": ["/no/such/lamp"]}},
    }
    ran = edgemon("check", "--config", configure(tmp_path, probes={}, notify=notify))
    assert ran.returncode == 1
    assert "notify         alertmanager/site is ready\n" in ran.stdout
    assert "problem        notify: alertmanager/gone: connection refused\n" in ran.stdout
    assert "problem        notify: command/lamp: /no/such/lamp cannot be executed\n" in ran.stdout
    assert [(got.method, got.path) for got in server.got] == [("GET", "/prefix/api/v2/status")]


def test_the_daemon_follows_its_receivers_and_exports_how_they_do(tmp_path: Path, server: Faulty) -> None:
    """They come and go with the configuration, their lanes, series and threads with them."""
    notify = {"webhooks": {"pager": {"url": server.url}}, "alertmanagers": {"site": {"url": server.url}}}
    queued, lane = 'edgemon_notifications_queued{notifier="webhook/pager"}', "notifying webhook/pager"
    with running(tmp_path, probes={}, sensors=BRISK) as daemon:
        assert not [name for name in series(daemon) if "_notif" in name]
        threads = []
        for _ in range(3):
            reload(daemon, probes={}, sensors=BRISK, notify=notify)
            found = until(lambda: (now := series(daemon)).get(queued) == 0 and now)
            assert found['edgemon_notifications_total{notifier="alertmanager/site",outcome="sent"}'] == 0
            assert found['edgemon_notifications_outbox_state{state="disk"}'] == 1
            assert found[f'edgemon_lane_failures_total{{lane="{lane}"}}'] == 0
            reload(daemon, probes={}, sensors=BRISK)
            left = until(lambda: (now := series(daemon)).get(queued) is None and now)
            assert not [name for name in left if lane in name]
            threads.append(left["edgemon_process_threads"])
        assert threads[2] <= threads[0]
        daemon.process.terminate()
        assert daemon.process.wait(5.0) == 0
    assert (tmp_path / "state/outbox.sqlite").exists()
