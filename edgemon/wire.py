"""What passes between the HTTP server and those who answer: requests, responses, limits, and the listening socket."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass

from edgemon.errors import SetupError

REASONS = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    413: b"Content Too Large",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    503: b"Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what clients can cost; seconds and bytes. `idle` must exceed the scrape interval.

    `verify` is how long a password may take, others before it included.
    """

    connections: int = 384
    header: int = 8192
    head: float = 5.0
    idle: float = 120.0
    write: float = 10.0
    linger: float = 1.0
    verify: float = 30.0
    buffer: int = 65536


def limits() -> Limits:
    """Connections well below the descriptors this process may have."""
    return Limits(connections=max(16, min(384, os.sysconf("SC_OPEN_MAX") // 2)))


@dataclass(frozen=True, slots=True)
class Request:
    """A GET or HEAD: path without query, headers with lower-case names, and the query as it was sent.

    `address` is the client's, empty for a local socket; `known` says that it is somebody, not just anybody.
    """

    path: str
    headers: dict[str, str]
    query: str = ""
    address: str = ""
    known: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """What to answer; the body is sent as it is, not copied."""

    status: int
    body: bytes
    kind: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[bytes, bytes], ...] = ()


def listen(address: str) -> socket.socket:
    """A listening socket on host:port; SetupError when the address cannot be had."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(512)
    except OSError as error:
        why = "is in use; stop the other program or set listen:" if error.errno == errno.EADDRINUSE else error.strerror
        raise SetupError(f"cannot listen on {address}: {why}") from None
    return listener
