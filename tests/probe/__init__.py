"""What the tests of probes share: quick requests, interpreters that misbehave, and a look at running workers."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from edgemon.probe import supervisor
from edgemon.probe.result import Request, Result

ROOT = str(Path(__file__).parents[2])
EMBEDDED = os.path.join(ROOT, "edgemon", "models", "mobilenet.onnx")
SPIN = {"behaviour": "spin"}
MIB = 1 << 20


def ask(runtime: str = "fake", **fields: Any) -> Request:
    """A request that is answered quickly."""
    quick = Request("test", runtime, idle=0.0, samples=5, seconds=0.05, timeout=20.0)
    return replace(quick, **fields)


def interpreter(path: Path, text: str) -> str:
    """A shell script in Python's place: $1 is the worker, its stdin takes the answer, $PYTHON is this one."""
    path.write_text(f"#!/bin/sh\nPYTHON={sys.executable}\n{text}\n")
    path.chmod(0o755)
    return str(path)


def eventually(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether it becomes true in time."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True


def gone(process: psutil.Process) -> bool:
    """Whether the process is dead, reaped or not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def workers(parent: int | None = None) -> list[psutil.Process]:
    """The workers among the children of a process, this one if none is named."""
    found = []
    for child in psutil.Process(parent).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [child] if supervisor.WORKER in child.cmdline() else []
    return found


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Nothing more can be opened while the block runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@dataclass
class Running:
    """A probe that runs in another thread."""

    worker: psutil.Process
    cancel: threading.Event
    thread: threading.Thread
    results: list[Result] = field(default_factory=list)

    def result(self) -> Result:
        """What it came to."""
        self.thread.join(30)
        return self.results[0]


@contextlib.contextmanager
def running(request: Request, python: str = "") -> Iterator[Running]:
    """Run a probe in another thread; the block begins when its worker does, and whatever is left then is cancelled."""
    cancel, results = threading.Event(), list[Result]()
    thread = threading.Thread(target=lambda: results.append(supervisor.run(request, python, cancel)))
    thread.start()
    try:
        assert eventually(lambda: bool(workers()))
        yield Running(workers()[0], cancel, thread, results)
    finally:
        cancel.set()
        thread.join(30)
