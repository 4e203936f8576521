"""A webhook in the format of Alertmanager's, one request a flip, signed as Standard Webhooks 1.0 says.

The signature is an HMAC-SHA256 over `id.timestamp.body`. The id is the same whenever the same flip is sent again: a
receiver that remembers ids takes each flip exactly once.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgemon.alerts.alertmanager import labelled, moment
from edgemon.alerts.flip import Flip, State, fingerprint
from edgemon.alerts.receiver import Answer, Delivery, Link
from edgemon.alerts.secret import secret
from edgemon.digest import signature
from edgemon.errors import SetupError

NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time: what Alertmanager writes for an end that is not there."""


class Webhook:
    """One address that is posted to."""

    batch, resend = 1, 0.0

    def __init__(
        self,
        name: str,
        link: Link,
        sign: str,
        extra: Mapping[str, str],
        external: str = "",
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self._link, self._sign, self._extra, self._external, self._wall = link, sign, extra, external, wall

    def deliver(self, flips: Sequence[Flip]) -> Answer:
        """Post the one flip."""
        (flip,) = flips
        body = json.dumps(payload(flip, self.name.partition("/")[2], labelled(flip, self._extra), self._external))
        stamp = f"{self._wall():.0f}"
        headers = {"webhook-id": flip.identity, "webhook-timestamp": stamp}
        try:
            if self._sign:
                mark = signature(key(secret(self._sign)), f"{flip.identity}.{stamp}.{body}".encode())
                headers["webhook-signature"] = f"v1,{base64.b64encode(mark).decode()}"
        except SetupError as error:
            return Answer(Delivery.UNREACHABLE, str(error))
        return self._link.ask("POST", body=body, headers=headers)

    def check(self) -> Answer:
        """Whether somebody accepts connections there; what it does with a post only a post could tell."""
        try:
            if self._sign:
                key(secret(self._sign))
        except SetupError as error:
            return Answer(Delivery.REFUSED, str(error))
        answer = self._link.ask("HEAD")
        return answer if answer.outcome is Delivery.UNREACHABLE else Answer(Delivery.SENT)


def payload(flip: Flip, receiver: str, labels: Mapping[str, str], external: str) -> dict[str, Any]:
    """A flip as Alertmanager would post it, were it grouped by alertname alone."""
    group = {"alertname": flip.alertname}
    return {
        "receiver": receiver,
        "status": flip.state.value,
        "alerts": [
            {
                "status": flip.state.value,
                "labels": dict(labels),
                "annotations": dict(flip.annotations),
                "startsAt": moment(flip.starts_at) if flip.starts_at else NEVER,
                "endsAt": moment(flip.ends_at) if flip.state is State.RESOLVED and flip.ends_at else NEVER,
                "generatorURL": flip.generator_url,
                "fingerprint": fingerprint(labels),
            }
        ],
        "groupLabels": group,
        "commonLabels": dict(labels),
        "commonAnnotations": dict(flip.annotations),
        "externalURL": external,
        "version": "4",
        "groupKey": f"{{}}:{{alertname={json.dumps(flip.alertname, ensure_ascii=False)}}}",
        "truncatedAlerts": 0,
    }


def key(raw: bytes) -> bytes:
    """The key that a secret means: base64 behind `whsec_`, as Standard Webhooks writes it, or the bytes themselves."""
    if not raw.startswith(b"whsec_"):
        return raw
    try:
        return base64.b64decode(raw[6:] + b"=" * (-len(raw[6:]) % 4), validate=True)
    except binascii.Error:
        raise SetupError("the secret begins with whsec_, but what follows is not base64") from None
