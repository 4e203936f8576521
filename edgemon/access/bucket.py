"""Token buckets: how often somebody may do something."""

from __future__ import annotations

import socket
import threading
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
        self._lock = threading.Lock()

    def take(self, name: str) -> float:
        """Take a token and give 0, or the seconds until there is one."""
        with self._lock:
            tokens = self._tokens(name)
            if tokens < 1.0:
                return (1.0 - tokens) * self._interval
            self._keep(name, tokens - 1.0)
            return 0.0

    def give(self, name: str) -> None:
        """Give a token back."""
        with self._lock:
            self._keep(name, self._tokens(name) + 1.0)

    def _keep(self, name: str, tokens: float) -> None:
        self._kept[name] = tokens, self._clock()
        self._kept.move_to_end(name)
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)

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
