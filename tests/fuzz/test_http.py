"""The network: bytes of strangers, plain and within TLS, with and without passwords; and every query of the API."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import ssl
from collections.abc import Iterator

import pytest

from edgemon.access.password import credentials
from edgemon.config import Config, Rules
from edgemon.ruling import Ruling
from edgemon.sinks.pages import ROUTES, Overview, Row, Site
from edgemon.sinks.prometheus import Exposition
from edgemon.store import Store
from edgemon.sysfs import Root
from edgemon.wire import Request
from tests.access import USER, Keys, asking, basic, guarded, hashed
from tests.fuzz import chances, spoiled
from tests.running import HERE
from tests.sinks import ECHO, Client

GOOD = [
    b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: text/plain;version=0.0.4\r\nAccept-Encoding: gzip, br;q=0\r\n\r\n",
    b"HEAD / HTTP/1.0\r\n\r\n",
    b"GET http://a:1/api/v1/rules?type=alert&rule_name[]=x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    asking() + ECHO % 7,
    asking("nobody", "nothing"),
]
SALT = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b": ", b"GET ", b"HTTP/1.1", b"HTTP/2.0", b"Host: a\r\n", b"/" * 3000,
    b"a" * 9000, b"\xff\xfe", b"%00%ff%", b"?", b"&" * 200, b"Content-Length: 1\r\n", b"Content-Length: -1\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n", b"PRI * HTTP/2.0\r\n\r\n",
    b"Authorization: Basic \r\n", b"authorization: basic OjpP\r\n", b"X: a\r\n b\r\n", b"\x16\x03\x01\x00\x05hello",
]  # fmt: skip
KNOWN = {200, 400, 401, 404, 405, 413, 429, 431, 501, 505}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("fuzz"))


@pytest.fixture(scope="module", params=["plain", "passwords", "tls"])
def place(request: pytest.FixtureRequest, keys: Keys) -> Iterator[tuple[str, int, ssl.SSLContext | None]]:
    """The kind of server, its port, and what a client of it needs."""
    settings = {"passwords": {"basic_auth_users": {USER: hashed()}}, "tls": {"tls_server_config": keys.tls()}}
    path = keys.write(f"{request.param}.yml", **settings.get(request.param, {}))
    with guarded(path) as (server, port, _):
        context = keys.client() if request.param == "tls" else None
        with Client(port, host="localhost", context=context) as one:
            assert one.ask(asking()).status == 200  # from then on no number of guesses keeps this password out
        yield request.param, port, context
        assert set(server.codes) <= KNOWN


def test_requests(place: tuple[str, int, ssl.SSLContext | None]) -> None:
    """Whatever is sent, the next client is answered, and no status is one of an accident."""
    kind, port, context = place
    for data in spoiled(f"requests, {kind}", 150, GOOD, SALT):
        with Client(port, host="localhost", context=context) as one, contextlib.suppress(OSError):
            one.socket.sendall(data)
            if context is None:
                one.socket.shutdown(socket.SHUT_WR)
            else:
                one.socket.settimeout(0.02)
            one.rest()
    with Client(port, host="localhost", context=context) as good:
        assert good.ask(asking()).status == 200


def test_handshakes(keys: Keys) -> None:
    """A real ClientHello, spoiled."""
    hello = _hello(keys)
    salt = [
        b"\x16\x03\x01",
        b"\x15\x03\x03\x00\x02\x01\x00",
        b"\xff" * 40,
        b"\0" * 40,
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16",
    ]
    with guarded(keys.write("hello.yml", tls_server_config=keys.mutual())) as (server, port, _):
        for data in spoiled("handshakes", 150, [hello], salt):
            with Client(port) as one, contextlib.suppress(OSError):
                one.socket.sendall(data)
                one.socket.shutdown(socket.SHUT_WR)
                one.rest()
        with keys.connect(port, "client") as good:
            assert good.ask(ECHO % 7).body == b"/7"
        assert set(server.codes) == {200}


def _hello(keys: Keys) -> bytes:
    """What a client says first."""
    there, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = keys.client().wrap_bio(there, out, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        one.do_handshake()
    return out.read()


def test_credentials() -> None:
    for data in spoiled("credentials", 500, [basic().encode()], [b"=", b" ", b"\xff", b"Basic ", b":", b"A" * 99]):
        found = credentials(data.decode("latin-1"))
        assert found is None or len(found) == 2


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The pages of a daemon with the shipped rules."""
    where = tmp_path_factory.mktemp("site")

    def announce(_: object) -> None:
        """Nobody is told."""

    store = Store()
    ruling = Ruling(store, Root(str(where)), str(where), announce)
    ruling.follow(Config(rules=Rules(files=(str(HERE / "alerts/edgemon.rules.yml"),))))
    view = Overview("a", "b", [Row("linux", "ok", "c")], [])
    said = lambda: b'{"status": "success", "data": {}}'  # noqa: E731
    yield Site(Exposition(lambda: store.snapshot), lambda: view, str, lambda: True, ruling.alerts, ruling.rules, said)
    ruling.stop(5.0)


def test_pages(site: Site) -> None:
    """Each path with any query and any headers: a status that is meant, and JSON where that is said."""
    for chance in chances("pages", 600):
        path = chance.choice([*ROUTES, "/nowhere", "", "//", "/metrics/", "\0"])
        headers = {name: _value(chance) for name in ("accept", "accept-encoding", "host") if chance.random() < 0.7}
        answer = site(Request(path, headers, _value(chance)))
        assert answer.status in {200, 400, 404}
        assert answer.kind.isascii()
        if answer.kind == "application/json":
            json.loads(answer.body)


PARTS = [
    "type=alert", "type=", "type=x", "rule_name[]=a", "rule_group[]=%ff%00", "file[]=%", "exclude_alerts=TRUE", "&",
    ";", "=", "%", "%zz", "+", "\xff", "text/plain", "application/openmetrics-text;version=1.0.0", ";q=0.5", ";q=x",
    ",", "*", "gzip", "gzip;q=0", "identity", ";escaping=allow-utf-8", ";version=0.0.4", '"', " ", "a" * 500, "\x00",
    "9" * 50,
]  # fmt: skip


def _value(chance: random.Random) -> str:
    return "".join(chance.choice(PARTS) for _ in range(chance.randint(0, 8)))
