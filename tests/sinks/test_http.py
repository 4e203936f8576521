"""The HTTP server over real sockets: correct with every client, and no client can cost another one its answer."""

from __future__ import annotations

import contextlib
import http.client
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemon.errors import SetupError
from edgemon.sinks.http import Server
from edgemon.wire import Limits, Request, Response, listen
from tests.sinks import (
    BODY,
    ECHO,
    GET,
    PATIENCE,
    Answer,
    Client,
    Crowd,
    apart,
    dribbling,
    idle,
    scrapes,
    serving,
    silent,
    stuck,
    wait,
)

QUICK = Limits(head=0.6, write=0.4, linger=0.2)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a server with the daemon's own limits."""
    with serving() as (_, port):
        yield port


@pytest.fixture
def client(port: int) -> Iterator[Client]:
    with Client(port) as one:
        yield one


@pytest.mark.parametrize("crowd", [idle, silent, stuck, dribbling])
def test_a_crowd_costs_a_scrape_no_time_and_the_server_neither_threads_nor_memory(crowd: Crowd) -> None:
    with apart() as (process, port), ExitStack() as stack:
        quiet = statistics.median(scrapes(port))
        cost = psutil.Process(process.pid)
        threads, memory = cost.num_threads(), cost.memory_info().rss
        clients = crowd(port, stack)
        assert scrapes(port)[-3] < 20 * quiet + 0.05
        assert cost.num_threads() == threads
        assert cost.memory_info().rss - memory < len(clients) * 4 * Limits().header + (4 << 20)


@pytest.mark.parametrize("crowd", [silent, dribbling])
def test_who_does_not_finish_a_head_is_dropped_after_the_deadline_and_not_before(crowd: Crowd) -> None:
    with serving(QUICK) as (server, port), ExitStack() as stack:
        began = time.monotonic()
        clients = crowd(port, stack)
        wait(lambda: all(one.closed() for one in clients))
        assert time.monotonic() - began > QUICK.head
        wait(lambda: not server.connections)


def test_who_does_not_take_an_answer_is_dropped_after_the_write_deadline() -> None:
    with serving(Limits(head=60.0, write=0.4)) as (server, port), ExitStack() as stack:
        began = time.monotonic()
        stuck(port, stack)
        wait(lambda: server.codes[200] >= 40 and not server.connections)
        assert 0.4 < time.monotonic() - began < 60.0


def test_a_keep_alive_connection_lives_longer_than_the_head_deadline_but_each_head_has_it() -> None:
    with serving(QUICK) as (_, port), Client(port) as one, Client(port) as two:
        assert one.ask().status == two.ask().status == 200
        time.sleep(3 * QUICK.head)
        two.socket.sendall(b"GET /")
        wait(two.closed)
        assert not one.closed()
        assert one.ask().status == 200


def test_a_connection_idle_for_too_long_is_closed() -> None:
    with serving(Limits(idle=0.3)) as (server, port), Client(port) as one:
        assert one.ask().status == 200
        assert one.rest() == b""
        assert not server.connections


def test_at_the_limit_the_never_served_go_first_then_the_longest_quiet_and_the_new_is_served() -> None:
    with serving(Limits(connections=3)) as (server, port), ExitStack() as stack:
        old, young = (stack.enter_context(Client(port)) for _ in range(2))
        assert old.ask().status == young.ask().status == 200
        mute = stack.enter_context(Client(port))
        wait(lambda: len(server.connections) == 3)
        new = stack.enter_context(Client(port))
        assert new.ask().status == 200
        assert mute.rest() == b""
        newer = stack.enter_context(Client(port))
        assert newer.ask().status == 200
        assert old.rest() == b""
        assert young.ask().status == new.ask().status == 200


def test_at_the_limit_who_takes_an_answer_stays_and_the_quiet_goes() -> None:
    with serving(Limits(connections=2), lambda _: Response(200, BODY * 64)) as (server, port), ExitStack() as stack:
        busy, quiet = stack.enter_context(Client(port, receive=2048)), stack.enter_context(Client(port))
        busy.socket.sendall(GET)
        wait(lambda: any(one.writing for one in server.connections))
        assert quiet.ask().status == 200
        new = stack.enter_context(Client(port))
        assert new.ask().status == 200
        assert quiet.rest() == b""
        assert busy.read().body == BODY * 64


def test_head_is_answered_as_get_without_the_body(client: Client) -> None:
    get, head = client.ask(), client.ask(GET.replace(b"GET", b"HEAD"), head=True)
    assert head == get._replace(body=b"")
    assert client.ask().body == BODY
    assert client.ask(GET.replace(b"GET", b"HEAD"), head=True).status == 200
    assert client.ask(b"nonsense\r\n\r\n").body == b"Bad Request\n"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW", "get"])
@pytest.mark.parametrize("size", [0, 1 << 20])
def test_methods_other_than_get_and_head_are_refused_whatever_they_bring(port: int, method: str, size: int) -> None:
    with Client(port) as one:
        lines = f"{method} /metrics HTTP/1.1\r\nHost: edgemon\r\nContent-Length: {size}\r\n\r\n"
        answer = one.ask(lines.encode() + b"a" * size)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
        assert answer.headers["connection"] == "close"
        assert one.rest() == b""


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
REFUSED = [
    (413, b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
    (413, b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n"),
    (413, b"GET / HTTP/1.1\r\nHost: a\r\n" + CHUNKED),
    (431, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20000 + b"\r\n\r\n"),
    (431, b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 5000 + b"\r\n"),
    (431, b"GET /" + b"a" * 100_000),
    (400, b"\r\n\r\n"),
    (400, b"GET\r\n\r\n"),
    (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    (400, b"\x00\xff junk\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: abc\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    (400, b"PRI * HTTP/x.0\r\n\r\nSM\r\n\r\n"),
    (501, b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"),
]


@pytest.mark.parametrize(("status", "data"), REFUSED)
def test_what_is_no_plain_request_is_refused_and_the_connection_ends_without_a_reset(
    port: int, status: int, data: bytes
) -> None:
    with Client(port) as one:
        answer = one.ask(data)
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert one.rest() == b""


def test_a_head_request_with_a_body_is_refused_without_a_body(client: Client) -> None:
    answer = client.ask(b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", head=True)
    assert answer.status == 413
    assert client.rest() == b""


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_handler_that_fails_answers_500_and_costs_its_own_connection_only(port: int, method: bytes) -> None:
    with Client(port) as one, Client(port) as other:
        assert one.ask(method + b" /error HTTP/1.1\r\nHost: a\r\n\r\n", head=method == b"HEAD").status == 500
        assert one.rest() == b""
        assert other.ask().status == 200


def test_http_1_0_is_answered_and_closed(client: Client) -> None:
    assert client.ask(b"GET /metrics HTTP/1.0\r\n\r\n").body == BODY
    assert client.rest() == b""


def test_connection_close_is_obeyed(client: Client) -> None:
    answer = client.ask(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert (answer.headers["connection"], client.rest()) == ("close", b"")


@pytest.mark.parametrize("extra", ["Expect: 100-continue", "Connection: Upgrade\r\nUpgrade: h2c", "Content-Length: 0"])
def test_an_offer_that_is_not_taken_up_changes_nothing(client: Client, extra: str) -> None:
    for _ in range(2):
        assert client.ask(GET.replace(b"\r\n\r\n", f"\r\n{extra}\r\n\r\n".encode())).body == BODY


def test_query_and_absolute_form_lead_to_the_path(client: Client) -> None:
    for target in (b"/a/b?c=/d", b"http://edgemon/a/b", b"HTTP://edgemon:1/a/b?http://c/d"):
        assert client.ask(b"GET %s HTTP/1.1\r\nHost: edgemon\r\n\r\n" % target).body == b"/a/b"


def test_a_header_given_twice_reaches_the_handler_as_one_list() -> None:
    def accept(request: Request) -> Response:
        return Response(200, request.headers["accept"].encode())

    with serving(handler=accept) as (_, port), Client(port) as one:
        assert one.ask(b"GET / HTTP/1.1\r\nHost: a\r\nAccept: b\r\nACCEPT: c\r\n\r\n").body == b"b, c"


def test_pipelined_requests_are_answered_in_order(client: Client) -> None:
    client.socket.sendall(b"".join(ECHO % number for number in range(500)))
    assert [client.read().body for _ in range(500)] == [b"/%d" % number for number in range(500)]


def test_pipelining_in_pieces_beside_slow_reading_loses_no_answer_and_ends_without_a_reset(port: int) -> None:
    data = GET * 200 + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

    def ask(one: Client) -> None:
        for start in range(0, len(data), 100):
            one.socket.sendall(data[start : start + 100])
            time.sleep(0.0005)

    with Client(port, receive=2048) as one:
        thread = threading.Thread(target=ask, args=(one,))
        thread.start()
        assert all(one.read().body == BODY for _ in range(201))
        assert one.rest() == b""
        thread.join()


def test_the_standard_library_gets_a_thousand_answers_over_one_connection(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    for number in range(1000):
        connection.request("GET", f"/{number}")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"/%d" % number)
    connection.close()


def test_what_was_answered_is_counted_by_status() -> None:
    with serving() as (server, port), Client(port) as one, Client(port) as two:
        one.ask()
        one.ask()
        two.ask(b"PUT / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert server.codes == {200: 2, 405: 1}


def test_stop_closes_everything_within_two_seconds_whatever_the_clients_do() -> None:
    with serving() as (server, port), ExitStack() as stack:
        clients = [*stuck(port, stack), *(stack.enter_context(Client(port)) for _ in range(40))]
        assert all(one.ask().status == 200 for one in clients[-20:])
        assert server.stop(2.0)
        assert all(one.closed() for one in clients)
        with pytest.raises(ConnectionRefusedError):
            Client(port)


def test_a_port_in_use_is_a_setup_error_that_names_the_address_and_the_remedy(port: int) -> None:
    with pytest.raises(SetupError) as caught:
        listen(f"127.0.0.1:{port}")
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "stop the other program or set listen:" in str(caught.value)


def test_an_address_of_another_machine_is_a_setup_error_that_names_it() -> None:
    with pytest.raises(SetupError, match=r"cannot listen on 192\.0\.2\.1:80: .*[Aa]ssign"):
        listen("192.0.2.1:80")


def test_ipv6_loopback_is_served() -> None:
    try:
        listener = listen("[::1]:0")
    except SetupError as error:
        pytest.skip(f"no IPv6 here: {error}")
    server = Server(listener, lambda _: Response(200, b"six"), Limits())
    server.start()
    with Client(listener.getsockname()[1], host="::1") as one:
        assert one.ask().body == b"six"
    assert server.stop()


def test_without_free_descriptors_the_server_serves_who_is_in_does_not_spin_and_recovers() -> None:
    with apart(files=32) as (process, port):
        with ExitStack() as stack:
            inside = stack.enter_context(Client(port))
            assert inside.ask().status == 200
            for _ in range(60):
                stack.enter_context(Client(port))
            cost, began = psutil.Process(process.pid), time.monotonic()
            wait(lambda: cost.num_fds() == 32)
            before = sum(cost.cpu_times()[:2])
            assert inside.ask().status == 200
            time.sleep(1.0)
            assert sum(cost.cpu_times()[:2]) - before < (time.monotonic() - began) / 2
        with Client(port) as new:
            assert new.ask().body == BODY


def answers(client: Client) -> Iterator[Answer]:
    yield client.ask()
    yield client.ask(ECHO % 1)
    yield client.ask(b"PUT / HTTP/1.1\r\nHost: a\r\n\r\n")


def test_every_answer_forbids_sniffing_scripts_and_framing(client: Client) -> None:
    for answer in answers(client):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


PIECES = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([GET, b"GET ", b"HEAD / HTTP/1.1\r\n", b"Host: a\r\n", b"\r\n", b"\n", b"\0", b": ", CHUNKED]),
)


@given(data=st.lists(PIECES, max_size=20).map(b"".join))
@settings(max_examples=150, deadline=None)
def test_no_bytes_whatever_end_the_server(port: int, data: bytes) -> None:
    with Client(port) as one, contextlib.suppress(OSError):
        one.socket.sendall(data)
        one.socket.shutdown(socket.SHUT_WR)
        one.rest()
    with Client(port) as good:
        assert good.ask(ECHO % 7).body == b"/7"
