"""Rule files: read as Prometheus reads them, and everything that is wrong with them said at once."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgemon.alerts.rulefile import Reader, seconds
from edgemon.alerts.rules import load
from edgemon.errors import ConfigError
from tests.peers import peer

GOOD = {
    "empty": "",
    "no groups": "groups:",
    "no rules": "groups: [{name: a}, {name: b, rules: }]",
    "numbers": (
        "groups: [{name: 1, limit: 3, interval: 1m30s, rules: ["
        "{alert: A, expr: 1, for: 0, labels: {n: 1, t: yes, d: 2026-01-02}}]}]"
    ),
    "durations": (
        "groups: [{name: a, query_offset: 0, interval: 1d2h, rules: ["
        "{alert: A, expr: x, for: 1y2w3d4h5m6s7ms, keep_firing_for: 5m}]}]"
    ),
    "templates": (
        "groups: [{name: a, rules: ["
        "{alert: A, expr: x, labels: {l: '{{ $value }}'}, annotations: {a: '{{ if eq $labels.a \"b\" }}{{ end }}'}}]}]"
    ),
    "null labels": "groups: [{name: a, labels: , rules: [{record: 'a:b', expr: sum(x), labels: }]}]",
    "merged": "groups: [{name: a, rules: [&a {record: 'a:b', expr: x}, {<<: *a, expr: y}]}]",
    "negative limit": "groups: [{name: a, limit: -1}]",
}
BAD = {
    "list": "[]",
    "text": "groups: {a: b}",
    "unknown key": "groups: [{name: a, rule: []}]",
    "unknown top": "group: []",
    "unknown in rule": "groups: [{name: a, rules: [{alert: A, expr: x, fo: 1m}]}]",
    "no name": "groups: [{rules: []}]",
    "name twice": "groups: [{name: a}, {name: a}]",
    "both": "groups: [{name: a, rules: [{alert: A, record: b, expr: x}]}]",
    "neither": "groups: [{name: a, rules: [{expr: x}]}]",
    "no expr": "groups: [{name: a, rules: [{alert: A}]}]",
    "bad expr": "groups: [{name: a, rules: [{alert: A, expr: 'x +'}]}]",
    "for in record": "groups: [{name: a, rules: [{record: b, expr: x, for: 1m}]}]",
    "keep in record": "groups: [{name: a, rules: [{record: b, expr: x, keep_firing_for: 1m}]}]",
    "annotated record": "groups: [{name: a, rules: [{record: b, expr: x, annotations: {a: b}}]}]",
    "duration": "groups: [{name: a, rules: [{alert: A, expr: x, for: 1}]}]",
    "duration order": "groups: [{name: a, interval: 5s1m}]",
    "limit": "groups: [{name: a, limit: many}]",
    "name label": "groups: [{name: a, rules: [{record: b, expr: x, labels: {__name__: c}}]}]",
    "braces": "groups: [{name: a, rules: [{record: 'b{c=\"d\"}', expr: x}]}]",
    "function": "groups: [{name: a, rules: [{alert: A, expr: x, annotations: {a: '{{ humanise $value }}'}}]}]",
    "open": "groups: [{name: a, rules: [{alert: A, expr: x, labels: {a: '{{ $value '}}]}]",
    "no end": "groups: [{name: a, rules: [{alert: A, expr: x, labels: {a: '{{ if $value }}'}}]}]",
    "undefined": "groups: [{name: a, rules: [{alert: A, expr: x, labels: {a: '{{ $nope }}'}}]}]",
    "key twice": "groups: [{name: a, name: b}]",
    "list of labels": "groups: [{name: a, labels: [b]}]",
    "rule is text": "groups: [{name: a, rules: [b]}]",
}


def problems(path: Path, text: str) -> list[str]:
    path.write_text(text)
    found = Reader(str(path)).read().problems
    return [problem.removeprefix(f"{path}: ") for problem in found]


@pytest.mark.peer
@pytest.mark.parametrize("text", [*GOOD.values(), *BAD.values()], ids=[*GOOD, *BAD])
def test_a_file_is_taken_or_refused_as_promtool_takes_or_refuses_it(tmp_path: Path, text: str) -> None:
    found = problems(tmp_path / "rules.yml", text)
    command = [peer("promtool"), "check", "rules", "--lint=none", str(tmp_path / "rules.yml")]
    theirs = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (not found) == (theirs.returncode == 0), (found, theirs.stderr)
    assert (not found) == (text in GOOD.values())


def test_every_problem_of_every_file_is_said_at_once_with_file_group_and_rule(tmp_path: Path) -> None:
    one, two, three = (tmp_path / name for name in ("one.yml", "two.yml", "three.yml"))
    one.write_text(
        "groups:\n"
        "- name: first\n"
        "  limits: 3\n"
        "  rules:\n"
        "  - {record: a:b, alert: C, expr: x}\n"
        "  - alert: Hot\n"
        "    expr: rate(x[5m] > 3\n"
        "    for: five minutes\n"
        "    annotations: {summary: 'ok {{ query `up` }}'}\n"
        "- name: first\n"
    )
    two.write_text("groups: [{name: a, rules: [{alert: A, expr: 'holt_winters(x[5m], 0.1, 0.1)'}]}]")
    with pytest.raises(ConfigError) as caught:
        load([str(one), str(two), str(three)])
    asks = "query asks the fleet's Prometheus; put it into the expression"
    removed = "holt_winters was removed from Prometheus 3; use predict_linear or avg_over_time"
    assert list(caught.value.problems) == [
        f"{one}: group first: unknown key limits; did you mean limit?",
        f"{one}: group first: rule 1, C: has both record and alert; take one",
        f"{one}: group first: rule 2, Hot: for: five minutes must be a duration such as 30s, 5m or 1h30m",
        f"{one}: group first: rule 2, Hot: annotations.summary: 1:7: {asks}",
        f"{one}: group first: rule 2, Hot: expr: 1:5: ( is not closed",
        f"{one}: group first: this name is given twice in the file",
        f"{two}: group a: rule 1, A: expr: 1:1: {removed}",
        f"{three}: cannot be read: no such file or directory",
    ]


def test_labels_of_a_group_are_those_of_its_rules_which_have_the_last_word(tmp_path: Path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(
        "groups: [{name: a, interval: 1m30s, query_offset: 5s, limit: 7, labels: {x: group, y: group}, rules: ["
        "{alert: A, expr: up, labels: {x: rule}, for: 1h1ms}]}]"
    )
    (group,) = load([str(tmp_path / "*.yml")])
    assert (group.key, group.interval, group.offset, group.limit) == (f"{path};a", 90.0, 5.0, 7)
    (rule,) = group.rules
    assert (rule.labels, rule.hold, rule.keep) == ({"x": "rule", "y": "group"}, 3600.001, 0.0)


def test_durations_are_those_of_prometheus() -> None:
    assert [seconds(text) for text in ("0", "0s", "5m", "1h30m", "1d", "100ms")] == [0, 0, 300, 5400, 86400, 0.1]
    for text in ("", "5", "5m1h", "1.5h", "-5m", "5 m", "m"):
        with pytest.raises(ValueError, match="must be a duration such as 30s, 5m or 1h30m"):
            seconds(text)


def test_check_says_of_each_rule_where_it_works_and_why_not_here(tmp_path: Path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(
        "groups: [{name: g, rules: ["
        "{alert: Hot, expr: hw_temperature_celsius > 80},"
        "{alert: Down, expr: up == 0},"
        '{alert: Site, expr: \'sum by (instance) (edgemon_alerts{job="edge", instance=~".*"}) > 0\'},'
        "{record: 'some:up', expr: sum(up)}, {record: 'some:hot', expr: max(hw_temperature_celsius)},"
        "{alert: Half, expr: some:up / some:hot > 1},"
        "{alert: Firing, expr: ALERTS > 0},"
        "{alert: Slow, expr: 'rate(edgemon_probe_inference_duration_seconds_bucket[5m]) > 0'},"
        "{alert: Long, expr: 'rate(up[2d]) > 0'}"
        "]}]"
    )
    command = [sys.executable, "-m", "edgemon", "rules", "check", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert dict(re.findall(r"g: (\w+(?::\w+)?): (.*)", ran.stdout)) == {
        "Hot": "device and fleet",
        "Down": "fleet only: up is no metric of edgemon",
        "Site": "fleet only: job is a label that a Prometheus adds when it scrapes",
        "some:up": "fleet only: up is no metric of edgemon",
        "some:hot": "device and fleet",
        "Half": "fleet only: some:up is recorded from what a device lacks",
        "Firing": "device and fleet",
        "Slow": "device and fleet",
        "Long": "fleet only, and refused by the device: expr: 1:6: looks back 2d; the device keeps 1d5m",
    }


def test_the_child_that_reads_rules_says_json_and_loads_in_a_clean_process(tmp_path: Path) -> None:
    (tmp_path / "r.yml").write_text("groups: [{name: a, rules: [{alert: A, expr: vector(1) > 0}]}]")
    command = [sys.executable, "-m", "edgemon.alerts.rulefile", str(tmp_path / "r.yml")]
    said = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    assert said["problems"] == []
    assert said["groups"][0]["rules"][0]["expression"]["op"] == "binary"
