"""gRPC against a real gRPC server: the same answers as over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from google.protobuf.any_pb2 import Any as Anything
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import DebugInfo, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)

from edgemon import catalog
from edgemon.endpoint import Header, Tls
from edgemon.push import Otlp
from edgemon.sinks.otlp.answer import Answer
from edgemon.sinks.otlp.client import Client
from tests.sinks.otlp.test_metrics import snap, told

Act = Callable[[grpc.ServicerContext], ExportMetricsServiceResponse]
BODY = b""


@dataclass
class Receiver(MetricsServiceServicer):
    """OpenTelemetry's own service, which answers as told."""

    act: Act
    address: str = ""
    got: list[tuple[Any, dict[str, Any]]] = field(default_factory=list)

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - the service's name for it
        self.got.append((request, dict(context.invocation_metadata())))
        return self.act(context)


def good(_: grpc.ServicerContext) -> ExportMetricsServiceResponse:
    return ExportMetricsServiceResponse()


def late(context: grpc.ServicerContext) -> ExportMetricsServiceResponse:
    """Answers when nobody waits any more."""
    gone = threading.Event()
    context.add_callback(gone.set)
    gone.wait(20)
    return ExportMetricsServiceResponse()


@contextmanager
def receiving(act: Act = good, keys: grpc.ServerCredentials | None = None) -> Iterator[Receiver]:
    server = grpc.server(ThreadPoolExecutor(2))
    it = Receiver(act)
    add_MetricsServiceServicer_to_server(it, server)  # type: ignore[no-untyped-call]
    port = server.add_secure_port("127.0.0.1:0", keys) if keys else server.add_insecure_port("127.0.0.1:0")
    it.address = f"{'https' if keys else 'http'}://localhost:{port}"
    server.start()
    try:
        yield it
    finally:
        server.stop(None).wait()


def send(it: Receiver, signal: str = "metrics", body: bytes = BODY, **settings: Any) -> Answer:
    client = Client(Otlp(**{"endpoint": it.address, "protocol": "grpc", "timeout": 5.0, **settings}))
    try:
        return client.send(signal, body)
    finally:
        client.close()


def failing(code: grpc.StatusCode, said: str, *details: Any) -> Act:
    """Ends the call with a status, and google.rpc's details if any."""

    def act(context: grpc.ServicerContext) -> ExportMetricsServiceResponse:
        packed = []
        for one in details:
            packed.append(Anything())
            packed[-1].Pack(one)
        status = Status(code=code.value[0], message=said, details=packed).SerializeToString()
        context.set_trailing_metadata((("grpc-status-details-bin", status),) if details else ())
        context.abort(code, said)

    return act


def test_a_batch_arrives_with_its_headers_over_one_connection(tmp_path: Path) -> None:
    """The official service takes it apart as it was made."""
    (batch,) = told().tell(snap(catalog.UPTIME(5.0))).batches
    (tmp_path / "token").write_text("s3cr3t\n")
    (tmp_path / "token").chmod(0o600)
    headers = {"Authorization": Header(file=str(tmp_path / "token"), prefix="Bearer ")}
    with receiving() as it:
        client = Client(Otlp(endpoint=it.address, protocol="grpc", headers=headers))
        assert [client.send("metrics", batch.payload) for _ in range(2)] == [Answer("delivered")] * 2
        client.close()
        request, metadata = it.got[0]
        assert request.SerializeToString(deterministic=True) == batch.payload
        assert metadata["authorization"] == "Bearer s3cr3t"
        assert metadata["user-agent"].startswith("edgemon/")


def test_a_partial_success_is_told() -> None:
    said = ExportMetricsServiceResponse()
    said.partial_success.rejected_data_points, said.partial_success.error_message = 3, "too old"
    with receiving(lambda _: said) as it:
        assert send(it) == Answer("partial", 3, detail="too old")


SOON = RetryInfo(retry_delay=Duration(seconds=30, nanos=500_000_000))
CODE = grpc.StatusCode


@pytest.mark.parametrize(
    ("code", "details", "outcome", "wait"),
    [
        (CODE.UNAVAILABLE, [], "retry", None),
        (CODE.UNAVAILABLE, [DebugInfo(detail="x"), SOON], "retry", 30.5),
        (CODE.RESOURCE_EXHAUSTED, [SOON], "retry", 30.5),
        (CODE.RESOURCE_EXHAUSTED, [DebugInfo(detail="x")], "refused", None),
        (CODE.DEADLINE_EXCEEDED, [], "retry", None),
        (CODE.ABORTED, [], "retry", None),
        (CODE.UNAUTHENTICATED, [], "retry", None),
        (CODE.PERMISSION_DENIED, [], "retry", None),
        (CODE.INTERNAL, [], "retry", None),
        (CODE.INVALID_ARGUMENT, [], "refused", None),
        (CODE.UNIMPLEMENTED, [], "refused", None),
    ],
)
def test_every_status_has_its_outcome(code: grpc.StatusCode, details: list[Any], outcome: str, wait: float) -> None:
    with receiving(failing(code, "told so", *details)) as it:
        assert send(it) == Answer(outcome, wait=wait, detail=f"{code.name.lower()}: told so")


def test_one_that_is_away_hangs_or_lacks_the_signal() -> None:
    with receiving() as it:
        assert send(it, "logs").outcome == "refused"  # only metrics are served
    assert send(it).outcome == "retry"
    with receiving(late) as it:
        assert send(it, timeout=0.3).detail.startswith("deadline_exceeded: ")


def test_tls_is_verified_in_both_directions(tmp_path: Path) -> None:
    """With another authority, or without a certificate of its own, a client is told to come again, and nothing else."""
    authority, stranger = trustme.CA(), trustme.CA()
    paths = {name: str(tmp_path / name) for name in ("ca", "other", "client")}
    authority.cert_pem.write_to_path(paths["ca"])
    stranger.cert_pem.write_to_path(paths["other"])
    authority.issue_cert("device@edge.example").private_key_and_cert_chain_pem.write_to_path(paths["client"])
    own = authority.issue_cert("localhost")
    chain = b"".join(one.bytes() for one in own.cert_chain_pems)
    keys = grpc.ssl_server_credentials([(own.private_key_pem.bytes(), chain)], authority.cert_pem.bytes(), True)
    with receiving(keys=keys) as it:
        assert send(it, tls=Tls(ca=paths["ca"], certificate=paths["client"])).outcome == "delivered"
        assert send(it, timeout=1.0, tls=Tls(ca=paths["ca"])).outcome == "retry"
        assert send(it, timeout=1.0, tls=Tls(ca=paths["other"], certificate=paths["client"])).outcome == "retry"
        assert "otlp.tls: /no/such/file cannot be read" in send(it, tls=Tls(ca="/no/such/file")).detail
        assert len(it.got) == 1
