"""What the tests of the HTTP server share: a server in this process or its own, and a client of plain sockets."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import NamedTuple

from edgemon.access.door import Door
from edgemon.sinks.http import Server
from edgemon.wire import Limits, Request, Response, listen

BODY = b"x" * 65536
PATIENCE = 15.0
"""Seconds an answer may take; only a hang takes that long."""
GET = b"GET /metrics HTTP/1.1\r\nHost: edgemon\r\n\r\n"
ECHO = b"GET /%d HTTP/1.1\r\nHost: edgemon\r\n\r\n"


class Answer(NamedTuple):
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """A connection to the server; a small `receive` buffer keeps the server from getting rid of its answers."""

    def __init__(
        self, port: int, receive: int = 0, host: str = "127.0.0.1", context: ssl.SSLContext | None = None
    ) -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.socket.settimeout(PATIENCE)
        if receive:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.socket.connect((host, port))
        if context:
            self.socket = context.wrap_socket(self.socket, server_hostname=host)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Client:  # noqa: PYI034 - Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def ask(self, data: bytes = GET, head: bool = False) -> Answer:
        """Send a request and read its answer."""
        self.socket.sendall(data)
        return self.read(head)

    def read(self, head: bool = False) -> Answer:
        """Read one answer."""
        status = self._file.readline().split()
        assert status, "closed without an answer"
        headers: dict[str, str] = {}
        while (line := self._file.readline()) not in {b"\r\n", b""}:
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        length = 0 if head else int(headers["content-length"])
        return Answer(int(status[1]), headers, self._file.read(length))

    def rest(self) -> bytes:
        """Everything up to the end of the connection; a reset is an error."""
        return self._file.read()

    def closed(self) -> bool:
        """Whether the server has ended the connection."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN | select.POLLRDHUP)
        return any(mask & (select.POLLRDHUP | select.POLLHUP | select.POLLERR) for _, mask in poll.poll(0))


Crowd = Callable[[int, ExitStack], list[Client]]


def idle(port: int, stack: ExitStack) -> list[Client]:
    """300 that were served and stay."""
    clients = [stack.enter_context(Client(port)) for _ in range(300)]
    assert all(one.ask(ECHO % 1).status == 200 for one in clients)
    return clients


def silent(port: int, stack: ExitStack) -> list[Client]:
    """300 that never send a byte."""
    return [stack.enter_context(Client(port)) for _ in range(300)]


def stuck(port: int, stack: ExitStack) -> list[Client]:
    """40 that ask as much as the server takes, and read nothing."""
    clients = [stack.enter_context(Client(port, receive=2048)) for _ in range(40)]
    for one in clients:
        one.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while one.socket.send(GET * 1000):
                pass
    return clients


def dribbling(port: int, stack: ExitStack) -> list[Client]:
    """100 that send their request one byte at a time."""
    clients, ended = [stack.enter_context(Client(port)) for _ in range(100)], threading.Event()

    def dribble() -> None:
        data = iter(b"GET /metrics HTTP/1.1\r\nHost: edgemon\r\nX: " + b"a" * 4096)
        while not ended.wait(0.05):
            byte = bytes([next(data)])
            for one in clients:
                with contextlib.suppress(OSError):
                    one.socket.send(byte)

    thread = threading.Thread(target=dribble)
    thread.start()
    stack.callback(thread.join)
    stack.callback(ended.set)
    return clients


def scrapes(port: int, count: int = 20) -> list[float]:
    """Seconds that whole scrapes took, from connecting on, in ascending order."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        with Client(port) as one:
            assert one.ask().body == BODY
        times.append(time.perf_counter() - began)
        time.sleep(0.01)
    return sorted(times)


def page(request: Request) -> Response:
    """A handler: 64 KiB of x at /metrics, an exception at /error, the path itself elsewhere."""
    if request.path == "/error":
        raise ValueError("as asked")
    return Response(200, BODY if request.path == "/metrics" else request.path.encode())


@contextmanager
def serving(
    limits: Limits | None = None, handler: Callable[[Request], Response] = page, door: Door | None = None
) -> Iterator[tuple[Server, int]]:
    """A server in this process, and its port."""
    listener = listen("127.0.0.1:0")
    server = Server(listener, handler, limits or Limits(), door)
    port: int = listener.getsockname()[1]
    server.start()
    try:
        yield server, port
    finally:
        if server._thread.is_alive():
            server.stop()


@contextmanager
def apart(limits: Limits | None = None, files: int = 4096) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server in a process of its own that may open `files` files, and its port."""
    code = f"from tests import sinks; sinks.serve({asdict(limits or Limits())}, {files})"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(PATIENCE)


def serve(limits: dict[str, int], files: int) -> None:
    """The process: serve until standard input ends."""
    import resource  # noqa: PLC0415

    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    with serving(Limits(**limits)) as (_, port):
        print(port, flush=True)
        sys.stdin.read()


def wait(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "did not become true"
        time.sleep(0.02)
