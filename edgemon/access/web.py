"""What a web configuration file says, as plain values. The file itself is read by a child, as the configuration is."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from edgemon.access.bucket import loopback
from edgemon.config import ask, rebuild


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How to encrypt: PEM, and OpenSSL's names. `verify` is of clients: "" for none, optional, required.

    `expires` is when the certificate ends, Unix time.
    """

    certificate: str
    key: str = field(repr=False)
    authority: str = ""
    verify: str = ""
    names: tuple[str, ...] = ()
    minimum: str = "TLSv1_2"
    maximum: str = "TLSv1_3"
    ciphers: str = ""
    curve: str = ""
    ours_first: bool = True
    expires: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """All of it: bcrypt hashes by user, a request every `interval` seconds beyond `burst` of them (0 is any number)."""

    tls: Tls | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    interval: float = 0.0
    burst: int = 0

    def __str__(self) -> str:
        """In words, without a secret."""
        asked = {"optional": ", client certificates", "required": ", client certificates required"}
        tls = "http"
        if self.tls:
            end = time.strftime("%Y-%m-%d", time.gmtime(self.tls.expires))
            tls = f"https{asked.get(self.tls.verify, '')}, certificate until {end}"
        return f"{tls}, passwords of {', '.join(self.users)}" if self.users else tls

    def unwise(self, host: str) -> Iterator[str]:
        """What is unwise about listening there with these settings."""
        if loopback(host):
            return
        closed = self.users or (self.tls and self.tls.verify == "required")
        if not closed:
            yield "everyone who reaches this address can read what it serves; web_config: sets TLS and passwords"
        elif not self.tls:
            yield "passwords and answers cross the network unencrypted; tls_server_config of the web_config: sets TLS"


@dataclass(frozen=True, slots=True)
class Said:
    """What came of reading a file: the settings or the problems, what is unwise in it, and each file that counts."""

    web: Web | None
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    files: tuple[str, ...]


def apart(path: str) -> Said:
    """Read a file in a child process; ConfigError when not even that works."""
    said = ask("edgemon.access.webfile", path)
    web = None
    if said["web"] is not None:
        tls = said["web"].pop("tls")
        web = Web(tls=tls and rebuild(Tls, tls), **said["web"])
    return Said(web, *(tuple(said[name]) for name in ("problems", "warnings", "files")))
