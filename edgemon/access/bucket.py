"""Token buckets: how often somebody may do something."""

from __future__ import annotations

import socket
import time
from collections import OrderedDict
from collections.abc import Callable

MOST = 1024
"""Names that are remembered; of more, the one quiet for longest is forgotten, whose bucket is the fullest."""


class Buckets:
    """A bucket for each name. One that is never used is full; `interval` is the seconds in which it gains a token."""

    def __init__(self, interval: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval, self._burst, self._clock = interval, burst, clock
        self._kept: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, name: str) -> float:
        """Seconds until there is a token; 0 when there is one."""
        return max(0.0, (1.0 - self._tokens(name)) * self._interval)

    def take(self, name: str) -> float:
        """Take a token and give 0, or the seconds until there is one."""
        if wait := self.wait(name):
            return wait
        self._kept[name] = self._tokens(name) - 1.0, self._clock()
        self._kept.move_to_end(name)
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return 0.0

    def _tokens(self, name: str) -> float:
        tokens, at = self._kept.get(name, (float(self._burst), 0.0))
        gained = (self._clock() - at) / self._interval if name in self._kept else 0.0
        return min(float(self._burst), tokens + gained)


def neighbourhood(address: str) -> str:
    """Who counts as one: an IPv4 address, or an IPv6 network of /64, all of which belongs to one client."""
    if ":" not in address:
        return address
    packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    if packed.startswith(b"\0" * 10 + b"\xff\xff"):
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return packed[:8].hex(":", 2)


def loopback(address: str) -> bool:
    """Whether an address is of this machine; that of a local socket is empty."""
    return address in {"", "::1", "localhost"} or neighbourhood(address).startswith("127.")
