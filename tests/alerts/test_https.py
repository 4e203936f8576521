"""https: by a child process, verified; the daemon itself never loads OpenSSL."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from edgemon.alerts.receiver import Answer, Delivery, Link
from tests.alerts.server import Faulty, faulty
from tests.running import HERE


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[Faulty, str]]:
    """A server for localhost, and the file of its authority."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with faulty(context) as it:
        it.url = it.url.replace("127.0.0.1", "localhost")
        yield it, str(tmp_path / "ca.pem")


def test_a_trusted_server_takes_it_and_secrets_reach_it_alone(secure: tuple[Faulty, str], tmp_path: Path) -> None:
    """The token goes over standard input, where no other user sees it in the arguments of a process."""
    server, ca = secure
    (tmp_path / "token").write_text("s3cr3t\n")
    (tmp_path / "token").chmod(0o600)
    assert Link(f"{server.url}/x", str(tmp_path / "token"), ca=ca).ask("POST", body={"é": 1}).outcome is Delivery.SENT
    (got,) = server.got
    assert (got.path, got.json, got.headers["authorization"]) == ("/x", {"é": 1}, "Bearer s3cr3t")


def test_one_that_is_not_trusted_or_not_the_one_is_told_nothing(secure: tuple[Faulty, str]) -> None:
    server, ca = secure
    stranger = Link(server.url).ask("POST", body="{}")
    assert stranger.outcome is Delivery.UNREACHABLE
    assert stranger.detail.startswith("certificate not trusted: ")
    other = Link(server.url.replace("localhost", "127.0.0.1"), ca=ca).ask("POST", body="{}")
    assert "certificate not trusted: " in other.detail
    assert server.got == []


@pytest.mark.parametrize(
    ("what", "detail"), [("hang", "timed out"), ("reset", "closed the connection without an answer")]
)
def test_it_fails_as_http_does(secure: tuple[Faulty, str], what: str, detail: str) -> None:
    server, ca = secure
    server.plan.append(what)
    assert Link(server.url, seconds=1.5, ca=ca).ask("POST", body="{}") == Answer(Delivery.UNREACHABLE, detail)


def test_a_file_of_authorities_that_is_not_there_is_said(secure: tuple[Faulty, str]) -> None:
    assert Link(secure[0].url, ca="/no/such/file").ask("GET") == Answer(
        Delivery.UNREACHABLE, "no such file or directory"
    )


def test_delivering_loads_neither_openssl_nor_email_into_the_daemon(tmp_path: Path) -> None:
    """Not even when a webhook is signed; https is the child's."""
    code = """
import sys
import edgemon.daemon
from edgemon.alerts.notify import receivers
from edgemon.receivers import Alertmanager, Notify, Webhook
from edgemon.sysfs import Root
from tests.alerts.flips import flip
import os
fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY, 0o600)
os.write(fd, b"secret")
hooks = {"a": Webhook(url="http://127.0.0.1:1/", secret=sys.argv[1]), "b": Webhook(url="https://127.0.0.1:1/")}
for one in receivers(Notify(webhooks=hooks, alertmanagers={"c": Alertmanager(url="http://127.0.0.1:1")}), Root()):
    print(one.deliver([flip()]).detail)
print(*({"ssl", "_ssl", "_hashlib", "email", "http.client", "urllib.request", "asyncio"} & set(sys.modules)))
"""
    secret = str(tmp_path / "secret")
    ran = subprocess.run([sys.executable, "-c", code, secret], cwd=HERE, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["connection refused"] * 3 + [""]
