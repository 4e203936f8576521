"""Passwords: HTTP's basic authentication against bcrypt hashes.

A hash takes a tenth of a second or more, so that one thread does them, one after the other, and no request waits but
the one that is asked about. What was right once is remembered as a keyed digest, until the hash changes. A user that is
not there costs what one does that is. After a wrong password the thread rests for three times as long as that took:
who guesses gets a quarter of one core, however many they are.
"""

from __future__ import annotations

import base64
import logging
import os
import queue
import threading
import time
from _operator import _compare_digest as same  # hmac would load OpenSSL
from collections.abc import Callable, Mapping

from edgemon.digest import signature

log = logging.getLogger("edgemon.http")

WAITING = 16
"""Passwords that may wait for their turn."""
REST = 3.0
NOBODY = "$2b${cost}$" + "edgemon.has.no.such.u" + "." + "edgemon.has.no.such.user.at.all"
"""The hash of nobody's password."""
Told = Callable[[bool], None]


class Passwords:
    """Knows the users, by their hashes, and who was right before."""

    def __init__(self) -> None:
        self._users: Mapping[str, str] = {}
        self._nobody = ""
        self._key, self._right = os.urandom(32), dict[str, bytes]()
        self._queue: queue.Queue[tuple[str, str, Told]] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None

    def follow(self, users: Mapping[str, str]) -> None:
        """Take other users."""
        cost = max((hashed[4:6] for hashed in users.values()), default="10")
        self._users, self._nobody, self._right = users, NOBODY.format(cost=cost), {}

    def known(self, user: str, password: str) -> bool:
        """Whether this password of this user was right before; takes no time."""
        mark = self._mark(user, password)
        return same(self._right.get(user, b""), mark) and user in self._users

    def ask(self, user: str, password: str, told: Told) -> bool:
        """Have the thread find out and tell; False when too many wait already."""
        try:
            self._queue.put_nowait((user, password, told))
        except queue.Full:
            return False
        if not self._thread:
            self._thread = threading.Thread(target=self._work, name="edgemon-passwords", daemon=True)
            self._thread.start()
        return True

    def _work(self) -> None:
        while True:
            user, password, told = self._queue.get()
            began = time.monotonic()
            right = self.known(user, password) or self._check(user, password)
            told(right)
            if not right:
                time.sleep(REST * (time.monotonic() - began))

    def _check(self, user: str, password: str) -> bool:
        import bcrypt  # noqa: PLC0415 - an extra, and only for those who have passwords

        users, right = self._users, self._right
        raw = password.encode("utf-8", "surrogateescape")[:72]  # bcrypt itself looks no further
        try:
            good: bool = bcrypt.checkpw(raw, users.get(user, self._nobody).encode()) and user in users
        except ValueError as error:  # the hash of a file that another bcrypt has checked
            log.error("a password cannot be checked: %s", error)
            return False
        if good:
            right[user] = self._mark(user, password, users[user])
        return good

    def _mark(self, user: str, password: str, hashed: str = "") -> bytes:
        parts = [
            part.encode("utf-8", "surrogateescape") for part in (user, hashed or self._users.get(user, ""), password)
        ]
        return signature(self._key, b"".join(len(part).to_bytes(4, "big") + part for part in parts))


def credentials(header: str) -> tuple[str, str] | None:
    """User and password of an Authorization header, None where there are none."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(rest.strip(), validate=True).decode("utf-8", "surrogateescape")
    except ValueError:  # not ASCII, or not base64
        return None
    user, colon, password = text.partition(":")
    return (user, password) if colon else None
