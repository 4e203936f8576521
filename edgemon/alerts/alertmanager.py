"""Alertmanager's API v2, used as Prometheus uses it (rules/alerting.go, notifier): POST /api/v2/alerts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgemon.alerts.flip import Flip, State
from edgemon.alerts.receiver import Answer, Link

BATCH = 64


class Alertmanager:
    """One Alertmanager; of a cluster each member is one, and gets every alert."""

    batch = BATCH

    def __init__(
        self, name: str, link: Link, resend: float, extra: Mapping[str, str], wall: Callable[[], float] = time.time
    ) -> None:
        self.name, self.resend = name, resend
        self._link, self._extra, self._wall = link, extra, wall

    def deliver(self, flips: Sequence[Flip]) -> Answer:
        """Tell it of these alerts as they are now."""
        now = self._wall()
        return self._link.ask("POST", "/api/v2/alerts", [self._alert(flip, now) for flip in flips])

    def check(self) -> Answer:
        """Ask for its status, which needs its API."""
        return self._link.ask("GET", "/api/v2/status")

    def _alert(self, flip: Flip, now: float) -> dict[str, Any]:
        """One alert. What fires ends in four times `resend`, should nothing more be heard of it.

        A beginning that is not known is left to Alertmanager's clock, and so is the end of what fires then; one that a
        step of our clock has put behind the end is moved to it, for that would be refused.
        """
        ends = (flip.ends_at or now) if flip.state is State.RESOLVED else now + 4 * self.resend
        alert: dict[str, Any] = {
            "labels": labelled(flip, self._extra),
            "annotations": dict(flip.annotations),
            "generatorURL": flip.generator_url,
        }
        if flip.starts_at:
            alert["startsAt"] = moment(min(flip.starts_at, ends))
        if flip.starts_at or flip.state is State.RESOLVED:
            alert["endsAt"] = moment(ends)
        return alert


def labelled(flip: Flip, extra: Mapping[str, str]) -> dict[str, str]:
    """The alert's labels, with what it does not have itself from outside; a label without a value is none."""
    return {name: value for name, value in {**extra, **flip.labels}.items() if value}


def moment(at: float) -> str:
    """A Unix time as RFC 3339 has it, in milliseconds."""
    whole = round(at * 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole // 1000)) + f".{whole % 1000:03d}Z"
