"""Where an endpoint probe may connect to: the URL, and the addresses its host resolves to (stdlib only, Python >= 3.8).

A name is resolved once; what was checked is what is connected to, so that an answer of the DNS that changes a moment
later reaches nothing. Loopback and private addresses are a device's own services; others are named in `allow`. The
addresses of metadata services and all that is link-local hold credentials and are never connected to. IPv6 forms that
carry an IPv4 address (RFC 4291, 6052, 3056, 4380) count as both.
"""

import ipaddress
import re
import socket
import urllib.parse
from typing import Any, List, NamedTuple, Sequence, Tuple, Union

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
METADATA = tuple(
    ipaddress.ip_address(one)
    for one in ("169.254.169.254", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
)
"""Amazon, Google, Microsoft, Oracle: by 169.254.169.254; Alibaba; Oracle's older one; Amazon and Google over IPv6."""
OWN = tuple(
    ipaddress.ip_network(one)
    for one in ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
NAT64 = tuple(ipaddress.ip_network(one) for one in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96"))
"""Their last four bytes are an IPv4 address: RFC 6052, RFC 8215, and RFC 4291 section 2.5.5.1."""
MODEL = re.compile(r"(?P<base>.*)/v2/models/(?P<name>[^/?]+)(/versions/(?P<version>[^/?]+))?")
LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
NUMERIC = re.compile(r"\d+|0[xX][0-9A-Fa-f]*")


class Target(NamedTuple):
    """A URL in parts: scheme, host without brackets, port, and path with query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The Host header: brackets around IPv6, no default port."""
        host = "[%s]" % self.host if ":" in self.host else self.host
        return host if self.port == PORTS.get(self.scheme) else "%s:%d" % (host, self.port)

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.scheme in ("https", "grpcs")

    def model(self) -> Tuple[str, str]:
        """Name and version of a served model, the latter often empty; ValueError for a path that has none."""
        found = MODEL.fullmatch(self.path)
        if not found:
            raise ValueError("%s does not end in /v2/models/NAME" % self.shown)
        return urllib.parse.unquote(found["name"]), urllib.parse.unquote(found["version"] or "")

    @property
    def shown(self) -> str:
        """The URL without its query, which may hold what others need not read."""
        return "%s://%s%s" % (self.scheme, self.authority, self.path.partition("?")[0])


PORTS = {"http": 80, "https": 443}
SCHEMES = (*PORTS, "grpc", "grpcs")
"""gRPC has no port of its own."""


def parse(url: str, schemes: Sequence[str] = tuple(PORTS)) -> Target:
    """The parts of a URL; ValueError says what is allowed."""
    if re.search(r"[^\x21-\x7e]", url):
        raise ValueError("must be a URL of printable ASCII; write a host as xn--…, and a space as %20")
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError("must be a URL such as http://127.0.0.1:8000/v2/models/detector or https://host/path")
    if "@" in parts.netloc:
        raise ValueError("must hold no user or password; put them into a header from a file")
    if parts.fragment:
        raise ValueError("must hold no #fragment; a server never sees it")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError("must have a port from 1 to 65535, or none")
    path = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    port = port or PORTS.get(parts.scheme)
    if not port:
        raise ValueError("must name a port, as in %s://%s:8001/v2/models/detector" % (parts.scheme, parts.hostname))
    return Target(parts.scheme, _host(parts.hostname), port, path)


def _host(host: str) -> str:
    """A name, or an address as everybody writes it: 2130706433 and 0x7f.1 are addresses to some resolvers only."""
    labels = host.rstrip(".").split(".")
    if ":" in host or NUMERIC.fullmatch(labels[-1]):
        try:
            return str(ipaddress.ip_address(host.partition("%")[0]))
        except ValueError:
            raise ValueError("must have a host name, or an address such as 127.0.0.1 or [::1]") from None
    if len(host) > 253 or not all(LABEL.fullmatch(label) for label in labels):
        raise ValueError("must have a host of letters, digits, hyphens and dots")
    return host


def network(text: str) -> Network:
    """A network; ValueError says what is allowed."""
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError("must be a network such as 203.0.113.0/24 or 2001:db8::7: %s" % error) from None


def resolve(target: Target, allow: Sequence[str]) -> List[Tuple[Any, ...]]:
    """(family, sockaddr) of every address that may be connected to, in the resolver's order.

    ConnectionError when there is none, with the reason each was refused.
    """
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConnectionError("cannot resolve %s: %s" % (target.host, _said(error))) from None
    networks = [network(one) for one in allow]
    reasons, good = [], []
    for family, _, _, _, where in found:
        reason = refused(ipaddress.ip_address(str(where[0]).partition("%")[0]), networks)
        if reason:
            reasons.append(reason)
        else:
            good.append((family, where))
    if not good:
        raise ConnectionError("refused to connect to %s: %s" % (target.host, "; ".join(reasons)))
    return good


def refused(address: Address, allow: Sequence[Network] = ()) -> str:
    """Why an address must not be connected to, or an empty string."""
    for one in [address, *carried(address)]:
        if one in METADATA or one.is_link_local:
            return "%s is link-local or a metadata service, which no probe may reach" % address
        if one.is_multicast or one.is_unspecified or str(one) == "255.255.255.255":
            return "%s is not the address of one host" % address
    inner = carried(address)
    if not any(one in network for one in [inner[0] if inner else address] for network in [*OWN, *allow]):
        return "%s is neither loopback nor private; name its network in allow:, as in [%s]" % (address, address)
    return ""


def carried(address: Address) -> List[Address]:
    """The IPv4 addresses an IPv6 address carries; ::1 carries none."""
    if not isinstance(address, ipaddress.IPv6Address) or int(address) <= 1:
        return []
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    if address.sixtofour:
        return [address.sixtofour]
    if address.teredo:
        return list(address.teredo)
    if any(address in network for network in NAT64):
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    return []


def _said(error: Exception) -> str:
    return str(getattr(error, "strerror", "") or error).lower()
