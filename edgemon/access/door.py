"""The door of the HTTP server: whether a client may connect, and whether a request is answered.

It follows its file: whoever connects has it looked at, once a second at most, and a thread reads it again when it or a
file that it names has changed. A bad one is refused whole; what was good before goes on.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from edgemon import serving
from edgemon.access import web
from edgemon.access.bucket import Buckets, loopback, neighbourhood
from edgemon.access.password import Passwords, credentials
from edgemon.access.stream import Stream
from edgemon.errors import ConfigError
from edgemon.metric import Reading
from edgemon.wire import Request, Response

if TYPE_CHECKING:
    import ssl

log = logging.getLogger("edgemon.http")

LOOK = 1.0
"""Seconds between two looks at the file for those who connect,"""
WATCH = 5.0
"""and where nobody does."""
REQUESTS = (0.05, 400)
"""A neighbour on the network may ask 20 times a second, and 400 times at once: seconds a token, and tokens."""
FAILURES = (10.0, 10)
"""A client may give a wrong password every 10 s, and 10 at once."""
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}
"""The headers of every answer, unless the file has others."""
ALL = "all"
LATER = Response(0, b"")
"""The answer is not known yet, and will be told."""
Tell = Callable[[Response | None], None]
Mark = tuple[int, int, int, int]


def refusal(status: int, text: bytes, *headers: tuple[bytes, bytes]) -> Response:
    """An answer that refuses."""
    return Response(status, text + b"\n", headers=headers)


UNAUTHORIZED = refusal(
    401, b"a user and a password are needed", (b"WWW-Authenticate", b'Basic realm="edgemon", charset="UTF-8"')
)


class Door:
    """Decides who comes in, by the file in force; without a file everyone does."""

    def __init__(self, path: str = "", local: Callable[[str], bool] = loopback) -> None:
        self.refused: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.changed: Callable[[], None] = lambda: None
        """Called, by any thread, when there is other TLS than before."""
        self._local = local
        self._passwords = Passwords()
        self._requests, self._wrong = Buckets(*REQUESTS), Buckets(*FAILURES)
        self._lock = threading.Lock()
        self._accepted, self._read_at = True, 0.0
        self._path = self._host = ""
        self._marks: dict[str, Mark] = {}
        self._reading: threading.Thread | None = None
        self._look_at = 0.0
        self._force: tuple[web.Web, ssl.SSLContext | None] = web.Web(), None
        self._take(web.Web(), None)
        self.follow(path)

    def follow(self, path: str) -> None:
        """Read a file and take what it says; ConfigError leaves what was there before."""
        with self._lock:
            self._obey(self._read(path) if path else web.Said(web.Web(), (), (), ()))
            self._path = path

    def look(self) -> None:
        """Have the file read again by a thread if it has changed; takes no time."""
        now = time.monotonic()
        if not self._path or now < self._look_at or (self._reading and self._reading.is_alive()):
            return
        self._look_at = now + LOOK
        if any(_mark(path) != mark for path, mark in self._marks.items()):
            self._reading = threading.Thread(target=self._again, name="edgemon-web-config", daemon=True)
            self._reading.start()

    def stream(self, client: socket.socket, address: str) -> Stream | None:
        """The connection of a client, or None for one that has connected too often."""
        self.look()
        settings, context = self._force
        if context is None or settings.tls is None:
            return Stream(client)
        if not self._local(address) and self._requests.take(neighbourhood(address)):
            self.refused["rate"] += 1
            return None
        from edgemon.access.tls import Secure  # noqa: PLC0415 - OpenSSL, for those who have it configured

        return Secure(client, context, settings.tls, self.failures)

    def judge(self, request: Request, tell: Tell) -> Response | None:
        """None lets a request in; else the answer that refuses it. LATER will be told, by another thread."""
        settings, _ = self._force
        name = neighbourhood(request.address)
        if settings.interval and (wait := self._all.take(ALL)):
            return self._late("rate", wait)
        if not self._local(request.address) and (wait := self._requests.take(name)):
            return self._late("rate", wait)
        return self._password(request, name, tell) if settings.users else None

    def known(self, stream: Stream) -> bool:
        """Whether a client that was let in is somebody, not anybody."""
        return bool(self._force[0].users) or stream.trusted()

    def listening(self, host: str, port: int) -> str:
        """The URL of the server; what is unwise about listening there is warned of, now and with each other file."""
        self._host = host
        self._warn()
        scheme = "https" if self._force[1] else "http"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def readings(self) -> Iterator[Reading]:
        """How the door does."""
        for reason, count in list(self.refused.items()):
            yield serving.HTTP_REFUSED(count, reason)
        for reason, count in list(self.failures.items()):
            yield serving.TLS_FAILURES(count, reason)
        if self._path:
            yield serving.WEB_SUCCESS(float(self._accepted))
            yield serving.WEB_TIMESTAMP(self._read_at)
        if tls := self._force[0].tls:
            yield serving.TLS_EXPIRY(tls.expires)

    def _warn(self) -> None:
        for warning in self._force[0].unwise(self._host):
            log.warning("listening on %s: %s", self._host, warning)

    def _password(self, request: Request, name: str, tell: Tell) -> Response | None:
        given = credentials(request.headers.get("authorization", ""))
        if given is None:
            return UNAUTHORIZED
        if self._passwords.known(*given):
            return None
        if wait := self._wrong.take(name):
            return self._late("guesses", wait)
        if not self._passwords.ask(*given, lambda right: tell(self._checked(name, right))):
            self._wrong.give(name)
            return self._late("busy", 1.0)
        return LATER

    def _checked(self, name: str, right: bool) -> Response | None:
        """What comes of a password, once it is known whether it is right; only a wrong one counts."""
        if right:
            self._wrong.give(name)
            return None
        self.refused["password"] += 1
        return UNAUTHORIZED

    def _late(self, reason: str, wait: float) -> Response:
        self.refused[reason] += 1
        return refusal(429, b"too many requests; come later", (b"Retry-After", b"%d" % (wait + 0.999)))

    def _again(self) -> None:
        """Read the file in force once more."""
        with self._lock:
            try:
                self._obey(self._read(self._path))
                log.info("%s: read again, and in force", self._path)
            except ConfigError as error:
                self._accepted = False
                for problem in [*error.problems, f"{self._path}: not in force; what was there before goes on"]:
                    log.error("%s", problem)

    def _read(self, path: str) -> web.Said:
        """Let a child read it; files are remembered as they were before that, so that no later change is missed."""
        before = {one: _mark(one) for one in (path, *self._marks)}
        said = web.apart(path)
        if path == self._path or said.web is not None:
            self._marks = {one: before.get(one) or _mark(one) for one in said.files}
        return said

    def _obey(self, said: web.Said) -> None:
        """Take what a file says, whole or, with ConfigError, not at all."""
        if said.web is None:
            raise ConfigError(said.problems)
        context = None
        if said.web.tls:
            from edgemon.access import tls  # noqa: PLC0415 - OpenSSL, for those who have it configured

            try:
                context = tls.context(said.web.tls)
            except ValueError as error:  # the child's OpenSSL took it
                raise ConfigError([f"tls_server_config.{error}"]) from None
        for warning in said.warnings:
            log.warning("%s", warning)
        self._take(said.web, context)
        self._warn()
        self._accepted, self._read_at = True, time.time()

    def _take(self, settings: web.Web, context: ssl.SSLContext | None) -> None:
        before = self._force[0]
        self._passwords.follow(settings.users)
        self.headers = [(name.encode(), value.encode()) for name, value in {**SAFE, **settings.headers}.items()]
        self._all = Buckets(settings.interval or 1.0, settings.burst or 1)
        self._force = settings, context
        if settings.tls != before.tls:  # passwords are asked for with each request, certificates once
            self.changed()


def _mark(path: str) -> Mark:
    """How a file looks from outside: which inode, how large, when written, when renamed."""
    try:
        it = os.stat(path)
    except OSError:
        return 0, 0, 0, 0
    return it.st_ino, it.st_size, it.st_mtime_ns, it.st_ctime_ns
