"""One round with a worker: send the request, read what is answered and printed, notice that it must be killed."""

from __future__ import annotations

import json
import select
import socket
import subprocess
import threading
import time
from dataclasses import dataclass

from edgemon.probe.process import dead, resident
from edgemon.probe.result import Request, Result

POLL = 0.05
TAIL = 4096
BITE, BITES = 65536, 64
"""Bytes of one read, and how many at a time: who talks faster than this reads must not keep it from the clock."""
ANSWER = 8 << 20


@dataclass(frozen=True, slots=True)
class Ending:
    """How a round went: why the worker must be killed, if so, its last words, the last stage begun, the result."""

    killed: str
    tail: str
    stage: str
    result: Result | None


class Watch:
    """Over one round; neither side of the worker is ever waited for."""

    def __init__(
        self, worker: subprocess.Popen[bytes], channel: socket.socket, request: Request, cancel: threading.Event
    ) -> None:
        assert worker.stdout is not None  # noqa: S101 - for the type checker
        self._pid, self._output, self._channel = worker.pid, worker.stdout, channel
        self._request, self._cancel = request, cancel
        self._deadline = time.monotonic() + request.timeout
        self._unsent = memoryview(json.dumps(request.to_json()).encode() + b"\n")
        self._said, self._tail, self._stage = bytearray(), b"", "start"
        self._result: Result | None = None
        self._poller = select.poll()

    def run(self) -> Ending:
        """Until there is a result, the worker has ended, or it must be killed."""
        self._poller.register(self._output, select.POLLIN)
        self._poller.register(self._channel, select.POLLIN | select.POLLOUT)
        killed, over = "", False
        while not (self._result or killed or over):
            over = dead(self._pid) is not None  # asked first: what was said before the end is read below
            self._turn(0 if over else POLL)
            killed = self._reason() if self._result is None else ""
        if self._result is None:
            self._take(bytes(self._said))
        self._drain()
        return Ending(killed, " ".join(self._tail.decode("utf-8", "replace").split()), self._stage, self._result)

    def _turn(self, seconds: float) -> None:
        for fd, events in self._poller.poll(seconds * 1000):
            if fd == self._output.fileno():
                if not self._drain():
                    self._poller.unregister(fd)
                continue
            if events & select.POLLOUT and self._send():
                self._poller.modify(fd, select.POLLIN)
            if events & ~select.POLLOUT and not self._hear():
                self._poller.unregister(fd)

    def _reason(self) -> str:
        if self._cancel.is_set():
            return "cancelled"
        if time.monotonic() > self._deadline:
            return "timeout"
        if len(self._said) > ANSWER:
            return "answer"
        return "memory" if self._request.memory and resident(self._pid) > self._request.memory else ""

    def _send(self) -> bool:
        """Send what fits; whether that was all, or nobody listens any more."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._channel.send(self._unsent) :]
        except BlockingIOError:
            return False
        except OSError:
            pass  # it has ended or will be killed at the timeout
        return True

    def _hear(self) -> bool:
        """Read what is answered; whether more can come."""
        for _ in range(BITES):
            try:
                data = self._channel.recv(BITE)
            except BlockingIOError:
                return True
            except OSError:
                return False
            self._said += data
            if b"\n" in data:
                *lines, self._said = self._said.split(b"\n")
                for line in lines:
                    self._take(bytes(line))
            if not data or self._result or len(self._said) > ANSWER:
                return False
        return True

    def _take(self, line: bytes) -> None:
        """A stage that begins, or the result; anything else is ignored."""
        try:
            said = json.loads(line)
            if "result" in said:
                self._stage = said["result"].get("stage", self._stage)
                self._result = Result.from_json(said["result"])
            else:
                self._stage = str(said["stage"])
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return

    def _drain(self) -> bool:
        """Read what is printed, keep the end; whether more can come."""
        for _ in range(BITES):
            data = self._output.read(BITE)  # unbuffered: None when there is nothing now
            if data is None:
                return True
            if not data:
                return False
            self._tail = (self._tail + data)[-TAIL:]
        return True
