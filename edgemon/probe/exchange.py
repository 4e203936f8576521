"""HTTP/1.1 requests, one after another, to a server that may be slow, broken or hostile (stdlib only, Python >= 3.8).

One deadline bounds a whole exchange, however slowly its bytes drip; one limit bounds its bytes. Nothing is
decompressed, no proxy is used, no redirect followed. `http.client` parses the answer, over a stream that counts and
keeps time (`link`).
"""

import contextlib
import http.client
import json
import select
import socket
import ssl
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from edgemon.probe.link import TooLongError, Wire, clock, context, left, reach, send, short
from edgemon.probe.result import Ended, Outcome
from edgemon.probe.secret import Secrets
from edgemon.probe.target import Target, resolve

HEAD = 256 << 10
"""Bytes of status line and headers, beyond the limit of the body."""
SAID = 200
"""Characters of a server's own words that are repeated."""


class Answer(NamedTuple):
    """Status, its reason, headers, the whole body, and the seconds from sending to the first byte."""

    status: int
    reason: str
    headers: Any
    body: bytes
    first: float


def words(answer: Answer, hide: Callable[[Any], str]) -> str:
    """Status, and what the server says of it, less any secret."""
    text = answer.body[:65536].decode("utf-8", "replace")
    try:
        said = json.loads(text)
        text = str(said.get("error") or said.get("detail") or text)
    except (ValueError, AttributeError, RecursionError):
        pass
    text = " ".join(hide(text).split())[:SAID]
    return ("%d %s" % (answer.status, answer.reason)).strip() + (": " + text if text else "")


def silent(_: str) -> None:
    """Where nobody wants to know which step begins."""


class Client:
    """Requests to one target, on a connection kept open where the server allows it.

    `endpoint` holds timeout (seconds an exchange may take), response (bytes a body may have), allow, tls and agent.
    `phases` fills with the seconds dns, connect and tls of the first connection took.
    """

    def __init__(self, target: Target, endpoint: Dict[str, Any], secrets: Secrets) -> None:
        self.target, self.hide = target, secrets.hide
        self.phases: Dict[str, float] = {}
        self._received, self._new = 0, False
        self.address = self.tls = ""
        self._endpoint, self._headers = endpoint, {"User-Agent": endpoint["agent"], **secrets.headers}
        self._socket: Optional[socket.socket] = None
        self._context = context(endpoint["tls"]) if target.secure else None
        if self._context and target.scheme == "grpcs":
            self._context.set_alpn_protocols(["h2"])  # gRPC's servers want it
        self.peer = ("", 0)

    def prepare(self, method: str, path: str, body: bytes = b"", headers: Optional[Dict[str, str]] = None) -> bytes:
        """A request as it goes over the wire."""
        fields = {"Host": self.target.authority, "Accept-Encoding": "identity"}
        for name, value in [*self._headers.items(), *(headers or {}).items()]:
            fields[name.title()] = value  # a header in another case would be sent twice
        if body or method not in ("GET", "HEAD", "OPTIONS"):
            fields["Content-Length"] = str(len(body))
        head = "".join("%s: %s\r\n" % (name, value) for name, value in fields.items())
        return ("%s %s HTTP/1.1\r\n%s\r\n" % (method, path, head)).encode("latin-1") + body

    def open(self, begin: Callable[[str], None]) -> None:
        """Connect, telling each step as it begins."""
        until = clock() + self._endpoint["timeout"]
        self._guard(lambda: self._connect(until, begin), "")

    def ask(self, raw: bytes) -> Answer:
        """Send a prepared request and read the whole answer.

        Ended with outcome timeout, or ConnectionError or ValueError with the reason, when there is none.
        """
        until = clock() + self._endpoint["timeout"]
        line = raw[: raw.index(b" HTTP/1.1\r\n")].decode("latin-1").partition("?")[0]
        answer: Answer = self._guard(lambda: self._ask(raw, until), line)
        encoding = answer.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity" and answer.body:
            said = self.hide(encoding)[:SAID]
            raise ValueError("%s: answered in %s although identity was asked for" % (line, said))
        return answer

    def close(self) -> None:
        """Let go of the connection; the next request opens another."""
        if self._socket:
            self._socket.close()
        self._socket, self._new = None, False

    def _ask(self, raw: bytes, until: float) -> Answer:
        if not self._usable():
            self._connect(until)
        new, self._new = self._new, False
        try:
            return self._exchange(raw, until)
        except (ConnectionError, ssl.SSLError):
            if new or self._received:
                raise
            self._connect(until)  # a server may close a kept connection just as it is used: once is no failure
            self._new = False
            return self._exchange(raw, until)

    def _usable(self) -> bool:
        """Whether there is a connection on which nothing is to be read: neither its end nor bytes nobody asked for."""
        if not self._socket or self._new:
            return self._new  # on a new one TLS 1.3 sends its tickets unasked
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        return not poller.poll(0)

    def _connect(self, until: float, begin: Callable[[str], None] = silent) -> None:
        self.close()
        phases: Dict[str, float] = {} if self.phases else self.phases  # those of the first connection are kept
        begin("dns")
        found = _timed(phases, "dns", lambda: resolve(self.target, self._endpoint["allow"]))
        begin("connect")
        self._socket = _timed(phases, "connect", lambda: reach(found, until))
        self.peer = self._socket.getpeername()[:2]
        self.address = "%s port %d" % self.peer
        if self._context:
            begin("tls")
            _timed(phases, "tls", lambda: self._secure(until))
        self._new = True

    def _secure(self, until: float) -> None:
        assert self._socket  # noqa: S101 - for the type checker
        assert self._context  # noqa: S101
        name = self._endpoint["tls"]["server_name"] or self.target.host
        secure = self._context.wrap_socket(self._socket, server_hostname=name, do_handshake_on_connect=False)
        self._socket = secure
        secure.settimeout(left(until))
        secure.do_handshake()
        self.tls = secure.version() or ""

    def _exchange(self, raw: bytes, until: float) -> Answer:
        assert self._socket  # noqa: S101 - for the type checker
        wire = Wire(self._socket, until, self._endpoint["response"] + HEAD)
        began, whole = clock(), False
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the answer may have come before the end
                send(self._socket, raw, until)
            method = raw[: raw.index(b" ")].decode()
            response = http.client.HTTPResponse(wire, method=method)  # type: ignore[arg-type]
            response.begin()
            body = self._body(response)
            whole = not response.will_close
        except socket.timeout:
            raise socket.timeout("%d bytes of the answer had come" % wire.count) from None
        finally:
            self._received = wire.count
            if not whole:
                self.close()
        return Answer(response.status, self.hide(response.reason)[:SAID], response.headers, body, wire.first - began)

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        limit, size = self._endpoint["response"], 0
        parts: List[bytes] = []
        if response.length is not None and response.length > limit:
            raise TooLongError
        while True:
            part = response.read(65536)
            if not part:
                break
            parts.append(part)
            size += len(part)
            if size > limit:
                raise TooLongError
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        return b"".join(parts)

    def _guard(self, act: Callable[[], Any], line: str) -> Any:
        """Do it, with whatever a socket, TLS or HTTP raises turned into one sentence."""
        head = "%s: " % line if line else ""
        try:
            return act()
        except socket.timeout as error:
            text = "%sno whole answer within %g s: %s" % (head, self._endpoint["timeout"], error)
            raise Ended(Outcome.TIMEOUT, self.hide(text)) from None
        except ssl.SSLError as error:
            raise ConnectionError(self.hide(head + _tls(error, self.target))) from None
        except TooLongError:
            most = "more than the %d MiB that response: allows" % (self._endpoint["response"] >> 20)
            raise ValueError("%sthe answer has %s" % (head, most)) from None
        except http.client.IncompleteRead:
            raise ConnectionError("%sthe connection ended in the middle of the answer" % head) from None
        except ConnectionError as error:
            raise ConnectionError(self.hide(head + _reset(error))) from None
        except (http.client.HTTPException, ValueError) as error:  # a negative chunk is a ValueError
            text = "%sanswered what is no HTTP: %s %s" % (head, type(error).__name__, error)
            raise ValueError(self.hide(text)[:SAID]) from None
        except OSError as error:
            raise ConnectionError(head + (error.strerror or str(error)).lower()) from None


def _timed(phases: Dict[str, float], name: str, act: Callable[[], Any]) -> Any:
    began = clock()
    found = act()
    phases[name] = clock() - began
    return found


def _tls(error: ssl.SSLError, target: Target) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "the certificate of %s is refused: %s" % (target.host, error.verify_message.rstrip("."))
    return "TLS with %s failed: %s" % (target.host, short(error))


def _reset(error: ConnectionError) -> str:
    if isinstance(error, http.client.RemoteDisconnected):
        return "closed the connection without an answer"
    return "the connection was reset" if isinstance(error, ConnectionResetError) else error.strerror or str(error)
