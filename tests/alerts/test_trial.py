"""promtool's rule unit tests, run by promtool and by edgemon: the same outcome, and the same words for what failed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgemon.alerts import notation
from edgemon.alerts.trialfile import read
from edgemon.errors import ConfigError
from tests.peers import peer

FILES = sorted((Path(__file__).parent / "files").glob("*.test.yml"))
HEADS = ("Unit Testing:", "  SUCCESS", "  FAILED:")


def edgemon(*arguments: str) -> tuple[int, list[str]]:
    command = [sys.executable, "-m", "edgemon", "rules", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert not ran.stderr, ran.stderr
    return ran.returncode, said(ran.stdout)


def promtool(path: Path) -> tuple[int, list[str]]:
    command = [peer("promtool"), "test", "rules", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return ran.returncode, said(ran.stdout + ran.stderr)


def said(text: str) -> list[str]:
    """The lines that say something of a test; promtool puts a comma after some annotations and none after others."""
    return [line.rstrip(" ,") for line in text.splitlines() if line.strip() and not line.startswith(HEADS)]


@pytest.mark.peer
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_promtool_and_edgemon_pass_and_fail_the_same_and_say_the_same_of_it(path: Path) -> None:
    ours, theirs = edgemon("test", str(path)), promtool(path)
    assert ours[0] == theirs[0] == int(path.name.startswith(("failing", "erring")))
    assert sorted(ours[1]) == sorted(theirs[1])


@pytest.mark.peer
def test_samples_between_two_evaluations_are_seen_by_the_next_as_in_promtool(tmp_path: Path) -> None:
    path = tmp_path / "a.test.yml"
    path.write_text(
        "tests:\n"
        "- interval: 15s\n"
        "  input_series: [{series: x, values: '0+1x20 stale 5 _ _ 1e3 -2-3x2 Inf'}]\n"
        "  promql_expr_test:\n" + "".join(f"  - {{expr: x, eval_time: {at}s}}\n" for at in range(0, 600, 35))
    )
    ours, theirs = edgemon("test", str(path)), promtool(path)
    assert ours == theirs
    assert ours[0] == 1


def test_what_is_wrong_with_a_file_of_tests_is_said_all_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.test.yml"
    path.write_text(
        "rule_file: [a.yml]\n"
        "evaluation_interval: 1 minute\n"
        "tests:\n"
        "- name: one\n"
        "  input_series: [{series: 'x{', values: '1 2'}, {series: x, values: '1 2y'},\n"
        "    {series: x, values: '{{schema:1}}'}]\n"
        "  alert_rule_test: [{eval_time: 1m, exp_alert: []}]\n"
        "  promql_expr_test: [{expr: x, eval_time: 1, exp_samples: [{value: many}]}]\n"
    )
    with pytest.raises(ConfigError) as caught:
        read(str(path))
    assert [problem.removeprefix(f"{path}: ") for problem in caught.value.problems] == [
        "unknown key rule_file; did you mean rule_files?",
        "evaluation_interval: 1 minute must be a duration such as 30s, 5m or 1h30m",
        'test 1, one: input_series x{: must be a series, such as up{job="node"}',
        "test 1, one: input_series x: 2y is no sample; write 1, 1+2x3, 1x3, _, _x3 or stale",
        "test 1, one: input_series x: {{schema:1}}: native histograms are not kept by the device",
        "test 1, one: unknown key exp_alert; did you mean exp_alerts?",
        "test 1, one: an item under alert_rule_test has no alertname",
        "test 1, one: value: many must be a number, .inf or .nan",
        'test 1, one: eval_time: "1" must be a duration such as 30s, 5m or 1h30m',
    ]


def test_a_series_is_written_in_any_of_promtools_ways() -> None:
    for text in ('a{b="c"}', '{"a", b="c"}', "{__name__='a', b=`c`,}", 'a { b = "c" }'):
        assert notation.metric(text) == (("__name__", "a"), ("b", "c"))
    assert notation.metric("{}") == ()
    assert notation.values("1-1x2 _x2 7x1") == [1.0, 0.0, -1.0, None, None, 7.0, 7.0]
