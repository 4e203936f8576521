"""Notifying as a whole: announced once, kept through kill -9, each receiver for itself, reloads without loss."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgemon import alerting
from edgemon.alerts.notify import RESOLVED_FOR, Notifying, level, receivers, sentence
from edgemon.capture import load
from edgemon.receivers import Alertmanager, Command, Notify, Webhook
from edgemon.replay import Replay
from edgemon.sysfs import Root
from tests.alerts.flips import flip, key
from tests.alerts.server import Faulty, faulty
from tests.running import HERE, until


@pytest.fixture
def server() -> Iterator[Faulty]:
    with faulty() as it:
        yield it


def hooks(*servers: Faulty, timeout: float = 10.0) -> Notify:
    return Notify(webhooks={f"w{n}": Webhook(url=it.url, timeout=timeout) for n, it in enumerate(servers)})


def told(server: Faulty) -> list[tuple[str, str]]:
    return [(one["groupLabels"]["alertname"], one["status"]) for one in server.taken()]


@pytest.fixture
def notifying(tmp_path: Path) -> Iterator[Notifying]:
    made = Notifying(str(tmp_path), Root())
    yield made
    made.stop()


def test_what_is_announced_reaches_everybody_and_is_announced_once(notifying: Notifying, server: Faulty) -> None:
    """Also by a command; the same flips again tell nobody again."""
    notifying.follow(Notify(webhooks={"a": Webhook(url=server.url), "b": Webhook(url=f"{server.url}/b")}))
    flips = [flip(), flip("Cold"), flip(state="resolved")]
    for _ in range(2):
        notifying.announce(flips)
    until(lambda: len(server.got) == 6)
    for path in ("/", "/b"):
        names = [one.json["alerts"][0]["labels"]["alertname"] for one in server.got if one.path == path]
        assert names == ["Hot", "Cold", "Hot"]
    notifying.announce(flips)
    notifying.announce([flip("Last")])
    until(lambda: told(server).count(("Last", "firing")) == 2)
    assert len(server.got) == 8


def test_without_receivers_flips_are_logged_and_nothing_is_written(
    notifying: Notifying, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "edgemon")
    notifying.follow(Notify())
    for _ in range(2):
        notifying.announce([flip(labels={"severity": "critical"}, annotations={"summary": "It is\nhot."})])
    notifying.announce([flip(state="resolved", labels={"severity": "critical"})])
    assert [(one.levelname, one.message) for one in caplog.records] == [
        ("CRITICAL", "alert Hot firing (severity=critical): It is hot."),
        ("INFO", "alert Hot resolved (severity=critical)"),
    ]
    assert list(tmp_path.iterdir()) == []
    assert list(notifying.readings()) == []


def test_a_line_of_the_log_is_one_line_of_bounded_length() -> None:
    text = sentence(flip(labels={"a": "\x1b[31m\n"}, annotations={"description": "é" * 1000}))
    assert (text.isprintable(), len(text)) == (True, 500)
    assert level(flip(labels={"severity": "unheard of"})) == logging.WARNING


def test_what_was_resolved_is_kept_alive_for_a_quarter_of_an_hour(tmp_path: Path) -> None:
    clock = [1000.0]
    made = Notifying(str(tmp_path), Root(), lambda: clock[0])
    made.announce([flip("A"), flip("B"), flip("A", "resolved")])
    assert [key(one) for one in made.active()] == [key(flip("A", "resolved")), key(flip("B"))]
    clock[0] += RESOLVED_FOR + 1
    assert [key(one) for one in made.active()] == [key(flip("B"))]


def test_a_receiver_that_hangs_holds_up_no_other(notifying: Notifying, server: Faulty) -> None:
    """Nor the one who announces."""
    with faulty() as stuck:
        stuck.plan.extend(["hang"] * 10)
        notifying.follow(hooks(stuck, server, timeout=60.0))
        notifying.announce([flip()])
        until(lambda: stuck.got and told(server) == [("Hot", "firing")])
        notifying.announce([flip(state="resolved")])
        until(lambda: told(server) == [("Hot", "firing"), ("Hot", "resolved")])
        waiting = {one.labels[0]: one.value for one in notifying.readings() if one.metric is alerting.QUEUED}
        assert waiting["webhook/w0"] == 2


def test_a_reload_keeps_what_waits_and_who_stays(notifying: Notifying, server: Faulty) -> None:
    """A receiver whose address was wrong gets everything under its new one."""
    notifying.follow(Notify(webhooks={"pager": Webhook(url="http://127.0.0.1:1/")}))
    notifying.announce([flip("A"), flip("B")])
    notifying.follow(Notify(webhooks={"pager": Webhook(url=server.url)}))
    until(lambda: told(server) == [("A", "firing"), ("B", "firing")])
    notifying.follow(Notify(labels={"site": "oslo"}, webhooks={"pager": Webhook(url=server.url)}))
    notifying.announce([flip("C")])
    until(lambda: len(server.got) == 3)
    assert server.got[-1].json["commonLabels"]["site"] == "oslo"
    notifying.follow(Notify())
    notifying.announce([flip("D")])
    assert not [one for one in notifying.readings() if one.metric is alerting.QUEUED]


def test_labels_from_outside_never_overwrite_and_a_replay_says_that_it_is_one(server: Faulty) -> None:
    (hook,) = receivers(
        Notify(labels={"severity": "x", "site": "oslo"}, webhooks={"a": Webhook(url=server.url)}), Root()
    )
    hook.deliver([flip()])
    labels = server.got[0].json["commonLabels"]
    assert (labels["severity"], labels["site"], labels.get("simulated")) == ("warning", "oslo", None)
    assert labels["instance"]
    (hook,) = receivers(hooks(server), Replay(load(str(HERE / "tests/devices/vm.capture"))))
    hook.deliver([flip()])
    assert server.got[1].json["commonLabels"]["simulated"] == "true"


def test_names_tell_the_kinds_apart() -> None:
    everybody = Notify(
        alertmanagers={"x": Alertmanager()},
        webhooks={"x": Webhook(url="http://h/")},
        commands={"x": Command(argv=("/x",))},
    )
    assert [one.name for one in receivers(everybody, Root())] == ["alertmanager/x", "webhook/x", "command/x"]


PROCESS = """
import sys, time
from edgemon.alerts.notify import Notifying
from edgemon.capture import load
from edgemon.receivers import Notify, Webhook
from edgemon.sysfs import Root
from tests.alerts.flips import flip
it = Notifying(sys.argv[1], Root())
it.follow(Notify(webhooks={"w": Webhook(url=sys.argv[2], timeout=60.0)}))
it.announce([flip(starts_at=float(n)) for n in range(1, 6)] + [flip("Other")])
print("announced", flush=True)
time.sleep(60)
"""


def start(where: Path, server: Faulty) -> subprocess.Popen[str]:
    """A process that announces six flips; until it says so."""
    command = [sys.executable, "-c", PROCESS, str(where), server.url]
    process = subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "announced\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)


@pytest.mark.parametrize("took", [0, 1, 3])
def test_a_kill_between_keeping_and_sending_delivers_each_exactly_once(
    tmp_path: Path, server: Faulty, took: int
) -> None:
    """kill -9 while the receiver has taken some and has cut off the next; the next start sends the rest."""
    server.plan.extend([200] * took + ["reset"] * 50)
    process = start(tmp_path, server)
    until(lambda: len(server.got) > took)
    kill(process)
    server.plan.clear()
    process = start(tmp_path, server)
    until(lambda: len(server.taken()) >= 6)
    kill(process)
    began = [(one["commonLabels"]["alertname"], one["alerts"][0]["startsAt"]) for one in server.taken()]
    assert len(began) == len(set(began)) == 6
    assert began[:5] == sorted(began[:5])


def test_a_kill_between_taking_and_noting_repeats_one_under_the_same_id(tmp_path: Path, server: Faulty) -> None:
    """What no sender can tell from a lost request: the receiver has it, we do not know. Its id tells."""
    server.plan.extend([200, 200, "hang"])
    process = start(tmp_path, server)
    until(lambda: len(server.got) == 3)
    kill(process)
    process = start(tmp_path, server)
    until(lambda: len(server.got) == 7)
    kill(process)
    ids = [one.headers["webhook-id"] for one in server.got]
    assert ids[2] == ids[3]
    assert len(set(ids)) == 6
    bodies: list[Any] = [json.loads(one.body) for one in server.got]
    assert bodies[2] == bodies[3]
