"""Webhooks against a server that fails in every way, and against the library by which receivers verify them."""

from __future__ import annotations

import base64
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from edgemon.alerts.post import Exchange, exchange
from edgemon.alerts.receiver import Answer, Delivery, Link, sort
from edgemon.alerts.webhook import Webhook
from edgemon.web import Reply, wait
from tests.alerts.flips import flip
from tests.alerts.server import Faulty, faulty

KEY = b"0123456789abcdef0123456789abcdef"
SIGNED = f"whsec_{base64.b64encode(KEY).decode()}"


@pytest.fixture
def server() -> Iterator[Faulty]:
    with faulty() as it:
        yield it


def kept(where: Path, text: str, mode: int = 0o600) -> str:
    """A secret in a file."""
    (where / "secret").write_text(text + "\n")
    (where / "secret").chmod(mode)
    return str(where / "secret")


def hook(server: Faulty, sign: str = "", seconds: float = 10.0, token: str = "") -> Webhook:
    return Webhook("webhook/pager", Link(f"{server.url}/hook?a=b", token, seconds), sign, {"instance": "kitchen"})


def test_a_receiver_verifies_what_we_signed_with_the_library_of_the_standard(server: Faulty, tmp_path: Path) -> None:
    assert hook(server, kept(tmp_path, SIGNED)).deliver([flip()]).outcome is Delivery.SENT
    (got,) = server.got
    assert Verifier(SIGNED).verify(got.body, got.headers)["version"] == "4"
    for damage in ({"webhook-id": "other"}, {"webhook-timestamp": f"{time.time() + 1:.0f}"}):
        with pytest.raises(WebhookVerificationError):
            Verifier(SIGNED).verify(got.body, {**got.headers, **damage})
    with pytest.raises(WebhookVerificationError):
        Verifier(SIGNED).verify(got.body.replace(b"kitchen", b"chicken"), got.headers)


def test_a_replay_is_refused_for_its_time(server: Faulty, tmp_path: Path) -> None:
    """What was signed ten minutes ago is refused by the library, although its signature is right."""
    old = hook(server, kept(tmp_path, SIGNED))
    old._wall = lambda: time.time() - 600
    old.deliver([flip()])
    with pytest.raises(WebhookVerificationError, match="too old"):
        Verifier(SIGNED).verify(server.got[0].body, server.got[0].headers)


def test_a_secret_that_is_no_base64_is_its_bytes(server: Faulty, tmp_path: Path) -> None:
    hook(server, kept(tmp_path, "correct horse battery staple")).deliver([flip()])
    (got,) = server.got
    assert Verifier(b"correct horse battery staple").verify(got.body, got.headers)


def test_the_id_is_the_same_each_time_and_another_for_each_flip(server: Faulty) -> None:
    one = hook(server)
    server.plan.append(500)
    for told in (flip(), flip(), flip(state="resolved")):
        one.deliver([told])
    ids = [got.headers["webhook-id"] for got in server.got]
    assert ids[0] == ids[1] != ids[2]
    assert "webhook-signature" not in server.got[0].headers


@pytest.mark.parametrize(
    ("what", "outcome", "detail", "pause"),
    [
        (204, "sent", "", 0),
        (500, "failed", "status 500", 0),
        (503, "unreachable", "status 503", 0),
        ((503, {"Retry-After": "120"}), "unreachable", "status 503", 120),
        ((429, {"Retry-After": "7"}), "unreachable", "status 429", 7),
        ((429, {"Retry-After": "999999"}), "unreachable", "status 429", 3600),
        (408, "unreachable", "status 408", 0),
        (400, "refused", "status 400", 0),
        (404, "refused", "status 404", 0),
        ((302, {"Location": "http://127.0.0.1:1/x?key=y"}), "unreachable", "redirects to http://127.0.0.1:1/x,", 0),
        ("hang", "unreachable", "timed out", 0),
        ("drip", "unreachable", "timed out", 0),
        ("reset", "unreachable", "connection reset by peer", 0),
        ("close", "unreachable", "closed the connection without an answer", 0),
        ("garbage", "unreachable", "no http", 0),
        ("flood", "sent", "", 0),
    ],
)
def test_every_way_to_answer_has_its_outcome(server: Faulty, what: Any, outcome: str, detail: str, pause: int) -> None:
    """A hang and an endless head end at the deadline; of an endless body a bounded part is read; none is followed."""
    server.plan.append(what)
    answer = hook(server, seconds=0.7).deliver([flip()])
    assert (answer.outcome.value, answer.wait) == (outcome, pause)
    assert detail in answer.detail
    assert len(server.got) == 1


def test_nobody_there_is_unreachable() -> None:
    link = Link("http://127.0.0.1:1/hook")
    assert link.ask("POST", body="{}") == Answer(Delivery.UNREACHABLE, "connection refused")
    assert Link("http://no-such-host.invalid/").ask("GET").outcome is Delivery.UNREACHABLE


def test_a_date_in_retry_after_is_taken_against_the_servers_clock() -> None:
    """Ours may be years off."""
    date = {"date": "Sun, 06 Nov 1994 08:49:37 GMT", "retry-after": "Sun, 06 Nov 1994 08:50:37 GMT"}
    assert wait(date) == 60.0
    assert wait({"retry-after": "Sun, 06 Nov 1994 08:50:37 GMT"}) == wait({"retry-after": "soon"}) == 0.0


def test_an_answer_is_read_to_a_bound(server: Faulty) -> None:
    server.plan.append("flood")
    assert len(exchange(Exchange(server.url, seconds=5.0)).body) == 65536


def test_a_token_is_sent_and_never_shown(server: Faulty, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not even when the receiver says it back."""
    caplog.set_level(logging.DEBUG)
    token = kept(tmp_path, "s3cr3t-t0ken")
    hook(server, token=token).deliver([flip()])
    assert server.got[0].headers["authorization"] == "Bearer s3cr3t-t0ken"
    assert "s3cr3t" not in caplog.text
    link = Link(server.url, token)
    assert "s3cr3t" not in repr(link)


@pytest.mark.parametrize(
    ("text", "mode", "problem"),
    [
        ("fine", 0o644, "is open to every user; take that away: chmod o-rwx"),
        ("", 0o600, "must be one line of 1 to 4096 bytes"),
        ("two\nlines", 0o600, "must be one line of 1 to 4096 bytes"),
        ("x" * 5000, 0o600, "must be one line of 1 to 4096 bytes"),
        ("whsec_???", 0o600, "begins with whsec_, but what follows is not base64"),
    ],
)
def test_a_secret_that_cannot_be_used_is_said_and_nothing_is_sent(
    server: Faulty, tmp_path: Path, text: str, mode: int, problem: str
) -> None:
    answer = hook(server, kept(tmp_path, text, mode)).deliver([flip()])
    assert answer.outcome is Delivery.UNREACHABLE
    assert problem in answer.detail
    assert not text or text not in answer.detail
    assert server.got == []


def test_a_secret_may_be_a_systemd_credential(server: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(tmp_path, SIGNED, 0o400)
    os.rename(tmp_path / "secret", tmp_path / "pager")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    name = "${CREDENTIALS_DIRECTORY}/pager"
    assert "needs a systemd service with LoadCredential=" in hook(server, name).deliver([flip()]).detail
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert hook(server, name).deliver([flip()]).outcome is Delivery.SENT
    assert Verifier(SIGNED).verify(server.got[0].body, server.got[0].headers)


def test_a_check_tells_nothing(server: Faulty) -> None:
    """A HEAD is enough to see that somebody answers."""
    assert hook(server).check().outcome is Delivery.SENT
    assert [(got.method, got.body) for got in server.got] == [("HEAD", b"")]
    assert Webhook("webhook/x", Link("http://127.0.0.1:1/"), "", {}).check().outcome is Delivery.UNREACHABLE


def test_every_status_has_an_outcome() -> None:
    assert {sort(Reply(status)).outcome for status in range(200, 300)} == {Delivery.SENT}
    assert {sort(Reply(status)).outcome for status in range(300, 400)} == {Delivery.UNREACHABLE}
    assert {sort(Reply(status)).outcome for status in range(400, 500)} == {Delivery.REFUSED, Delivery.UNREACHABLE}
    assert Delivery.SENT not in {sort(Reply(status)).outcome for status in range(500, 1000)}
