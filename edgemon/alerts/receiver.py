"""What every receiver has in common: a name, and an answer to what it was given; HTTP answers sorted by what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from edgemon.alerts.flip import Flip
from edgemon.alerts.post import Exchange, exchange
from edgemon.alerts.secret import printable
from edgemon.endpoint import place
from edgemon.errors import SetupError
from edgemon.web import BUSY, Reply, reason, wait


class Delivery(str, Enum):
    """How an attempt ended."""

    SENT = "sent"
    UNREACHABLE = "unreachable"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said: the outcome, why, and the seconds it asks to be left alone."""

    outcome: Delivery
    detail: str = ""
    wait: float = 0.0


class Receiver(Protocol):
    """Someone who is told. `resend` > 0: is told again of what fires so often, in seconds; `batch`: flips at a time."""

    name: str
    batch: int
    resend: float

    def deliver(self, flips: Sequence[Flip]) -> Answer:
        """Tell; never raises for what the receiver does."""

    def check(self) -> Answer:
        """Whether it would answer, without telling it anything."""


@dataclass(frozen=True, slots=True)
class Link:
    """The way to a web server: where, with which token, within how long."""

    url: str
    token: str = ""
    seconds: float = 10.0
    ca: str = ""

    def ask(self, method: str, path: str = "", body: Any = "", headers: Mapping[str, str] | None = None) -> Answer:
        """One exchange, and what it means; a body that is no string is sent as JSON."""
        text, more, token = body if isinstance(body, str) else json.dumps(body), dict(headers or {}), b""
        try:
            if self.token:
                token = printable(self.token)
                more["Authorization"] = f"Bearer {token.decode('latin-1')}"
            if text:
                more["Content-Type"] = "application/json"
            ask = Exchange(
                self.url.rstrip("/") + path if path else self.url, method, more, text, self.seconds, place(self.ca)
            )
            answer = sort(exchange(ask))
        except (SetupError, OSError) as error:
            return Answer(Delivery.UNREACHABLE, reason(error) if isinstance(error, OSError) else str(error))
        shown = token.decode("latin-1")
        return Answer(answer.outcome, answer.detail.replace(shown, "***"), answer.wait) if shown else answer


def sort(reply: Reply) -> Answer:
    """What an HTTP answer means: a redirect or a busy server is asked again, a request that is wrong is not."""
    if 200 <= reply.status < 300:
        return Answer(Delivery.SENT, reply.text)
    detail = f"status {reply.status}"
    if 300 <= reply.status < 400:
        where = reply.headers.get("location", "").partition("?")[0][:200]
        return Answer(Delivery.UNREACHABLE, f"{detail}: redirects to {where}, which is not followed; set url: to it")
    said = " ".join(reply.text.split())[:200]
    detail += f": {said}" if said.isprintable() and said else ""
    if reply.status in BUSY:
        return Answer(Delivery.UNREACHABLE, detail, wait(reply.headers))
    return Answer(Delivery.REFUSED if 400 <= reply.status < 500 else Delivery.FAILED, detail, wait(reply.headers))
