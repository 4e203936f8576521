"""Notifying: the rule engine announces flips here; they are logged, kept, and brought to every receiver."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from edgemon.alerts.alertmanager import Alertmanager
from edgemon.alerts.command import Command
from edgemon.alerts.courier import Courier
from edgemon.alerts.flip import Flip, State
from edgemon.alerts.outbox import Outbox
from edgemon.alerts.receiver import Link, Receiver
from edgemon.alerts.webhook import Webhook
from edgemon.identity import host
from edgemon.metric import Reading
from edgemon.receivers import Notify
from edgemon.sysfs import Root

log = logging.getLogger("edgemon.alert")

RESOLVED_FOR = 900.0
"""Seconds for which a resolved alert is sent again: one that was away for a while must not see it fire for ever."""
LEVELS = {"critical": logging.CRITICAL, "error": logging.ERROR, "info": logging.INFO, "none": logging.INFO}
PATIENCE = 2.0


class Notifying:
    """Everybody who is told, for one configuration at a time. The root says of which device."""

    def __init__(self, directory: str, root: Root, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory, self._root, self._clock = directory, root, clock
        self._outbox: Outbox | None = None
        self._couriers: dict[str, tuple[object, Courier]] = {}
        self._lock = threading.Lock()
        self._current: dict[str, tuple[float, Flip]] = {}

    def follow(self, settings: Notify) -> None:
        """Tell these from now on; a receiver whose settings are the same goes on undisturbed."""
        wanted = {name: (one, settings.labels, settings.external_url) for name, one in named(settings)}
        before, self._couriers = self._couriers, {}
        for name, (told, courier) in before.items():
            if wanted.get(name) == told:
                self._couriers[name] = told, courier
            else:
                courier.stop(PATIENCE)
        if wanted and self._outbox is None:
            self._outbox = Outbox(self._directory)
        if self._outbox is None:
            return
        self._outbox.follow(wanted)
        for one in receivers(settings, self._root):
            if one.name not in self._couriers:
                courier = Courier(one, self._outbox, self.active, self._clock)
                self._couriers[one.name] = wanted[one.name], courier
                courier.start()

    def announce(self, flips: Iterable[Flip]) -> None:
        """Announce flips, in their order. They are kept when this returns; what was announced before is not again.

        An engine that starts announces what fires: that keeps the alerts alive, and tells only whoever was not told.
        """
        for flip in flips:
            new = self._outbox is None or self._outbox.put(flip)
            with self._lock:
                _, before = self._current.get(flip.fingerprint, (0.0, None))
                self._current[flip.fingerprint] = self._clock(), flip
            if new and (before is None or before.identity != flip.identity):
                log.log(level(flip), "%s", sentence(flip), extra={"event": "alert", "alert": flip.alertname})
        for _, courier in list(self._couriers.values()):
            courier.hurry()

    def refresh(self, flips: Iterable[Flip]) -> None:
        """Take over value and annotations of what goes on firing: whoever is sent it again gets the present ones."""
        with self._lock:
            for flip in flips:
                at, before = self._current.get(flip.fingerprint, (0.0, None))
                if before and before.identity == flip.identity:
                    self._current[flip.fingerprint] = at, flip

    def active(self) -> list[Flip]:
        """The alerts that fire, and those resolved a short while ago."""
        with self._lock:
            until = self._clock() - RESOLVED_FOR
            gone = [key for key, (at, flip) in self._current.items() if flip.state is State.RESOLVED and at < until]
            for key in gone:
                del self._current[key]
            return [flip for _, flip in self._current.values()]

    def readings(self) -> Iterator[Reading]:
        """How the receivers do, and the outbox."""
        for _, courier in list(self._couriers.values()):
            yield from courier.readings()
        if self._outbox:
            yield from self._outbox.readings()

    def stop(self) -> None:
        """End; what waits is on disk, for the next start."""
        couriers = [courier for _, courier in self._couriers.values()]
        for one in couriers:
            one.end()
        end = time.monotonic() + PATIENCE
        ended = [one.stop(max(0.0, end - time.monotonic())) for one in couriers]
        if self._outbox and all(ended):
            self._outbox.close()


def named(settings: Notify) -> Iterator[tuple[str, Any]]:
    """The settings of each receiver by its name: `alertmanager/site`, `webhook/pager`, `command/lamp`."""
    kinds = (("alertmanager", settings.alertmanagers), ("webhook", settings.webhooks), ("command", settings.commands))
    for kind, several in kinds:
        yield from ((f"{kind}/{name}", one) for name, one in several.items())


def receivers(settings: Notify, root: Root) -> list[Receiver]:
    """Every configured receiver. What it is told carries the host's name, and that it is simulated where it is."""
    extra = {"instance": host(root), **settings.labels, **({} if root.live else {"simulated": "true"})}
    found: list[Receiver] = []
    for name, one in named(settings):
        if name.startswith("command/"):
            found.append(Command(name, one.argv, one.timeout, extra))
            continue
        link = Link(one.url, one.token, one.timeout, one.ca)
        if name.startswith("webhook/"):
            found.append(Webhook(name, link, one.secret, extra, settings.external_url))
        else:
            found.append(Alertmanager(name, link, one.resend, extra))
    return found


def level(flip: Flip) -> int:
    """The level of a flip in the log, by the label severity."""
    return (
        logging.INFO if flip.state is State.RESOLVED else LEVELS.get(flip.labels.get("severity", ""), logging.WARNING)
    )


def sentence(flip: Flip) -> str:
    """A flip in one line."""
    labels = ", ".join(f"{name}={value}" for name, value in sorted(flip.labels.items()) if name != "alertname")
    text = flip.annotations.get("summary") or flip.annotations.get("description") or ""
    line = (
        f"alert {flip.alertname} {flip.state.value}"
        + (f" ({labels})" if labels else "")
        + (f": {text}" if text else "")
    )
    return "".join(one if one.isprintable() else " " for one in line)[:500]
