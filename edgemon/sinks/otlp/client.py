"""Delivering a request over OTLP/HTTP, once: what comes of it is an answer, and whoever sends decides what follows.

opentelemetry.io/docs/specs/otlp: 429, 502, 503 and 504 are asked again, with Retry-After; a partial success is not.
edgemon goes beyond it where data would be lost for what is no fault of theirs: 401 and 403 (a token that expired), a
redirect (an address that moved) and other 5xx are asked again too. Whoever sends knows a request that fails again and
again while others are taken.
"""

from __future__ import annotations

import zlib
from typing import Any
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from edgemon.errors import SetupError
from edgemon.push import Otlp
from edgemon.sinks.otlp.answer import Answer
from edgemon.sinks.otlp.way import Way, ways
from edgemon.web import BUSY, Caller, Reply, path, reason, unix, wait

RESPONSES: dict[str, tuple[Any, str]] = {
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points"),
    "traces": (ExportTraceServiceResponse, "rejected_spans"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records"),
}
PROTOBUF = "application/x-protobuf"
LATER = BUSY | {401, 403}
"""Statuses that are about the moment or about this device's credentials, and not about what was sent."""


class Client:
    """Sends to the receivers of a configuration. For one thread."""

    def __init__(self, settings: Otlp) -> None:
        self.ways = ways(settings)
        self._callers: dict[object, Any] = {}

    def send(self, signal: str, body: bytes) -> Answer:
        """Send an uncompressed request of a signal that is pushed; never raises for what the receiver does."""
        way, headers = self.ways.get(signal), dict[str, str]()
        if way is None:
            return Answer("refused", detail=f"otlp: {signal} are no longer pushed")
        try:
            headers = way.spoken()
            answer = (
                self._grpc(signal, way, headers, body)
                if way.protocol == "grpc"
                else self._http(signal, way, headers, body)
            )
        except SetupError as error:
            return Answer("retry", detail=str(error))
        except OSError as error:
            return Answer("retry", detail=way.hide(reason(error), headers))
        return answer.hidden(way.hide(answer.detail, headers))

    def close(self) -> None:
        """Let go of all connections."""
        for one in self._callers.values():
            one.close()
        self._callers.clear()

    def _http(self, signal: str, way: Way, headers: dict[str, str], body: bytes) -> Answer:
        parts, data = urlsplit(way.url), body
        more = {"Content-Type": PROTOBUF}
        if way.compression == "gzip":
            data, more["Content-Encoding"] = packed(body), "gzip"
        key = (parts.scheme, parts.netloc, way.tls)
        caller = self._callers.get(key) or self._callers.setdefault(key, Caller(way.url, way.secure()))
        return sort(signal, caller.ask("POST", {**more, **headers}, data, way.seconds, path(parts)))

    def _grpc(self, signal: str, way: Way, headers: dict[str, str], body: bytes) -> Answer:
        from edgemon.sinks.otlp.unary import Channel  # noqa: PLC0415 - 20 MB, for those who ask for it

        key = ("grpc", urlsplit(way.url).netloc, way.tls, way.compression)
        channel = self._callers.get(key) or self._callers.setdefault(key, Channel(way))
        answer: Answer = channel.ask(signal, headers, body, way.seconds)
        if answer.outcome == "retry":  # with a new channel keys and certificates are read anew
            self._callers.pop(key).close()
        return answer


def packed(body: bytes) -> bytes:
    """The body in gzip."""
    packer = zlib.compressobj(6, wbits=31)
    return packer.compress(body) + packer.flush()


def sort(signal: str, reply: Reply) -> Answer:
    """What an HTTP answer means."""
    date, status = _date(reply), reply.status
    if 200 <= status < 300:
        if "html" in reply.headers.get("content-type", ""):
            return Answer(
                "retry", detail=f"status {status} with a web page: no receiver of OTLP answers there", date=date
            )
        return taken(signal, reply.body if reply.headers.get("content-type", PROTOBUF) == PROTOBUF else b"", date)
    detail = f"status {status}"
    if 300 <= status < 400:
        where = reply.headers.get("location", "").partition("?")[0][:200]
        return Answer("retry", detail=f"{detail}: redirects to {where}, which is not followed", date=date)
    told = message(reply.body) if reply.headers.get("content-type", "") == PROTOBUF else reply.text
    said = " ".join(told.split())[:200]
    detail += f": {said}" if said.isprintable() and said else ""
    again = status in LATER or status >= 500
    pause = (wait(reply.headers) or None) if again else None
    return Answer("retry" if again else "refused", wait=pause, detail=detail, date=date)


def taken(signal: str, body: bytes, date: float | None = None) -> Answer:
    """What the receiver says of a request that it took, wholly or in part."""
    kind, name = RESPONSES[signal]
    try:
        said = kind.FromString(body).partial_success
    except DecodeError:
        return Answer("delivered", date=date)
    rejected = max(0, getattr(said, name))
    text = " ".join(said.error_message.split())[:200]
    return Answer("partial" if rejected else "delivered", rejected, detail=text, date=date)


def _date(reply: Reply) -> float | None:
    try:
        return unix(reply.headers.get("date", ""))
    except ValueError:
        return None


def message(body: bytes) -> str:
    """The message of a google.rpc.Status, as OTLP sends it with an error; nothing when it is none.

    A span's status has its message in the same field, and is there already.
    """
    try:
        return Status.FromString(body).message
    except DecodeError:
        return ""
