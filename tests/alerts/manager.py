"""A real Alertmanager: `with alertmanager(where, config) as url: …`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.peers import peer
from tests.running import fetch, stop, until
from tests.test_prometheus import free

TEMPLATES = "/usr/share/prometheus/alertmanager"
"""Where Debian's build has them."""


@contextmanager
def alertmanager(where: Path, config: Any) -> Iterator[str]:
    """One that is ready, on a free port of loopback; skips the test where there is none."""
    address = f"127.0.0.1:{free()}"
    (where / "alertmanager.yml").write_text(json.dumps(config))
    command = [*program(), "--config.file=alertmanager.yml", "--storage.path=data"]
    command += [f"--web.listen-address={address}", "--cluster.listen-address="]
    with (where / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=where, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        until(lambda: _answers(f"http://{address}", process, where))
        yield f"http://{address}"
    finally:
        stop(process)


def program() -> list[str]:
    """The command; one unpacked elsewhere sees its templates where it was built to look for them."""
    binary = peer("prometheus-alertmanager")
    if os.path.exists(f"{TEMPLATES}/default.tmpl"):
        return [binary]
    here = Path(binary).parents[1] / "share/prometheus/alertmanager"
    place = 'mount -t tmpfs none /usr/share && mkdir -p "${1%/*}" && ln -s "$0" "$1" && shift && exec "$@"'
    return ["unshare", "--map-root-user", "--mount", "sh", "-c", place, str(here), TEMPLATES, binary]


def _answers(url: str, process: subprocess.Popen[bytes], where: Path) -> bool:
    assert process.poll() is None, (where / "log").read_text()
    try:
        return fetch(f"{url}/-/ready")[0] == 200
    except OSError:
        return False
