"""The rules in alerts/: whole, tested both ways, explained, the same on the device and in the fleet, and installed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgemon import ruled, thresholds
from edgemon.alerts import embedded, scope, trialfile
from edgemon.alerts.alert import State
from edgemon.alerts.engine import Engine
from edgemon.alerts.rules import Rule, load
from edgemon.alerts.samples import Samples
from edgemon.config import Config
from edgemon.limits import REASONS
from edgemon.platforms import discover
from edgemon.ruling import Ruling
from edgemon.store import Snapshot, Store
from edgemon.sysfs import Root
from tests import devices
from tests.alerts.test_trial import edgemon
from tests.peers import peer
from tests.running import running, until
from tests.test_ruling import fetched

HOME = Path(__file__).parents[2]
HERE = HOME / "alerts"
PLATFORMS = discover()
DEVICE, FLEET = (load([f"embedded:{name}"]) for name in ("edgemon", "fleet"))
RULES = [rule for group in (*DEVICE, *FLEET) for rule in group.rules]
ALERTS = [rule for rule in RULES if rule.alert]
EVERY = pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.name)
OWN = pytest.mark.parametrize("rule", [rule for group in DEVICE for rule in group.rules], ids=lambda rule: rule.name)
FILES = [Path(__file__).parent / "files" / f"{name}.test.yml" for name in ("edgemon", "fleet")]
TRIALS = [trial for path in FILES for trial in trialfile.read(str(path)).trials]
(BASE,) = re.findall(r'^Runbooks = "(\S+)"$', (HOME / "pyproject.toml").read_text(), re.MULTILINE)
JOINS = re.compile(r"\b(?:on|by) \(([^)]*)\)")
SERIES = re.compile(r"\b(?:edgemon|hw|system)_[a-z0-9_]+\b")


@EVERY
def test_an_alert_has_a_severity_a_summary_and_a_description(rule: Rule) -> None:
    assert re.fullmatch(r"Edgemon[A-Z][A-Za-z]+", rule.name)
    assert rule.labels["severity"] in {"critical", "warning", "info"}
    assert re.fullmatch(r"[A-Za-z][^{}]*\.", rule.annotations["summary"])
    assert rule.annotations["description"].endswith(".")


@EVERY
def test_an_alert_has_a_runbook_that_says_what_it_means_how_to_confirm_it_and_what_to_do(rule: Rule) -> None:
    """Its URL is that of a file of this repository, below the one that the project names."""
    assert rule.annotations["runbook_url"] == f"{BASE}/{rule.name}.md"
    text = (HERE / "runbooks" / f"{rule.name}.md").read_text()
    assert re.findall(r"^#+ (.*)$", text, re.MULTILINE) == [
        rule.name, "What it means", "How to confirm", "What to do",
    ]  # fmt: skip
    assert all(((HERE / "runbooks") / link.partition("#")[0]).exists() for link in re.findall(r"\]\(([^)\s]+)\)", text))


@EVERY
def test_a_runbook_speaks_of_series_and_thresholds_that_there_are(rule: Rule) -> None:
    text = (HERE / "runbooks" / f"{rule.name}.md").read_text()
    known = scope.known(RULES) | {word for one in RULES for word in SERIES.findall(one.name)}
    assert set(SERIES.findall(re.sub(r'\{[^}]*"\}', "", text))) <= known
    assert set(re.findall(r"thresholds: \{(\w+):", text)) <= set(thresholds.effective({}))


def test_there_is_no_runbook_without_an_alert_and_no_name_twice() -> None:
    names = [rule.name for rule in ALERTS]
    assert sorted(path.stem for path in (HERE / "runbooks").iterdir()) == sorted(names)


@EVERY
def test_an_alert_has_tests_in_which_it_fires_and_tests_in_which_it_stays_quiet(rule: Rule) -> None:
    expected = [bool(one.alerts) for trial in TRIALS for one in trial.alerts if one.name == rule.name]
    assert set(expected) == {False, True}


@OWN
def test_a_rule_rests_on_metrics_that_edgemon_exports_and_joins_them_by_device(rule: Rule) -> None:
    assert scope.reasons(rule.expression, scope.known(RULES)) == []
    assert all("instance" in names for names in JOINS.findall(rule.text))


def test_rules_of_the_fleet_rest_on_metrics_that_edgemon_exports_or_that_they_record() -> None:
    for rule in [rule for group in FLEET for rule in group.rules]:
        assert scope.reasons(rule.expression, scope.known(RULES)) == []


@pytest.mark.peer
@pytest.mark.parametrize("name", ["edgemon", "fleet"])
def test_promtool_finds_nothing_to_mend_in_the_rules(name: str) -> None:
    command = [peer("promtool"), "check", "rules", "--lint=all", "--lint-fatal", str(HERE / f"{name}.rules.yml")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_rules_compare_with_every_threshold_that_is_listed_and_with_no_other() -> None:
    used = {
        (name, rule.name) for rule in ALERTS for name in re.findall(r'edgemon_threshold\{name="(\w+)"\}', rule.text)
    }
    assert used == {(one.name, rule) for one in thresholds.SHIPPED for rule in one.alerts}
    assert all(one.least <= one.default <= one.most for one in thresholds.SHIPPED)


def test_a_threshold_is_exported_as_configured_or_with_its_default(tmp_path: Path) -> None:
    store = Store()
    ruling = Ruling(store, Root(), str(tmp_path), lambda _: None)
    ruling.follow(Config(thresholds={"disk_full": 0.5, "mine": 7}))
    found = {labels[0]: value for (metric, labels), value in store.commit().series.items() if metric is ruled.THRESHOLD}
    assert found == {**{one.name: one.default for one in thresholds.SHIPPED}, "disk_full": 0.5, "mine": 7}


def tables() -> Iterator[str]:
    """The tables of alerts/README.md."""
    for title, groups in (("On a device", DEVICE), ("In the fleet", FLEET)):
        yield f"### {title}\n"
        yield "| alert | severity | after | |\n| --- | --- | --- | --- |"
        for rule in [rule for group in groups for rule in group.rules if rule.alert]:
            hold = f"{rule.hold / 60:.0f} min" if rule.hold else "at once"
            link = f"[{rule.name}](runbooks/{rule.name}.md)"
            yield f"| {link} | {rule.labels['severity']} | {hold} | {rule.annotations['summary']} |"
        yield ""
    yield "### Recorded\n"
    yield "| series | |\n| --- | --- |"
    texts = {rule.name: " ".join(rule.text.split()).replace("|", "\\|") for rule in RULES if ":" in rule.name}
    yield from (f"| `{name}` | `{text}` |" for name, text in texts.items())
    yield "\n### Thresholds\n"
    yield "| name | default | | of |\n| --- | --- | --- | --- |"
    for one in thresholds.SHIPPED:
        rules = ", ".join(f"[{rule}](runbooks/{rule}.md)" for rule in one.alerts)
        yield f"| `{one.name}` | {one.default:.15g} | {one.meaning} | {rules} |"


def test_the_readme_lists_all_alerts_recorded_series_and_thresholds(request: pytest.FixtureRequest) -> None:
    path, mark = HERE / "README.md", "<!-- what follows is made by pytest --golden -->\n\n"
    head = path.read_text().partition(mark)[0]
    made = "\n".join(tables()) + "\n"
    if request.config.getoption("--golden"):
        path.write_text(head + mark + made)
    assert path.read_text().partition(mark)[2] == made


def test_the_runbook_of_an_alert_is_printed_without_a_network() -> None:
    code, lines = edgemon("runbook", "EdgemonThrottled")
    assert code == 0
    assert lines[0] == "# EdgemonThrottled"


BOARDS = {
    "coral-pcie": {"AcceleratorFailed": 1},
    "coral-pcie-hot": {"TemperatureNearThrottling": 1, "Throttled": 1},
    "coral-unbound": {"AcceleratorFailed": 1},
    "hailo-8-and-10h": {"AcceleratorFailed": 1},
    "hailo-8l-mismatch": {"AcceleratorFailed": 1},
    "hailo-8l-pi5-gen2": {"AcceleratorFailed": 1},
    "intel-arc-xe": {"Throttled": 1},
    "intel-core-ultra": {"Throttled": 2},
    "intel-myriad": {"AcceleratorFailed": 1},
    "jetson-agx-orin-jp6-hot": {"Throttled": 3},
    "nvidia-mismatch": {"AcceleratorFailed": 1},
    "raspberry-pi-3": {"Undervoltage": 2},
    "raspberry-pi-5-hot": {"Throttled": 1},
    "raspberry-pi-denied": {"Undervoltage": 2},
}
"""What fires on recorded boards: each of these was hot, capped, weak or without a working driver when it was read."""


@pytest.mark.parametrize("device", devices.DEVICES)
def test_on_a_recorded_board_only_what_is_wrong_with_it_fires(
    device: str, machine: Callable[[str], devices.Captured]
) -> None:
    root, numbers = machine(device), thresholds.effective({}).items()
    readings = [one for name in PLATFORMS.values() if name.detect(root) for one in devices.sweep(root, name)]
    readings += [ruled.THRESHOLD(value, name) for name, value in numbers]
    series = {(one.metric, one.labels): one.value for one in readings if one.value is not None}
    engine = Engine(Samples())
    engine.follow(DEVICE, 15.0)
    for at in range(60, 1500, 60):
        engine.samples.take(Snapshot(at, at, series))
        for one in engine.groups:
            engine.evaluate(one, at, 1e9 + at)
    assert [rule.error for one in engine.groups for rule in one.rules if rule.error] == []
    firing = Counter(
        rule.rule.name.removeprefix("Edgemon")
        for _, rule, it in engine.machines()
        for alert in it.active()
        if alert.state is State.FIRING
    )
    assert firing == BOARDS.get(device, {})


def test_a_daemon_evaluates_all_of_them_without_an_error(tmp_path: Path) -> None:
    """On a recorded board that is hot, with a probe; what is near its limit fires, by the name of its threshold."""
    probe = {"model": "x", "runtime": "fake", "interval": "2s", "deadline": "1ms", "idle": "0s", "despite": [*REASONS]}
    settings = {"files": ["embedded:edgemon"], "interval": "1s"}
    sensors = {"interval": "500ms"}
    root = str(HOME / "tests/devices/raspberry-pi-5-hot.capture")
    margin = {"temperature_margin": 50}
    with running(
        tmp_path, root=root, rules=settings, sensors=sensors, probes={"a": probe}, thresholds=margin
    ) as daemon:

        def rules() -> list[dict[str, object]]:
            return [rule for group in fetched(daemon.url, "/api/v1/rules")["groups"] for rule in group["rules"]]

        until(lambda: all(rule["health"] != "unknown" for rule in rules()), 60)
        until(lambda: "edgemon_probe_deadline_missed_ratio" in daemon.get("/metrics")[1], 60)
        until(lambda: any(rule["state"] != "inactive" for rule in rules() if rule["type"] == "alerting"), 60)
        assert [(rule["name"], rule.get("lastError")) for rule in rules() if rule["health"] != "ok"] == []
        assert "edgemon_process_starts 1" in daemon.get("/metrics")[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """edgemon as a wheel puts it on disk, without what it depends on."""
    where = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command = [*pip, "--no-build-isolation", "--no-compile", "--target", str(where / "site"), str(HOME)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stderr
    return where


def test_an_installed_edgemon_has_the_rules_and_their_runbooks(installed: Path) -> None:
    code = (
        "import json; from edgemon.alerts import embedded, rules\n"
        "names = [rule.name for group in rules.load(['embedded:edgemon']) for rule in group.rules]\n"
        "print(json.dumps([embedded.__file__, names, embedded.within('runbooks/EdgemonThrottled.md')]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=installed, env={**os.environ, "PYTHONPATH": str(installed / "site")},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    module, names, runbook = json.loads(ran.stdout)
    assert names == [rule.name for group in DEVICE for rule in group.rules]
    assert module.startswith(str(installed))
    assert Path(runbook).read_text() == (HERE / "runbooks" / "EdgemonThrottled.md").read_text()
    assert runbook.startswith(str(installed))


def test_an_embedded_name_is_what_alerts_are_remembered_by() -> None:
    assert {group.file for group in DEVICE} == {"embedded:edgemon"}
    assert embedded.located("embedded:edgemon") == str(HERE / "edgemon.rules.yml")
