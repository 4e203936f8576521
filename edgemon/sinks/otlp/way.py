"""The way of each signal to its receiver: what is set for one signal before what is set for all."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from edgemon.alerts.secret import secret
from edgemon.endpoint import Header, Tls, place
from edgemon.errors import SetupError
from edgemon.push import Otlp, Signal
from edgemon.web import Secure

HIDDEN = "***"
HASHED = re.compile(r"[0-9a-f]{8}\.\d+")
"""How c_rehash(1) names a certificate."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where a signal goes and how: `url` is whole for HTTP; for gRPC its host and port count. Seconds an attempt."""

    url: str
    protocol: str
    headers: Mapping[str, Header]
    seconds: float
    compression: str
    tls: Tls

    @property
    def shown(self) -> str:
        """The URL without its query, which may hold what others need not read."""
        return self.url.partition("?")[0]

    def spoken(self) -> dict[str, str]:
        """The headers, those from files as they are now; SetupError names the file that cannot be used."""
        return {name: one.prefix + _kept(one.file) if one.file else one.value for name, one in self.headers.items()}

    def hide(self, text: str, headers: Mapping[str, str]) -> str:
        """What a server said, without what it was sent as a header."""
        secret = {word for value in headers.values() for word in (value, *value.split()) if len(word) > 5}
        for one in sorted(secret, key=len, reverse=True):
            text = text.replace(one, HIDDEN)
        return text

    def secure(self) -> Secure:
        """TLS with these keys, the certificate and the name of the server verified."""
        tls = self.tls

        def wrap(connection: socket.socket, host: str) -> socket.socket:
            from edgemon.probe.link import context  # noqa: PLC0415 - OpenSSL, 7 MB, for those who need it

            told = {name: place(getattr(tls, name)) for name in ("ca", "certificate", "key")}
            try:
                made = context(told if tls.ca else {**told, "directory": _directory()})
            except ValueError as error:
                raise OSError(f"otlp.{error}") from None
            return made.wrap_socket(connection, server_hostname=tls.server_name or host)

        return wrap


def ways(settings: Otlp) -> dict[str, Way]:
    """The way of each signal that is pushed."""
    found = {}
    for name in settings.pushed():
        own = settings.signals.get(name, Signal())
        protocol = own.protocol or settings.protocol
        below = settings.endpoint if protocol == "grpc" or own.endpoint else _below(settings.endpoint, f"/v1/{name}")
        found[name] = Way(
            own.endpoint or below,
            protocol,
            own.headers or settings.headers,
            own.timeout or settings.timeout,
            own.compression or settings.compression,
            settings.tls if own.tls == Tls() else own.tls,
        )
    return found


def _below(url: str, path: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + path))


def _directory() -> str:
    """The system's authorities in a directory of hashed names, if that is what it has: 2.4 MB less than all in memory.

    Where SSL_CERT_FILE says otherwise, it says so.
    """
    import ssl  # noqa: PLC0415

    where = ssl.get_default_verify_paths().capath
    if not where or os.environ.get("SSL_CERT_FILE"):
        return ""
    return where if any(HASHED.fullmatch(name) for name in os.listdir(where)) else ""


def _kept(where: str) -> str:
    value = secret(where).decode("latin-1")
    if not all(" " <= one <= "~" for one in value):
        raise SetupError(f"secret {where} must be printable ASCII, to be sent as a header")
    return value
