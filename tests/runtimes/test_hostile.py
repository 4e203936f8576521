"""Servers that are broken, slow or hostile: each ends in a named outcome within its time, and takes no more memory."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import trustme

from edgemon.judge.verdict import judge
from edgemon.probe import supervisor
from edgemon.probe.result import Outcome, Result
from tests.servers import MODEL, Asked, Reply, Server, answer, ask, good, serving

LIVE = "GET /v2/health/live: "


def found(reply: Any, **endpoint: Any) -> Result:
    """What a probe comes to whose first request is answered so."""
    with serving(good(live=reply)) as server:
        return supervisor.run(ask(server, endpoint=endpoint))


def reset(asked: Asked) -> Reply:
    raise ConnectionResetError


def drip(data: bytes, pause: float = 0.05) -> Iterator[bytes]:
    """A byte at a time, for ever."""
    while True:
        for byte in data:
            yield bytes([byte])
            time.sleep(pause)


def endless(head: bytes) -> Iterator[bytes]:
    yield head
    while True:
        yield b"x" * 65536


def silence() -> Iterator[bytes]:
    time.sleep(1)
    yield b""


def bytes_of(*parts: bytes) -> Any:
    """A reply of these bytes, after which the connection ends."""
    return lambda asked: iter(parts)


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LATE, NO_HTTP = "no whole answer within 0.5 s: ", "answered what is no HTTP: "
FAILED, TIMEOUT = Outcome.FAILED, Outcome.TIMEOUT
HOSTILE: dict[str, tuple[Any, Outcome, str]] = {
    "closed": (bytes_of(), FAILED, "closed the connection without an answer"),
    "reset": (reset, FAILED, "the connection was reset"),
    "silent": (lambda asked: silence(), TIMEOUT, LATE + "0 bytes of the answer had come"),
    "slow headers": (lambda asked: drip(OK + b"X: "), TIMEOUT, LATE),
    "slow body": (lambda asked: drip(OK + b"Content-Length: 9999\r\n\r\n", 0.01), TIMEOUT, LATE),
    "endless body": (lambda asked: endless(OK + b"\r\n"), FAILED, "the answer has more than the 1 MiB"),
    "endless header": (lambda asked: endless(OK + b"X: "), FAILED, NO_HTTP + "LineTooLong"),
    "endless status": (lambda asked: endless(b""), FAILED, NO_HTTP + "LineTooLong"),
    "many headers": (bytes_of(OK + b"A: b\r\n" * 200 + b"\r\n"), FAILED, NO_HTTP),
    "long": (bytes_of(OK + b"Content-Length: 999999999999\r\n\r\n"), FAILED, "the answer has more than the 1 MiB"),
    "large chunk": (bytes_of(CHUNKED + b"ffffffffffff\r\nabc"), FAILED, "the connection ended in the middle"),
    "bad chunk": (bytes_of(CHUNKED + b"zz\r\nabc"), FAILED, "the connection ended in the middle"),
    "negative chunk": (bytes_of(CHUNKED + b"-5\r\nabc"), FAILED, NO_HTTP),
    "cut off": (bytes_of(OK + b"Content-Length: 99\r\n\r\nabc"), FAILED, "the connection ended in the middle"),
    "no http": (bytes_of(b"SSH-2.0-OpenSSH_9.6\r\n"), FAILED, NO_HTTP + "BadStatusLine"),
    "gzip": (
        lambda asked: answer(200, gzip.compress(bytes(1 << 20)), "Content-Encoding: gzip"),
        FAILED,
        "answered in gzip although identity was asked for",
    ),
    "endless 100": (lambda asked: endless(b"HTTP/1.1 100 Continue\r\n\r\n" * 99999), FAILED, "the answer has more"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_every_hostile_answer_is_named_in_time(kind: str) -> None:
    reply, outcome, detail = HOSTILE[kind]
    result = found(reply, response="1MiB", timeout="500ms" if outcome is TIMEOUT else "20s")
    assert (result.outcome, result.stage) == (outcome, "live")
    assert result.detail.startswith(LIVE)
    assert detail in result.detail
    assert judge(result, [], None, {}).advice
    assert result.peak_memory
    assert result.peak_memory < 64 << 20


def test_a_refused_connection_names_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = supervisor.run(ask(Server(port)))
    assert (result.outcome, result.stage) == (Outcome.FAILED, "connect")
    assert result.detail == f"cannot connect to 127.0.0.1 port {port}: connection refused"


def test_a_server_that_takes_no_more_connections_is_a_timeout_of_connect() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            result = supervisor.run(ask(Server(port), endpoint={"timeout": "300ms"}))
    assert (result.outcome, result.stage) == (Outcome.TIMEOUT, "connect")
    assert result.detail == f"no whole answer within 0.3 s: 127.0.0.1 port {port}: takes no connection"


def test_a_host_without_an_address_is_failed_in_dns() -> None:
    result = supervisor.run(ask(Server(1), host="no-such-host.invalid"))
    assert (result.outcome, result.stage) == (Outcome.FAILED, "dns")
    assert result.detail.startswith("cannot resolve no-such-host.invalid: ")


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1]", "[fd00:ec2::254]", "0.0.0.0"]
)
def test_an_address_that_no_probe_may_reach_is_refused_even_where_everything_is_allowed(host: str) -> None:
    everything = {"allow": ["0.0.0.0/0", "::/0"]}
    result = supervisor.run(ask(Server(80), host=host, endpoint=everything))
    assert (result.outcome, result.stage) == (Outcome.FAILED, "dns")
    assert "which no probe may reach" in result.detail or "is not the address of one host" in result.detail


def http10(asked: Asked) -> Reply:
    return iter([b"HTTP/1.0 200 OK\r\n\r\n"])


def chunked(asked: Asked) -> Reply:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Trailer: yes\r\n\r\n"


def close(asked: Asked) -> Reply:
    return iter([answer(200, {}, "Connection: close")])


@pytest.mark.parametrize("reply", [http10, chunked, close])
def test_every_form_of_a_good_answer_is_ok(reply: Any) -> None:
    assert found(reply).detail == ""


def test_a_kept_connection_that_the_server_closes_between_two_requests_is_opened_again() -> None:
    def once(asked: Asked) -> Reply:
        return iter([answer(200, {})])  # no Connection: close, yet it closes

    with serving({"": once}) as server:
        result = supervisor.run(ask(server, "/"))
    assert (result.outcome, result.detail) == (Outcome.OK, "")


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def secured(certificate: trustme.LeafCert) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(made)
    return made


def over_tls(context: ssl.SSLContext, **tls: str) -> Result:
    with serving(good(), context) as server:
        return supervisor.run(ask(server, host="localhost", endpoint={"tls": tls}))


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


def test_a_certificate_of_the_named_authority_is_ok_and_tls_has_its_own_phase(authority: trustme.CA, ca: str) -> None:
    with serving(good(), secured(authority.issue_cert("localhost"))) as server:
        result = supervisor.run(ask(server, host="localhost", endpoint={"tls": {"ca": ca}}))
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    assert [one.connection for one in server.asked] == [1] * (len(server.asked) - 1) + [2]
    assert result.phases["tls"] > 0
    assert result.facts["options"]["tls"] in {"TLSv1.2", "TLSv1.3"}


def test_an_authority_that_is_not_trusted_is_refused(authority: trustme.CA) -> None:
    result = over_tls(secured(authority.issue_cert("localhost")))
    assert (result.outcome, result.stage) == (Outcome.FAILED, "tls")
    assert result.detail.startswith("the certificate of localhost is refused: ")
    assert "endpoint.tls" in judge(result, [], None, {}).advice


def test_a_certificate_for_another_host_is_refused_unless_its_name_is_given(authority: trustme.CA, ca: str) -> None:
    context = secured(authority.issue_cert("elsewhere.example"))
    result = over_tls(context, ca=ca)
    assert (result.outcome, result.stage) == (Outcome.FAILED, "tls")
    assert "Hostname mismatch" in result.detail
    assert over_tls(context, ca=ca, server_name="elsewhere.example").detail == ""


def test_an_expired_certificate_is_refused(authority: trustme.CA, ca: str) -> None:
    past = datetime.now(timezone.utc) - timedelta(days=1)
    result = over_tls(secured(authority.issue_cert("localhost", not_after=past)), ca=ca)
    assert result.detail == "the certificate of localhost is refused: certificate has expired"


def test_plain_http_on_the_port_is_no_tls(ca: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: listener.accept()[0].sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
        thread.start()
        server = Server(listener.getsockname()[1], "https")
        result = supervisor.run(ask(server, host="localhost", endpoint={"tls": {"ca": ca}}))
        thread.join()
    assert (result.outcome, result.stage) == (Outcome.FAILED, "tls")
    assert result.detail.startswith("TLS with localhost failed: ")


def test_a_server_that_wants_a_client_certificate_gets_it(authority: trustme.CA, ca: str, tmp_path: Path) -> None:
    context = secured(authority.issue_cert("localhost"))
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    mine = authority.issue_cert("device@example")
    mine.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    assert over_tls(context, ca=ca, certificate=str(tmp_path / "client.pem")).detail == ""
    refused = over_tls(context, ca=ca)
    assert refused.outcome is Outcome.FAILED
    assert f"{LIVE}TLS with localhost failed: " in refused.detail or "reset" in refused.detail


@pytest.mark.parametrize("name", ["ca", "certificate"])
def test_a_file_without_certificates_is_named(name: str, ca: str, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing\n")
    result = supervisor.run(ask(Server(1, "https"), endpoint={"tls": {"ca": ca, name: str(tmp_path / "empty.pem")}}))
    assert result.outcome is Outcome.FAILED
    assert result.detail.startswith(f"tls.{name}: {tmp_path}/empty.pem ")


def test_the_path_of_the_model_is_not_asked_before_the_server_lives() -> None:
    with serving(good(live=lambda asked: answer(500))) as server:
        supervisor.run(ask(server))
    assert MODEL not in {asked.path for asked in server.asked}
