"""The daemon under test: `edgemon run` as users run it, with something of everything."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests import faketime
from tests.running import HERE, Running, fetch, running, stop
from tests.soak.receiver import Life, Receiver
from tests.test_plugins import install

TIMEOUT = 5.0
SENSORS = 3
PLATFORM = """
from edgemon import catalog
from edgemon.platforms import Platform, Sensor

def sensor(number):
    def read(root):
        yield catalog.TEMPERATURE(root.number("{where}/sensor%d" % number, 1e-3), "soak.%d" % number, "zone", "")
    return Sensor("zone%d" % number, read)

PLATFORM = Platform("soak", lambda root: True, tuple(sensor(number) for number in range({count})))
"""
RULES = {
    "groups": [
        {
            "name": "soak",
            "interval": "1s",
            "rules": [
                {"alert": "ProbeFails", "expr": 'increase(edgemon_probe_runs_total{outcome!="ok"}[10s]) > 0'},
                {"alert": "SensorHangs", "expr": 'edgemon_sensor_state{state="timeout"} == 1'},
                {"alert": "Odd", "expr": 'edgemon_otlp_points_total{signal="metrics"} % 2 == 1'},
                {"record": "soak:sweeps:rate", "expr": 'rate(edgemon_lane_runs_total{lane="sensing"}[10s])'},
            ],
        }
    ]
}
STACKS = "import faulthandler, signal; faulthandler.register(signal.SIGUSR1)\n"
Series = dict[str, float]


class ViolationError(Exception):
    """What must not be."""


@dataclass
class Device:
    """A daemon in a directory of its own, and its clock if there is a libfaketime."""

    where: Path
    receiver: Receiver
    clock: str
    mark: str
    daemon: Running | None = None
    files: int = 0
    kills: int = 0
    logs: list[str] = field(default_factory=list)
    _life: ExitStack = field(default_factory=ExitStack)

    def prepare(self) -> None:
        """Its files: a platform with sensors of ours, and rules."""
        for name in ("site", "tmp", "state"):
            (self.where / name).mkdir(exist_ok=True)
        for number in range(SENSORS):
            self.sensor(number).write_text("42000")
        install(
            self.where / "site", "soak", PLATFORM.replace("{where}", str(self.where)).replace("{count}", str(SENSORS))
        )
        (self.where / "rules.yml").write_text(json.dumps(RULES))
        (self.where / "site" / "sitecustomize.py").write_text(STACKS + (faketime.SLEEP if self.clock else ""))
        self.set_clock(0)

    def start(self) -> None:
        """Start it and wait until it is ready; from then on it must not end by itself."""
        env = {
            "PYTHONPATH": f"{HERE}:{self.where / 'site'}",
            "TMPDIR": str(self.where / "tmp"),
            "EDGEMON_SOAK": self.mark,
        }
        if self.clock:
            env |= {"FAKETIME_CACHE_DURATION": "1", **faketime.environment(self.clock, self.where / "clock")}
        self.daemon = self._life.enter_context(running(self.where, env, **self.settings()))
        self.files = self.descriptors()

    def settings(self, **more: Any) -> dict[str, Any]:
        """Its configuration: probes quick, crashing and real, every sweep pushed to somebody, alerts told."""
        port = self.receiver.port
        quick = {"idle": 0, "samples": 3, "seconds": "100ms", "scheduling": "normal"}
        fake = {"model": "/simulated", "runtime": "fake", **quick, "options": {"work": 20}}
        return {
            "sensors": {"interval": "200ms", "timeout": "100ms"},
            "budget": {"time": 0, "cpu": 0},
            "probes": {
                "quick": {**fake, "interval": "2s", "timeout": "2s"},
                "crashes": {**fake, "interval": "5s", "timeout": "5s", "options": {"behaviour": "segfault"}},
                "real": {**quick, "interval": "10s", "timeout": "10s"},
            },
            "rules": {"files": [str(self.where / "rules.yml"), "embedded:edgemon"]},
            "notify": {"webhooks": {"us": {"url": f"http://127.0.0.1:{port}/alerts", "timeout": "2s"}}},
            "otlp": {
                "endpoint": f"http://127.0.0.1:{port}", "interval": "1s", "timeout": f"{TIMEOUT:g}s",
                "headers": {"X-Life": str(len(self.receiver.lives) - 1)},
                "buffer": {"disk": "4MiB", "memory": "1MiB", "durability": "3s", "spread": 0, "clock": "10s"},
            },
            **more,
        }  # fmt: skip

    def sensor(self, number: int) -> Path:
        """The file of a sensor."""
        return self.where / f"sensor{number}"

    def set_clock(self, seconds: float) -> None:
        """Step its wall clock to so far from the true one."""
        new = self.where / "clock.new"
        new.write_text(f"{seconds:+.1f}")
        new.replace(self.where / "clock")

    def reload(self, text: str | None = None, **more: Any) -> None:
        """Have a configuration read: its own, changed, or any text."""
        settings = {"listen": "127.0.0.1:0", "state_dir": str(self.where / "state"), **self.settings(**more)}
        (self.where / "edgemon.yml").write_text(json.dumps(settings) if text is None else text)
        os.kill(self.pid, signal.SIGHUP)

    @property
    def pid(self) -> int:
        """Its process, which runs."""
        self.alive()
        assert self.daemon
        return self.daemon.pid

    def alive(self) -> None:
        """Violation where it has ended."""
        if self.daemon and (status := self.daemon.process.poll()) is not None:
            raise ViolationError(f"the daemon ended by itself with status {status}")

    def kill(self) -> None:
        """kill -9, and a new life."""
        assert self.daemon
        self.alive()
        self.daemon.process.kill()
        self._over()
        self.kills += 1
        self.start()

    def end(self) -> None:
        """SIGTERM, upon which it must end, and well."""
        assert self.daemon
        self.alive()
        status = stop(self.daemon.process)
        if status:
            raise ViolationError(f"told to end it ended with status {status}")
        self._over()

    def _over(self) -> None:
        assert self.daemon
        self.daemon.process.wait()
        for path in Path("/dev/shm").glob(f"*faketime_*_{self.daemon.pid}"):  # what libfaketime leaves of the killed
            path.unlink()
        self.logs = [*self.logs, self.daemon.log()][-3:]
        self.daemon = None
        self._life.close()
        self.receiver.lives.append(Life())

    def get(self, path: str) -> tuple[int, str]:
        """A page, or status 0 where there is no answer."""
        self.alive()
        assert self.daemon
        try:
            return fetch(self.daemon.url + path)
        except OSError as error:
            return 0, str(error)

    def scrape(self) -> Series:
        """All series; none where there is no answer."""
        status, text = self.get("/metrics")
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if status == 200 and not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    def descriptors(self) -> int:
        """How many it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def resident(self) -> float:
        """Its memory, MiB."""
        return psutil.Process(self.pid).memory_info().rss / 2**20

    def workers(self) -> list[psutil.Process]:
        """Its probes' processes."""
        found = []
        with suppress(psutil.NoSuchProcess):
            for one in psutil.Process(self.pid).children():
                with suppress(psutil.Error):
                    found += [one] if any(part.endswith("worker.py") for part in one.cmdline()) else []
        return found

    def limit(self, which: int, most: int | None) -> None:
        """Set a limit of the daemon and of what it has started; None lifts it."""
        for one in [psutil.Process(self.pid), *psutil.Process(self.pid).children(recursive=True)]:
            with suppress(psutil.Error, ProcessLookupError, PermissionError):
                hard = resource.prlimit(one.pid, which)[1]
                resource.prlimit(one.pid, which, (hard if most is None else most, hard))

    def left(self) -> list[str]:
        """The processes that were started in its name and are still there."""
        found, want = [], f"EDGEMON_SOAK={self.mark}".encode()
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if want in (path / "environ").read_bytes().split(b"\0"):
                    found.append(f"{path.name} {(path / 'cmdline').read_bytes()!r:.120}")
        return found

    def tail(self, lines: int = 60) -> str:
        """The end of its log, and where its threads are."""
        text = "\n".join([*self.logs, self.daemon.log() if self.daemon else ""]).splitlines()[-lines:]
        if self.daemon and self.daemon.process.poll() is None:
            for number in (signal.SIGCONT, signal.SIGUSR1):
                self.daemon.process.send_signal(number)
            time.sleep(1.0)
            text += ["its threads:", *re.findall(r"(?s)(?:Current t|T)hread.*?\n(?=\n|\d)", self.daemon.log())]
        return "\n".join(text)
