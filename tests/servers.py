"""Servers of our own for what no good server does: plain sockets, one thread a connection, every byte in our hands.

`with serving(routes) as server:` answers `routes[path](request)`: bytes to send, or a generator of them, after which
the connection ends; ConnectionResetError resets it. The model behind `MODEL` is a real one, if a small one: twice its
input.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgemon.asking import request
from edgemon.probe.result import Request
from edgemon.schema import validate

Reply = bytes | Iterable[bytes]
MODEL = "/v2/models/double"
METADATA = {
    "name": "double",
    "versions": ["1"],
    "platform": "python",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 4]}],
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


@dataclass
class Server:
    """Where it listens and what it was asked."""

    port: int
    scheme: str = "http"
    asked: list[Asked] = field(default_factory=list)

    def url(self, path: str = MODEL, host: str = "127.0.0.1") -> str:
        """A URL on it."""
        return f"{self.scheme}://{host}:{self.port}{path}"


def answer(status: int, body: object = b"", *headers: str, reason: str = "Told") -> bytes:
    """A whole answer; what is not bytes becomes JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} {reason}", f"Content-Length: {len(data)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + data


def good(**more: Any) -> dict[str, Callable[[Asked], Reply]]:
    """The routes of a server that does everything right, some replaced by their names: live, model, infer, …"""
    paths = {
        "server": "/v2",
        "live": "/v2/health/live",
        "ready": "/v2/health/ready",
        "model_ready": f"{MODEL}/ready",
        "metadata": MODEL,
        "infer": f"{MODEL}/infer",
    }
    routes: dict[str, Callable[[Asked], Reply]] = {
        **{path: lambda asked: answer(200, {}) for path in paths.values()},
        "/v2": lambda asked: answer(200, {"name": "double-server", "version": "1.2", "extensions": []}),
        MODEL: lambda asked: answer(200, METADATA),
        f"{MODEL}/infer": double,
    }
    return {**routes, **{paths.get(name, name): act for name, act in more.items()}}


def double(asked: Asked, factor: float = 2.0) -> bytes:
    """Infer: check the request as a good server does, multiply, answer in the encoding that was asked for."""
    length = int(asked.headers.get("inference-header-content-length", len(asked.body)))
    try:
        head = json.loads(asked.body[:length])
        (one,) = head["inputs"]
        size = one.get("parameters", {}).get("binary_data_size")
        values = one["data"] if size is None else struct.unpack(f"<{size // 4}f", asked.body[length:])
        assert (one["name"], one["datatype"], len(one["shape"])) == ("x", "FP32", 2), "unexpected tensor"
        assert len(values) == one["shape"][0] * one["shape"][1], "unexpected size"
    except (ValueError, KeyError, AssertionError) as error:
        return answer(400, {"error": f"bad request: {error}"})
    found = {"name": "y", "datatype": "FP32", "shape": one["shape"]}
    doubled = [factor * value for value in values]
    if size is None:
        return answer(
            200, {"id": head["id"], "outputs": [{**found, "data": doubled}]}, "Content-Type: application/json"
        )
    raw = struct.pack(f"<{len(doubled)}f", *doubled)
    text = json.dumps({"outputs": [{**found, "parameters": {"binary_data_size": len(raw)}}]}).encode()
    return answer(200, text + raw, f"Inference-Header-Content-Length: {len(text)}")


@contextlib.contextmanager
def serving(
    routes: Mapping[str, Callable[[Asked], Reply]], tls: ssl.SSLContext | None = None, port: int = 0
) -> Iterator[Server]:
    """Serve until the block ends; a path without a route is 404, and the empty path takes whatever has none."""
    listener = socket.create_server(("127.0.0.1", port))
    server = Server(listener.getsockname()[1], "https" if tls else "http")
    stop = threading.Event()
    thread = threading.Thread(target=_accept, args=(listener, server, routes, tls, stop), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def _accept(
    listener: socket.socket,
    server: Server,
    routes: Mapping[str, Callable[[Asked], Reply]],
    tls: ssl.SSLContext | None,
    stop: threading.Event,
) -> None:
    number = 0
    while not stop.is_set():
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        number += 1
        threading.Thread(target=_connection, args=(sock, server, routes, tls, number), daemon=True).start()


def _connection(
    sock: socket.socket,
    server: Server,
    routes: Mapping[str, Callable[[Asked], Reply]],
    tls: ssl.SSLContext | None,
    number: int,
) -> None:
    with contextlib.suppress(OSError), sock:
        sock.settimeout(20)
        with (
            tls.wrap_socket(sock, server_side=True) if tls else sock as connection,
            connection.makefile("rb") as stream,
        ):
            while asked := _read(stream, number):
                server.asked.append(asked)
                path = asked.path.partition("?")[0]
                act = routes.get(path) or routes.get("") or (lambda asked: answer(404, {"error": "no such path"}))
                try:
                    said = act(asked)
                except ConnectionResetError:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                for part in [said] if isinstance(said, bytes) else said:
                    connection.sendall(part)
                if not isinstance(said, bytes):
                    return


def _read(stream: Any, number: int) -> Asked | None:
    line = stream.readline().decode("latin-1").split()
    if len(line) < 2:
        return None
    headers: dict[str, str] = {}
    while field_ := stream.readline().strip():
        name, _, value = field_.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return Asked(line[0], line[1], headers, stream.read(int(headers.get("content-length", 0))), number)


def ask(server: Server, path: str = MODEL, host: str = "127.0.0.1", **settings: Any) -> Request:
    """The request for a probe of a server, from settings as a user writes them; quick."""
    quick = {"rate": 1000, "timeout": "2s", **settings.pop("endpoint", {})}
    probe = {"model": server.url(path, host), "idle": "0", "seconds": "100ms", "samples": 5, "endpoint": quick}
    return request("test", validate({"probes": {"test": {**probe, **settings}}}).probes["test"])
