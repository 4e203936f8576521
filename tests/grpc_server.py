"""gRPC servers of our own for what no good server does.

`with serving(methods) as server:` answers `methods[name](body)` with the bytes that gives, or with a status and what is
said of it. The model is the one of `servers`: twice its input.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc

from edgemon import protobuf
from edgemon.probe.messages import SERVICE

Reply = bytes | tuple[grpc.StatusCode, str]
Method = Callable[[bytes], Reply]
YES = protobuf.field(1, 1)
SHAPE = protobuf.packed(3, [-1, 4])
METADATA = (
    protobuf.field(1, "double")
    + protobuf.field(2, "1")
    + protobuf.field(3, "python")
    + protobuf.field(4, protobuf.field(1, "x") + protobuf.field(2, "FP32") + SHAPE)
    + protobuf.field(5, protobuf.field(1, "y") + protobuf.field(2, "FP32") + SHAPE)
)


@dataclass
class Server:
    """Where it listens, and what it was asked: method, metadata and peer of each call."""

    port: int
    scheme: str = "grpc"
    asked: list[tuple[str, dict[str, str], str]] = field(default_factory=list)

    def url(self, path: str = "/v2/models/double", host: str = "127.0.0.1") -> str:
        """A URL on it."""
        return f"{self.scheme}://{host}:{self.port}{path}"


def good(**more: Method) -> dict[str, Method]:
    """The methods of a server that does everything right, some replaced."""
    return {
        "ServerLive": lambda body: YES,
        "ServerReady": lambda body: YES,
        "ModelReady": lambda body: YES,
        "ServerMetadata": lambda body: protobuf.field(1, "double-server") + protobuf.field(2, "1.2"),
        "ModelMetadata": lambda body: METADATA,
        "ModelInfer": double,
        **more,
    }


def double(body: bytes, factor: float = 2.0, typed: bool = False) -> Reply:
    """Infer: check the request as a good server does, multiply, answer raw or typed."""
    try:
        name, datatype, shape, raw = _asked(body)
        values = struct.unpack(f"<{len(raw) // 4}f", raw)
    except (ValueError, struct.error) as error:
        return grpc.StatusCode.INTERNAL, f"the request cannot be read: {error}"
    if (name, datatype, len(shape)) != ("x", "FP32", 2) or len(values) != shape[0] * shape[1]:
        return grpc.StatusCode.INVALID_ARGUMENT, "unexpected tensor"
    data = struct.pack(f"<{len(values)}f", *[factor * value for value in values])
    head = protobuf.field(1, "y") + protobuf.field(2, "FP32") + protobuf.packed(3, shape)
    if typed:
        return protobuf.field(5, head + protobuf.field(5, protobuf.field(6, data)))
    return protobuf.field(5, head) + protobuf.field(6, data)


def _asked(body: bytes) -> tuple[str, str, list[int], bytes]:
    """Name, datatype, shape and data of the only input."""
    budget, raw = protobuf.Budget(10**6), b""
    one: dict[int, Any] = {}
    for number, value in protobuf.fields(memoryview(body), budget):
        if number == 5:
            one = dict(protobuf.fields(protobuf.view(value), budget))
        elif number == 7:
            raw = bytes(protobuf.view(value))
    contents = dict(protobuf.fields(one[5], budget)) if 5 in one else {6: raw}
    return bytes(one[1]).decode(), bytes(one[2]).decode(), protobuf.numbers(one[3], budget), bytes(contents[6])


@contextlib.contextmanager
def serving(methods: Mapping[str, Method], credentials: Any = None) -> Iterator[Server]:
    """Serve on loopback until the block ends."""
    made = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    port = made.add_secure_port("localhost:0", credentials) if credentials else made.add_insecure_port("127.0.0.1:0")
    server = Server(port, "grpcs" if credentials else "grpc")
    handlers: dict[str, Any] = {
        name: grpc.unary_unary_rpc_method_handler(_method(name, act, server)) for name, act in methods.items()
    }
    made.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE.strip("/"), handlers)])
    made.start()
    try:
        yield server
    finally:
        made.stop(0).wait(10)


def _method(name: str, act: Method, server: Server) -> Callable[[bytes, Any], bytes]:
    def answer(body: bytes, context: Any) -> bytes:
        server.asked.append((name, dict(context.invocation_metadata()), context.peer()))
        reply = act(body)
        if isinstance(reply, bytes):
            return reply
        context.abort(*reply)
        raise AssertionError

    return answer
