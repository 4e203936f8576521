"""A secret in every place of the configuration that can hold one, and in none of what edgemon says, serves or keeps."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.access import Keys, hashed
from tests.alerts.server import Faulty, faulty
from tests.running import running, until
from tests.test_daemon import reload

RULES = """
groups:
- {name: one, interval: 1s, rules: [{alert: Always, expr: vector(1), labels: {severity: page}}]}
"""
COMMANDS = ("check", "notify test", "probe plain --json")


@dataclass
class Planted:
    """Secrets by the place they are in, and everything that was said."""

    folder: Path
    secrets: dict[str, str] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)

    def secret(self, place: str) -> str:
        """A new secret."""
        return self.secrets.setdefault(place, f"s3cr3t-{len(self.secrets)}-Tq9xYz")

    def file(self, place: str) -> str:
        """A file with a new secret."""
        path = self.folder / place
        path.touch(0o600)
        path.write_text(f"{self.secret(place)}\n")
        return str(path)

    def settings(self, server: Faulty, web: str) -> dict[str, Any]:
        """A configuration full of them: the receivers refuse, the served model is not there."""
        header = {"file": self.file("header-file"), "prefix": "Bearer "}
        endpoint = {"headers": {"Authorization": header}, "timeout": "1s"}
        body = {"method": "POST", "body": f'{{"key": "{self.secret("body")}"}}'}
        probe = {"interval": "10s", "idle": "0", "seconds": "100ms"}
        hook = f"{server.url}/services/{self.secret('webhook-path')}?token={self.secret('webhook-query')}"
        return {
            "log_level": "debug",
            "sensors": {"interval": "1s"},
            "web_config": web,
            "rules": {"files": [str(self.folder / "rules.yml")]},
            "probes": {
                "plain": {"model": "http://127.0.0.1:1/predict", "endpoint": {**endpoint, **body}, **probe},
                "bare": {"model": "http://127.0.0.1:1/predict", **probe},
            },
            "notify": {
                "webhooks": {"pager": {"url": hook, "secret": self.file("signing"), "token": self.file("hook-token")}},
                "alertmanagers": {"site": {"url": "http://127.0.0.1:1", "token": self.file("am-token")}},
            },
        }

    def found(self) -> list[tuple[str, str]]:
        """Which secret is where."""
        return [
            (place, where)
            for place, secret in self.secrets.items()
            for where, text in self.said.items()
            if secret in text
        ]


def told(folder: Path, *arguments: str) -> str:
    """What a command prints on either stream."""
    command = [sys.executable, "-m", "edgemon", *arguments, "--config", str(folder / "edgemon.yml")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """Everything a daemon says and keeps while its receivers and its model fail, and its configuration turns bad."""
    it, keys = Planted(tmp_path_factory.mktemp("secrets")), Keys(tmp_path_factory.mktemp("keys"))
    (it.folder / "rules.yml").write_text(RULES)
    it.secrets["password-hash"] = hashed("p")[7:]
    web = keys.write(basic_auth_users={"alice": hashed("p")}, tls_server_config=keys.tls(key=keys.text("server.key")))
    it.secrets["server-key"] = keys.text("server.key").splitlines()[1]
    work = tmp_path_factory.mktemp("work")
    with faulty() as server:
        server.plan.extend([500, 403, 500, "reset"] * 20)
        settings = it.settings(server, web)
        with running(work, ready=False, **settings) as daemon:
            curl = ["curl", "-sk", "--max-time", "60", "-u", "alice:p"]

            def get(path: str) -> str:
                return subprocess.run([*curl, daemon.url + path], capture_output=True, text=True, check=False).stdout

            ended = ('edgemon_notifications_total{notifier="webhook/pager"', 'probe="bare",outcome="failed"} 1')
            until(lambda: all(one in get("/metrics") for one in ended), 90)
            it.said |= {path: get(path) for path in ("/metrics", "/", "/api/v1/alerts", "/api/v1/rules", "/nowhere")}
            it.said |= {command: told(work, *command.split()) for command in COMMANDS}
            bad = keys.write(
                "bad.yml", basic_auth_users={"alice": it.secret("plain-password")}, tls_server_config={"key": "x"}
            )
            reload(daemon, **{**settings, "web_config": bad})
            until(lambda: "the configuration was not reloaded" in daemon.log(), 60)
            plain = {name: it.secret(f"{name}-itself") for name in ("secret", "token")}
            plain["url"] = f"ftp://127.0.0.1/?a=b&token={it.secret('bad-query')}"
            hooks = {"plain": plain, "pager": {"url": f"https://user:{it.secret('url-password')}@127.0.0.1/"}}
            local = "http://127.0.0.1:1/"
            probes = {
                "bare": {"model": f"http://user:{it.secret('model-password')}@127.0.0.1:1/x"},
                "other": {"model": f"{local}?key={it.secret('model-query')}"},
                "third": {"model": local, "endpoint": {"headers": {"X-Key": it.secret("header-value")}}},
                "fourth": {"model": local, "endpoint": {"headers": {"X-Key": {"file": it.secret("file-itself")}}}},
                "fifth": {"model": local, "endpoint": {"tls": {"key": it.secret("key-itself")}}},
            }
            reload(daemon, **{**settings, "notify": {"webhooks": hooks}, "probes": probes})
            until(lambda: daemon.log().count("the configuration was not reloaded") == 2, 60)
            it.said["check of a bad one"] = told(work, "check")
            daemon.process.send_signal(signal.SIGTERM)
            daemon.process.wait(60)
        it.said["log"] = daemon.log()
    kept = [path for path in (work / "state").rglob("*") if path.is_file()]
    it.said |= {f"state/{path.name}": path.read_bytes().decode("latin-1") for path in kept}
    return it


def test_everything_was_said_that_could_repeat_one(planted: Planted) -> None:
    """The receivers were asked and refused, the model was asked for and was not there, the configuration was bad."""
    assert len(planted.secrets) >= 12
    assert "Always" in planted.said["/api/v1/alerts"]
    assert "webhook/pager" in planted.said["log"]
    assert "connection refused" in planted.said["probe plain --json"]
    assert "***@" in planted.said["check of a bad one"]
    assert planted.said["check of a bad one"].count("***") >= 6


def test_no_secret_is_in_what_is_said_served_or_kept(planted: Planted) -> None:
    assert planted.found() == []
