"""The client against servers that answer well, badly, slowly, or not at all; over HTTP, TLS and gRPC."""

from __future__ import annotations

import socket
import ssl
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from edgemon.endpoint import Header, Tls
from edgemon.push import Otlp, Signal
from edgemon.sinks.otlp.answer import Answer
from edgemon.sinks.otlp.client import Client
from tests.servers import Asked, Reply, Server, answer, serving

BODY = b"\n\x02abc" * 100
PATHS = {"metrics": "/v1/metrics", "traces": "/v1/traces", "logs": "/v1/logs"}
DATE = "Date: Tue, 15 Nov 1994 08:12:31 GMT"
NOON = 784887151.0
PROTOBUF = "Content-Type: application/x-protobuf"


def server(reply: Reply | Callable[[Asked], Reply]) -> Any:
    """A server that gives this answer to all that is asked."""
    return serving({"": reply if callable(reply) else lambda _: reply})


def send(it: Server, signal: str = "metrics", body: bytes = BODY, **settings: Any) -> Answer:
    client = Client(Otlp(**{"endpoint": it.url("", "localhost"), "timeout": 2.0, **settings}))
    try:
        return client.send(signal, body)
    finally:
        client.close()


@pytest.mark.parametrize("signal", PATHS)
def test_a_request_is_as_otlp_wants_it(signal: str) -> None:
    """Below the base URL, protobuf in gzip, of edgemon."""
    with server(answer(200, b"", DATE)) as it:
        assert send(it, signal, endpoint=f"{it.url('')}/otlp/") == Answer("delivered", date=NOON)
        (got,) = it.asked
        assert (got.method, got.path) == ("POST", f"/otlp{PATHS[signal]}")
        assert got.headers["content-type"] == "application/x-protobuf"
        assert got.headers["user-agent"].startswith("edgemon/")
        assert zlib.decompress(got.body, wbits=31) == BODY
        assert len(got.body) < len(BODY) / 5


def test_without_compression_the_body_is_as_it_is() -> None:
    with server(answer(200)) as it:
        assert send(it, compression="none").outcome == "delivered"
        assert (it.asked[0].body, it.asked[0].headers.get("content-encoding")) == (BODY, None)


def test_a_connection_is_kept_and_replaced_when_the_server_lets_go_of_it() -> None:
    """Three signals over one connection; one that was ended in between costs nothing but another."""
    with server(answer(200)) as it:
        client = Client(Otlp(endpoint=it.url("")))
        assert [client.send(one, BODY).outcome for one in PATHS] == ["delivered"] * 3
        assert [one.connection for one in it.asked] == [1, 1, 1]
        client.close()
    with server(lambda asked: iter([answer(200)])) as it:  # ends the connection after each answer, unannounced
        client = Client(Otlp(endpoint=it.url("")))
        assert [client.send("metrics", BODY).outcome for _ in range(5)] == ["delivered"] * 5
        assert [one.connection for one in it.asked] == [1, 2, 3, 4, 5]
        client.close()


RESPONSES = {
    "metrics": ExportMetricsServiceResponse(
        partial_success={"rejected_data_points": 3, "error_message": "too old"}  # type: ignore[arg-type]
    ),
    "traces": ExportTraceServiceResponse(
        partial_success={"rejected_spans": 3, "error_message": "too old"}  # type: ignore[arg-type]
    ),
    "logs": ExportLogsServiceResponse(
        partial_success={"rejected_log_records": 3, "error_message": "too old"}  # type: ignore[arg-type]
    ),
}


@pytest.mark.parametrize("signal", PATHS)
def test_a_partial_success_tells_how_many_were_not_taken(signal: str) -> None:
    with server(answer(200, RESPONSES[signal].SerializeToString(), PROTOBUF)) as it:
        assert send(it, signal) == Answer("partial", 3, detail="too old")


def test_a_warning_with_nothing_rejected_is_delivered_and_said() -> None:
    said = ExportMetricsServiceResponse(partial_success={"error_message": "slow down"})  # type: ignore[arg-type]
    with server(answer(200, said.SerializeToString(), PROTOBUF)) as it:
        assert send(it) == Answer("delivered", detail="slow down")


@pytest.mark.parametrize("body", [b"\xff\xff", b"{}", b"ok", b"\n\x05\x08\x80"])
def test_what_is_no_response_of_otlp_is_delivered_all_the_same(body: bytes) -> None:
    for kind in (PROTOBUF, "Content-Type: application/json"):
        with server(answer(200, body, kind)) as it:
            assert send(it).outcome == "delivered"


def test_a_web_page_is_no_receipt() -> None:
    """The login page of a hotel answers everything with 200; what was sent to it is sent again."""
    with server(answer(200, b"<html>Welcome", "Content-Type: text/html; charset=utf-8")) as it:
        detail = "status 200 with a web page: no receiver of OTLP answers there"
        assert send(it) == Answer("retry", detail=detail)


STATUS = b"\x08\x03\x12\x0fno such  tenant"
"""google.rpc.Status: code 3 and a message, as protobuf writes it."""


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (answer(429, b"", "Retry-After: 30"), Answer("retry", wait=30.0, detail="status 429")),
        (answer(503, b"", DATE, "Retry-After: Tue, 15 Nov 1994 08:13:31 GMT"),
         Answer("retry", wait=60.0, detail="status 503", date=NOON)),
        (answer(503, b"", "Retry-After: soon"), Answer("retry", detail="status 503")),
        (answer(502, b"bad\r\ngateway"), Answer("retry", detail="status 502: bad gateway")),
        (answer(504), Answer("retry", detail="status 504")),
        (answer(500, b"disk full"), Answer("retry", detail="status 500: disk full")),
        (answer(401), Answer("retry", detail="status 401")),
        (answer(403, b"token expired"), Answer("retry", detail="status 403: token expired")),
        (answer(400, STATUS, PROTOBUF), Answer("refused", detail="status 400: no such tenant")),
        (answer(404, b"404 page not found"), Answer("refused", detail="status 404: 404 page not found")),
        (answer(413, b"", "Retry-After: 30"), Answer("refused", detail="status 413")),
        (answer(415, b"\x00\x01"), Answer("refused", detail="status 415")),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
         Answer("retry", detail="no http: illegal status line: bytearray(b'ssh-2.0-openssh_9.2')")),
    ],
)  # fmt: skip
def test_every_answer_has_its_outcome(reply: bytes, expected: Answer) -> None:
    with server(reply) as it:
        assert send(it) == expected


def test_no_redirect_is_followed() -> None:
    with server(answer(200)) as other:
        location = f"Location: {other.url('/v1/metrics')}?token=s3cr3t"
        with server(answer(307, b"", location)) as it:
            found = send(it)
        assert (found.outcome, other.asked) == ("retry", [])
        assert found.detail == f"status 307: redirects to {other.url('/v1/metrics')}, which is not followed"


def hang(_: Asked) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    block.recv(1)


def drip(_: Asked) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nX: "
    while True:
        block.settimeout(0.05)
        try:
            block.recv(1)
        except TimeoutError:
            yield b"x"


block, _other = socket.socketpair()


@pytest.mark.parametrize("act", [hang, drip])
def test_a_server_that_never_comes_to_an_end_is_left_at_the_deadline(act: Callable[[Asked], Reply]) -> None:
    with server(act) as it:
        assert send(it, timeout=0.5) == Answer("retry", detail="timed out")


def test_of_an_endless_answer_a_bounded_part_is_read() -> None:
    with server(lambda _: iter([b"HTTP/1.1 200 OK\r\n\r\n", *([b"x" * 65536] * 100)])) as it:
        assert send(it).outcome == "delivered"


def reset(_: Asked) -> bytes:
    raise ConnectionResetError


def test_one_that_hangs_up_or_is_not_there_is_tried_again() -> None:
    with server(reset) as it:
        assert send(it).outcome == "retry"
        port = it.port
    assert send(it) == Answer("retry", detail="connection refused")
    with server(lambda _: iter([])) as it:
        assert send(it) == Answer("retry", detail="closed the connection without an answer")
    assert port
    assert Client(Otlp(endpoint="http://a..b:4318")).send("metrics", BODY).outcome == "retry"


def test_a_signal_that_is_no_longer_pushed_is_refused() -> None:
    with server(answer(200)) as it:
        assert send(it, "traces", traces=False) == Answer("refused", detail="otlp: traces are no longer pushed")
        assert it.asked == []


def test_a_signal_may_have_a_way_of_its_own() -> None:
    """Its URL as it is, its headers instead of those for all."""
    with server(answer(200)) as it, server(answer(200)) as other:
        own = Signal(endpoint=other.url("/insert/otlp?db=1"), headers={"x": Header(value="logs")}, compression="none")
        client = Client(Otlp(endpoint=it.url(""), signals={"logs": own}, headers={"x": Header(value="all")}))
        assert {client.send(one, BODY).outcome for one in PATHS} == {"delivered"}
        client.close()
        assert [(one.path, one.headers["x"]) for one in it.asked] == [("/v1/metrics", "all"), ("/v1/traces", "all")]
        assert [(one.path, one.headers["x"], one.body) for one in other.asked] == [("/insert/otlp?db=1", "logs", BODY)]


def token(where: Path, text: str = "s3cr3t-token", mode: int = 0o600) -> dict[str, Header]:
    (where / "token").write_text(text + "\n")
    (where / "token").chmod(mode)
    return {"Authorization": Header(file=str(where / "token"), prefix="Bearer ")}


def test_a_secret_is_read_anew_each_time_and_never_repeated(tmp_path: Path) -> None:
    """Not even if the server does; a new token needs no reload."""
    with server(lambda asked: answer(400, f"what is {asked.headers['authorization']}?".encode())) as it:
        client = Client(Otlp(endpoint=it.url(""), headers=token(tmp_path)))
        assert "s3cr3t" not in client.send("metrics", BODY).detail
        token(tmp_path, "another-token")
        assert client.send("metrics", BODY) == Answer("refused", detail="status 400: what is ***?")
        assert [one.headers["authorization"] for one in it.asked] == ["Bearer s3cr3t-token", "Bearer another-token"]
        client.close()


@pytest.mark.parametrize(
    ("text", "mode", "detail"),
    [
        ("x", 0o644, "is open to every user"),
        ("", 0o600, "must be one line of 1 to 4096 bytes"),
        ("a\x01b", 0o600, "must be printable ASCII"),
    ],
)
def test_a_secret_that_cannot_be_used_is_said_without_it(tmp_path: Path, text: str, mode: int, detail: str) -> None:
    with server(answer(200)) as it:
        found = send(it, headers=token(tmp_path, text, mode))
        assert found.outcome == "retry"
        assert detail in found.detail
        assert it.asked == []


def test_credentials_of_systemd_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token(tmp_path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with server(answer(200)) as it:
        assert send(it, headers={"X-Token": Header(file="${CREDENTIALS_DIRECTORY}/token")}).outcome == "delivered"
        assert it.asked[0].headers["x-token"] == "s3cr3t-token"


class Keys:
    """An authority, a server's context that wants a certificate of its clients or not, and a client's files."""

    def __init__(self, where: Path) -> None:
        self.authority = trustme.CA()
        self.ca, self.certificate = str(where / "ca.pem"), str(where / "client.pem")
        self.authority.cert_pem.write_to_path(self.ca)
        self.authority.issue_cert("device@edge.example").private_key_and_cert_chain_pem.write_to_path(self.certificate)

    def context(self, mutual: bool = False, host: str = "localhost") -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(host).configure_cert(made)
        if mutual:
            self.authority.configure_trust(made)
            made.verify_mode = ssl.CERT_REQUIRED
        return made


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


def test_https_is_verified_and_its_connection_kept(keys: Keys) -> None:
    with serving({"": lambda _: answer(200)}, keys.context()) as it:
        client = Client(Otlp(endpoint=it.url("", "localhost"), tls=Tls(ca=keys.ca)))
        assert [client.send("metrics", BODY).outcome for _ in range(3)] == ["delivered"] * 3
        assert [one.connection for one in it.asked] == [1, 1, 1]
        client.close()


def test_a_stranger_or_another_host_is_told_nothing(keys: Keys) -> None:
    """Unless its name is given, as where a receiver is reached by address."""
    with serving({"": lambda _: answer(200)}, keys.context(host="otlp.example")) as it:
        assert send(it).detail.startswith("certificate not trusted: ")
        assert "certificate not trusted: hostname mismatch" in send(it, tls=Tls(ca=keys.ca)).detail
        assert it.asked == []
        assert send(it, tls=Tls(ca=keys.ca, server_name="otlp.example")).outcome == "delivered"


def test_a_client_shows_its_certificate(keys: Keys) -> None:
    with serving({"": lambda _: answer(200)}, keys.context(mutual=True)) as it:
        assert send(it, tls=Tls(ca=keys.ca, certificate=keys.certificate)).outcome == "delivered"
        assert send(it, tls=Tls(ca=keys.ca)).outcome == "retry"
        assert len(it.asked) == 1


@pytest.mark.parametrize(
    ("tls", "detail"),
    [
        (Tls(ca="/no/such/file"), "otlp.tls.ca: /no/such/file holds no certificates that can be read"),
        (Tls(certificate="/no/such/file"), "otlp.tls.certificate: /no/such/file cannot be used"),
    ],
)
def test_a_file_of_keys_that_cannot_be_read_is_named(keys: Keys, tls: Tls, detail: str) -> None:
    with serving({"": lambda _: answer(200)}, keys.context()) as it:
        found = send(it, tls=tls)
        assert (found.outcome, it.asked) == ("retry", [])
        assert found.detail.startswith(detail)
