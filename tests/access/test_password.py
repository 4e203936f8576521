"""Passwords: right ones come in, wrong ones do not, and checking them costs nobody else anything."""

from __future__ import annotations

import base64
import statistics
import threading
import time
from contextlib import ExitStack

import bcrypt
import pytest

from edgemon.access import password
from edgemon.access.bucket import Buckets
from edgemon.access.password import Passwords, credentials
from tests.access import PASSWORD, USER, Keys, asking, basic, guarded, hashed, wait
from tests.sinks import ECHO, Client

SLOW = 10
"""A cost that takes a good while on every machine."""


@pytest.fixture
def users(keys: Keys) -> str:
    return keys.write(basic_auth_users={USER: hashed(), "bob": hashed("b")})


def test_a_right_password_comes_in_and_is_not_hashed_again(users: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hashings, real = [], bcrypt.checkpw

    def counted(given: bytes, hashed: bytes) -> bool:
        hashings.append(hashed)
        return real(given, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    with guarded(users) as (server, port, _):
        for _ in range(3):
            with Client(port) as one:
                assert [one.ask(asking()).body for _ in range(3)] == [b"/7"] * 3
        with Client(port) as one:
            assert one.ask(asking("bob", "b")).status == 200
        assert len(hashings) == 2
        assert server.codes == {200: 10}


@pytest.mark.parametrize("user", [USER, "nobody", "", "aliceb", "Alice", "ä" * 500])
@pytest.mark.parametrize("secret", ["wrong", "", PASSWORD + "x", PASSWORD[:-1], "\0", "x" * 5000])
def test_everything_else_is_401_and_the_connection_stays(keys: Keys, user: str, secret: str) -> None:
    with guarded(keys.write(basic_auth_users={USER: hashed()})) as (_, port, door), Client(port) as one:
        answer = one.ask(asking(user, secret))
        assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Basic realm="edgemon", charset="UTF-8"')
        assert one.ask(asking()).status == 200
        assert door.refused == {"password": 1}


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ",
        "Basic ????",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Bearer " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
        basic() + ", " + basic(),
        basic()[:-3],
        "Digest username=alice",
    ],
)
def test_what_is_no_password_is_401_at_once(users: str, header: str) -> None:
    with guarded(users) as (_, port, door), Client(port) as one:
        request = f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {header}\r\n\r\n"
        assert one.ask(request.encode()).status == 401
        assert not door.refused


def test_every_path_and_head_need_the_password_and_what_is_refused_anyway_is_refused_anyway(users: str) -> None:
    with guarded(users) as (_, port, _):
        for path in (b"/", b"/metrics", b"/error", b"/nowhere", b"http://a/metrics"):
            with Client(port) as one:
                assert one.ask(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path).status == 401
                assert one.ask(b"HEAD %s HTTP/1.1\r\nHost: a\r\n\r\n" % path, head=True).status == 401
        with Client(port) as one:
            assert one.ask(asking().replace(b"GET", b"POST")).status == 405


def test_scheme_and_encoding_are_read_as_clients_write_them() -> None:
    assert credentials(basic("ü:", "p")) == ("ü", ":p")
    assert credentials("bAsIc " + basic()[6:]) == (USER, PASSWORD)
    raw = base64.b64encode(b"a:\xff\xfe").decode()
    assert credentials(f"Basic {raw}") == ("a", "\udcff\udcfe")


def test_a_password_counts_to_its_72nd_byte_as_bcrypt_has_it(keys: Keys) -> None:
    """What another program has hashed is let in, whatever its length."""
    long = "x" * 80
    users = {USER: bcrypt.hashpw(long.encode()[:72], bcrypt.gensalt(4)).decode()}
    with guarded(keys.write(basic_auth_users=users)) as (_, port, _), Client(port) as one:
        assert one.ask(asking(USER, long)).status == 200


def test_hashes_of_other_tools_are_those_of_bcrypt(keys: Keys) -> None:
    """htpasswd writes $2y$, OpenBSD and Python $2b$, old ones $2a$."""
    for kind in ("2a", "2b", "2y"):
        users = {USER: f"${kind}${hashed()[4:]}"}
        with guarded(keys.write(f"{kind}.yml", basic_auth_users=users)) as (_, port, _), Client(port) as one:
            assert one.ask(asking()).status == 200


def test_no_more_guesses_are_checked_than_an_address_has_however_many_come_at_once(
    users: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()
    monkeypatch.setattr(Passwords, "_check", lambda *_: not held.wait(60))
    with guarded(users) as (_, port, door), ExitStack() as stack:
        door._wrong._clock = lambda: 7.0
        clients = [stack.enter_context(Client(port)) for _ in range(14)]
        for number, one in enumerate(clients):
            one.socket.sendall(asking(USER, f"guess {number}"))
        wait(lambda: door.refused["guesses"] == 4)
        held.set()
        assert sorted(one.read().status for one in clients) == [401] * 10 + [429] * 4


def test_others_are_served_while_passwords_are_checked(keys: Keys) -> None:
    """Somebody who was right before waits for nobody's guesses, from the same address even."""
    users = {USER: hashed(), "guessed": hashed("g", SLOW)}
    with guarded(keys.write(basic_auth_users=users)) as (_, port, _), ExitStack() as stack:
        one = stack.enter_context(Client(port))
        assert one.ask(asking()).status == 200
        began = time.monotonic()
        bcrypt.checkpw(b"x", users["guessed"].encode())
        once = time.monotonic() - began
        guessing = [stack.enter_context(Client(port)) for _ in range(3)]
        for other in guessing:
            other.socket.sendall(asking("guessed", "wrong"))
        took = []
        while not all(_answered(other) for other in guessing):
            began = time.monotonic()
            assert one.ask(asking()).status == 200
            took.append(time.monotonic() - began)
        assert len(took) > 3
        assert statistics.median(took) < once / 2
        assert {other.read().status for other in guessing} == {401}


def _answered(client: Client) -> bool:
    client.socket.setblocking(False)
    try:
        return bool(client.socket.recv(1, 2))
    except BlockingIOError:
        return False
    finally:
        client.socket.settimeout(60)


def test_a_user_that_is_not_there_takes_as_long_as_the_dearest_that_is(keys: Keys) -> None:
    """Each is asked in turn, several times; the medians tell no user from nobody."""
    knows = Passwords()
    knows.follow({USER: hashed(PASSWORD, 8), "cheap": hashed("c")})
    times: dict[str, list[float]] = {USER: [], "nobody": []}
    for _ in range(7):
        for user, took in times.items():
            began = time.thread_time()
            assert not knows._check(user, "wrong")
            took.append(time.thread_time() - began)
    one, other = (statistics.median(took) for took in times.values())
    assert 0.5 < one / other < 2.0


def test_nobodys_hash_is_one_that_bcrypt_takes() -> None:
    assert not bcrypt.checkpw(b"x", password.NOBODY.format(cost="04").encode())


def test_guesses_are_slowed_down_and_the_right_password_of_before_is_not(users: str) -> None:
    with guarded(users) as (_, port, door), Client(port) as one:
        door._wrong._clock = lambda: 7.0
        assert one.ask(asking()).status == 200
        said = [one.ask(asking(USER, f"guess {number}")) for number in range(14)]
        assert [answer.status for answer in said] == [401] * 10 + [429] * 4
        assert said[-1].headers["retry-after"] == "10"
        assert one.ask(asking()).status == 200
        assert one.ask(asking("bob", "b")).status == 429
        assert door.refused == {"password": 10, "guesses": 5}


def test_more_than_can_wait_are_sent_away(users: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    monkeypatch.setattr(Passwords, "_check", lambda *_: not held.wait(60))
    with guarded(users) as (_, port, door), ExitStack() as stack:
        door._wrong = Buckets(1e9, 100)
        clients = [stack.enter_context(Client(port)) for _ in range(password.WAITING + 8)]
        for number, one in enumerate(clients):
            one.socket.sendall(asking(USER, f"guess {number}"))
        wait(lambda: door.refused["busy"] >= 7)
        held.set()
        assert {one.read().status for one in clients} == {401, 429}


def test_who_leaves_before_the_password_is_checked_leaves_nothing_behind(keys: Keys) -> None:
    with guarded(keys.write(basic_auth_users={USER: hashed(PASSWORD, 8)})) as (server, port, door):
        for number in range(3):
            with Client(port) as one:
                one.socket.sendall(asking(USER, f"guess {number}"))
        with Client(port) as one:
            assert one.ask(asking()).status == 200
        assert door.refused["password"] == 3
        wait(lambda: not server.connections)


def test_pipelined_requests_behind_one_that_waits_are_answered_in_order(users: str) -> None:
    with guarded(users) as (_, port, _), Client(port) as one:
        one.socket.sendall(asking(path="/1") + ECHO % 2 + asking("bob", "b", "/3") + asking(path="/4"))
        said = [one.read() for _ in range(4)]
        assert [answer.status for answer in said] == [200, 401, 200, 200]
        assert [said[number].body for number in (0, 2, 3)] == [b"/1", b"/3", b"/4"]


def test_a_changed_password_is_in_force_without_a_restart_and_the_old_one_is_not(keys: Keys, users: str) -> None:
    with guarded(users) as (_, port, _), Client(port) as one:
        assert one.ask(asking()).status == 200
        keys.write(basic_auth_users={USER: hashed("new")})

        def status(secret: str) -> int:
            with Client(port) as other:
                return other.ask(asking(USER, secret)).status

        wait(lambda: status(PASSWORD) == 401)
        assert status("new") == 200
        assert one.ask(asking()).status == 401


def test_what_was_right_is_known_by_a_digest_that_no_other_user_hash_or_password_has() -> None:
    """CVE-2022-46146 was a key of which two requests could have the same."""
    knows = Passwords()
    knows.follow({"a": hashed("bc"), "ab": hashed("c")})
    assert knows._check("a", "bc")
    assert knows.known("a", "bc")
    assert not knows.known("ab", "c")
    assert not knows.known("a", "bcd")
    assert PASSWORD not in repr(knows._right)
    knows.follow({"a": hashed("bc"), "ab": hashed("c")})
    assert not knows.known("a", "bc")


def test_a_client_certificate_does_not_spare_the_password(keys: Keys) -> None:
    path = keys.write(tls_server_config=keys.mutual(), basic_auth_users={USER: hashed()})
    with guarded(path) as (_, port, _), keys.connect(port, "client") as one:
        assert one.ask().status == 401
        assert one.ask(asking()).status == 200
