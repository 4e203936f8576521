"""How often somebody may ask: enough for every scraper, too little to keep the device busy."""

from __future__ import annotations

import pytest

from edgemon.access import bucket
from edgemon.access.bucket import Buckets, loopback, neighbourhood
from edgemon.access.door import REQUESTS, Door
from edgemon.access.web import Tls, Web
from tests.access import Keys, guarded, wait
from tests.sinks import ECHO, Client, serving


class Clock:
    """Time that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_a_burst_then_one_an_interval_and_never_more_than_the_burst() -> None:
    clock = Clock()
    one = Buckets(2.0, 3, clock)
    assert [one.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 2.0]
    clock.now += 1.0
    assert one.take("a") == 1.0
    assert one.take("b") == 0.0
    clock.now += 1.0
    assert [one.take("a"), one.take("a")] == [0.0, 2.0]
    one.give("a")
    assert [one.take("a"), one.take("a")] == [0.0, 2.0]
    clock.now += 1e6
    assert [one.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 2.0]


def test_no_number_of_addresses_costs_more_than_a_bounded_memory() -> None:
    one = Buckets(1.0, 1, Clock())
    for number in range(5 * bucket.MOST):
        one.take(str(number))
    assert len(one._kept) == bucket.MOST
    assert one.take(str(5 * bucket.MOST - 1)) == 1.0


@pytest.mark.parametrize(
    ("address", "name", "own"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.9.9.9", "127.9.9.9", True),
        ("::1", "0000:0000:0000:0000", True),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        ("", "", True),
        ("localhost", "localhost", True),
        ("0.0.0.0", "0.0.0.0", False),
        ("::", "0000:0000:0000:0000", False),
        ("::ffff:192.0.2.7", "192.0.2.7", False),
        ("192.0.2.7", "192.0.2.7", False),
        ("2001:db8:1:2:3:4:5:6", "2001:0db8:0001:0002", False),
        ("fe80::1%eth0", "fe80:0000:0000:0000", False),
    ],
)
def test_an_ipv6_network_counts_as_one_and_this_machine_is_known(address: str, name: str, own: bool) -> None:
    assert (neighbourhood(address), loopback(address)) == (name, own)


def test_who_asks_too_often_over_the_network_gets_429_and_when_to_come_again() -> None:
    with serving(door=Door(local=lambda _: False)) as (server, port), Client(port) as one:
        server._door._requests._clock = Clock()
        said = [one.ask(ECHO % 7) for _ in range(REQUESTS[1] + 3)]
        assert [answer.status for answer in said] == [200] * REQUESTS[1] + [429] * 3
        assert said[-1].headers["retry-after"] == "1"
        assert server._door.refused == {"rate": 3}


def test_this_machine_may_ask_as_often_as_it_can() -> None:
    with serving() as (_, port), Client(port) as one:
        assert {one.ask(ECHO % 7).status for _ in range(2 * REQUESTS[1])} == {200}


def test_handshakes_count_as_requests(keys: Keys) -> None:
    """They cost more than a scrape does."""
    with guarded(keys.write(tls_server_config=keys.tls()), local=lambda _: False) as (_, port, door):
        door._requests = Buckets(1e9, 3)
        for _ in range(3):
            Client(port).__exit__()
        with Client(port) as one:
            wait(one.closed)
        assert door.refused == {"rate": 1}


def test_the_limit_of_the_file_is_one_for_all_and_for_this_machine_too(keys: Keys) -> None:
    path = keys.write(rate_limit={"interval": "1h", "burst": 3})
    with guarded(path) as (_, port, _), Client(port) as one, Client(port) as other:
        assert [client.ask().status for client in (one, other, one, other)] == [200, 200, 200, 429]


TLS = Tls(certificate="", key="")


@pytest.mark.parametrize(
    ("web", "says"),
    [
        (Web(), "everyone who reaches this address can read"),
        (Web(tls=TLS), "everyone who reaches this address can read"),
        (Web(users={"a": "b"}), "unencrypted"),
        (Web(tls=TLS, users={"a": "b"}), ""),
        (Web(tls=Tls(certificate="", key="", verify="required")), ""),
        (Web(tls=Tls(certificate="", key="", verify="optional")), "everyone"),
    ],
)
def test_listening_to_the_network_is_warned_of_where_it_is_open(web: Web, says: str) -> None:
    assert [says in one for one in web.unwise("0.0.0.0")] == ([True] if says else [])
    assert not list(web.unwise("127.0.0.1"))


def test_an_open_door_is_warned_of_again_whenever_its_file_is_read(
    keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    door = Door(keys.write(tls_server_config=keys.mutual()))
    assert door.listening("0.0.0.0", 80) == "https://0.0.0.0:80"
    assert "everyone" not in caplog.text
    door.follow(keys.write(tls_server_config=keys.tls()))
    assert "listening on 0.0.0.0: everyone who reaches this address can read what it serves" in caplog.text
