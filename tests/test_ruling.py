"""Rules in the daemon: followed, evaluated on their lane, remembered, announced, and served as Prometheus does."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from edgemon import ruled
from edgemon.alerts.flip import Flip
from edgemon.config import Config, Rules
from edgemon.ruling import Ruling
from edgemon.store import Store
from edgemon.sysfs import Root
from tests.alerts.oracle import free
from tests.peers import peer
from tests.running import running, until

RULES = """
groups:
- name: one
  interval: 1s
  labels: {team: edge}
  rules:
  - {record: "hot:twice", expr: 'edgemon_threshold{name="hot"} * 2'}
  - alert: Hot
    expr: hot:twice > 100
    labels: {severity: page}
    annotations: {summary: 'It is {{ $value }}.'}
"""
FIXED = """
groups:
- name: one
  interval: 1s
  labels: {team: edge}
  rules:
  - {record: "two:twice", expr: vector(1) * 2}
  - alert: Always
    expr: two:twice > 0
    labels: {severity: page}
    annotations: {summary: 'It is {{ $value }}.'}
  - {alert: Later, expr: vector(7), for: 1h, keep_firing_for: 5m}
  - {alert: Never, expr: vector(1) > 5}
  - {alert: Kept, expr: 'absent(two:again)', keep_firing_for: 1h}
  - {record: "two:again", expr: vector(1)}
- name: two
  limit: 5
  rules:
  - {alert: Erring, expr: 'vector(1) + on () group_left () (label_replace(vector(1), "a", "b", "", "") or vector(1))'}
"""


def configured(where: Path, hot: float, text: str = RULES) -> Config:
    (where / "rules.yml").write_text(text)
    return Config(rules=Rules(files=(str(where / "rules.yml"),)), thresholds={"hot": hot})


def ruling(where: Path, announce: Any) -> Ruling:
    return Ruling(Store(), Root(), str(where / "state"), announce)


def go(one: Ruling) -> None:
    """A sweep and an evaluation."""
    one._store.commit()
    one.evaluate(one.engine.groups[0])


def test_a_breach_is_announced_once_and_again_under_the_same_identity_after_a_restart(tmp_path: Path) -> None:
    said: list[Flip] = []
    for _ in range(2):
        one = ruling(tmp_path, said.extend)
        one.follow(configured(tmp_path, 80))
        for _ in range(3):
            go(one)
        one._memory.close()
    assert len({flip.identity for flip in said}) == 1
    assert len(said) == 2, "once when it began to fire, and once by the engine that starts"


def test_a_power_cut_before_the_announcement_loses_nothing(tmp_path: Path) -> None:
    tried: list[Flip] = []

    def cut(flips: Sequence[Flip]) -> None:
        tried.extend(flips)
        raise KeyboardInterrupt

    one = ruling(tmp_path, cut)
    one.follow(configured(tmp_path, 80))
    with pytest.raises(KeyboardInterrupt):
        go(one)
    one._memory.close()
    said: list[Flip] = []
    two = ruling(tmp_path, said.extend)
    two.follow(configured(tmp_path, 80))
    assert [flip.identity for flip in said] == [flip.identity for flip in tried] != []
    two._memory.close()


def test_what_was_resolved_and_not_announced_is_announced_by_the_next_start_and_only_by_it(tmp_path: Path) -> None:
    said: list[Flip] = []
    one = ruling(tmp_path, said.extend)
    one.follow(configured(tmp_path, 80))
    go(one)

    def cut(_flips: Sequence[Flip]) -> None:
        raise KeyboardInterrupt

    one._announce = (cut,)
    one._store.put("edgemon.thresholds", [ruled.THRESHOLD(1, "hot")])
    with pytest.raises(KeyboardInterrupt):
        go(one)
    one._memory.close()
    for _ in range(2):
        two = ruling(tmp_path, said.extend)
        two.follow(configured(tmp_path, 1))
        go(two)
        two._memory.close()
    assert [flip.state.value for flip in said] == ["firing", "resolved"]
    assert said[0].starts_at == said[1].starts_at


def test_an_alert_whose_rule_is_gone_after_a_restart_is_resolved(tmp_path: Path) -> None:
    said: list[Flip] = []
    one = ruling(tmp_path, said.extend)
    one.follow(configured(tmp_path, 80))
    go(one)
    one._memory.close()
    two = ruling(tmp_path, said.extend)
    two.follow(configured(tmp_path, 80, "groups: []"))
    assert [flip.state.value for flip in said] == ["firing", "resolved"]
    two._memory.close()


def test_rules_that_cannot_be_read_leave_those_before_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = ruling(tmp_path, lambda _flips: None)
    one.follow(configured(tmp_path, 80))
    one.follow(configured(tmp_path, 80, "groups: [{name: a, rule: []}]"))
    assert [group.group.name for group in one.engine.groups] == ["one"]
    assert ruled.RULES_SUCCESS(0.0) in list(one.readings())
    assert "group a: unknown key rule; did you mean rules?" in caplog.text
    assert "the old ones go on" in caplog.text
    one._memory.close()


def test_a_start_whose_rules_cannot_be_read_forgets_nothing(tmp_path: Path) -> None:
    said: list[Flip] = []
    for text in (RULES, "groups: [{name: a, rule: []}]", RULES):
        one = ruling(tmp_path, said.extend)
        one.follow(configured(tmp_path, 80, text))
        one.lane.start()
        if one.engine.groups:
            go(one)
        one.stop(5.0)
    assert len({flip.identity for flip in said}) == 1
    assert {flip.state.value for flip in said} == {"firing"}


def test_times_are_remembered_with_the_boot_they_are_of(tmp_path: Path) -> None:
    assert ruling(tmp_path, list)._now().boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_the_daemon_fires_survives_being_killed_and_goes_on_pending(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(FIXED)
    settings: dict[str, Any] = {
        "probes": {}, "sensors": {"interval": "200ms"},
        "rules": {"files": [str(tmp_path / "rules.yml")], "interval": "1s"}, "thresholds": {"hot": 80},
    }  # fmt: skip
    with running(tmp_path, **settings) as daemon:
        until(lambda: "alert Always firing" in daemon.log())
        active = {one["labels"]["alertname"]: one for one in alerts(daemon.url)}
        until(lambda: re.search(r'edgemon_alerts\{alertname="Always",state="firing"\} 1', daemon.get("/metrics")[1]))
        assert 'edgemon_threshold{name="hot"} 80' in daemon.get("/metrics")[1]
        daemon.process.send_signal(signal.SIGKILL)
        daemon.process.wait()
    assert {name: one["state"] for name, one in active.items()} == {
        "Always": "firing", "Later": "pending", "Kept": "firing",
    }  # fmt: skip
    with running(tmp_path, **settings) as daemon:
        again = {one["labels"]["alertname"]: one for one in alerts(daemon.url)}
    assert {name: one["activeAt"] for name, one in again.items()} == {
        name: one["activeAt"] for name, one in active.items()
    }


def alerts(url: str) -> Any:
    return fetched(url, "/api/v1/alerts")["alerts"]


def fetched(url: str, path: str) -> Any:
    with urllib.request.urlopen(url + path, timeout=10) as answer:
        said = json.load(answer)
    assert said["status"] == "success"
    return said["data"]


@contextlib.contextmanager
def prometheus(where: Path) -> Iterator[str]:
    """A real one with the same rule file and nothing to scrape."""
    port, rules = free(), where / "rules.yml"
    (where / "prometheus.yml").write_text(f"global: {{evaluation_interval: 1s}}\nrule_files: ['{rules}']\n")
    arguments = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}"]
    with (where / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [peer("prometheus"), *arguments], cwd=where, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def timeless(value: Any) -> Any:
    """Without what differs from one evaluation to the next; the types of that stay."""
    if isinstance(value, dict):
        return {
            key: type(one).__name__
            if key in {"evaluationTime", "lastEvaluation", "activeAt", "keepFiringSince"}
            else timeless(one)
            for key, one in value.items()
        }
    return [timeless(one) for one in value] if isinstance(value, list) else value


def evaluated(url: str) -> bool:
    with contextlib.suppress(OSError):
        groups = fetched(url, "/api/v1/rules")["groups"]
        return bool(groups) and all(rule["health"] != "unknown" for group in groups for rule in group["rules"])
    return False


@pytest.mark.peer
def test_alerts_and_rules_are_served_to_the_letter_as_prometheus_serves_them(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(FIXED)
    rules = {"files": [str(tmp_path / "rules.yml")], "interval": "1s"}
    with (
        running(tmp_path, probes={}, sensors={"interval": "1s"}, rules=rules) as daemon,
        prometheus(tmp_path) as theirs,
    ):
        for url in (daemon.url, theirs):
            until(lambda url=url: evaluated(url))
            until(lambda url=url: any("keepFiringSince" in one for one in alerts(url)))
        for path in (
            "/api/v1/alerts", "/api/v1/rules", "/api/v1/rules?type=alert", "/api/v1/rules?type=record",
            "/api/v1/rules?rule_name[]=Never&rule_name[]=Later", "/api/v1/rules?rule_group[]=two",
            "/api/v1/rules?file[]=none", "/api/v1/rules?exclude_alerts=true",
        ):  # fmt: skip
            ours = timeless(fetched(daemon.url, path))
            assert json.dumps(ours, indent=1) == json.dumps(timeless(fetched(theirs, path)), indent=1), path
        assert daemon.get("/api/v1/rules?type=odd")[0] == 400
