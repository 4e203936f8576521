"""The HTTP server: h11 speaks the protocol, one thread and `selectors` do the rest.

Of eight servers tested (uvicorn, hypercorn, tornado, aiohttp, waitress, cheroot, h11 on asyncio, this) it was the
only one that kept a scrape fast and memory bounded beside 300 idle, 300 silent, 20 stalled and 100 dribbling clients,
dropped them all in time, and fits the memory budget (3 MB; on asyncio 8 to 20 MB). Deadlines are absolute, not per
byte: a head must come within `head` seconds, a response be taken within `write`. At `connections` the quietest one
makes room for the new. A handler must not block: it answers from memory. Who comes in is the door's to say; a password
that has to be checked is, elsewhere, while its connection waits.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import selectors
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

import h11

from edgemon.access.connection import Connection, refusal
from edgemon.access.door import LATER, Door
from edgemon.access.stream import READ
from edgemon.wire import REASONS, Limits, Request, Response

log = logging.getLogger("edgemon.http")

SCARCE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Server:
    """Serves `handler` from one thread. `start` and `stop` may be called from any other."""

    def __init__(
        self,
        listener: socket.socket,
        handler: Callable[[Request], Response],
        limits: Limits,
        door: Door | None = None,
    ) -> None:
        self.codes: Counter[int] = Counter()
        self.connections: set[Connection] = set()
        self._listener, self._handler, self._limits, self._door = listener, handler, limits, door or Door()
        self._told: deque[Callable[[], None]] = deque()
        self._door.changed = lambda: self._tell(self._renew)
        self._selector = selectors.DefaultSelector()
        self._ready: dict[Connection, None] = {}
        self._waker, self._wake = socket.socketpair()
        self._stopping = False
        self._paused = 0.0
        self._thread = threading.Thread(target=self._work, name="edgemon-http", daemon=True)
        for one in (listener, self._waker, self._wake):
            one.setblocking(False)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def alive(self) -> bool:
        """Whether it has not ended, nor begun."""
        return self._thread.ident is None or self._thread.is_alive()

    def stop(self, patience: float = 2.0) -> bool:
        """Stop serving and close everything; whether the thread ended in time."""
        self._stopping = True
        self._tell(lambda: None)
        self._thread.join(patience)
        return not self._thread.is_alive()

    def _tell(self, what: Callable[[], None]) -> None:
        """Have the server's thread do something; from any thread."""
        self._told.append(what)
        with contextlib.suppress(OSError):  # full, so that it wakes anyway; or closed, so that it does not any more
            self._wake.send(b"x")

    def _listen(self) -> None:
        self._waker.recv(4096)
        while self._told:
            self._told.popleft()()

    def _renew(self) -> None:
        """There is other TLS: close what is quiet, and the others with their answer, so that they come in anew."""
        for connection in list(self.connections):
            connection.old = True
            if not connection.writing and not connection.linger:
                self._drop(connection)

    def _work(self) -> None:
        self._selector.register(self._listener, READ)
        self._selector.register(self._waker, READ)
        sweep = 0.0
        while not self._stopping:
            self._turn(0.0 if self._ready else 1.0 if self.connections or self._paused else None)
            now = time.monotonic()
            if now >= sweep:
                sweep = now + 0.5
                self._expire(now)
        for connection in list(self.connections):
            self._drop(connection)
        for one in (self._selector, self._listener, self._waker, self._wake):
            one.close()

    def _turn(self, patience: float | None) -> None:
        """One round of events; then one request for each connection that has more of them already read."""
        for key, _ in self._selector.select(patience):
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj is self._waker:
                self._listen()
            elif key.data is not None:
                self._guard(key.data, self._on_event)
        ready, self._ready = self._ready, {}
        for connection in ready:
            if connection in self.connections and not connection.writing and not connection.linger:
                self._guard(connection, self._parse)

    def _expire(self, now: float) -> None:
        for connection in [one for one in self.connections if one.deadline <= now]:
            self._drop(connection)
        if self._paused and now >= self._paused:
            self._paused = 0.0
            self._selector.register(self._listener, READ)

    def _guard(self, connection: Connection, action: Callable[[Connection], None]) -> None:
        try:
            action(connection)
        except (OSError, h11.LocalProtocolError):
            self._drop(connection)
        except Exception:  # seam: whatever a request brings about costs that connection only
            log.exception("request failed")
            self._guard(connection, lambda one: self._refuse(one, 500))

    def _accept(self) -> None:
        for _ in range(32):
            try:
                client, address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in SCARCE:  # a listener that stays ready would spin
                    log.warning("cannot accept connections for now: %s", error.strerror)
                    self._selector.unregister(self._listener)
                    self._paused = time.monotonic() + 1.0
                    return
                continue
            self._admit(client, address[0] if address else "")

    def _admit(self, client: socket.socket, address: str) -> None:
        """Take a client in, at the limit instead of one in no exchange: never served first, then longest quiet."""
        if (stream := self._door.stream(client, address)) is None:
            client.close()
            return
        if len(self.connections) >= self._limits.connections:
            self._drop(min(self.connections, key=lambda one: (one.writing, one.served > 0, one.since)))
        connection = Connection(stream, address, self._limits, time.monotonic())
        self.connections.add(connection)
        self._guard(connection, self._greet)

    def _greet(self, connection: Connection) -> None:
        client = connection.stream.socket
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._limits.buffer)
        if client.family != socket.AF_UNIX:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watch(connection, READ)
        self._on_event(connection)

    def _watch(self, connection: Connection, mask: int) -> None:
        if mask == connection.mask:
            return
        if not mask:
            self._selector.unregister(connection.fd)
        elif not connection.mask:
            self._selector.register(connection.fd, mask, connection)
        else:
            self._selector.modify(connection.fd, mask, connection)
        connection.mask = mask

    def _drop(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self._watch(connection, 0)
        connection.stream.socket.close()
        connection.out.clear()

    def _on_event(self, connection: Connection) -> None:
        if connection.linger:
            if not connection.stream.receive(self._limits.buffer):
                self._drop(connection)
        elif connection.writing:
            self._flush(connection)
        else:
            self._parse(connection)

    def _parse(self, connection: Connection) -> None:
        """Read and parse until a request is whole or input runs out; while an answer waits nothing is read."""
        try:
            while True:
                event = connection.h11.next_event()
                if event is h11.NEED_DATA:
                    if not self._receive(connection):
                        return
                elif isinstance(event, h11.Request):
                    connection.waiting, connection.head = False, event.method == b"HEAD"
                    if problem := refusal(event):
                        self._refuse(connection, problem)
                        return
                    request = event
                elif isinstance(event, h11.EndOfMessage):
                    self._answer(connection, request)
                    return
                else:
                    self._drop(connection)
                    return
        except h11.RemoteProtocolError as error:
            self._refuse(connection, error.error_status_hint)

    def _receive(self, connection: Connection) -> bool:
        """One read; reads are as small as the header limit because h11 holds only unfinished heads to it."""
        try:
            data = connection.stream.receive(self._limits.header)
        except BlockingIOError:
            self._watch(connection, connection.stream.wants)
            return False
        if data and connection.waiting:
            connection.waiting, connection.since = False, time.monotonic()
            if connection.served:
                connection.deadline = connection.since + self._limits.head
        connection.h11.receive_data(data)
        return True

    def _answer(self, connection: Connection, request: h11.Request) -> None:
        asked = connection.read(request, self._door.known(connection.stream))
        refused = self._door.judge(asked, lambda told: self._tell(lambda: self._decided(connection, asked, told)))
        if refused is LATER:
            connection.writing, connection.deadline = True, time.monotonic() + self._limits.verify
            self._watch(connection, 0)
        else:
            self._respond(connection, refused or self._handler(asked))

    def _decided(self, connection: Connection, asked: Request, refused: Response | None) -> None:
        if connection in self.connections:
            self._guard(connection, lambda one: self._respond(one, refused or self._handler(asked)))

    def _refuse(self, connection: Connection, status: int) -> None:
        """Answer an error and close: what follows on such a connection cannot be trusted."""
        if connection.h11.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            self._drop(connection)
            return
        allow = ((b"Allow", b"GET, HEAD"),) if status == 405 else ()
        headers = (*allow, (b"Connection", b"close"))
        self._respond(connection, Response(status, REASONS.get(status, b"Error") + b"\n", headers=headers))

    def _respond(self, connection: Connection, response: Response) -> None:
        self.codes[response.status] += 1
        length = b"%d" % len(response.body)
        headers = [(b"Content-Type", response.kind.encode()), (b"Content-Length", length), *response.headers]
        headers += [*self._door.headers, *([(b"Connection", b"close")] if connection.old else [])]
        reason = REASONS.get(response.status, b"")
        start = connection.h11.send(h11.Response(status_code=response.status, headers=headers, reason=reason))
        connection.out.append(start or b"")
        if not connection.head:
            parts = connection.h11.send_with_data_passthrough(h11.Data(data=response.body)) or []
            connection.out.extend(part for part in parts if part)
        connection.h11.send(h11.EndOfMessage())
        connection.writing, connection.served = True, connection.served + 1
        connection.deadline = time.monotonic() + self._limits.write
        self._flush(connection)

    def _flush(self, connection: Connection) -> None:
        """Send what can be sent; when all is, wait for the next request, or close."""
        while connection.out:
            try:
                sent = connection.stream.send(connection.out)
            except BlockingIOError:
                self._watch(connection, connection.stream.wants)
                return
            connection.sent(sent)
        now = time.monotonic()
        connection.writing = False
        self._watch(connection, READ)
        if connection.h11.our_state is not h11.DONE or connection.h11.their_state is not h11.DONE:
            connection.linger, connection.deadline = True, now + self._limits.linger
            connection.stream.finish()
            return
        connection.h11.start_next_cycle()
        connection.waiting, connection.head, connection.since = True, False, now
        more = bool(connection.h11.trailing_data[0]) or connection.stream.pending()
        connection.deadline = now + (self._limits.head if more else self._limits.idle)
        if more:
            self._ready[connection] = None
