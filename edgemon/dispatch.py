"""What brings batches to the receiver of a configuration: the spool, the clock, the sender and its client."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from edgemon import identity
from edgemon.buffer import Buffer
from edgemon.lanes import Lane
from edgemon.metric import Reading
from edgemon.push import Otlp
from edgemon.sinks.otlp.answer import Answer
from edgemon.sinks.otlp.batch import Batch
from edgemon.sysfs import Root

if TYPE_CHECKING:
    from edgemon.forward import Forwarder
    from edgemon.sinks.otlp.client import Client

PATIENCE = 2.0


class Dispatch:
    """Sends for one configuration at a time; what waits lies in the state directory, for the next one as well."""

    def __init__(self, state: str) -> None:
        boot = identity.boot(Root())  # that of the clock, also in a replay
        self.boot = boot or os.urandom(18).hex()  # a sandbox can hide it; then each run is a boot of its own
        self._state = state
        self._buffer = Buffer()
        self._forwarder: Forwarder | None = None
        self._client: Client | None = None
        self._next: Client | None = None

    def follow(self, settings: Otlp) -> None:
        """Send there from now on, or nowhere; what waits goes where is sent to now."""
        if not list(settings.pushed()):
            self.stop(PATIENCE)
            return
        from edgemon.sinks.otlp.client import Client  # noqa: PLC0415 - OpenTelemetry's messages

        if self._forwarder and settings.buffer == self._buffer:
            self._next = Client(settings)
            self._forwarder.anew()
            return
        self.stop(PATIENCE)
        self._buffer, self._next = settings.buffer, Client(settings)
        self._forwarder = self._made()
        self._forwarder.start()

    def put(self, batch: Batch) -> None:
        """Take a batch; never waits for a disk or a receiver."""
        if self._forwarder:
            self._forwarder.put(batch)

    def stop(self, patience: float) -> None:
        """Send nothing more, and write what waits."""
        forwarder, self._forwarder = self._forwarder, None
        if forwarder:
            forwarder.stop(patience)
        client, self._client, self._next = self._client, None, None
        if client:
            client.close()

    def lanes(self) -> list[Lane]:
        """The lanes that must move."""
        return [self._forwarder.sending.lane, self._forwarder.keeping.lane] if self._forwarder else []

    def readings(self) -> Iterator[Reading]:
        """How it goes."""
        if self._forwarder:
            yield from self._forwarder.readings()

    def _made(self) -> Forwarder:
        from edgemon.almanac import Almanac  # noqa: PLC0415 - for those who push
        from edgemon.clock import Clock  # noqa: PLC0415
        from edgemon.forward import Forwarder  # noqa: PLC0415
        from edgemon.sinks.otlp.stamp import restamp  # noqa: PLC0415
        from edgemon.spool import Spool  # noqa: PLC0415

        clock = Clock(self.boot, Almanac(os.path.join(self._state, "clock.json")), self._buffer.clock)
        spool = Spool(os.path.join(self._state, "spool"), self._buffer, clock.age)
        return Forwarder(spool, clock, self._send, restamp)

    def _send(self, signal: str, body: bytes) -> Answer:
        """Send by the client of the newest configuration; the one before is closed by the thread that used it."""
        if self._client is not self._next:
            if self._client:
                self._client.close()
            self._client = self._next
        if self._client is None:
            return Answer("retry", detail="nothing is pushed now")
        answer, way = self._client.send(signal, body), self._client.ways.get(signal)
        return replace(answer, by=way.shown) if way else answer
