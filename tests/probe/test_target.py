"""Where endpoint probes may connect to: URLs, address ranges, and what names resolve to."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemon.probe.target import METADATA, network, parse, refused, resolve


def test_a_url_is_taken_apart() -> None:
    target = parse("https://[::1]/a/b?c=d")
    assert (target.scheme, target.host, target.port, target.path) == ("https", "::1", 443, "/a/b?c=d")
    assert (target.authority, target.shown) == ("[::1]", "https://[::1]/a/b")
    assert parse("http://node-1.local:8000").authority == "node-1.local:8000"


@given(st.text(max_size=40) | st.text(max_size=30).map("http://{}".format))
def test_any_text_is_a_target_with_a_sound_host_or_a_value_error(text: str) -> None:
    try:
        target = parse(text)
    except ValueError:
        return
    assert target.host
    assert not set(target.host) & set(" /@?#%\r\n")
    assert 0 < target.port < 65536
    assert target.path.startswith("/")


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.8.8.8", "::1", "10.1.2.3", "172.17.0.2", "192.168.1.9", "fd12::1"]
)
def test_loopback_and_private_addresses_are_a_devices_own(address: str) -> None:
    assert not refused(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["203.0.113.9", "8.8.8.8", "100.64.0.1", "172.32.0.1", "2001:db8::1", "2600::1"])
def test_other_addresses_need_their_network_to_be_allowed(address: str) -> None:
    assert "name its network in allow" in refused(ipaddress.ip_address(address))
    assert not refused(ipaddress.ip_address(address), [network(address)])


ALL = [network("0.0.0.0/0"), network("::/0")]
NEVER = [
    *map(str, METADATA),
    "169.254.0.1", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255",
    "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1",
    "::a9fe:a9fe", "2001:0:a9fe:a9fe::", "2001:0:0:0:0:0:5601:5601",
]  # fmt: skip


@pytest.mark.parametrize("address", NEVER)
def test_metadata_services_link_local_and_group_addresses_are_never_reached_in_any_notation(address: str) -> None:
    assert refused(ipaddress.ip_address(address), ALL)


@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_address_within_ipv6_is_judged_as_that_address(number: int) -> None:
    plain = ipaddress.IPv4Address(number)
    for form in (f"::ffff:{plain}", f"64:ff9b::{plain}"):
        assert bool(refused(plain)) is bool(refused(ipaddress.ip_address(form)))


def test_a_name_is_resolved_to_what_may_be_connected_to() -> None:
    found = resolve(parse("http://localhost:8000/"), [])
    assert found
    assert all(ipaddress.ip_address(where[0]).is_loopback and where[1] == 8000 for _, where in found)


def test_a_name_with_good_and_forbidden_addresses_gives_the_good_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = ["fe80::1", "169.254.169.254", "127.0.0.1", "8.8.8.8"]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 80)) for one in answers]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert resolve(parse("http://mixed/"), []) == [(socket.AF_INET, ("127.0.0.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found[:2])
    with pytest.raises(ConnectionError, match=r"refused to connect to mixed: fe80::1 is link-local .*; 169\.254"):
        resolve(parse("http://mixed/"), ["0.0.0.0/0"])
