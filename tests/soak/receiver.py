"""An OTLP receiver that remembers every point it took, and can be as bad as told."""

from __future__ import annotations

import gzip
import hashlib
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from edgemon.sinks.otlp.client import RESPONSES
from edgemon.sinks.otlp.stamp import REQUESTS
from tests.servers import Asked, Reply, answer, serving

MODES = ("ok", "away", "slow", "unavailable", "busy", "reset", "hang", "partial", "refuse", "lost", "torn")
PARTS = {
    "metrics": ("resource_metrics", "scope_metrics", "metrics"),
    "traces": ("resource_spans", "scope_spans", "spans"),
    "logs": ("resource_logs", "scope_logs", "log_records"),
}
FUTURE = 300.0
"""Seconds of a stamp ahead of the receiver's clock that are too much, as in `edgemon.clock`."""


@dataclass
class Life:
    """What one run of the daemon has sent: points by signal, and the fate of each body."""

    taken: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    fates: dict[bytes, str] = field(default_factory=dict)
    doubtful: dict[bytes, tuple[str, int]] = field(default_factory=dict)

    def unsure(self, signal: str) -> int:
        """Points that were taken and whose answer was lost, and that did not come again."""
        return sum(count for one, count in self.doubtful.values() if one == signal)


class Receiver:
    """Listens from `start` to `stop`; `mode` is one of MODES. What must not be is in `wrong`."""

    def __init__(self, timeout: float) -> None:
        self.lives = [Life()]
        self.points: dict[int, int] = {}
        self.resent = self.again = 0
        self.wrong: list[str] = []
        self.alerts = 0
        self.port = 0
        self._timeout, self._began = timeout, time.time()
        self._mode, self._changed = "ok", threading.Condition()
        self._lock = threading.Lock()
        self._serving = ExitStack()

    @property
    def life(self) -> Life:
        """That of the daemon that runs now."""
        return self.lives[-1]

    def start(self) -> None:
        """Listen, where it has listened before."""
        self._server = self._serving.enter_context(serving({"": self._act, "/alerts": self._told}, port=self.port))
        self.port = self._server.port

    def stop(self) -> None:
        """Listen no more."""
        self._serving.close()

    def turn(self, mode: str) -> None:
        """Behave so from now on; whoever hangs is let go."""
        if mode == "away":
            self.stop()
        elif self._mode == "away":
            self.start()
        with self._changed:
            self._mode = mode
            self._changed.notify_all()

    def _told(self, asked: Asked) -> Reply:
        self.alerts += 1
        return answer(200)

    def _act(self, asked: Asked) -> Reply:
        life, mode, began = self.lives[int(asked.headers["x-life"])], self._mode, time.monotonic()
        self._server.asked.clear()
        if mode == "hang":
            with self._changed:
                self._changed.wait_for(lambda: self._mode != "hang", 2 * self._timeout)
        if mode in {"hang", "reset", "away"}:
            raise ConnectionResetError
        if mode in {"unavailable", "busy"}:
            return said(503) if mode == "unavailable" else said(429, b"", "Retry-After: 1")
        if mode == "slow":
            time.sleep(self._timeout / 10)
        with self._lock:
            reply = self._take(life, mode, asked, time.monotonic() - began < self._timeout / 2)
        if mode == "lost":
            raise ConnectionResetError
        return iter([reply[:30]]) if mode == "torn" else reply

    def _take(self, life: Life, mode: str, asked: Asked, soon: bool) -> bytes:
        """Take a request, or some of it; an answer that does not come `soon` may have come too late."""
        signal, body = asked.path.rsplit("/", 1)[-1], unpacked(asked)
        found, digest = list(points(signal, body)), hashlib.blake2b(body, digest_size=12).digest()
        fate = life.fates.get(digest)
        if not found:
            return said(200)
        if fate == "answered":
            self.wrong.append(f"{len(found)} {signal} came again although they had been taken, in {mode}")
        if mode == "refuse" and fate is None:
            life.refused[signal] += len(found)
            return said(400, b"no")
        left = 1 + len(found) // 2 if mode == "partial" and fate is None else len(found)
        self._keep(found[:left], fate is not None or any(digest in one.fates for one in self.lives))
        life.doubtful.pop(digest, None)
        if soon and mode not in {"lost", "torn"}:
            life.fates[digest] = "answered"
        else:
            life.fates[digest], life.doubtful[digest] = "unknown", (signal, left)
        if fate is None:
            life.taken[signal] += left
            life.rejected[signal] += len(found) - left
        else:
            self.again += len(found)
        return said(200, partial(signal, len(found) - left))

    def _keep(self, found: list[tuple[int, int, float]], before: bool) -> None:
        """Remember points; one at a time that is there already is a duplicate, unless its request is `before`."""
        for key, value, at in found:
            if not self._began - 60 <= at <= time.time() + FUTURE:
                self.wrong.append(f"a point is stamped {at:.3f}, and it is {time.time():.3f}")
            if key not in self.points:
                self.points[key] = value
                continue
            known = self.points[key]
            self.resent += 1
            if known != value or not before:
                self.wrong.append("a point came twice, " + ("in two requests" if known == value else "another value"))


def unpacked(asked: Asked) -> bytes:
    """The request; one that was cut off is none."""
    try:
        return gzip.decompress(asked.body) if asked.headers.get("content-encoding") == "gzip" else asked.body
    except (EOFError, zlib.error) as error:
        raise ConnectionResetError from error


def said(status: int, body: bytes = b"", *headers: str) -> bytes:
    """An answer with the right time."""
    return answer(status, body, f"Date: {formatdate(usegmt=True)}", "Content-Type: application/x-protobuf", *headers)


def partial(signal: str, rejected: int) -> bytes:
    """The message that so many points were not taken."""
    kind, name = RESPONSES[signal]
    message = kind()
    if rejected:
        setattr(message.partial_success, name, rejected)
        message.partial_success.error_message = "some are not wanted"
    done: bytes = message.SerializeToString()
    return done


def points(signal: str, body: bytes) -> Iterator[tuple[int, int, float]]:
    """What identifies each point, its content, and its time, Unix seconds."""
    request = REQUESTS[signal].FromString(body)
    for name, point in _each(signal, request):
        at = point.end_time_unix_nano if signal == "traces" else point.time_unix_nano
        labels = tuple(sorted((one.key, one.value.SerializeToString(deterministic=True)) for one in point.attributes))
        mark = point.span_id if signal == "traces" else (labels, at)
        yield hash((signal, name, mark)), hash(point.SerializeToString(deterministic=True)), at / 1e9


def _each(signal: str, request: Any) -> Iterator[tuple[str, Any]]:
    """Name and message of each point, span or record."""
    resources, scopes, items = PARTS[signal]
    for resource in getattr(request, resources):
        for scope in getattr(resource, scopes):
            for item in getattr(scope, items):
                if signal == "metrics":
                    yield from ((item.name, point) for point in getattr(item, item.WhichOneof("data")).data_points)
                else:
                    yield item.name if signal == "traces" else "", item
