"""Secrets of endpoint probes: sent to the server and seen nowhere else, though it repeats them wherever it can."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgemon.asking import request
from edgemon.probe import supervisor
from edgemon.probe.result import Outcome
from edgemon.schema import validate
from tests.running import running, until
from tests.servers import METADATA, MODEL, Asked, Reply, Server, answer, ask, double, good, serving

SECRET = "s3cr3t-Tq9/xY+z=="


def parrot(asked: Asked) -> str:
    """The credentials the server was given."""
    return asked.headers.get("authorization", "none")


def indiscreet() -> dict[str, Callable[[Asked], Reply]]:
    """A server that infers, and repeats the credentials in every name, header, version and error it gives."""

    def infer(asked: Asked) -> Reply:
        said = double(asked)
        return said if b" 200 " in said[:20] else answer(500, {"error": f"bad {parrot(asked)}"}, reason=parrot(asked))

    return good(
        server=lambda asked: answer(200, {"name": f"own {parrot(asked)}", "version": parrot(asked)}),
        metadata=lambda asked: answer(200, {**METADATA, "platform": parrot(asked)}, f"X-Echo: {parrot(asked)}"),
        infer=infer,
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "secrets").mkdir()
    path = tmp_path / "secrets" / "token"
    path.write_text(f"{SECRET}\n")
    return path


def header(file: Path) -> dict[str, Any]:
    return {"headers": {"Authorization": {"file": str(file), "prefix": "Bearer "}}}


def test_the_daemon_sends_the_secret_and_has_it_in_no_log_no_metric_no_page_and_no_file(
    tmp_path: Path, file: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    with serving(indiscreet()) as server:
        probe = {"model": server.url(), "interval": "10s", "idle": "0", "seconds": "100ms"}
        good_, bad = {**header(file), "faults_every": 0}, {**header(file), "faults_every": 1}
        probes = {"good": {**probe, "endpoint": good_}, "bad": {**probe, "endpoint": bad}}
        with running(work, probes=probes, log_level="debug") as daemon:

            def judged() -> str:
                page = daemon.get("/metrics")[1]
                ended = ('probe="good",outcome="ok"} 1', 'probe="bad",outcome="failed"} 1')
                return page if all(f"edgemon_probe_outcome{{{one}" in page for one in ended) else ""

            said = until(judged, 90) + daemon.get("/")[1]
        said += daemon.log()
    assert parrot(server.asked[0]) == f"Bearer {SECRET}"
    assert "not refused with a 4xx" in said
    kept = [path.read_bytes() for path in work.rglob("*") if path.is_file()]
    assert len(kept) >= 3
    assert SECRET not in said
    assert not [one for one in kept if SECRET.encode() in one]


@pytest.mark.parametrize("arguments", [["--json"], []])
def test_what_the_command_prints_and_keeps_holds_no_secret(arguments: list[str], tmp_path: Path, file: Path) -> None:
    with serving(indiscreet()) as server:
        probe = {"model": server.url(), "idle": "0", "seconds": "100ms", "endpoint": header(file)}
        (tmp_path / "c.yml").write_text(json.dumps({"state_dir": str(tmp_path / "state"), "probes": {"p": probe}}))
        command = [sys.executable, "-m", "edgemon", "probe", "p", "--config", str(tmp_path / "c.yml"), "--faults"]
        ran = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "(secret)" in ran.stdout
    assert SECRET not in ran.stdout + ran.stderr
    assert not [
        path for path in (tmp_path / "state").rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()
    ]


def test_the_request_and_the_fingerprint_hold_the_path_alone(tmp_path: Path, file: Path) -> None:
    with serving(indiscreet()) as server:
        asked = ask(server, endpoint=header(file))
        result = supervisor.run(asked)
        other = tmp_path / "other"
        other.write_text("another-secret")
        again = supervisor.run(ask(server, endpoint=header(other)))
    assert SECRET not in json.dumps(asked.to_json())
    assert SECRET not in json.dumps(result.to_json())
    assert result.facts["options"] == again.facts["options"]
    assert result.facts["runtime_version"] == "own Bearer (secret) Bearer (secret)"


def test_a_secret_that_changes_does_not_change_the_model_of_a_plain_endpoint(tmp_path: Path, file: Path) -> None:
    with serving({"": lambda asked: answer(200)}) as server:
        first = supervisor.run(ask(server, "/", endpoint=header(file)))
        file.write_text("rotated")
        again = supervisor.run(ask(server, "/", endpoint=header(file)))
    told = [{name: fact for name, fact in one.facts.items() if name != "kernels"} for one in (first, again)]
    assert told[0] == told[1]
    assert told[0]["model_sha256"]


@pytest.mark.parametrize("where", ["status", "header", "location", "body", "json"])
def test_what_a_service_repeats_of_a_secret_is_hidden(where: str, file: Path) -> None:
    def repeat(asked: Asked) -> Reply:
        said = parrot(asked)
        replies: dict[str, Reply] = {
            "status": iter([f"HTTP/9 {said}\r\n".encode()]),
            "header": answer(200, {}, f"X-Echo: {said}"),
            "location": answer(302, b"", f"Location: /{said}"),
            "body": answer(200, said.encode()),
            "json": answer(200, {"echo": said}),
        }
        return replies[where]

    expect = {"header": {"headers": {"X-Echo": "^$"}}, "body": {"body": "^$"}, "json": {"assertions": ['echo == "x"']}}
    with serving({"": repeat}) as server:
        result = supervisor.run(ask(server, "/", endpoint={**header(file), "expect": expect.get(where, {})}))
    assert result.outcome is not Outcome.OK
    assert "(secret)" in result.detail
    assert SECRET not in json.dumps(result.to_json())


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


NO_LINE = "must hold one line of printable text, up to 64 KiB"
BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "gone": (Path.unlink, "cannot be read: no such file or directory"),
    "empty": (lambda path: path.write_text("\n"), NO_LINE),
    "two lines": (lambda path: path.write_text("a: b\r\nX: y"), NO_LINE),
    "long": (lambda path: path.write_text("x" * 70000), NO_LINE),
    "pipe": (pipe, NO_LINE),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_holds_no_secret_is_named_without_its_content(kind: str, file: Path) -> None:
    act, detail = BAD[kind]
    act(file)
    result = supervisor.run(ask(Server(1), endpoint=header(file)))
    assert (result.outcome, result.detail) == (Outcome.FAILED, f"header Authorization: {file} {detail}")


def test_a_credential_of_systemd_is_found_by_its_name(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"headers": {"Authorization": {"file": "${CREDENTIALS_DIRECTORY}/token"}}}
    with serving(good()) as server:
        without = supervisor.run(ask(server, endpoint=settings))
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(file.parent))
        assert supervisor.run(ask(server, endpoint=settings)).outcome is Outcome.OK
    assert parrot(server.asked[0]) == SECRET
    assert without.detail == (
        "header Authorization: ${CREDENTIALS_DIRECTORY}/token needs a systemd service with LoadCredential="
    )


def test_other_probes_are_told_nothing_of_endpoints() -> None:
    settings = validate({"probes": {"local": {"runtime": "fake", "model": "/m"}}}).probes["local"]
    assert request("local", settings).endpoint == {}
    assert replace(request("local", settings), probe="x").rate == 0
    assert MODEL
