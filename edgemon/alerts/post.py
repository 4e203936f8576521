"""One HTTP exchange, bounded in time and size: h11 over a socket; no redirect is followed.

https runs in a child process (`python -m edgemon.alerts.post`): with its certificates OpenSSL would cost the daemon
6 MB for ever. What is secret goes to the child on standard input.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from urllib.parse import SplitResult, urlsplit

import h11

from edgemon import __version__
from edgemon.probe.supervisor import PRIVATE

HEAD, BODY = 16384, 65536
"""Bytes of an answer's head that are taken, and of its body that are kept."""
STARTING = 5.0
"""Seconds a child may take beyond the deadline, to start and to end."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What to ask. `seconds` bounds the whole exchange, `ca` is the file of authorities for https."""

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    seconds: float = 10.0
    ca: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered: status, headers with lower-case names, the beginning of the body."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""


def exchange(ask: Exchange) -> Reply:
    """Ask; OSError says what kept it from being answered in time."""
    if not ask.url.startswith("https:"):
        return _ask(ask)
    env = {key: value for key, value in os.environ.items() if key not in PRIVATE}
    command = [sys.executable, "-m", "edgemon.alerts.post"]
    try:
        child = subprocess.run(
            command, input=json.dumps(asdict(ask)).encode(), capture_output=True, check=False, env=env,
            timeout=ask.seconds + STARTING,
        )  # fmt: skip
        said = json.loads(child.stdout)
        if "problem" in said:
            raise OSError(said["problem"])
        return Reply(**said)
    except subprocess.TimeoutExpired:
        raise TimeoutError("timed out") from None
    except (ValueError, TypeError):
        raise OSError(f"the child that speaks https ended with status {child.returncode}") from None


def _ask(ask: Exchange) -> Reply:
    end = time.monotonic() + ask.seconds
    parts = urlsplit(ask.url)
    with _connect(parts, end, ask.ca) as connection:
        state = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD)
        body = ask.body.encode()
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {
            "Host": parts.netloc,
            "User-Agent": f"edgemon/{__version__}",
            "Connection": "close",
            **({"Content-Length": str(len(body))} if body else {}),
            **ask.headers,
        }
        try:
            request = h11.Request(method=ask.method, target=target, headers=list(headers.items()))
            out = (state.send(request) or b"") + ((state.send(h11.Data(data=body)) or b"") if body else b"")
            connection.settimeout(_left(end))
            connection.sendall(out + (state.send(h11.EndOfMessage()) or b""))
            return _reply(connection, state, end)
        except h11.ProtocolError as error:
            raise OSError(f"no HTTP: {error}") from None


def _connect(parts: SplitResult, end: float, ca: str) -> socket.socket:
    """A connection to the first address that takes one."""
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    problem = OSError("no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(_left(end))
            connection.connect(address)
            return _secured(connection, host, ca) if parts.scheme == "https" else connection
        except OSError as error:
            connection.close()
            problem = error
    raise problem


def _secured(connection: socket.socket, host: str, ca: str) -> socket.socket:
    """TLS 1.2 or later, certificate and host name verified."""
    import ssl  # noqa: PLC0415 - only the child comes here

    return ssl.create_default_context(cafile=ca or None).wrap_socket(connection, server_hostname=host)


def _reply(connection: socket.socket, state: h11.Connection, end: float) -> Reply:
    status, headers, body = 0, {}, b""
    while len(body) < BODY:
        event = state.next_event()
        if event is h11.NEED_DATA:
            connection.settimeout(_left(end))
            data = connection.recv(16384)
            if not data and not status:
                raise OSError("closed the connection without an answer")
            state.receive_data(data)
        elif isinstance(event, h11.Response):
            status = event.status_code
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
            break
    return Reply(status, headers, body[:BODY].decode("utf-8", "replace"))


def _left(end: float) -> float:
    """Seconds left; TimeoutError when there are none."""
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def main() -> None:
    """The daemon's child: one exchange from standard input, its reply to standard output."""
    try:
        answer = asdict(_ask(Exchange(**json.load(sys.stdin))))
    except OSError as error:
        answer = {"problem": reason(error)}
    json.dump(answer, sys.stdout)


def reason(error: OSError) -> str:
    """What went wrong, in words."""
    if isinstance(error, TimeoutError):
        return "timed out"
    verify = getattr(error, "verify_message", "")
    return (f"certificate not trusted: {verify}" if verify else error.strerror or str(error)).lower()


if __name__ == "__main__":
    main()
