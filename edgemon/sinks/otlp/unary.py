"""OTLP over gRPC: unary calls of bytes, so that no generated service is needed. Imported only for `protocol: grpc`.

opentelemetry.io/docs/specs/otlp, failures: RESOURCE_EXHAUSTED is asked again only if the server says when.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import grpc

from edgemon import __version__
from edgemon.endpoint import Tls, place
from edgemon.protobuf import Budget, Field, fields, text, view, whole
from edgemon.sinks.otlp.answer import Answer
from edgemon.sinks.otlp.client import taken
from edgemon.sinks.otlp.way import Way

PACKAGE = "/opentelemetry.proto.collector"
METHODS = {
    "metrics": f"{PACKAGE}.metrics.v1.MetricsService/Export",
    "traces": f"{PACKAGE}.trace.v1.TraceService/Export",
    "logs": f"{PACKAGE}.logs.v1.LogsService/Export",
}
CODE = grpc.StatusCode
PERMANENT = {
    CODE.INVALID_ARGUMENT,
    CODE.NOT_FOUND,
    CODE.ALREADY_EXISTS,
    CODE.FAILED_PRECONDITION,
    CODE.UNIMPLEMENTED,
}
"""What is about the request. UNAUTHENTICATED, PERMISSION_DENIED, INTERNAL and UNKNOWN are asked again as over HTTP."""
DETAILS, RETRY_INFO = "grpc-status-details-bin", "google.rpc.RetryInfo"
LARGEST = 1 << 20
FIELDS = 1000
"""What a server may tell about a delay."""


class Channel:
    """One server, asked again and again over one connection."""

    def __init__(self, way: Way) -> None:
        parts = urlsplit(way.url)
        secure = parts.scheme == "https"
        options = [
            ("grpc.primary_user_agent", f"edgemon/{__version__}"),
            ("grpc.enable_http_proxy", 0),
            ("grpc.enable_retries", 0),
            ("grpc.max_receive_message_length", LARGEST),
            *([("grpc.ssl_target_name_override", way.tls.server_name)] if way.tls.server_name else []),
        ]
        address = parts.netloc if parts.port else f"{parts.netloc}:{443 if secure else 80}"
        packing = grpc.Compression.Gzip if way.compression == "gzip" else grpc.Compression.NoCompression
        self._channel: Any = (
            grpc.secure_channel(address, _credentials(way.tls), options, packing)
            if secure
            else grpc.insecure_channel(address, options, packing)
        )

    def ask(self, signal: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Answer:
        """One call, and what it means."""
        metadata = [(name.lower(), value) for name, value in headers.items()]
        try:
            reply = self._channel.unary_unary(METHODS[signal])(body, timeout=seconds, metadata=metadata)
        except grpc.RpcError as error:
            return sort(error)
        except ValueError:  # gRPC would repeat what may be secret
            return Answer("retry", detail="a header holds what gRPC does not allow")
        return taken(signal, reply)

    def close(self) -> None:
        """Let go of the connection."""
        self._channel.close()


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    """Keys and certificates as they are now; OSError names the file that cannot be read."""
    ca, key, certificate = (_file(one) for one in (tls.ca, tls.key or tls.certificate, tls.certificate))
    return grpc.ssl_channel_credentials(ca, key, certificate)


def _file(where: str) -> bytes | None:
    if not where:
        return None
    try:
        with open(place(where), "rb") as file:
            return file.read(LARGEST)
    except OSError as error:
        raise OSError(f"otlp.tls: {where} cannot be read: {(error.strerror or '').lower()}") from None


def sort(error: Any) -> Answer:
    """What a call that failed means."""
    code, pause = error.code(), delay(error)
    detail = f"{code.name.lower()}: {' '.join((error.details() or '').split())[:200]}"
    if code in PERMANENT or (code is CODE.RESOURCE_EXHAUSTED and pause is None):
        return Answer("refused", detail=detail)
    return Answer("retry", wait=pause, detail=detail)


def delay(error: Any) -> float | None:
    """Seconds from the RetryInfo that a server sends along; None without one."""
    found = [value for name, value in error.trailing_metadata() or () if name == DETAILS]
    try:
        budget = Budget(FIELDS)
        for one in _all(memoryview(found[0]) if found else memoryview(b""), 3, budget):
            parts = dict(_fields(view(one), budget))
            if text(parts.get(1, memoryview(b"")), budget).endswith(RETRY_INFO):
                return _duration(parts, budget)
    except ValueError:
        pass
    return None


def _duration(parts: dict[int, Any], budget: Budget) -> float:
    info = dict(_fields(view(parts.get(2, memoryview(b""))), budget))
    time = dict(_fields(view(info.get(1, memoryview(b""))), budget))
    return whole(time.get(1, 0)) + whole(time.get(2, 0)) / 1e9


def _fields(data: memoryview, budget: Budget) -> list[Field]:
    return list(fields(data, budget))


def _all(data: memoryview, number: int, budget: Budget) -> list[int | memoryview]:
    return [value for one, value in fields(data, budget) if one == number]
