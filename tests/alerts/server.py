"""A web server of our own that answers well, badly, slowly, or not at all, as it is told."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Got:
    """A request that was read whole."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Faulty:
    """The server: what it got, and what it does next: a status, (status, headers), or one of the words below.

    `hang` reads and never answers, `reset` cuts the connection, `close` ends it, `drip` sends its head byte by byte for
    ever, `flood` a body without end, `garbage` no HTTP. With nothing planned it answers 200.
    """

    url: str = ""
    plan: deque[Any] = field(default_factory=deque)
    got: list[Got] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def taken(self) -> list[Any]:
        """The bodies of what was answered with 200."""
        return [one.json for one in self.got if one.headers.get("x-answer") == "200"]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    it: Faulty

    def handle_error(self, *_: Any) -> None:
        """A client that goes away is no error."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def handle_one_request(self) -> None:
        """Any method; what is wrong with a request is an answer of the base class."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        it = self.server.it
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        what = it.plan.popleft() if it.plan else 200
        status, more = what if isinstance(what, tuple) else (what, {})
        headers = {name.lower(): value for name, value in self.headers.items()}
        it.got.append(Got(self.command, self.path, {**headers, "x-answer": str(status)}, body))
        if isinstance(status, str):
            self.close_connection = True
            getattr(self, status)(it.over)
        else:
            self.answer(status, {"Content-Length": "0", **more})

    def answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def hang(self, over: threading.Event) -> None:
        over.wait(60)

    def reset(self, _over: threading.Event) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def close(self, _over: threading.Event) -> None:
        """Nothing is said; the base class ends the connection."""

    def drip(self, over: threading.Event) -> None:
        while not over.wait(0.05):
            self.connection.sendall(b"H")

    def flood(self, over: threading.Event) -> None:
        self.connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not over.is_set():
            self.connection.sendall(b"x" * 65536)

    def garbage(self, _over: threading.Event) -> None:
        self.connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


@contextmanager
def faulty(context: ssl.SSLContext | None = None) -> Iterator[Faulty]:
    """The server, on a free port of loopback; with a context it speaks https."""
    with Server(("127.0.0.1", 0), Handler) as server:
        server.it = Faulty(f"{'https' if context else 'http'}://127.0.0.1:{server.server_address[1]}")
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield server.it
        finally:
            server.it.over.set()
            server.shutdown()
