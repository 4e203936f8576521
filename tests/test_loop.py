"""The loop in the real daemon: two alerts ask, one is confirmed and one withdrawn; status and history tell of it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgemon import cli, logs, status
from edgemon.archive import Archive
from edgemon.cli.history import since
from edgemon.cli.status import address
from tests.alerts.server import faulty
from tests.running import Running, running, until
from tests.test_cli import ENV, Said, strict
from tests.test_daemon import QUICK, series
from tests.test_prober import aged

PATIENCE = 60.0
ASK = """
groups:
- name: ask
  interval: 1s
  rules:
  - alert: Good
    expr: >-
      edgemon_threshold{name="ask"} > 0
      unless on () edgemon_rebenchmark_alert{alertname="Good",state="withdrawn"} == 1
    labels: {action: rebenchmark, probe: good}
  - alert: Bad
    expr: edgemon_threshold{name="ask"} > 0
    labels: {action: rebenchmark, probe: bad, severity: critical}
    annotations: {description: 'Is it slow? {{ $value }} says so.'}
  - alert: Known
    expr: edgemon_rebenchmark_slowdown_ratio > 2 and on (probe) edgemon_rebenchmark_alert{state="confirmed"} == 1
    labels: {severity: info}
"""
STATES = 'edgemon_rebenchmark_alert{{probe="{}",alertname="{}",state="{}"}}'


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """Commands in this process set no handler of the log, which would outlive the test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "to_stderr", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A daemon whose probe `bad` has become thirty times slower than its baseline, after all was said and done."""
    where = tmp_path_factory.mktemp("loop")
    probe = {**QUICK, "worker": "resident", "interval": "5s", "effect": 3}
    slow = {**probe, "python": aged(where, 30)}
    settings: dict[str, Any] = {
        "probes": {"good": probe, "bad": probe}, "sensors": {"interval": "200ms"}, "gates": {"boot": 0},
        "budget": {"time": 0, "cpu": 0}, "rebenchmark": {"rounds": 4, "cool_down": "7d"}, "thresholds": {"ask": 1},
        "rules": {"files": [str(where / "rules.yml")]},
    }  # fmt: skip
    (where / "rules.yml").write_text(ASK)
    config = {"listen": "127.0.0.1:0", "state_dir": str(where / "state"), **settings}
    (where / "learn.yml").write_text(json.dumps(config))
    assert cli.main(["baseline", "record", "good", "--rounds", "8", "--config", str(where / "learn.yml")]) == 0
    archive = Archive(str(where / "state"))
    archive.keep(replace(archive.baselines()[0], probe="bad"))
    archive.close()
    (where / "before.json").write_text(json.dumps(baselines(where)))
    with running(where, **{**settings, "probes": {"good": probe, "bad": slow}}) as daemon:
        wanted = {STATES.format("good", "Good", "withdrawn"), STATES.format("bad", "Bad", "confirmed")}
        until(lambda: wanted <= set(series(daemon)), PATIENCE)
        until(lambda: "alert Good resolved" in daemon.log() and "alert Known firing" in daemon.log(), PATIENCE)
        yield daemon


def baselines(where: Path) -> Any:
    archive = Archive(str(where / "state"))
    try:
        return json.loads(json.dumps([one.to_json() for one in archive.baselines()]))
    finally:
        archive.close()


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> Said:
    capsys.readouterr()
    code = cli.main(arguments)
    return Said(code, *capsys.readouterr())


def test_an_alert_of_a_slow_probe_is_confirmed_and_one_of_a_good_probe_withdrawn(loop: Running) -> None:
    """The rule that reads the withdrawal resolves by it, another reads the better numbers; the log tells of both."""
    found, log = series(loop), loop.log()
    assert found['edgemon_rebenchmark_verdict{probe="good",state="ok"}'] == 1
    assert found['edgemon_rebenchmark_verdict{probe="bad",state="degraded"}'] == 1
    assert found['edgemon_rebenchmark_slowdown_ratio{probe="bad",baseline="pinned"}'] > 4
    assert found['edgemon_rebenchmark_rounds{probe="bad"}'] == 4
    assert found['edgemon_rebenchmarks_total{probe="bad",trigger="alert",outcome="degraded"}'] == 1
    assert 0 < found["edgemon_rebenchmark_budget_ratio"] < 0.5
    assert re.search(r"WARNING re-benchmark of bad: degraded: .*; confirmed: Bad", log)
    assert re.search(r"INFO +re-benchmark of good: (ok|improved): .*; withdrawn: Good", log)


def test_the_pinned_baseline_is_never_moved(loop: Running) -> None:
    assert baselines(loop.where) == json.loads((loop.where / "before.json").read_text())


def test_each_round_has_a_process_of_its_own(loop: Running) -> None:
    """Although the worker stays from run to run otherwise; the first is profiled, after which none stays anyway."""
    assert series(loop)['edgemon_probe_worker_left_total{probe="good",reason="rebenchmark"}'] >= 2


def test_status_says_what_is_wrong_and_its_exit_status_too(loop: Running, capsys: pytest.CaptureFixture[str]) -> None:
    it = said(capsys, "status", "--url", loop.url)
    assert it.returncode == 1
    assert "  alert Bad fires\n" in it.stdout
    assert "  probe bad is degraded\n" in it.stdout
    assert "alert Known" not in it.stdout.partition("\n\n")[0]
    assert re.search(r"^ +firing +Bad +\(.*probe=bad.*\) Is it slow\? 1 says so\.$", it.stdout, re.MULTILINE)
    assert re.search(r"^  bad +degraded: .* slower than the baseline", it.stdout, re.MULTILINE)
    assert re.search(r"^  good +\d+s ago: (ok|improved): .*; withdrawn: Good$", it.stdout, re.MULTILINE)


def test_the_json_of_status_is_what_its_document_says(loop: Running, capsys: pytest.CaptureFixture[str]) -> None:
    """The same as the daemon's answer; every key of it is in STATUS.md."""
    data = strict(said(capsys, "status", "--url", f"{loop.url}/", "--json").stdout)
    answer = strict(loop.get("/api/v1/status")[1])
    assert answer["status"] == "success"
    assert set(answer["data"]) == set(data)
    document = (Path(status.__file__).parent / "STATUS.md").read_text()
    parts = [data, *data["probes"], *data["rebenchmarks"], *data["waiting"], *data["budgets"], *data["platforms"]]
    assert {key for part in parts for key in part if f"`{key}`" not in document} == set()
    assert set(re.findall(r"^\| (`.*?) \|", document, re.MULTILINE)) == {
        f"`{'`, `'.join(keys)}`" for keys in (
            ["version", "device", "system"], ["at", "uptime"], ["well", "troubles"], *([one] for one in [*data][7:]),
        )
    }  # fmt: skip
    assert data["troubles"]
    assert data["well"] is False
    assert data["alerts"] == strict(loop.get("/api/v1/alerts")[1])["data"]["alerts"]


def test_status_can_be_watched_until_it_is_interrupted(loop: Running) -> None:
    """A line each time; the exit status is that of what was shown last."""
    command = [sys.executable, "-m", "edgemon", "status", "--url", loop.url, "--json", "--watch", "200ms"]
    with subprocess.Popen(command, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert [strict(line)["well"] for line in lines] == [False] * 3
    assert (process.returncode, errors) == (1, "")


def test_history_tells_runs_verdicts_flips_and_rebenchmarks_while_the_daemon_runs(
    loop: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(loop.where / "edgemon.yml")
    it = said(capsys, "history", "--last", "0", "--config", config)
    lines = [line.split(maxsplit=4) for line in it.stdout.splitlines()]
    assert {kind for _, _, kind, *_ in lines} == {"run", "verdict", "flip", "rebenchmark"}
    assert [line[:2] for line in lines] == sorted(line[:2] for line in lines)
    assert re.search(r"rebenchmark +bad +degraded: .*confirmed: Bad", it.stdout)
    assert re.search(r"verdict +bad +\w+ -> degraded: ", it.stdout)
    assert re.search(r"flip +good +Good resolved", it.stdout)
    assert it.stderr == "edgemon: the daemon runs; its last runs, up to nine, are not written yet\n"
    found = strict(said(capsys, "history", "bad", "--since", "1h", "--json", "--config", config).stdout)
    assert {one["probe"] for one in found} == {"bad"}
    (one,) = [one for one in found if one["kind"] == "rebenchmark"]
    assert (one["outcome"], one["makes"], one["alerts"], one["rounds"]) == ("degraded", "confirmed", ["Bad"], 4)
    flips = strict(said(capsys, "history", "--kind", "flip", "--json", "--config", config).stdout)
    assert [(one["labels"]["alertname"], one["state"]) for one in flips].count(("Good", "resolved")) == 1
    assert strict(said(capsys, "history", "--kind", "flip", "--last", "1", "--json", "--config", config).stdout) == [
        flips[-1]
    ]


def test_history_of_what_there_is_not_says_so(loop: Running, capsys: pytest.CaptureFixture[str]) -> None:
    it = said(capsys, "history", "ugly", "--config", str(loop.where / "edgemon.yml"))
    assert (it.returncode, it.stdout) == (0, "")
    assert "edgemon: nothing is known of ugly; configured: good, bad\n" in it.stderr


def test_without_a_daemon_status_is_a_sentence_and_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "edgemon.yml").write_text("listen: 127.0.0.1:1")
    it = said(capsys, "status", "--config", str(tmp_path / "edgemon.yml"))
    assert (it.returncode, it.stdout) == (3, "")
    assert it.stderr == (
        "edgemon: no edgemon answers at http://127.0.0.1:1 (connection refused); start it with `edgemon run`, or say "
        "where it is with --url\n"
    )


def test_another_server_is_told_from_a_daemon(loop: Running, capsys: pytest.CaptureFixture[str]) -> None:
    it = said(capsys, "status", "--url", f"{loop.url}/metrics")
    assert (it.returncode, it.stderr.count("is no edgemon of this version")) == (3, 1)
    assert said(capsys, "status", "--url", "kitchen").returncode == 2
    with faulty() as server:
        server.plan.extend(["garbage", "close", 200, 401])
        answers = [said(capsys, "status", "--url", server.url) for _ in range(4)]
    assert [one.returncode for one in answers] == [3] * 4
    for one, text in zip(
        answers,
        ("speaks no HTTP", "no edgemon answers", "no edgemon of this version", "--credentials FILE"),
        strict=True,
    ):
        assert text in one.stderr


def test_credentials_come_from_a_file_and_are_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "secret").write_text("me:open sesame\n")
    with faulty() as server:
        said(capsys, "status", "--url", server.url, "--credentials", str(tmp_path / "secret"))
    assert server.got[0].headers["authorization"] == "Basic bWU6b3BlbiBzZXNhbWU="


@pytest.mark.parametrize(
    ("listen", "url"),
    [("127.0.0.1:1", "http://127.0.0.1:1"), ("0.0.0.0:80", "http://127.0.0.1:80"), ("[::]:80", "http://[::1]:80")],
)
def test_the_address_to_ask_follows_from_the_one_to_listen_on(listen: str, url: str) -> None:
    assert address(listen) == url


def test_a_time_to_look_back_to_is_a_span_or_a_local_time() -> None:
    assert since("1h30m", now=10_000.0) == 10_000.0 - 5400
    assert time.localtime(since("2026-11-25 14:05"))[:5] == (2026, 11, 25, 14, 5)
    assert time.localtime(since("2026-11-25"))[:5] == (2026, 11, 25, 0, 0)


def test_check_finds_a_rule_that_asks_for_a_probe_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = {"alert": "Slow", "expr": "vector(1)", "labels": {"action": "rebenchmark", "probe": "detectr"}}
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "g", "rules": [rule]}]}))
    config = {"state_dir": str(tmp_path), "probes": {}, "rules": {"files": [str(tmp_path / "rules.yml")]}}
    (tmp_path / "edgemon.yml").write_text(json.dumps(config))
    it = said(capsys, "check", "--config", str(tmp_path / "edgemon.yml"))
    assert it.returncode == 1
    assert "problem        rule Slow asks for a re-benchmark of detectr, which is no probe here\n" in it.stdout
