"""Any HTTP service as a probe, against a server of our own: expectations, redirects, outputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgemon.probe import supervisor
from edgemon.probe.result import Outcome, Result
from tests.servers import Asked, Reply, Server, answer, ask, serving

BODY = {"label": "cat", "score": 0.75, "boxes": [[1, 2.5], [3, 4]], "nested": {"a b": None}}


def one(reply: Any, **endpoint: Any) -> tuple[Result, Server]:
    """What a probe of a server comes to that gives one reply to everything."""
    with serving({"": reply if callable(reply) else lambda asked: reply}) as server:
        return supervisor.run(ask(server, "/predict?size=3", endpoint=endpoint)), server


def test_a_get_that_is_answered_with_200_is_ok_on_one_connection_until_the_idle_start() -> None:
    result, server = one(answer(200, BODY))
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    assert {(asked.method, asked.path) for asked in server.asked} == {("GET", "/predict?size=3")}
    assert [asked.connection for asked in server.asked] == [1] * (len(server.asked) - 1) + [2]
    assert len(result.latencies) >= 3
    assert result.facts["options"]["url"] == server.url("/predict")


def test_a_post_carries_its_body_and_headers(tmp_path: Path) -> None:
    file = tmp_path / "image.jpg"
    file.write_bytes(bytes(range(256)))
    settings = {"method": "POST", "body_file": str(file), "headers": {"content-type": "image/jpeg", "host": "a.local"}}
    result, server = one(answer(200), **settings)
    assert result.outcome is Outcome.OK
    assert (server.asked[0].body, server.asked[0].headers["content-type"]) == (bytes(range(256)), "image/jpeg")
    assert server.asked[0].headers["host"] == "a.local"
    assert one(answer(200), method="POST", body="hello")[1].asked[0].body == b"hello"
    gone = one(answer(200), method="POST", body_file=str(tmp_path / "gone"))[0]
    assert gone.detail == f"body_file {tmp_path}/gone cannot be read: no such file or directory"


def test_another_body_is_another_model() -> None:
    with serving({"": lambda asked: answer(200)}) as server:
        asked = [ask(server, "/p", endpoint={"method": "POST", "body": body}) for body in ("a", "a", "b")]
        digests = [supervisor.run(replace(one, until="load")).facts["model_sha256"] for one in asked]
    assert digests[0] == digests[1] != digests[2]


HOLDS = {
    "status": {"status": [200, 204]},
    "header": {"headers": {"X-Model": "^v[0-9]+$"}},
    "body": {"body": '"label": "(cat|dog)"'},
    "assertions": {"assertions": ["score >= 0.5", 'label == "cat"', "boxes.1.0 == 3", '"nested"."a b" == null']},
}
FAILS = {
    "header": ({"headers": {"X-Model": "^w"}}, "header X-Model is v3, expected ^w"),
    "no header": ({"headers": {"X-Other": "."}}, "header X-Other is absent, expected ."),
    "body": ({"body": "dog"}, 'the body does not match dog: {"label": "cat"'),
    "assertion": ({"assertions": ["score > 0.9"]}, "score > 0.9: it is 0.75"),
    "absent": ({"assertions": ["boxes.2 present"]}, "boxes.2 present does not hold"),
}


@pytest.mark.parametrize("kind", HOLDS)
def test_what_is_expected_and_holds_is_ok(kind: str) -> None:
    assert one(answer(200, BODY, "X-Model: v3"), expect=HOLDS[kind])[0].detail == ""


@pytest.mark.parametrize("kind", FAILS)
def test_what_is_expected_and_does_not_hold_is_wrong_output_with_what_was_found(kind: str) -> None:
    expect, detail = FAILS[kind]
    result = one(answer(200, BODY, "X-Model: v3"), expect=expect)[0]
    assert (result.outcome, result.stage, result.detail[: len(detail)]) == (Outcome.WRONG_OUTPUT, "check", detail)


def test_another_status_is_failed_with_what_the_server_says() -> None:
    result, server = one(answer(503, {"error": "model is loading"}))
    assert (result.outcome, result.stage) == (Outcome.FAILED, "first")
    assert result.detail == f"GET {server.url('/predict')}: 503 Told: model is loading; expected 200"


def test_no_json_where_json_is_expected_is_wrong_output() -> None:
    result = one(answer(200, b"<html>"), expect={"assertions": ["a == 1"]})[0]
    assert (result.outcome, result.detail) == (Outcome.WRONG_OUTPUT, "the body is no JSON")


def test_numbers_in_the_body_are_held_against_golden_ones() -> None:
    moved: list[float] = []
    with serving({"": lambda asked: answer(200, {**BODY, "score": 0.75 + sum(moved)})}) as server:
        asked = ask(server, "/p", endpoint={"outputs": ["boxes", "score"]})
        plain = supervisor.run(replace(asked, record=True))
        assert [tensor["values"] for tensor in plain.outputs[0]] == [[1, 2.5, 3, 4], [0.75]]
        golden = replace(asked, golden=plain.outputs, golden_digest=plain.facts["model_sha256"])
        assert supervisor.run(golden).outcome is Outcome.OK
        moved.append(0.25)
        assert supervisor.run(golden).outcome is Outcome.WRONG_OUTPUT
    result = one(answer(200, BODY), outputs=["label"])[0]
    assert (result.outcome, result.detail) == (Outcome.WRONG_OUTPUT, "the body has no numbers at label")


# redirects


def redirect(place: str, status: int = 307) -> Any:
    def act(asked: Asked) -> Reply:
        return answer(status, b"", f"Location: {place}") if asked.path != "/good" else answer(200)

    return act


def test_a_redirect_is_refused_and_its_place_told() -> None:
    result, server = one(redirect("/good?token=x"))
    assert result.outcome is Outcome.FAILED
    assert result.detail.endswith(f"307 to {server.url('/good')}, which redirects: does not allow")
    assert "/good" not in {asked.path for asked in server.asked}


def test_a_redirect_to_the_same_origin_is_followed_where_it_is_allowed() -> None:
    result, server = one(redirect("/good"), redirects=1)
    assert result.outcome is Outcome.OK
    assert [asked.path for asked in server.asked][:2] == ["/predict?size=3", "/good"]


ELSEWHERE = [
    "http://169.254.169.254/latest/meta-data/",
    "//[fe80::1]/",
    "https://127.0.0.1/",
    "http://127.0.0.1:1/x",
    "::",
]


@pytest.mark.parametrize("place", ELSEWHERE)
def test_a_redirect_to_another_origin_is_refused_even_where_redirects_are_allowed(place: str) -> None:
    result = one(redirect(place), redirects=5)[0]
    assert result.outcome is Outcome.FAILED
    assert "another origin" in result.detail or place == "::"


def test_redirects_end() -> None:
    result, server = one(redirect("/again"), redirects=3)
    assert result.outcome is Outcome.FAILED
    assert len(server.asked) == 4


def test_a_post_is_not_made_a_get_by_a_redirect() -> None:
    result = one(redirect("/good", 302), redirects=1, method="POST")[0]
    assert result.detail == "redirected with 302, which would make a GET of the POST"


# pace


def test_requests_keep_the_rate_and_never_overlap() -> None:
    with serving({"": lambda asked: answer(200)}) as server:
        result = supervisor.run(ask(server, "/", endpoint={"rate": 20}, seconds="500ms", samples=100))
    assert 3 <= len(result.latencies) <= 11
    assert len(server.asked) <= 30
