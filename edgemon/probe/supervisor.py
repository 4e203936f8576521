"""The parent's side of a probe: start a worker, bound it, kill it when it must be, and name what happened.

Requests and answers are lines of JSON over a socket pair that never blocks this side: a pipe would block past 64 KiB, a
temporary file would need a disk that is not full. What the engine prints is read and thrown away but for its last
lines. A worker answers once, or stays for further requests. Linux only: prctl(2), waitid(2), proc(5).
"""

from __future__ import annotations

import errno
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace

from edgemon.probe.process import PATIENCE, dead, kill, resident, spent
from edgemon.probe.result import Outcome, Request, Result
from edgemon.probe.watch import ANSWER, Ending, Watch

WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "worker.py")
SHORT = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)
"""What the device is short of, whatever the interpreter."""
PRIVATE = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "CREDENTIALS_DIRECTORY", "LISTEN_FDS", "LISTEN_PID")


def run(request: Request, python: str = "", cancel: threading.Event | None = None) -> Result:
    """Run one probe in a worker process of its own and say how it went; never raises for what the worker does.

    `python` is the interpreter (this one if empty). Setting `cancel` kills the worker; the result is then skipped.
    """
    return Worker(python).ask(request, cancel)


class Worker:
    """A worker process and how many rounds it has answered; it starts with the first request."""

    def __init__(self, python: str = "") -> None:
        self.rounds, self.began, self.started = 0, 0.0, 0.0
        self._python = python or sys.executable
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._spent, self._folder = 0.0, ""

    def ask(self, request: Request, cancel: threading.Event | None = None, stay: bool = False) -> Result:
        """One round; the process only stays if told to and if all was ok. The CPU time is that since the last one."""
        at, boottime, began = time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), time.monotonic()
        result, before = self._round(request, cancel, stay), self._spent
        if self._process:
            self._spent = spent(self._process.pid)
        cpu, wall = self._spent - before, time.monotonic() - began
        self._reap()
        return replace(result, at=at, boottime=boottime, started=self.started, cpu_seconds=cpu, wall_seconds=wall)

    def idle(self) -> bool:
        """Whether the process lives and waits for a request: it has neither died nor said anything unasked."""
        if not self._process or not self._socket or dead(self._process.pid) is not None:
            return False
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        return not poller.poll(0)

    def memory(self) -> int:
        """Resident bytes of the process, 0 when there is none."""
        process = self._process  # asked for by any thread
        return resident(process.pid) if process else 0

    def end(self, patience: float = PATIENCE) -> None:
        """Kill it, and whatever it started; wait for that so many seconds at most."""
        self._kill(patience)
        self._reap()

    def _round(self, request: Request, cancel: threading.Event | None, stay: bool) -> Result:
        try:
            worker, channel = self._started()
        except OSError as error:
            hint = "" if error.errno in SHORT else "; set python: of the probe to an interpreter"
            detail = f"cannot start {self._python}: {error.strerror}{hint}"
            return Result(request.probe, Outcome.FAILED, detail, "start")
        stays = False
        try:
            ending = Watch(worker, channel, request, cancel or threading.Event()).run()
            stays = stay and ending.result is not None and ending.result.outcome is Outcome.OK
        finally:
            if not stays:
                self._kill()
        self.rounds += 1
        return _judge(request, ending, None if stays else dead(worker.pid))

    def _started(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        if self._process and self._socket:
            return self._process, self._socket
        ours, theirs = socket.socketpair()
        try:
            self._folder = _folder()
            self._process = _spawn(self._python, theirs, self._folder)
        except OSError:
            ours.close()
            self._tidy()
            raise
        finally:
            theirs.close()
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        os.set_blocking(self._process.stdout.fileno(), False)
        ours.setblocking(False)
        self._socket, self.began, self.started = ours, time.monotonic(), time.time()
        return self._process, ours

    def _kill(self, patience: float = PATIENCE) -> None:
        if not self._process:
            return
        kill(self._process.pid, patience)
        if self._socket:
            self._socket.close()
        self._socket = None

    def _reap(self) -> None:
        """Let go of a process that was killed."""
        if not self._process or self._socket:
            return
        if self._process.stdout:
            self._process.stdout.close()
        self._process.poll()
        self._process, self._spent = None, 0.0
        self._tidy()

    def _tidy(self) -> None:
        """Remove what the worker, killed perhaps, has left of its temporary files."""
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = ""


def _folder() -> str:
    """A place for a worker's temporary files; none where there is none, which few engines need."""
    try:
        return tempfile.mkdtemp(prefix="edgemon-worker-")
    except OSError:
        return ""


def _spawn(python: str, channel: socket.socket, folder: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [python, WORKER],
        stdin=channel.fileno(),
        stdout=subprocess.PIPE,
        bufsize=0,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={
            **{key: value for key, value in os.environ.items() if key not in PRIVATE},
            "ORT_DISABLE_TELEMETRY": "1",
            **({"TMPDIR": folder} if folder else {}),
        },
        cwd="/",
    )


def _judge(request: Request, ending: Ending, status: int | None) -> Result:
    """The result, or what stands for one; `status` is how the process ended, None if it has not."""
    if ending.result is not None:
        return replace(ending.result, probe=request.probe)
    stage = ending.stage
    named = {
        "cancelled": (Outcome.SKIPPED, "cancelled: edgemon is stopping"),
        "timeout": (Outcome.TIMEOUT, f"no answer within {request.timeout:g} s, killed in {stage}"),
        "memory": (Outcome.FAILED, f"used more than {request.memory >> 20} MiB of memory, killed in {stage}"),
        "answer": (Outcome.CRASHED, f"answered more than {ANSWER >> 20} MiB, killed in {stage}"),
    }
    if ending.killed:
        outcome, detail = named[ending.killed]
    else:
        outcome, detail = Outcome.CRASHED, f"{_status(status)} in {stage}"
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
