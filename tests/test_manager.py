"""What the service manager is told: a real daemon, and a socket such as systemd's."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemon.lanes import Job, Lane
from edgemon.sdnotify import notify, watchdog
from tests.running import running, until

BRISK = {"interval": "200ms"}


class Told:
    """What arrives at a socket, message by message."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(30.0)

    def until(self, wanted: str) -> list[str]:
        """Everything up to the line that begins so, in order."""
        found: list[str] = []
        while not any(line.startswith(wanted) for line in found):
            found += self.socket.recv(4096).decode().split("\n")
        return found


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    one = Told(str(tmp_path / "notify"))
    yield one
    one.socket.close()


def test_a_daemon_tells_when_it_is_ready_reloads_and_stops_and_feeds_the_watchdog(tmp_path: Path, told: Told) -> None:
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"}
    with running(tmp_path, env, probes={}, sensors=BRISK) as daemon:
        first = told.until("STATUS=")
        assert first[0] == "READY=1"
        assert daemon.get("/readyz")[0] == 200
        assert told.until("WATCHDOG=1")[-1] == "WATCHDOG=1"
        for settings in ({"log_level": "warning"}, {"colour": "red"}):  # a reload ends, whether it is taken or refused
            path = tmp_path / "edgemon.yml"
            path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
            os.kill(daemon.pid, signal.SIGHUP)
            told.until("RELOADING=1")
            assert told.socket.recv(4096) == b"READY=1"
        daemon.process.terminate()
        last = told.until("STOPPING=1")
        assert last[-2].startswith("EXTEND_TIMEOUT_USEC=")
        assert daemon.process.wait(30) == 0
    assert "WATCHDOG=1" not in told.until("STATUS=stopping: what")


@pytest.mark.parametrize("name", ["/{}/notify", "@{}/notify"])
def test_a_path_and_an_abstract_name_are_reached(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = name.format(str(tmp_path).strip("/"))
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    one = Told("\0" + address[1:] if address.startswith("@") else address)
    assert notify("READY=1", "STATUS=ä")
    assert one.socket.recv(100).decode() == "READY=1\nSTATUS=ä"
    one.socket.close()


def test_without_a_service_manager_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert not notify("READY=1")


@pytest.mark.parametrize(
    ("span", "pid", "seconds"),
    [("60000000", "", 60.0), ("2500000", "own", 2.5), ("2500000", "1", 0.0), ("", "", 0.0), ("soon", "", 0.0)],
)
def test_the_watchdog_counts_only_if_it_is_for_this_process(
    span: str, pid: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", span)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)
    assert watchdog() == seconds


def test_a_lane_is_stuck_in_what_it_does_or_when_it_does_not_begin_what_is_due() -> None:
    now, held, entered = [100.0], threading.Event(), threading.Event()
    lane = Lane("rules", clock=lambda: now[0])

    def evaluate() -> None:
        entered.set()
        held.wait()

    lane.set([Job("group", 10.0, evaluate)])
    assert lane.stuck(60.0) == ""  # not begun
    lane.start()
    assert entered.wait(30)
    now[0] += 61
    assert lane.stuck(60.0) == "lane rules is stuck in group for 61 s"
    held.set()
    until(lambda: lane.runs == 2)  # the turn that came meanwhile as well
    assert lane.stuck(60.0) == ""
    entered.clear()
    now[0] += 75  # nobody wakes it, as if its thread could not run: the clock is ours, its wait is real
    assert lane.stuck(60.0) == "lane rules is stuck: what is due has waited for 66 s"
    lane.wake()
    assert entered.wait(30)
    assert lane.stuck(60.0) == ""
    assert lane.stop(30.0)
    assert lane.stuck(60.0) == ""
