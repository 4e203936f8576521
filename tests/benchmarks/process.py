"""The daemons that are compared: starting them, stopping them, and what they cost."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.benchmarks import client

HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.path.expanduser("~/.cache/edgemon-peers/root/usr/bin")
TICK = os.sysconf("SC_CLK_TCK")
PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon that runs; `startup` is the time from its start to the first scrape that shows hardware."""

    name: str
    pid: int
    port: int
    startup: float

    def cpu(self) -> float:
        """Seconds of CPU of the process with its threads: fields 14 and 15 of its stat, at the resolution of ns."""
        return time.clock_gettime(~self.pid << 3 | 2)  # clock_getcpuclockid(3), CPUCLOCK_SCHED

    def children(self) -> float:
        """Seconds of CPU of children that have ended: fields 16 and 17 of its stat."""
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) / TICK

    def memory(self) -> tuple[int, int]:
        """RSS and PSS in bytes, now."""
        with open(f"/proc/{self.pid}/smaps_rollup") as file:
            sizes = {line.split()[0]: int(line.split()[1]) << 10 for line in file if line.startswith(("Rss", "Pss:"))}
        return sizes["Rss:"], sizes["Pss:"]

    def peak(self) -> int:
        """The highest RSS ever in bytes, which no reclaim of cold pages makes smaller: VmHWM."""
        with open(f"/proc/{self.pid}/status") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM:"))


def node_exporter() -> str | None:
    """The path of node_exporter, if it is here."""
    found = [
        shutil.which(name, path=CACHE) or shutil.which(name) for name in ("prometheus-node-exporter", "node_exporter")
    ]
    return next(filter(None, found), None)


@contextlib.contextmanager
def edgemon(name: str, settings: dict[str, object]) -> Iterator[Daemon]:
    """A real edgemon on a free port with a state directory of its own."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="edgemon-bench-") as directory:
        config = os.path.join(directory, "edgemon.yml")
        with open(config, "w") as file:  # JSON is YAML
            json.dump({"listen": f"127.0.0.1:{port}", "state_dir": f"{directory}/state", **settings}, file)
        with _started(name, [sys.executable, "-m", "edgemon", "run", "--config", config], port) as daemon:
            yield daemon


@contextlib.contextmanager
def exporter(path: str) -> Iterator[Daemon]:
    """node_exporter with its default collectors on a free port."""
    port = free_port()
    with _started("node_exporter", [path, f"--web.listen-address=127.0.0.1:{port}"], port) as daemon:
        yield daemon


@contextlib.contextmanager
def _started(name: str, command: list[str], port: int) -> Iterator[Daemon]:
    environment = {**os.environ, "PYTHONPATH": HERE}
    began = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, cwd=HERE, env=environment, stdout=log, stderr=log, start_new_session=True
        )  # a session of its own, as a service has
        try:
            if not _serves(process, port, began + PATIENCE):
                log.seek(0)
                raise RuntimeError(f"{name} does not serve: {log.read().decode()[-1000:]}")
            yield Daemon(name, process.pid, port, time.monotonic() - began)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _serves(process: subprocess.Popen[bytes], port: int, deadline: float) -> bool:
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), contextlib.closing(client.Client(port)) as one:
            if len(one.scrape().series()) > 20:
                return True
        time.sleep(0.005)
    return False


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
