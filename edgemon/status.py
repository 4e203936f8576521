"""The status of a running daemon in one answer: /api/v1/status, which `edgemon status` shows (STATUS.md).

From memory: the snapshot, the findings of the probes, the alerts of the rule engine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from edgemon import __version__, alerting, catalog, inference, pushed, rebenched, ruled
from edgemon.finding import Finding, summary
from edgemon.gates import Held, every
from edgemon.judge.statistics import median
from edgemon.judge.verdict import State
from edgemon.metric import Metric
from edgemon.rebenching import Rebenching
from edgemon.sinks.pages import Overview
from edgemon.store import Snapshot

SILENT = ("timeout", "error", "denied")
"""States of a sensor that are shown; the first two are trouble."""
HARMLESS = ("info", "none")
"""Severities of alerts that are no trouble."""
REFUSED = {
    catalog.CONFIG_SUCCESS: "the configuration was refused; an older one is in force",
    ruled.RULES_SUCCESS: "the rule files were refused; older ones are in force, if any",
}
KEPT = {
    catalog.ARCHIVE_STATE: "results and baselines are",
    ruled.MEMORY_STATE: "the memory of alerts is",
    alerting.OUTBOX_STATE: "waiting notifications are",
    pushed.STATE: "what waits to be pushed is",
}
"""What is on disk, or else in trouble."""


class Probing(Protocol):
    """The probing side of the daemon."""

    rebenching: Rebenching

    def states(self) -> Iterable[tuple[str, Finding | None, Held | None]]:
        """Name, last finding and what it waits for, of every probe."""


class Ruling(Protocol):
    """The rules side of the daemon."""

    def alerts(self) -> bytes:
        """The body of /api/v1/alerts."""


def answer(snapshot: Snapshot, overview: Overview, probing: Probing, ruling: Ruling, stuck: str) -> bytes:
    """The body of /api/v1/status."""
    firing, again = json.loads(ruling.alerts())["data"]["alerts"], probing.rebenching
    shown = [_probe(snapshot, *one) for one in probing.states()]
    sensors = list(_sensors(snapshot))
    troubles = list(_troubles(snapshot, firing, shown, sensors, stuck))
    data = {
        "version": __version__,
        "device": overview.device,
        "system": overview.system,
        "at": round(time.time(), 3),
        "uptime": _value(snapshot, catalog.PROCESS_UPTIME),
        "well": not troubles,
        "troubles": troubles,
        "alerts": firing,
        "probes": shown,
        "rebenchmarks": [one.to_json() for _, one in sorted(again.ledger.last.items())],
        "waiting": [{"probe": name, **_held(held)} for name, held in sorted(again.waits.items())],
        "budgets": list(_budgets(snapshot)),
        "buffers": list(_buffers(snapshot)),
        "platforms": [{"name": row.name, "state": row.state, "text": row.text} for row in overview.platforms],
        "sensors": sensors,
    }
    return json.dumps({"status": "success", "data": data}).encode()


def _troubles(
    snapshot: Snapshot,
    alerts: Sequence[Mapping[str, Any]],
    probes: Sequence[Mapping[str, Any]],
    sensors: Sequence[Mapping[str, str]],
    stuck: str,
) -> Iterator[str]:
    """What is wrong, each in a few words."""
    if stuck:
        yield stuck
    for metric, text in REFUSED.items():
        if _value(snapshot, metric) == 0:
            yield text
    for metric, what in KEPT.items():
        bad = [labels[0] for labels, value in every(snapshot, metric) if value and labels[0] != "disk"]
        yield from (f"{what} {'not written to disk' if one == 'failing' else 'kept in memory only'}" for one in bad)
    for one in alerts:
        if one["state"] == "firing" and one["labels"].get("severity") not in HARMLESS:
            yield f"alert {one['labels']['alertname']} fires"
    yield from (f"probe {one['name']} is {one['state']}" for one in probes if one["state"] in {"degraded", "failing"})
    yield from (
        f"sensor {one['platform']}.{one['sensor']}: {one['state']}" for one in sensors if one["state"] in SILENT[:2]
    )


def _probe(snapshot: Snapshot, name: str, finding: Finding | None, held: Held | None) -> dict[str, Any]:
    """A probe with its verdict and why; `state` is waiting before the first run."""
    result = finding.result if finding else None
    return {
        "name": name,
        "state": finding.verdict.state.value if finding else "waiting",
        "text": summary(finding) if finding else "has not run yet",
        "duration": median(result.latencies) if result and result.latencies else None,
        "slowdown": finding.verdict.slowdown if finding else None,
        "causes": [
            {"name": one.name, "strength": one.strength.value, "text": str(one)}
            for one in (finding.causes if finding else ())
        ],
        "advice": finding.verdict.advice if finding and finding.verdict.state is not State.OK else "",
        "waits": _held(held) if held else None,
        "last_run": result.at or None if result else None,
        "next_run": _value(snapshot, inference.PROBE_NEXT, name),
    }


def _held(held: Held) -> dict[str, str]:
    return {"reason": held.reason, "text": held.text}


def _value(snapshot: Snapshot, metric: Metric, *labels: str) -> float | None:
    return snapshot.series.get((metric, labels))


def _sensors(snapshot: Snapshot) -> Iterator[dict[str, str]]:
    for (platform, sensor, state), value in every(snapshot, catalog.SENSOR_STATE):
        if value and state in SILENT:
            yield {"platform": platform, "sensor": sensor, "state": state}


def _budgets(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    """Shares used: of an hour by probe and resource, without probe of all; of a day for re-benchmarks."""
    for (probe, resource), used in every(snapshot, inference.PROBE_BUDGET):
        yield {"probe": probe, "resource": resource, "period": "hour", "used": round(used, 4)}
    for _, used in every(snapshot, rebenched.REBENCHMARK_BUDGET):
        yield {"probe": "", "resource": "rebenchmark", "period": "day", "used": round(used, 4)}


def _buffers(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    """What waits for each receiver, and what was given up."""
    for (name,), queued in every(snapshot, alerting.QUEUED):
        lost = sum(value for labels, value in every(snapshot, alerting.DROPPED) if labels[0] == name)
        taken = _value(snapshot, alerting.LAST_SUCCESS, name)
        yield {"name": name, "queued": int(queued), "dropped": int(lost), "last_success": taken}
    for (signal,), points in every(snapshot, pushed.BUFFERED):
        lost = sum(value for labels, value in every(snapshot, pushed.DROPPED) if labels[0] == signal)
        taken = _value(snapshot, pushed.LAST_SUCCESS)
        yield {"name": f"otlp/{signal}", "queued": int(points), "dropped": int(lost), "last_success": taken}
