"""A command gets the flip on standard input, its arguments as they are, a deadline, and nothing it leaves behind."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from edgemon.alerts.command import Command
from edgemon.alerts.receiver import Delivery
from tests.alerts.flips import flip
from tests.running import until


def python(code: str, *arguments: str, seconds: float = 20.0) -> Command:
    return Command("command/lamp", [sys.executable, "-c", code, *arguments], seconds, {"instance": "kitchen"})


def test_it_gets_the_flip_as_json_and_no_shell_sees_its_arguments(tmp_path: Path) -> None:
    code = (
        "import json, os, sys; json.dump([json.load(sys.stdin), sys.argv[1:], {**os.environ}], open(sys.argv[1], 'w'))"
    )
    out = str(tmp_path / "out")
    assert python(code, out, "$(touch /x); `id` *").deliver([flip(value=3.5)]).outcome is Delivery.SENT
    said, arguments, environment = json.loads(Path(out).read_text())
    assert arguments == [out, "$(touch /x); `id` *"]
    assert said["labels"] == {"alertname": "Hot", "severity": "warning", "instance": "kitchen"}
    assert (said["alertname"], said["state"], said["value"], said["starts_at"]) == ("Hot", "firing", "3.5", 1e9)
    assert set(environment) - {"LC_CTYPE"} == {"PATH", "LANG"}


def test_secrets_of_the_daemon_are_not_in_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/edgemon")
    code = "import os, sys; sys.exit('CREDENTIALS_DIRECTORY' in os.environ)"
    assert python(code).deliver([flip()]).outcome is Delivery.SENT


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        ("import sys; sys.exit(3)", "ended with status 3"),
        ("import os; os.kill(os.getpid(), 11)", "killed by signal 11"),
    ],
)
def test_how_it_ended_is_said(code: str, detail: str) -> None:
    answer = python(code).deliver([flip()])
    assert answer.outcome is Delivery.FAILED
    assert detail in answer.detail


def test_one_that_does_not_read_and_prints_without_end_blocks_nothing() -> None:
    long = flip(annotations={"description": "x" * 1_000_000})
    assert python("print('y' * 10_000_000)").deliver([long]).outcome is Delivery.SENT


def test_at_the_deadline_it_is_killed_with_everything_it_started(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time; "
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "open(sys.argv[1], 'w').write(str(p.pid)); time.sleep(600)"
    )
    answer = python(code, str(tmp_path / "pid"), seconds=2.0).deliver([flip()])
    assert (answer.outcome, answer.detail) == (Delivery.FAILED, "took longer than 2 s and was killed")
    grandchild = int((tmp_path / "pid").read_text())
    until(lambda: not running(grandchild), 5.0)


def test_what_it_leaves_behind_is_killed_as_well(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "open(sys.argv[1], 'w').write(str(p.pid))"
    )
    assert python(code, str(tmp_path / "pid")).deliver([flip()]).outcome is Delivery.SENT
    until(lambda: not running(int((tmp_path / "pid").read_text())), 5.0)


def running(pid: int) -> bool:
    """Whether the process is there, and no zombie that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_one_that_cannot_be_started_is_said(tmp_path: Path) -> None:
    one = Command("command/lamp", ["/no/such/program"], 1.0, {})
    assert one.deliver([flip()]).detail == "cannot start /no/such/program: no such file or directory"
    assert one.check().outcome is Delivery.REFUSED
    assert python("").check().outcome is Delivery.SENT


def test_no_descriptor_and_no_child_is_left(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        python("").deliver([flip()])
    assert len(os.listdir("/proc/self/fd")) == before
