"""The real daemon in a process of its own: `with running(tmp_path, probes={}) as daemon: daemon.get("/metrics")`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1]
PATIENCE = 30.0
"""Seconds a condition may take; only a hang takes that long."""


@dataclass(frozen=True, slots=True)
class Running:
    """A daemon that answers at `url`; its configuration, its state directory and its log lie in `where`."""

    url: str
    process: subprocess.Popen[bytes]
    where: Path

    @property
    def pid(self) -> int:
        """The process id, to signal it or to look at it."""
        return self.process.pid

    @property
    def address(self) -> str:
        """host:port."""
        return self.url.partition("://")[2]

    def log(self) -> str:
        """What it has said so far."""
        return (self.where / "log").read_text(errors="replace")

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Status and text of a page; underscores in the names of headers stand for hyphens."""
        return fetch(self.url + path, {name.replace("_", "-"): value for name, value in headers.items()})


@contextmanager
def running(
    where: Path, env: Mapping[str, str] | None = None, ready: bool = True, root: str = "", **settings: Any
) -> Iterator[Running]:
    """`edgemon run` with these settings on a free loopback port; ready by default, and always stopped in the end."""
    config = {"listen": "127.0.0.1:0", "state_dir": str(where / "state"), **settings}
    (where / "edgemon.yml").write_text(json.dumps(config))
    (where / "state").mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(HERE), **(env or {})}
    command = [sys.executable, "-m", "edgemon", "run", "--config", str(where / "edgemon.yml")]
    command += ["--root", root] if root else []
    with (where / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        daemon = Running(until(lambda: _announced(process, where / "log")), process, where)
        if ready:
            until(lambda: daemon.get("/readyz")[0] == 200)
        yield daemon
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> int:
    """End a process, by force if it does not end by itself, and return its status."""
    process.terminate()
    try:
        return process.wait(PATIENCE / 2)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def until(condition: Any, patience: float = PATIENCE) -> Any:
    """What the condition gives once that is true; an AssertionError when it does not become so in time."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"did not become true within {patience:g} s")


def fetch(url: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Status and text, of error pages as well."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=dict(headers or {})), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def _announced(process: subprocess.Popen[bytes], path: Path) -> str:
    """The address from the line that announces it; an AssertionError with the log when the daemon ended instead."""
    text = path.read_text(errors="replace")
    found = re.search(r"metrics at (https?://\S+)/metrics", text)
    assert found or process.poll() is None, f"edgemon ended with status {process.returncode}: {text}"
    return found[1] if found else ""
