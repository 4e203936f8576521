"""The rules in alerts/: whole, tested both ways, explained, and the same on the device and in the fleet."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgemon.alerts import scope, trialfile
from edgemon.alerts.rules import Rule, load

HOME = Path(__file__).parents[2]
(GROUP,) = load([str(HOME / "alerts" / "edgemon.rules.yml")])
EVERY = pytest.mark.parametrize("rule", GROUP.rules, ids=lambda rule: rule.name)
TRIALS = trialfile.read(str(Path(__file__).parent / "files" / "edgemon.test.yml")).trials


@EVERY
def test_an_alert_has_a_severity_a_summary_and_a_description(rule: Rule) -> None:
    assert re.fullmatch(r"Edgemon[A-Z][A-Za-z]+", rule.name)
    assert rule.labels["severity"] in {"critical", "warning", "info"}
    assert re.fullmatch(r"[A-Za-z][^{}]*\.", rule.annotations["summary"])
    assert rule.annotations["description"].endswith(".")


@EVERY
def test_an_alert_has_a_runbook_that_says_what_it_means_how_to_confirm_it_and_what_to_do(rule: Rule) -> None:
    assert rule.annotations["runbook_url"] == f"alerts/runbooks/{rule.name}.md"
    text = (HOME / rule.annotations["runbook_url"]).read_text()
    assert re.findall(r"^#+ (.*)$", text, re.MULTILINE) == [
        rule.name, "What it means", "How to confirm", "What to do",
    ]  # fmt: skip


def test_there_is_no_runbook_without_an_alert() -> None:
    assert {path.stem for path in (HOME / "alerts" / "runbooks").iterdir()} == {rule.name for rule in GROUP.rules}


@EVERY
def test_an_alert_has_a_test_in_which_it_fires_and_one_in_which_it_stays_quiet(rule: Rule) -> None:
    expected = [bool(one.alerts) for trial in TRIALS for one in trial.alerts if one.name == rule.name]
    assert sorted(expected) == [False, True]


@EVERY
def test_an_alert_rests_on_metrics_that_edgemon_exports_and_joins_them_by_device(rule: Rule) -> None:
    assert scope.reasons(rule.expression, scope.known(GROUP.rules)) == []
    assert all("instance" in names for names in re.findall(r"\b(?:on|by) \(([^)]*)\)", rule.text))
