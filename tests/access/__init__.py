"""What the tests of the door share: an authority, certificates, users, and web configurations made of them."""

from __future__ import annotations

import base64
import json
import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import bcrypt
import trustme

from edgemon.access.door import Door
from edgemon.sinks.http import Server
from edgemon.wire import Limits
from tests.running import until
from tests.sinks import Client, serving

PASSWORD = "open sésame: 7"
USER = "alice"


def wait(condition: Callable[[], object]) -> None:
    """Wait until the condition holds; a file that changed is read by a child, which a busy machine may keep waiting."""
    until(condition, 60.0)


@cache
def hashed(password: str = PASSWORD, cost: int = 4) -> str:
    """A bcrypt hash; the least cost, since it is not bcrypt that is tested."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


def basic(user: str = USER, password: str = PASSWORD) -> str:
    """The value of an Authorization header."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def asking(user: str = USER, password: str = PASSWORD, path: str = "/7") -> bytes:
    """A request with a password."""
    return f"GET {path} HTTP/1.1\r\nHost: edgemon\r\nAuthorization: {basic(user, password)}\r\n\r\n".encode()


class Keys:
    """An authority and what it has issued, as PEM files in a folder; `stranger` is issued by another one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority, other = trustme.CA(), trustme.CA()
        self.authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        self.issue("server", self.authority, "localhost", "127.0.0.1")
        self.issue("client", self.authority, "scraper.example", "10.1.2.3", "2001:db8::1", "ops@example.com")
        self.issue("other", self.authority, "other.example")
        self.issue("stranger", other, "scraper.example")

    def issue(self, name: str, authority: trustme.CA, *names: str) -> None:
        """Write NAME.pem and NAME.key; the key is its owner's only. Replaced at once, as certificate tools do."""
        found = authority.issue_cert(*names)
        parts = {"pem": b"".join(one.bytes() for one in found.cert_chain_pems), "key": found.private_key_pem.bytes()}
        for kind, data in parts.items():
            new = self.folder / f"{name}.{kind}.new"
            new.touch(0o600)
            new.write_bytes(data)
            new.rename(self.folder / f"{name}.{kind}")

    def text(self, name: str) -> str:
        """The content of a file."""
        return (self.folder / name).read_text()

    def client(self, name: str = "") -> ssl.SSLContext:
        """What a client needs that trusts the authority, with a certificate if it has one."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        if name:
            context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context

    def connect(self, port: int, who: str = "", receive: int = 0) -> Client:
        """A connection to the server, of whom the certificate says."""
        return Client(port, receive, "localhost", self.client(who))

    def tls(self, **more: Any) -> dict[str, Any]:
        """A tls_server_config."""
        return {"cert_file": "server.pem", "key_file": "server.key", **more}

    def mutual(self, **more: Any) -> dict[str, Any]:
        """One that asks clients for a certificate."""
        return self.tls(client_auth_type="RequireAndVerifyClientCert", client_ca_file="ca.pem", **more)

    def write(self, name: str = "web.yml", **settings: Any) -> str:
        """Write a web configuration, at once, and give its path."""
        path, new = self.folder / name, self.folder / f"{name}.new"
        new.touch(0o600)
        new.write_text(json.dumps(settings))
        os.replace(new, path)
        return str(path)


@contextmanager
def guarded(path: str, limits: Limits | None = None, **more: Any) -> Iterator[tuple[Server, int, Door]]:
    """A server behind the door that a file describes."""
    door = Door(path, **more)
    with serving(limits, door=door) as (server, port):
        yield server, port, door
