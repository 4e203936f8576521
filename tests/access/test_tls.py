"""TLS over real sockets: the same server, no slower for anybody's handshake, and only to whom the file lets in."""

from __future__ import annotations

import http.client
import socket
import ssl
import statistics
import time
from contextlib import ExitStack

import psutil
import pytest

from edgemon import serving as vocabulary
from edgemon.access.door import Door
from edgemon.wire import Limits, Request, Response
from tests.access import Keys, guarded, wait
from tests.sinks import BODY, ECHO, GET, Client, serving

QUICK = Limits(head=0.8, linger=0.2)


def test_the_standard_library_gets_a_thousand_answers_over_one_connection(keys: Keys) -> None:
    with guarded(keys.write(tls_server_config=keys.tls())) as (_, port, _):
        connection = http.client.HTTPSConnection("localhost", port, context=keys.client(), timeout=20)
        for number in range(1000):
            connection.request("GET", f"/{number}" if number % 50 else "/metrics")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"/%d" % number if number % 50 else BODY)
        connection.close()


def test_large_answers_pipelined_and_read_slowly_arrive_whole_and_the_end_is_no_reset(keys: Keys) -> None:
    with guarded(keys.write(tls_server_config=keys.tls())) as (_, port, _), keys.connect(port, receive=2048) as one:
        one.socket.sendall(GET * 60 + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert all(one.read().body == BODY for _ in range(61))
        assert one.rest() == b""


def test_requests_decrypted_together_are_all_answered(keys: Keys) -> None:
    """What OpenSSL holds decrypted is seen though no selector tells of it."""
    with guarded(keys.write(tls_server_config=keys.tls())) as (_, port, _), keys.connect(port) as one:
        one.socket.sendall(b"".join(ECHO % number for number in range(300)))
        assert [one.read().body for _ in range(300)] == [b"/%d" % number for number in range(300)]


def test_silent_half_shaken_and_idle_clients_cost_the_others_no_time(keys: Keys) -> None:
    """100 that say nothing, 100 that stop within the handshake, 100 that were served and stay."""
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 100
    with guarded(keys.write(tls_server_config=keys.tls())) as (server, port, _), ExitStack() as stack:
        quiet = statistics.median(_scrape(port, keys) for _ in range(15))
        threads = psutil.Process().num_threads()
        mute = [stack.enter_context(Client(port)) for _ in range(200)]
        for one in mute[100:]:
            one.socket.sendall(hello)
        for _ in range(100):
            assert stack.enter_context(keys.connect(port)).ask().status == 200
        wait(lambda: len(server.connections) == 300)
        assert statistics.median(_scrape(port, keys) for _ in range(15)) < 20 * quiet + 0.05
        assert psutil.Process().num_threads() == threads


def _scrape(port: int, keys: Keys) -> float:
    began = time.perf_counter()
    with keys.connect(port) as one:
        assert one.ask().body == BODY
    return time.perf_counter() - began


def test_who_does_not_finish_the_handshake_is_dropped_after_the_deadline_and_not_before(keys: Keys) -> None:
    with guarded(keys.write(tls_server_config=keys.tls()), QUICK) as (server, port, _), ExitStack() as stack:
        began = time.monotonic()
        clients = [stack.enter_context(Client(port)) for _ in range(20)]
        for one in clients[10:]:
            one.socket.sendall(b"\x16\x03\x01\x02\x00")
        wait(lambda: all(one.closed() for one in clients))
        assert time.monotonic() - began > QUICK.head
        wait(lambda: not server.connections)


def test_plain_http_is_told_that_this_is_https(keys: Keys) -> None:
    with guarded(keys.write(tls_server_config=keys.tls())) as (_, port, door), Client(port) as one:
        one.socket.sendall(GET)
        assert one.rest().startswith(b"HTTP/1.0 400 Bad Request\r\n")
        assert door.failures == {"plain": 1}


@pytest.mark.parametrize("junk", [b"\x16\x03\x01\x00\x05hello", b"\x16" * 4000, b"\x16\x03\x01\xff\xff" + b"a" * 70000])
def test_junk_that_begins_like_tls_ends_its_own_connection_only(keys: Keys, junk: bytes) -> None:
    with guarded(keys.write(tls_server_config=keys.tls()), QUICK) as (server, port, _):
        with Client(port) as one:
            one.socket.sendall(junk)
            wait(one.closed)
        with keys.connect(port) as good:
            assert good.ask(ECHO % 7).body == b"/7"
        wait(lambda: not server.connections)


@pytest.mark.parametrize("policy", ["RequireAndVerifyClientCert", "VerifyClientCertIfGiven"])
@pytest.mark.parametrize(
    ("who", "least"), [("client", ""), ("", "VerifyClientCertIfGiven"), ("stranger", "nobody"), ("other", "")]
)
def test_a_client_certificate_is_asked_for_and_verified(keys: Keys, policy: str, who: str, least: str) -> None:
    """One of another authority is never let in, none at all only where that is allowed."""
    path = keys.write(tls_server_config={**keys.mutual(), "client_auth_type": policy})
    with guarded(path) as (_, port, door):
        if least in {"", policy}:
            assert _ask(port, keys, who) == 200
            assert not door.failures
        else:
            assert _ask(port, keys, who) == 0
            wait(lambda: door.failures["certificate"] == 1)


def _ask(port: int, keys: Keys, who: str = "") -> int:
    """The status, 0 where the connection is refused."""
    try:
        with keys.connect(port, who) as one:
            return one.ask(ECHO % 7).status
    except (OSError, AssertionError):
        return 0


@pytest.mark.parametrize("name", ["scraper.example", "10.1.2.3", "2001:db8::1", "ops@example.com"])
def test_only_clients_with_an_allowed_name_come_in_of_whatever_kind_the_name_is(keys: Keys, name: str) -> None:
    with guarded(keys.write(tls_server_config=keys.mutual(client_allowed_sans=[name]))) as (_, port, door):
        assert _ask(port, keys, "client") == 200
        assert _ask(port, keys, "other") == 0
        wait(lambda: door.failures == {"name": 1})


@pytest.mark.parametrize("limit", ["min_version", "max_version"])
def test_versions_are_those_of_the_file(keys: Keys, limit: str) -> None:
    other = {"min_version": "TLS13", "max_version": "TLS12"}[limit]
    with guarded(keys.write(tls_server_config=keys.tls(**{limit: other}))) as (_, port, door):
        mine = keys.client()
        mine.minimum_version = mine.maximum_version = ssl.TLSVersion[f"TLSv1_{other[-1]}"]
        with Client(port, host="localhost", context=mine) as one:
            assert one.ask().status == 200
        mine = keys.client()
        wrong = ssl.TLSVersion["TLSv1_2" if other == "TLS13" else "TLSv1_3"]
        mine.minimum_version = mine.maximum_version = wrong
        with pytest.raises(ssl.SSLError):
            Client(port, host="localhost", context=mine)
        wait(lambda: door.failures == {"version": 1})


def test_ciphers_and_curve_are_those_of_the_file(keys: Keys) -> None:
    suites = ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]
    tls = keys.tls(max_version="TLS12", cipher_suites=suites, curve_preferences=["CurveP384"])
    with guarded(keys.write(tls_server_config=tls)) as (_, port, _):
        with keys.connect(port) as one:
            assert isinstance(one.socket, ssl.SSLSocket)
            assert one.socket.cipher()[0].endswith("AES256-GCM-SHA384")  # type: ignore[index]
        mine = keys.client()
        mine.set_ecdh_curve("prime256v1")
        with pytest.raises(ssl.SSLError):
            Client(port, host="localhost", context=mine)


def test_certificate_and_key_may_stand_in_the_file_itself(keys: Keys) -> None:
    tls = {"cert": keys.text("server.pem"), "key": keys.text("server.key"), "client_ca": keys.text("ca.pem")}
    path = keys.write(tls_server_config={**tls, "client_auth_type": "RequireAndVerifyClientCert"})
    with guarded(path) as (_, port, _):
        assert _ask(port, keys, "client") == 200
        assert _ask(port, keys) == 0


def test_a_renewed_certificate_is_served_to_who_connects_and_idle_connections_are_closed(keys: Keys) -> None:
    with guarded(keys.write(tls_server_config=keys.tls())) as (_, port, _), keys.connect(port) as old:
        assert old.ask().status == 200
        before = _certificate(port, keys)
        keys.issue("server", keys.authority, "localhost")
        wait(lambda: _certificate(port, keys) != before)
        wait(old.closed)


def _certificate(port: int, keys: Keys) -> bytes | None:
    with keys.connect(port) as one:
        assert isinstance(one.socket, ssl.SSLSocket)
        return one.socket.getpeercert(binary_form=True)


def test_a_key_that_does_not_fit_yet_leaves_the_old_pair_in_force_until_it_does(
    keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a tool replaces the two files one after the other."""
    with guarded(keys.write(tls_server_config=keys.tls())) as (_, port, door):
        before, key = _certificate(port, keys), keys.text("server.key")
        keys.issue("server", keys.authority, "localhost")
        new = keys.text("server.key")
        (keys.folder / "server.key").write_text(key)
        wait(lambda: _certificate(port, keys) and _successful(door) == 0.0)
        assert _certificate(port, keys) == before
        assert "tls_server_config.key_file: does not belong to the certificate in cert_file" in caplog.text
        assert "not in force; what was there before goes on" in caplog.text
        (keys.folder / "server.key").write_text(new)
        wait(lambda: _certificate(port, keys) != before)
        wait(lambda: _successful(door) == 1.0)


def _successful(door: Door) -> float | None:
    return next(one.value for one in door.readings() if one.metric is vocabulary.WEB_SUCCESS)


def test_a_client_authority_that_is_withdrawn_lets_its_clients_in_no_more(keys: Keys) -> None:
    """Neither anew nor over a connection that they have kept."""
    with guarded(keys.write(tls_server_config=keys.mutual())) as (_, port, _), keys.connect(port, "client") as kept:
        assert kept.ask().status == 200
        (keys.folder / "ca2.pem").write_text(keys.text("stranger.pem"))
        keys.write(tls_server_config={**keys.mutual(), "client_ca_file": "ca2.pem"})
        wait(lambda: _ask(port, keys, "client") == 0)
        wait(kept.closed)


def test_tls_can_be_switched_on_and_off_while_the_server_runs(keys: Keys) -> None:
    with guarded(keys.write()) as (_, port, _):
        with Client(port) as one:
            assert one.ask().status == 200
        keys.write(tls_server_config=keys.tls())
        wait(lambda: _ask(port, keys) == 200)
        keys.write()
        wait(lambda: _plain(port) == 200)


def _plain(port: int) -> int:
    try:
        with Client(port) as one:
            return one.ask().status
    except (AssertionError, OSError):
        return 0


def test_the_client_is_known_by_its_certificate(keys: Keys) -> None:
    def tell(request: Request) -> Response:
        return Response(200, str(request.known).encode())

    path = keys.write(tls_server_config={**keys.mutual(), "client_auth_type": "VerifyClientCertIfGiven"})
    with serving(handler=tell, door=Door(path)) as (_, port):
        for who, known in (("client", b"True"), ("", b"False")):
            with keys.connect(port, who) as one:
                assert one.ask().body == known


def test_a_reset_in_the_middle_of_a_handshake_costs_nobody_anything(keys: Keys) -> None:
    with guarded(keys.write(tls_server_config=keys.tls())) as (server, port, _):
        for _ in range(30):
            one = socket.create_connection(("127.0.0.1", port))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            one.sendall(b"\x16\x03\x01\x02\x00\x01")
            one.close()
        assert _ask(port, keys) == 200
        wait(lambda: not server.connections)
