"""The parent's side of a probe: start a worker, bound it, kill it when it must be, and name what happened.

Request and answer are memfds: a pipe would block past 64 KiB, a temporary file would need a disk that is not full. What
the engine prints is read and thrown away but for its last lines. Linux only: memfd_create(2), prctl(2), proc(5).
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace

from edgemon.probe.result import Outcome, Request, Result

WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "worker.py")
POLL = 0.05
TAIL = 4096
ANSWER = 8 << 20
PRIVATE = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "CREDENTIALS_DIRECTORY", "LISTEN_FDS", "LISTEN_PID")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a worker went: exit status (negative: signal), why it was killed if we did it, and its last words."""

    status: int | None
    killed: str
    tail: str


def run(request: Request, python: str = "", cancel: threading.Event | None = None) -> Result:
    """Run one probe in a worker process and say how it went; never raises for what the worker does.

    `python` is the interpreter (this one if empty). Setting `cancel` kills the worker; the result is then skipped.
    """
    at, boottime, began, spent = time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), time.monotonic(), _children()
    answer = os.memfd_create("edgemon-answer")
    try:
        result = _run(request, python or sys.executable, cancel or threading.Event(), answer)
    finally:
        os.close(answer)
    cpu, wall = _children() - spent, time.monotonic() - began
    return replace(result, at=at, boottime=boottime, cpu_seconds=cpu, wall_seconds=wall)


def _run(request: Request, python: str, cancel: threading.Event, answer: int) -> Result:
    try:
        worker = _spawn(request, python, answer)
    except OSError as error:
        detail = f"cannot start {python}: {error.strerror}; set python: of the probe to an interpreter"
        return Result(request.probe, Outcome.FAILED, detail, "start")
    try:
        ending = _watch(worker, request, cancel)
    finally:
        kill(worker)
        if worker.stdout:
            worker.stdout.close()
    stage, result = _read(answer)
    return _judge(request, ending, stage, result)


def _spawn(request: Request, python: str, answer: int) -> subprocess.Popen[bytes]:
    with os.fdopen(os.memfd_create("edgemon-request"), "w+b") as asked:
        asked.write(json.dumps(request.to_json()).encode())
        asked.seek(0)
        return subprocess.Popen(
            [python, WORKER, str(answer)],
            stdin=asked,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(answer,),
            start_new_session=True,
            env={
                **{key: value for key, value in os.environ.items() if key not in PRIVATE},
                "ORT_DISABLE_TELEMETRY": "1",
            },
            cwd="/",
        )


def _watch(worker: subprocess.Popen[bytes], request: Request, cancel: threading.Event) -> Ending:
    """Wait for the end, reading what is printed; kill at the timeout, the memory limit or a cancel."""
    deadline = time.monotonic() + request.timeout
    tail, killed = b"", ""
    assert worker.stdout is not None  # noqa: S101 - for the type checker
    output = worker.stdout.fileno()
    os.set_blocking(output, False)
    poller = select.poll()
    poller.register(output, select.POLLIN)
    while worker.poll() is None:
        if poller.poll(POLL * 1000):
            tail = _drain(output, tail, poller)
        killed = _reason(worker, request, cancel, deadline)
        if killed:
            kill(worker)
            break
    tail = _drain(output, tail, poller)
    return Ending(worker.returncode, killed, " ".join(tail.decode("utf-8", "replace").split()))


def _reason(worker: subprocess.Popen[bytes], request: Request, cancel: threading.Event, deadline: float) -> str:
    if cancel.is_set():
        return "cancelled"
    if time.monotonic() > deadline:
        return "timeout"
    return "memory" if request.memory and resident(worker.pid) > request.memory else ""


def _drain(output: int, tail: bytes, poller: select.poll) -> bytes:
    """Read what is there, up to 4 MiB, keep the end; on end of file look no more and let the poll time pass."""
    for _ in range(64):  # who prints faster than this reads must not keep the watcher from the clock
        try:
            data = os.read(output, 65536)
        except BlockingIOError:
            break
        if not data:
            with contextlib.suppress(KeyError):
                poller.unregister(output)
            break
        tail = (tail + data)[-TAIL:]
    return tail


def kill(worker: subprocess.Popen[bytes]) -> None:
    """Kill the whole process group, also when its leader is already gone; wait, but not for the unkillable."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        worker.wait(3.0)


def _read(answer: int) -> tuple[str, Result | None]:
    """The last stage begun, and the result if one was written whole."""
    stage = "start"
    for line in os.pread(answer, ANSWER, 0).split(b"\n"):
        try:
            said = json.loads(line)
            if "result" in said:
                return said["result"].get("stage", stage), Result.from_json(said["result"])
            stage = str(said["stage"])
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
    return stage, None


def _judge(request: Request, ending: Ending, stage: str, result: Result | None) -> Result:
    if result is not None and not ending.killed:
        return replace(result, probe=request.probe)
    named = {
        "cancelled": (Outcome.SKIPPED, "cancelled: edgemon is stopping"),
        "timeout": (Outcome.TIMEOUT, f"no answer within {request.timeout:g} s, killed in {stage}"),
        "memory": (Outcome.FAILED, f"used more than {request.memory >> 20} MiB of memory, killed in {stage}"),
    }
    if ending.killed:
        outcome, detail = named[ending.killed]
    else:
        outcome, detail = Outcome.CRASHED, f"{_status(ending.status)} in {stage}"
        detail += f": {ending.tail[-300:]}" if ending.tail else ""
    return Result(request.probe, outcome, detail, stage)


def _status(status: int | None) -> str:
    if status is None:
        return "does not die although killed (stuck in the kernel)"
    if status == -signal.SIGKILL:
        return "killed by SIGKILL, most likely by the kernel for want of memory,"
    if status < 0:
        return f"crashed with {_signal(-status)}"
    return f"exited with status {status} without an answer"


def _signal(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def resident(pid: int | str = "self") -> int:
    """Resident bytes of a process (/proc/PID/statm, field 2), 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
