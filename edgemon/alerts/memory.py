"""What is remembered of alerts over a restart or a power cut: one small SQLite file, written when something changed.

Ages are counted on CLOCK_BOOTTIME of the boot that wrote them, so that neither a step of the wall clock nor a reboot
changes how long an alert has been pending. Only how long the device was away is asked of the wall clock, and only after
a reboot; one that has gone back says nothing.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgemon import database, ruled
from edgemon.alerts.alert import Alert, State
from edgemon.alerts.promql.values import Labels, labelset
from edgemon.metric import Reading

log = logging.getLogger("edgemon.rules")

FILE = "alerts.sqlite"
SCHEMA = """
CREATE TABLE IF NOT EXISTS alerts (rule TEXT NOT NULL, data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS written (one INTEGER PRIMARY KEY CHECK (one = 1), boot TEXT, at REAL, wall REAL);
"""
OUTAGE = 3600.0
"""Seconds of absence after which a pending alert begins anew (Prometheus' rules.alert.for-outage-tolerance)."""
GRACE = 300.0
"""Seconds after a restart for which an alert that fired goes on without its series: sensors and probes have yet to
speak, and what is resolved now would fire again then."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Now: the boot, seconds of CLOCK_BOOTTIME, Unix time."""

    boot: str
    at: float
    wall: float


class Memory:
    """The file, which may be away for a while: the engine has everything in memory as well."""

    def __init__(self, directory: str) -> None:
        self.path = os.path.join(directory, FILE)
        self._database: sqlite3.Connection | None = None
        self._said = ""
        self._open()

    def save(self, alerts: Iterable[tuple[str, Alert]], now: Moment) -> bool:
        """Remember these, each with what tells its rule; whether that is on disk."""
        rows = [(rule, json.dumps(plain(alert))) for rule, alert in alerts]
        if self._database is None:
            self._open()
        if self._database is None:
            return False
        try:
            with self._database:
                self._database.execute("DELETE FROM alerts")
                self._database.executemany("INSERT INTO alerts VALUES (?, ?)", rows)
                self._database.execute(
                    "INSERT OR REPLACE INTO written VALUES (1, ?, ?, ?)", (now.boot, now.at, now.wall)
                )
        except sqlite3.Error as error:
            self._fail(error)
            return False
        return True

    def load(self, now: Moment) -> list[tuple[str, Alert]]:
        """What was remembered, its times as if it had been written by this boot."""
        if self._database is None:
            return []
        try:
            written = self._database.execute("SELECT boot, at, wall FROM written").fetchone()
            rows = self._database.execute("SELECT rule, data FROM alerts").fetchall()
        except sqlite3.Error as error:
            self._fail(error)
            return []
        if not written:
            return []
        found = []
        for rule, data in rows:
            try:
                alert = restored(json.loads(data), Moment(*written), now)
            except (ValueError, TypeError, KeyError, AttributeError):
                log.warning("%s: an alert is damaged and left out", self.path)
                continue
            if alert:
                found.append((rule, alert))
        return found

    def readings(self) -> Iterator[Reading]:
        """Where alerts are remembered."""
        for state in ("disk", "memory"):
            yield ruled.MEMORY_STATE(float((state == "disk") == (self._database is not None)), state)

    def close(self) -> None:
        """Let go of the file."""
        if self._database:
            self._database.close()

    def _open(self) -> None:
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o750, exist_ok=True)
            try:
                self._database = database.connect(self.path, SCHEMA)
            except sqlite3.Error as error:
                if not database.damaged(error):
                    raise
                database.quarantine(self.path, error)
                self._database = database.connect(self.path, SCHEMA)
            self._said = ""
        except (OSError, sqlite3.Error) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.close()
        self._database = None
        if self._said != str(error):
            log.warning("%s cannot be used, alerts are remembered in memory only: %s", self.path, error)
        self._said = str(error)


def plain(alert: Alert) -> dict[str, Any]:
    """An alert as JSON has it."""
    return {
        "labels": dict(alert.labels), "annotations": dict(alert.annotations), "value": str(alert.value),
        "state": alert.state.value, "active_at": alert.active_at, "kept_at": alert.kept_at,
        "resolved_at": alert.resolved_at, "active_wall": alert.active_wall, "began": alert.began, "ended": alert.ended,
        "told": alert.told, "kept_wall": alert.kept_wall,
    }  # fmt: skip


def restored(data: Mapping[str, Any], then: Moment, now: Moment) -> Alert | None:
    """The alert as it goes on now; None for one that was pending too long ago to go on."""
    state = State(data["state"])
    away = now.at - then.at if now.boot == then.boot else now.wall - then.wall
    if state is State.PENDING and not 0 <= away <= OUTAGE:
        return None

    def moved(name: str) -> float | None:
        return None if data[name] is None else now.at - (then.at - float(data[name]))

    labels: Labels = labelset({str(name): str(value) for name, value in data["labels"].items()})
    return Alert(
        labels,
        float(data["value"]),
        now.at - (then.at - float(data["active_at"])),
        {str(name): str(text) for name, text in data["annotations"].items()},
        state,
        moved("kept_at"),
        moved("resolved_at"),
        float(data["active_wall"]),
        float(data["began"]),
        float(data["ended"]),
        bool(data["told"]),
        now.at + GRACE if state is not State.INACTIVE else 0.0,
        float(data["kept_wall"]),
    )
