"""What happens to the device: each fault is a context manager that begins it, and ends it again."""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.soak.device import SENSORS, Device
from tests.soak.receiver import MODES

DAY = 86400.0
BAD = ("", "listen: [", "sensors: {intervall: 1s}", "probes: {a: {samples: 1}}", "\x00\xff", "- 1\n- 2", "otlp: 7")


@dataclass(frozen=True, slots=True)
class Fault:
    """`act` is given the device and a source of chance; of a `group` only one happens at a time."""

    name: str
    group: str
    act: Callable[[Device, random.Random], AbstractContextManager[object]]


def receiver(mode: str) -> Fault:
    """The receiver misbehaves."""

    @contextmanager
    def act(device: Device, _chance: random.Random) -> Iterator[None]:
        device.receiver.turn(mode)
        yield
        device.receiver.turn("ok")

    return Fault(f"receiver {mode}", "receiver", act)


@contextmanager
def worker(device: Device, chance: random.Random) -> Iterator[None]:
    """kill -9 for one of the probes' processes, if one is there."""
    if found := device.workers():
        with suppress(psutil.Error):
            chance.choice(found).kill()
    yield


@contextmanager
def hang(device: Device, chance: random.Random) -> Iterator[None]:
    """A kernel that does not answer: a FIFO in the place of a file holds whoever opens it."""
    chosen = [device.sensor(number) for number in range(SENSORS) if chance.random() < 0.5] or [device.sensor(0)]
    for path in chosen:
        path.unlink()
        os.mkfifo(path)
    yield
    for path in chosen:
        held = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        path.unlink()
        path.write_text("42000")
        os.write(held, b"42000\n")
        os.close(held)


@contextmanager
def stopped(device: Device, _chance: random.Random) -> Iterator[None]:
    """SIGSTOP, SIGCONT."""
    os.kill(device.pid, signal.SIGSTOP)
    yield
    os.kill(device.pid, signal.SIGCONT)


@contextmanager
def killed(device: Device, _chance: random.Random) -> Iterator[None]:
    """kill -9 of the daemon, and a start."""
    device.kill()
    yield


@contextmanager
def restarted(device: Device, _chance: random.Random) -> Iterator[None]:
    """SIGTERM, a clean end, and a start."""
    device.end()
    device.start()
    yield


@contextmanager
def descriptors(device: Device, chance: random.Random) -> Iterator[None]:
    """No descriptor is left, and clients want some."""
    device.limit(resource.RLIMIT_NOFILE, device.descriptors() + chance.randint(0, 4))
    with clients(device, [b""] * 20):
        yield
    device.limit(resource.RLIMIT_NOFILE, None)


@contextmanager
def large(device: Device, chance: random.Random) -> Iterator[None]:
    """No file may be longer than this, as where a disk is full (EFBIG)."""
    device.limit(resource.RLIMIT_FSIZE, chance.choice([0, 512, 4096, 100_000]))
    yield
    device.limit(resource.RLIMIT_FSIZE, None)


@contextmanager
def full(device: Device, _chance: random.Random) -> Iterator[None]:
    """No space on the disk of the state directory (ENOSPC)."""
    ballast = device.where / "state" / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(1 << 16)):
            pass
    yield
    ballast.unlink()


@contextmanager
def readonly(device: Device, _chance: random.Random) -> Iterator[None]:
    """The state directory cannot be written (EROFS): a read-only mount lies over it."""
    state, over = str(device.where / "state"), str(device.where / "over")
    Path(over).mkdir(exist_ok=True)
    mount("--bind", state, over)  # made read-only where nobody writes, which would forbid it
    mount("-o", "remount,ro,bind", over)
    mount("--bind", over, state)
    subprocess.run(["umount", over], check=True)
    yield
    subprocess.run(["umount", "-l", state], check=True)


@contextmanager
def step(device: Device, chance: random.Random) -> Iterator[None]:
    """The wall clock is set, by up to a day, and back."""
    device.set_clock(chance.choice([-DAY, -3600.0, -7.0, 5.0, 600.0, DAY]) * chance.random())
    yield
    device.set_clock(0)


@contextmanager
def good(device: Device, chance: random.Random) -> Iterator[None]:
    """Another configuration: fewer probes, fewer sensors, no rules, nothing pushed."""
    probes = device.settings()["probes"]
    changed: dict[str, Any] = chance.choice(
        [
            {"probes": {name: probes[name] for name in probes if chance.random() < 0.5}},
            {"sensors": {"interval": "300ms", "timeout": "100ms", "disable": ["linux.network", "soak.zone0"]}},
            {"rules": {}, "thresholds": {"temperature_margin": chance.random()}},
            {"notify": {}, "log_level": "warning"},
        ]
    )
    device.reload(**changed)
    yield
    device.reload()


@contextmanager
def bad(device: Device, chance: random.Random) -> Iterator[None]:
    """A configuration that cannot be: the old one goes on."""
    device.reload(text=chance.choice(BAD))
    yield
    device.reload()


@contextmanager
def garbage(device: Device, chance: random.Random) -> Iterator[None]:
    """Clients that speak no HTTP, or only half of it."""
    starts = [b"GET / HTTP/1.1\r\n", b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 5, b"\x16\x03\x01\x02\x00\x01"]
    with clients(device, [chance.choice(starts) + chance.randbytes(chance.randint(0, 9000)) for _ in range(20)]):
        yield


@contextmanager
def idle(device: Device, _chance: random.Random) -> Iterator[None]:
    """Clients that say nothing."""
    with clients(device, [b""] * 100):
        yield


@contextmanager
def clients(device: Device, words: list[bytes]) -> Iterator[None]:
    """One connection for each, with that said."""
    assert device.daemon
    host, _, port = device.daemon.address.rpartition(":")
    found = []
    for one in words:
        with suppress(OSError):
            found.append(socket.create_connection((host, int(port)), timeout=1))
            found[-1].sendall(one)
    yield
    for client in found:
        client.close()


def mount(*arguments: str) -> None:
    """Mount, or CalledProcessError."""
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@contextmanager
def disk(where: Path, mine: bool) -> Iterator[bool]:
    """Make a directory, a small file system of its own where mounts are `mine` and allowed: whether it is one."""
    where.mkdir()
    mounted = False
    with suppress(OSError, subprocess.CalledProcessError):
        if mine:
            mount("-t", "tmpfs", "-o", "size=8m,mode=0750", "none", str(where))
            mounted = True
    try:
        yield mounted
    finally:
        while mounted and not subprocess.run(["umount", "-l", str(where)], capture_output=True, check=False).returncode:
            pass


def all_of(device: Device, mounted: bool) -> tuple[list[Fault], list[str]]:
    """The faults that are possible here, and why others are not."""
    found = [
        *(receiver(mode) for mode in MODES if mode != "ok"),
        Fault("worker killed", "worker", worker),
        Fault("sensor hangs", "sensor", hang),
        Fault("stopped", "process", stopped),
        Fault("killed", "process", killed),
        Fault("restarted", "process", restarted),
        Fault("descriptors", "process", descriptors),
        Fault("file size", "disk", large),
        Fault("good configuration", "config", good),
        Fault("bad configuration", "config", bad),
        Fault("garbage", "http", garbage),
        Fault("idle clients", "http", idle),
    ]
    missing = []
    if mounted:
        found += [Fault("disk full", "disk", full), Fault("disk read-only", "disk", readonly)]
    else:
        missing.append("no disk is filled or made read-only: that takes root and mount(2) in a namespace of its own")
    if device.clock:
        found.append(Fault("clock step", "clock", step))
    else:
        missing.append("no clock is stepped: libfaketime (Debian: faketime) is not here")
    return found, missing


def wait(chance: random.Random) -> None:
    """As long as a fault lasts."""
    time.sleep(0.1 + 0.6 * chance.random())
