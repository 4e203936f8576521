"""Calls of the Open Inference Protocol over gRPC (grpcio, and the standard library; Python >= 3.8).

The connection is first made without gRPC, to the end of the TLS handshake: so each step has its time and its failure a
name, and what may be connected to is decided here. gRPC then connects to that very address: it resolves nothing, uses
no proxy, tries nothing again by itself, and takes no compressed answer.
"""

import os
import ssl
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from edgemon.probe import messages
from edgemon.probe.exchange import SAID, Client
from edgemon.probe.result import Ended, Outcome
from edgemon.probe.secret import Secrets
from edgemon.probe.target import Target
from edgemon.probe.tensors import Input

STEPS = {"live": "ServerLive", "ready": "ServerReady", "model_ready": "ModelReady"}
MISTAKES = ("INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED")
"""Statuses that say that the client is wrong."""
UNREADABLE = ("INTERNAL", "UNKNOWN")
"""What gRPC itself answers to a message that cannot be read: the one by its own documents (statuscodes.md), the other
from Python's asyncio."""


class Reply(NamedTuple):
    """The status by number and name, 0 being OK, with what the server says of it; and the message."""

    status: int
    name: str
    said: str
    body: bytes

    def words(self) -> str:
        """Status, and what the server says of it."""
        return self.name + (": " + self.said if self.said else "")


class Rpc:
    """Calls of one served model, one after another, on a connection of their own."""

    refusal = "as the client's mistake (INVALID_ARGUMENT or the like)"

    def __init__(self, target: Target, endpoint: Dict[str, Any], secrets: Secrets) -> None:
        self._target, self._endpoint, self.hide = target, endpoint, secrets.hide
        self._client = Client(target, endpoint, Secrets({}))
        self._metadata = [header(*one) for one in secrets.headers.items()]
        self.phases = self._client.phases
        self._channel: Any = None
        self._methods: Dict[str, Any] = {}
        self._model = target.model()
        self.address = self.tls = ""
        self.encoding = "json" if endpoint["tensors"] == "json" else "binary"

    def open(self, begin: Callable[[str], None]) -> None:
        """Connect, telling each step as it begins; what comes of it is gRPC's to use."""
        self._client.open(begin)
        self.address, self.tls, self._peer = self._client.address, self._client.tls, self._client.peer
        self._client.close()

    def close(self) -> None:
        """Let go of the connection; the next call opens another."""
        if self._channel:
            self._channel.close()
        self._channel, self._methods = None, {}

    def refuses(self, step: str) -> str:
        """Why live, ready or model_ready is not so, or an empty string."""
        reply = self._call(STEPS[step], messages.named(*self._model) if step == "model_ready" else b"")
        if reply.status:
            return reply.words()
        return "" if self._understood(STEPS[step], messages.flag, reply) else "it answers no"

    def server(self) -> Dict[str, Any]:
        """What the server says of itself; not every one does."""
        reply = self._call("ServerMetadata", b"")
        return {} if reply.status else dict(self._understood("ServerMetadata", messages.server, reply))

    def metadata(self) -> Dict[str, Any]:
        """What the server says of the model."""
        reply = self._call("ModelMetadata", messages.named(*self._model))
        if reply.status:
            raise ValueError("ModelMetadata: %s" % reply.words())
        return dict(self._understood("ModelMetadata", messages.metadata, reply))

    def settle(self, server: Dict[str, Any]) -> None:
        """Choose the encoding by what the server says of itself: bytes go everywhere."""

    def written(self, inputs: List[Input], outputs: List[str]) -> bytes:
        """A request as `infer` takes it."""
        return messages.infer(self._model, inputs, outputs, self.encoding == "binary")

    def cut(self, raw: bytes) -> bytes:
        """A request cut off in the middle of its last field."""
        return raw[:-1]

    def infer(self, raw: bytes) -> Reply:
        """Ask; ValueError with the reason when the server does not infer."""
        reply = self._call("ModelInfer", raw)
        if reply.status:
            raise ValueError("ModelInfer: %s" % reply.words())
        return reply

    def attempt(self, raw: bytes, kind: str) -> Tuple[int, bool, str, str]:
        """Ask with a faulty request: its status, whether that refuses it, and in words the status and what is said."""
        reply = self._call("ModelInfer", raw)
        return (
            reply.status,
            reply.name in MISTAKES + (UNREADABLE if kind == "json" else ()),
            reply.name,
            reply.said,
        )

    def read(self, reply: Reply) -> List[Dict[str, Any]]:
        """The plain tensors of an answer."""
        return messages.read(reply.body)

    def first(self, reply: Reply) -> Optional[float]:  # noqa: ARG002
        """Seconds to the first byte, which gRPC does not tell."""
        return None

    def _understood(self, method: str, act: Callable[[bytes], Any], reply: Reply) -> Any:
        try:
            return act(reply.body)
        except ValueError as error:
            raise ValueError(self.hide("%s: the answer cannot be read: %s" % (method, error))) from None

    def _call(self, method: str, data: bytes) -> Reply:
        """The reply; Ended with timeout when there is none in time."""
        import grpc

        self._channel = self._channel or self._dial()
        call = self._methods.get(method)
        if call is None:
            call = self._methods[method] = self._channel.unary_unary(messages.SERVICE + method)
        try:
            return Reply(0, "OK", "", call(data, timeout=self._endpoint["timeout"], metadata=self._metadata))
        except grpc.RpcError as error:
            code, said = error.code(), " ".join(self.hide(error.details() or "").split())[:SAID]
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise Ended(Outcome.TIMEOUT, "%s: no whole answer within %g s" % (method, self._endpoint["timeout"]))
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in said:
            most = self._endpoint["response"] >> 20
            raise ValueError("%s: the answer has more than the %d MiB that response: allows" % (method, most))
        return Reply(code.value[0], code.name, said, b"")

    def _dial(self) -> Any:
        import grpc

        (host, port), tls = self._peer, self._endpoint["tls"]
        name = tls["server_name"] if self._target.secure else ""
        where = "ipv6:[%s]:%d" % (host, port) if ":" in host else "ipv4:%s:%d" % (host, port)
        options = [
            ("grpc.default_authority", name or self._target.authority),  # gRPC holds the certificate against it
            ("grpc.primary_user_agent", self._endpoint["agent"]),
            ("grpc.max_receive_message_length", self._endpoint["response"]),
            ("grpc.max_send_message_length", -1),
            ("grpc.enable_http_proxy", 0),
            ("grpc.enable_retries", 0),
            ("grpc.service_config_disable_resolution", 1),
            ("grpc.use_local_subchannel_pool", 1),  # a channel of ours is a connection of its own
            ("grpc.compression_enabled_algorithms_bitset", 1),  # identity
        ]
        if not self._target.secure:
            return grpc.insecure_channel(where, options)
        options.append(("grpc.ssl_target_name_override", name or self._target.host))
        return grpc.secure_channel(where, grpc.ssl_channel_credentials(*credentials(tls)), options)


def start() -> None:
    """Import gRPC; RuntimeError says what to install."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        import grpc  # noqa: F401
    except ImportError as error:
        raise RuntimeError("no grpcio here (%s); install it: pip install grpcio" % error) from None


def header(name: str, value: str) -> Tuple[str, Any]:
    """A header as gRPC's metadata has it: names in lower case, bytes where the name ends in -bin.

    ValueError, without the value, for one that gRPC refuses: some releases of it would repeat it.
    """
    name = name.lower()
    if name.endswith("-bin"):
        return name, value.encode("latin-1")
    if not (value.isascii() and value.isprintable()):
        raise ValueError("header %s: gRPC sends printable ASCII only; a name that ends in -bin takes any bytes" % name)
    return name, value


def credentials(tls: Dict[str, str]) -> Tuple[Optional[bytes], Optional[bytes], Optional[bytes]]:
    """Authorities to trust, the client's key and certificate, as PEM; without a ca: the system's, else gRPC's own."""
    paths = ssl.get_default_verify_paths()
    system = [paths.cafile or "", os.path.join(paths.capath or "", "ca-certificates.crt")]
    trusted = tls["ca"] or next(filter(os.path.isfile, system), "")
    key, certificate = (tls["key"] or tls["certificate"], tls["certificate"]) if tls["certificate"] else ("", "")
    return _pem(trusted), _pem(key), _pem(certificate)


def _pem(path: str) -> Optional[bytes]:
    if not path:
        return None
    with open(path, "rb") as file:
        return file.read()
