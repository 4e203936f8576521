"""Messages: with fields in the journal's own protocol, as JSON, as text; where they go follows what is there."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemon import logs
from tests.running import HERE


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """edgemon's logger, as it was before in the end."""
    found = logging.getLogger("edgemon")
    handlers, level = found.handlers, found.level
    found.handlers = []
    yield found
    found.handlers = handlers
    found.setLevel(level)


def fields(data: bytes) -> dict[str, str]:
    """What journald makes of a datagram."""
    found: dict[str, str] = {}
    while data:
        name, _, rest = data.partition(b"\n")
        if b"=" in name:
            key, _, value = name.partition(b"=")
            data = rest
        else:
            size = int.from_bytes(rest[:8], "little")
            key, value, data = name, rest[8 : 8 + size], rest[8 + size + 1 :]
        found[key.decode()] = value.decode()
    return found


def test_the_journal_gets_message_priority_id_and_what_it_is_about(tmp_path: Path, log: logging.Logger) -> None:
    address = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(address)
        log.handlers = [logs.Journal(address)]
        log.warning("probe %s: degraded", "a", extra={"event": "verdict", "probe": "a"})
        found = fields(journal.recv(65536))
        assert found == {
            "MESSAGE": "probe a: degraded", "PRIORITY": "4", "SYSLOG_IDENTIFIER": "edgemon", "LOGGER": "edgemon",
            "EDGEMON_PROBE": "a", "EDGEMON_EVENT": "verdict", "MESSAGE_ID": logs.EVENTS["verdict"],
        }  # fmt: skip
        log.error("two\nlines=\nMESSAGE=forged\n")
        assert fields(journal.recv(65536))["MESSAGE"] == "two\nlines=\nMESSAGE=forged\n"
        log.handlers[0].close()


def test_what_the_journal_does_not_take_is_a_line_with_its_priority(
    tmp_path: Path, log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    log.handlers = [logs.Journal(str(tmp_path / "none"))]
    log.warning("hot")
    log.handlers[0].close()
    assert capsys.readouterr().err == "<4>hot\n"


def test_json_is_one_object_a_line(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logs.to_stderr("info", "json")
    log.info('say "%s"\n', "ä", extra={"event": "alert", "alert": "Hot"})
    log.debug("not at this level")
    (line,) = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "info", "message": 'say "ä"\n', "logger": "edgemon", "event": "alert", "alert": "Hot",
    }  # fmt: skip


@pytest.mark.parametrize(("matching", "form"), [(False, "text"), (True, "journal")])
def test_auto_is_the_journal_only_where_standard_error_leads_there(tmp_path: Path, matching: bool, form: str) -> None:
    """A daemon started from a service's shell inherits $JOURNAL_STREAM, but not the stream."""
    code = "from edgemon import logs; logs.SOCKET = '/'; logs.to_stderr(); import logging\n"
    code += "print(type(logging.getLogger('edgemon').handlers[0]).__name__)"
    with (tmp_path / "log").open("wb") as log:
        at = os.fstat(log.fileno())
        env = {**os.environ, "PYTHONPATH": str(HERE), "JOURNAL_STREAM": f"{at.st_dev}:{at.st_ino + (not matching)}"}
        ran = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=log, env=env, check=True)
    assert ran.stdout.decode().strip() == {"text": "StreamHandler", "journal": "Journal"}[form]


def test_the_ids_of_events_are_ids_and_differ() -> None:
    assert all(len(one) == 32 and int(one, 16) for one in logs.EVENTS.values())
    assert len(set(logs.EVENTS.values())) == len(logs.EVENTS)
