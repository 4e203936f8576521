"""What counts as trouble, and what does not; what of the snapshot the status shows."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgemon import alerting, catalog, inference, pushed, rebenched, ruled, status
from edgemon.gates import Held
from edgemon.metric import Reading
from edgemon.sinks.pages import Overview
from tests.rebenched import Device
from tests.simulated import snapshot

WELL = (
    catalog.CONFIG_SUCCESS(1.0), ruled.RULES_SUCCESS(1.0), catalog.ARCHIVE_STATE(1.0, "disk"),
    catalog.ARCHIVE_STATE(0.0, "memory"), ruled.MEMORY_STATE(1.0, "disk"), alerting.OUTBOX_STATE(1.0, "disk"),
    catalog.SENSOR_STATE(1.0, "hwmon", "fans", "absent"), catalog.SENSOR_STATE(0.0, "hwmon", "fans", "error"),
)  # fmt: skip


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def told(
    device: Device, *readings: Reading, stuck: str = "", alerts: tuple[dict[str, Any], ...] = (), **more: Any
) -> Any:
    ruling = SimpleNamespace(alerts=lambda: json.dumps({"status": "success", "data": {"alerts": alerts}}).encode())
    probing = SimpleNamespace(rebenching=device.it, states=lambda: more.get("probes", [("a", None, None)]))
    page = Overview("board", "system", [], [])
    answer = json.loads(status.answer(snapshot(*WELL, *readings), page, probing, ruling, stuck))
    assert answer["status"] == "success"
    return answer["data"]


def alert(severity: str = "", state: str = "firing") -> dict[str, Any]:
    return {"labels": {"alertname": "Hot", "severity": severity}, "state": state}


TROUBLES = [
    (catalog.CONFIG_SUCCESS(0.0), "the configuration was refused; an older one is in force"),
    (ruled.RULES_SUCCESS(0.0), "the rule files were refused; older ones are in force, if any"),
    (catalog.ARCHIVE_STATE(1.0, "memory"), "results and baselines are kept in memory only"),
    (catalog.ARCHIVE_STATE(1.0, "failing"), "results and baselines are not written to disk"),
    (ruled.MEMORY_STATE(1.0, "memory"), "the memory of alerts is kept in memory only"),
    (alerting.OUTBOX_STATE(1.0, "memory"), "waiting notifications are kept in memory only"),
    (catalog.SENSOR_STATE(1.0, "hwmon", "fans", "error"), "sensor hwmon.fans: error"),
    (catalog.SENSOR_STATE(1.0, "hwmon", "fans", "timeout"), "sensor hwmon.fans: timeout"),
]


@pytest.mark.parametrize(("reading", "text"), TROUBLES, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_wrong_is_named(device: Device, reading: Reading, text: str) -> None:
    data = told(device, reading)
    assert (data["well"], data["troubles"]) == (False, [text])


def test_all_is_well_while_nothing_is_wrong(device: Device) -> None:
    """An absent or denied sensor, an alert that is pending or only informs, and a probe that has not run are not."""
    denied = catalog.SENSOR_STATE(1.0, "linux", "disks", "denied")
    data = told(device, denied, alerts=(alert("info"), alert("none"), alert("critical", "pending")))
    assert (data["well"], data["troubles"]) == (True, [])
    assert data["sensors"] == [{"platform": "linux", "sensor": "disks", "state": "denied"}]
    assert len(data["alerts"]) == 3


def test_a_firing_alert_a_bad_probe_and_a_stuck_lane_are_trouble(device: Device) -> None:
    device.learn()
    device.took["a"] = 2.0
    slow = device.turns(3)
    data = told(device, stuck="lane sensing is stuck", alerts=(alert(),), probes=[("a", slow, Held("hot", "81 °C"))])
    assert data["troubles"] == ["lane sensing is stuck", "alert Hot fires", "probe a is degraded"]
    (probe,) = data["probes"]
    assert (probe["state"], probe["waits"]) == ("degraded", {"reason": "hot", "text": "81 °C"})
    assert 1.9 < probe["slowdown"] < 2.1
    assert probe["causes"][0]["name"] == "unexplained"


def test_buffers_budgets_and_the_next_run_come_from_the_snapshot(device: Device) -> None:
    data = told(
        device,
        alerting.QUEUED(3.0, "webhook/x"), alerting.DROPPED(2.0, "webhook/x", "refused"),
        alerting.DROPPED(1.0, "webhook/x", "overflow"), alerting.DROPPED(9.0, "webhook/y", "refused"),
        alerting.LAST_SUCCESS(7.0, "webhook/x"), inference.PROBE_BUDGET(0.5, "", "cpu"),
        rebenched.REBENCHMARK_BUDGET(0.25), inference.PROBE_NEXT(99.0, "a"),
        pushed.BUFFERED(5.0, "metrics"), pushed.DROPPED(4.0, "metrics", "age"), pushed.DROPPED(9.0, "logs", "age"),
    )  # fmt: skip
    assert data["buffers"] == [
        {"name": "webhook/x", "queued": 3, "dropped": 3, "last_success": 7.0},
        {"name": "otlp/metrics", "queued": 5, "dropped": 4, "last_success": None},
    ]
    assert [(one["resource"], one["period"], one["used"]) for one in data["budgets"]] == [
        ("cpu", "hour", 0.5), ("rebenchmark", "day", 0.25),
    ]  # fmt: skip
    assert data["probes"][0]["next_run"] == 99.0


def test_rebenchmarks_and_what_they_wait_for_are_shown(device: Device) -> None:
    device.learn()
    device.fire(probe="a")
    device.until(device.now + 60)
    device.fire("Other", probe="a")
    device.until(device.now + 60)
    data = told(device)
    (last,) = data["rebenchmarks"]
    assert (last["outcome"], last["makes"], last["alerts"]) == ("ok", "withdrawn", ["Slow"])
    (waiting,) = data["waiting"]
    assert (waiting["probe"], waiting["reason"]) == ("a", "cool_down")
