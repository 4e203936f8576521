"""Sockets that keep a deadline, count bytes and verify who answers (stdlib only, Python >= 3.8)."""

import io
import socket
import ssl
import time
from typing import Any, Dict, List, Tuple

clock = time.perf_counter


class Wire(io.RawIOBase):
    """What a socket receives, until a moment and up to so many bytes."""

    def __init__(self, sock: socket.socket, until: float, most: int) -> None:
        self._socket, self._until, self._left = sock, until, most
        self.count, self.first = 0, 0.0

    def makefile(self, _: str) -> io.BufferedReader:
        """The stream http.client reads, in a socket's place."""
        return io.BufferedReader(self, 65536)

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Some bytes, 0 at the end; socket.timeout after the moment, TooLongError beyond the bytes."""
        if self._left <= 0:
            raise TooLongError
        self._socket.settimeout(left(self._until))
        count = self._socket.recv_into(memoryview(buffer)[: self._left])
        self.first = self.first or clock()
        self.count, self._left = self.count + count, self._left - count
        return count


class TooLongError(Exception):
    """More bytes than are accepted."""


def context(tls: Dict[str, str]) -> ssl.SSLContext:
    """Verification is on and stays on; ca, certificate and key are paths. ValueError names the file that is bad.

    Without a ca the system's authorities are trusted, or those in a `directory` of hashed names, read as needed.
    """
    try:
        made = ssl.create_default_context(cafile=tls["ca"] or None, capath=tls.get("directory") or None)
    except (OSError, ssl.SSLError) as error:
        raise ValueError("tls.ca: %s holds no certificates that can be read: %s" % (tls["ca"], short(error))) from None
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls["certificate"]:
        try:
            made.load_cert_chain(tls["certificate"], tls["key"] or None, password=lambda: b"")  # never ask a terminal
        except (OSError, ssl.SSLError) as error:
            files = tls["certificate"] + (" with %s" % tls["key"] if tls["key"] else "")
            raise ValueError("tls.certificate: %s cannot be used: %s" % (files, short(error))) from None
    return made


def reach(found: List[Tuple[Any, Any]], until: float) -> socket.socket:
    """A connection to the first of the addresses that takes one; those that are left share the time that is left."""
    errors: List[str] = []
    late = 0
    for index, (family, where) in enumerate(found):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(left(until) / (len(found) - index))
            sock.connect(where)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except OSError as error:
            sock.close()
            slow = isinstance(error, socket.timeout)
            late += slow
            text = "takes no connection" if slow else (error.strerror or str(error)).lower()
            errors.append("%s port %d: %s" % (where[0], where[1], text))
    if late == len(errors):
        raise socket.timeout("; ".join(errors))
    raise ConnectionError("cannot connect to %s" % "; ".join(errors))


def left(until: float) -> float:
    """Seconds until then; socket.timeout when there are none."""
    rest = until - clock()
    if rest <= 0:
        raise socket.timeout("the time was up")
    return rest


def send(sock: socket.socket, data: bytes, until: float) -> None:
    """Send all of it until a moment."""
    view = memoryview(data)
    while view:
        sock.settimeout(left(until))
        view = view[sock.send(view) :]


def short(error: Exception) -> str:
    """What an error of a socket or of TLS says, in few words."""
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return str(reason).replace("_", " ").lower()
