"""A client's connection as a stream of bytes that may not block: the bare socket here, TLS in `tls`."""

from __future__ import annotations

import selectors
import socket
from collections import deque

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
Parts = deque[bytes | memoryview]


class Stream:
    """A socket. Whatever would block raises BlockingIOError; `wants` is then the event to wait for."""

    __slots__ = ("local", "socket", "wants")

    def __init__(self, client: socket.socket) -> None:
        self.socket, self.wants = client, READ
        self.local = client.family == socket.AF_UNIX
        client.setblocking(False)

    def receive(self, size: int) -> bytes:
        """Up to so many bytes; none at the end of the stream."""
        self.wants = READ
        return self.socket.recv(size)

    def send(self, parts: Parts) -> int:
        """Send what can be sent of the parts; how many bytes that was."""
        self.wants = WRITE
        return self.socket.sendmsg(parts)

    def pending(self) -> bool:
        """Whether there is something to receive of which no selector knows."""
        return False

    def trusted(self) -> bool:
        """Whether the client is known by how it came: over a socket of this machine's file system."""
        return self.local

    def finish(self) -> None:
        """Say that nothing more will be sent; closing at once would reset the last of it away."""
        self.socket.shutdown(socket.SHUT_WR)
