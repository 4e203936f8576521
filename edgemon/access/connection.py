"""One client of the HTTP server, and what it asked."""

from __future__ import annotations

import re
from collections import deque

import h11

from edgemon.access.stream import Stream
from edgemon.wire import Limits, Request

FORM = re.compile("(?i)^https?://[^/?]*(?=/)")
"""What a target in absolute form has before its path (RFC 9112, 3.2.2)."""


class Connection:
    """One client: its stream, h11's view of it, what is still to be sent, and when its patience with us ends.

    `writing` lasts from a request to the end of its answer, `old` is one that came before the door changed.
    """

    __slots__ = (
        "address", "deadline", "fd", "h11", "head", "linger", "mask", "old", "out", "served", "since", "stream",
        "waiting", "writing",
    )  # fmt: skip

    def __init__(self, stream: Stream, address: str, limits: Limits, now: float) -> None:
        self.stream, self.address, self.fd = stream, address, stream.socket.fileno()
        self.h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.header)
        self.out: deque[bytes | memoryview] = deque()
        self.since, self.deadline = now, now + limits.head
        self.mask = self.served = 0
        self.head = self.linger = self.old = self.writing = False
        self.waiting = True

    def read(self, request: h11.Request, known: bool) -> Request:
        """A request as handlers get it."""
        headers: dict[str, str] = {}
        for name, value in ((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers):
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        path, _, query = FORM.sub("", request.target.decode("latin-1")).partition("?")
        return Request(path, headers, query, self.address, known)

    def sent(self, count: int) -> None:
        """So many bytes of what was to be sent are gone."""
        while self.out and count >= len(self.out[0]):
            count -= len(self.out.popleft())
        if count:
            self.out[0] = memoryview(self.out[0])[count:]


def refusal(request: h11.Request) -> int:
    """The status that refuses a request which is no plain GET or HEAD, else 0."""
    if request.method not in {b"GET", b"HEAD"}:
        return 405
    headers = dict(request.headers)
    return 413 if b"transfer-encoding" in headers or headers.get(b"content-length", b"0").strip(b"0") else 0
