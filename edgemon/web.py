"""HTTP as a client: h11 over a socket, every exchange bounded in time and size; no redirect is followed.

A connection is kept for the next exchange as long as the server keeps it. One thread at a time.
"""

from __future__ import annotations

import calendar
import select
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

import h11

from edgemon import __version__

HEAD, BODY = 16384, 65536
"""Bytes of an answer's head that are taken, and of its body that are kept."""
BUSY = {408, 425, 429, 502, 503, 504}
"""Statuses that are about the moment and not about what was sent (RFC 9110, RFC 6585)."""
LONGEST = 3600.0
"""Seconds of a Retry-After that are honoured."""
DATE = "%a, %d %b %Y %H:%M:%S GMT"
Secure = Callable[[socket.socket, str], socket.socket]
"""Speaks TLS over a connection to a host, whose certificate it verifies."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered: status, headers with lower-case names, the beginning of the body."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")


class ClosedError(ConnectionError):
    """The server ended a connection without having answered."""


class Caller:
    """Asks one server. For https `secure` is called for each connection."""

    def __init__(self, url: str, secure: Secure) -> None:
        self._parts, self._secure = urlsplit(url), secure
        self._kept: socket.socket | None = None
        self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD)

    def ask(
        self, method: str, headers: Mapping[str, str], body: bytes = b"", seconds: float = 10.0, target: str = ""
    ) -> Reply:
        """One exchange; OSError says what kept it from being answered in time. A `target` replaces the URL's."""
        end = time.monotonic() + seconds
        said = {
            "Host": self._parts.netloc,
            "User-Agent": f"edgemon/{__version__}",
            **({"Content-Length": str(len(body))} if body or method == "POST" else {}),
            **headers,
        }
        try:
            request = h11.Request(method=method, target=target or path(self._parts), headers=list(said.items()))
        except h11.ProtocolError:  # which would repeat what may be secret
            raise OSError("a header or the address holds what HTTP does not allow") from None
        if self._kept and _stirs(self._kept):
            self.close()
        if self._kept:
            with suppress(ClosedError):  # the server may let go of a kept connection just now
                return self._ask(request, body, end)
        return self._ask(request, body, end)

    def close(self) -> None:
        """Let go of the connection."""
        if self._kept:
            self._kept.close()
        self._kept = None

    def _ask(self, request: h11.Request, body: bytes, end: float) -> Reply:
        connection = self._connected(end)
        try:
            data = self._state.send(request) or b""
            data += (self._state.send(h11.Data(data=body)) or b"") if body else b""
            _send(connection, data + (self._state.send(h11.EndOfMessage()) or b""), end)
            reply = _reply(connection, self._state, end)
        except h11.ProtocolError as error:
            self.close()
            raise OSError(f"no HTTP: {error}") from None
        except OSError:
            self.close()
            raise
        if self._state.our_state is h11.DONE and self._state.their_state is h11.DONE:
            self._state.start_next_cycle()
        else:
            self.close()
        return reply

    def _connected(self, end: float) -> socket.socket:
        """The kept connection, or a new one."""
        if self._kept is None:
            self._kept = connect(self._parts, end, self._secure)
            self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD)
        return self._kept


def path(parts: SplitResult) -> str:
    """Path and query of a URL."""
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def connect(parts: SplitResult, end: float, secure: Secure) -> socket.socket:
    """A connection to the first address that takes one."""
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError(f"{host} is no host name") from None
    problem = OSError("no address")
    for family, kind, protocol, _, address in found:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(left(end))
            connection.connect(address)
            return secure(connection, host) if parts.scheme == "https" else connection
        except OSError as error:
            connection.close()
            problem = error
    raise problem


def _stirs(connection: socket.socket) -> bool:
    """Whether there is something to read, which between two exchanges can only be its end."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _send(connection: socket.socket, data: bytes, end: float) -> None:
    """Send all; a server that lets go of the connection may have answered before."""
    connection.settimeout(left(end))
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(data)


def _reply(connection: socket.socket, state: h11.Connection, end: float) -> Reply:
    status, headers, body = 0, {}, b""
    while len(body) < BODY:
        event = state.next_event()
        if event is h11.NEED_DATA:
            connection.settimeout(left(end))
            data = _receive(connection)
            if not data and not status:
                raise ClosedError("closed the connection without an answer")
            state.receive_data(data)
        elif isinstance(event, h11.Response):
            status = event.status_code
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
            break
    return Reply(status, headers, body[:BODY])


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(16384)
    except ConnectionResetError as error:
        raise ClosedError(error.errno, error.strerror) from None


def left(end: float) -> float:
    """Seconds left until then on the monotonic clock; TimeoutError when there are none."""
    rest = end - time.monotonic()
    if rest <= 0:
        raise TimeoutError("timed out")
    return rest


def reason(error: OSError) -> str:
    """What went wrong, in words."""
    if isinstance(error, TimeoutError):
        return "timed out"
    verify = getattr(error, "verify_message", "")
    return (f"certificate not trusted: {verify}" if verify else error.strerror or str(error)).lower()


def wait(headers: Mapping[str, str]) -> float:
    """Seconds that Retry-After asks for; a date is taken against the server's own clock, since ours may be wrong."""
    text = headers.get("retry-after", "")
    try:
        seconds = float(text) if text.isdecimal() else unix(text) - unix(headers.get("date", ""))
    except ValueError:
        return 0.0
    return min(max(seconds, 0.0), LONGEST)


def unix(text: str) -> float:
    """Unix time of a Date header; ValueError when it is none."""
    return calendar.timegm(time.strptime(text, DATE))
