"""The archive: baselines, results, notes of what happened and what else is remembered, in SQLite.

A transaction is the old state or the new one, whatever is killed or unplugged. A directory that cannot be written, a
full disk and a broken file cost the archive its memory of the past, never the daemon: what cannot be kept on disk is
kept in memory, says so in `state`, and is tried again. Results are written ten at a time, for the flash's sake.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from edgemon import catalog, database
from edgemon.errors import SetupError
from edgemon.judge.baseline import Baseline
from edgemon.metric import Reading
from edgemon.probe.result import Result

log = logging.getLogger("edgemon.archive")

FILE = "edgemon.sqlite"
STATES = ("disk", "memory", "failing")
BATCH = 10
KEPT = 1000
"""Results kept for each probe, and notes of each kind."""
T = TypeVar("T")
SCHEMA = """
CREATE TABLE IF NOT EXISTS baselines (
  probe TEXT, fingerprint TEXT, at REAL, data TEXT, PRIMARY KEY (probe, fingerprint)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS results (id INTEGER PRIMARY KEY, probe TEXT, fingerprint TEXT, at REAL, data TEXT);
CREATE TABLE IF NOT EXISTS fingerprints (fingerprint TEXT PRIMARY KEY, data TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS results_by_probe ON results (probe, id);
CREATE TABLE IF NOT EXISTS remembered (name TEXT PRIMARY KEY, data TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (
  id INTEGER PRIMARY KEY, kind TEXT, probe TEXT, at REAL, mark TEXT UNIQUE, data TEXT);
"""
NOTE = "INSERT OR IGNORE INTO notes (kind, probe, at, mark, data) VALUES (?, ?, ?, ?, ?)"
PRUNE = """
DELETE FROM notes WHERE kind = ?1 AND id <= (SELECT id FROM notes WHERE kind = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)
"""


class Archive:
    """One connection for all threads. `state` is disk, memory, or failing while writes to disk fail."""

    def __init__(self, directory: str) -> None:
        self.path = os.path.join(directory, FILE)
        self.errors = 0
        self._lock = threading.RLock()
        self._pending: list[tuple[str, str, float, str]] = []
        self._keys: dict[str, str] = {}
        self._notes: list[tuple[str, str, float, str | None, str]] = []
        self._why = ""
        self.state, self._database = self._open(directory)

    def baseline(self, probe: str, fingerprint: str = "") -> Baseline | None:
        """The baseline for the fingerprint, or the latest one of the probe."""
        rows = self._read(
            "SELECT data FROM baselines WHERE probe = ? ORDER BY fingerprint = ? DESC, at DESC LIMIT 3",
            (probe, fingerprint),
        )
        return next(iter(self._parsed(rows, Baseline.from_json)), None)

    def baselines(self) -> list[Baseline]:
        """All baselines, by probe, the latest first."""
        rows = self._read("SELECT data FROM baselines ORDER BY probe, at DESC", ())
        return self._parsed(rows, Baseline.from_json)

    def keep(self, baseline: Baseline) -> None:
        """Put a baseline in the place of the one with the same fingerprint; SetupError if it cannot be kept on disk."""
        values = (baseline.probe, baseline.fingerprint, baseline.at, json.dumps(baseline.to_json()))
        self._must("INSERT OR REPLACE INTO baselines VALUES (?, ?, ?, ?)", values)

    def remove(self, probe: str, fingerprint: str) -> int:
        """Remove the baselines of a probe whose fingerprint begins so; how many there were."""
        return self._must(
            "DELETE FROM baselines WHERE probe = ? AND substr(fingerprint, 1, ?) = ?",
            (probe, len(fingerprint), fingerprint),
        )

    def key(self, fingerprint: str) -> dict[str, str]:
        """What a fingerprint was made of; {} if it is not known."""
        rows = self._read("SELECT data FROM fingerprints WHERE fingerprint = ?", (fingerprint,))
        rows = rows or [(self._keys[fingerprint],)] if fingerprint in self._keys else rows
        return next(iter(self._parsed(rows, dict)), {})

    def add(self, result: Result, fingerprint: str, key: Mapping[str, str] | None = None) -> None:
        """Keep a result without outputs, single latencies and slices, and what its fingerprint was made of.

        Written with the next ten or on `flush`.
        """
        data = result.to_json()
        data.update(outputs=[], latencies=[], slices=[], corrected=[_middle(result)] if result.latencies else [])
        with self._lock:
            self._pending.append((result.probe, fingerprint, result.at, json.dumps(data)))
            self._keys |= {fingerprint: json.dumps(dict(key))} if key else {}
            del self._pending[:-KEPT]
        if len(self._pending) >= BATCH:
            self.flush()

    def results(self, probe: str, count: int = KEPT) -> list[tuple[str, Result]]:
        """The last results of a probe with their fingerprints, oldest first."""
        rows = self._read(
            "SELECT fingerprint, data FROM results WHERE probe = ? ORDER BY id DESC LIMIT ?", (probe, count)
        )[::-1]
        with self._lock:
            rows += [(row[1], row[3]) for row in self._pending if row[0] == probe]
        return self._parsed(rows[-count:], lambda mark, data: (mark, Result.from_json(data)))

    def note(self, kind: str, probe: str, at: float, data: Mapping[str, Any], mark: str | None = None) -> None:
        """Keep what happened at a Unix time; of those with the same mark the first. On disk at once if that can be."""
        with self._lock:
            self._notes.append((kind, probe, at, mark, json.dumps(dict(data))))
            del self._notes[:-KEPT]
        self.flush()

    def notes(self, kind: str, probe: str = "") -> list[tuple[str, float, dict[str, Any]]]:
        """Probe, time and data of what happened, in the order of noting; of all probes without a name."""
        rows = self._read(
            "SELECT probe, at, data FROM notes WHERE kind = ? AND ? IN (probe, '') ORDER BY id", (kind, probe)
        )
        with self._lock:
            rows += [(one[1], one[2], one[4]) for one in self._notes if one[0] == kind and probe in {one[1], ""}]
        return self._parsed(rows, lambda *row: (row[0], float(row[1]), dict(row[2])))

    def remembered(self, name: str) -> Any:
        """What is remembered under a name; None for nothing."""
        rows = self._read("SELECT data FROM remembered WHERE name = ?", (name,))
        return next(iter(self._parsed(rows, lambda data: data)), None)

    def remember(self, name: str, data: object) -> None:
        """Remember plain values under a name, in the place of those before; in vain while the disk fails."""
        with self._lock:
            try:
                with self._database:
                    self._database.execute("INSERT OR REPLACE INTO remembered VALUES (?, ?)", (name, json.dumps(data)))
                self._recovered()
            except sqlite3.Error as error:
                self._failed(error)

    def flush(self) -> None:
        """Write what is pending; on failure it stays pending and the state says so."""
        with self._lock:
            if self.state == "memory":
                self._reopen()
            if not (self._pending or self._notes) or self.state == "memory":
                return
            try:
                with self._database:
                    self._database.executemany(NOTE, self._notes)
                    self._database.executemany(PRUNE, [(kind, KEPT) for kind in {one[0] for one in self._notes}])
                    self._database.executemany("INSERT OR IGNORE INTO fingerprints VALUES (?, ?)", self._keys.items())
                    self._database.executemany(
                        "INSERT INTO results (probe, fingerprint, at, data) VALUES (?, ?, ?, ?)", self._pending
                    )
                    for probe in {row[0] for row in self._pending}:
                        self._database.execute(
                            "DELETE FROM results WHERE probe = ? AND id <= (SELECT id FROM results WHERE probe = ? "
                            "ORDER BY id DESC LIMIT 1 OFFSET ?)",
                            (probe, probe, KEPT),
                        )
                self._pending.clear()
                self._notes.clear()
                self._keys.clear()
                self._recovered()
            except sqlite3.Error as error:
                self._failed(error)

    def close(self) -> None:
        """Write what is pending and let go of the file."""
        self.flush()
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._database.close()

    def readings(self) -> Iterator[Reading]:
        """Where things are kept, and how often that failed."""
        for state in STATES:
            yield catalog.ARCHIVE_STATE(float(state == self.state), state)
        yield catalog.ARCHIVE_ERRORS(self.errors)

    def _open(self, directory: str) -> tuple[str, sqlite3.Connection]:
        try:
            os.makedirs(directory, mode=0o750, exist_ok=True)
            try:
                return "disk", database.connect(self.path, SCHEMA)
            except sqlite3.DatabaseError as error:
                if not database.damaged(error):
                    raise
                self._quarantine(error)
                return "disk", database.connect(self.path, SCHEMA)
        except (OSError, sqlite3.Error) as error:
            self.errors += 1
            self._why = str(error)
            log.warning("%s cannot be used, keeping results in memory: %s", directory, error)
            return "memory", database.in_memory(self.path, SCHEMA)[0]

    def _reopen(self) -> None:
        """Leave memory for the disk once it can be used."""
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o750, exist_ok=True)
            disk = database.connect(self.path, SCHEMA)
        except (OSError, sqlite3.Error):
            return
        self._database.close()
        self.state, self._database = "disk", disk
        log.info("%s can be used now", self.path)

    def _quarantine(self, error: sqlite3.Error) -> None:
        self.errors += 1
        database.quarantine(self.path, error)

    def _parsed(self, rows: Sequence[Sequence[str]], build: Callable[..., T]) -> list[T]:
        """What the rows hold, JSON last; one that a broken disk has changed costs itself only, and is counted."""
        found = []
        for *marks, data in rows:
            try:
                found.append(build(*marks, json.loads(data)))
            except (ValueError, TypeError, KeyError) as error:
                self.errors += 1
                log.warning("%s: a row is damaged and left out: %s", self.path, error)
        return found

    def _read(self, query: str, values: Sequence[object]) -> list[Any]:
        with self._lock:
            try:
                return self._database.execute(query, values).fetchall()
            except sqlite3.Error as error:
                self._failed(error)
                return []

    def _must(self, statement: str, values: Sequence[object]) -> int:
        """Execute a change a person asked for: it is on disk, or they are told."""
        with self._lock:
            if self.state == "memory":
                where = os.path.dirname(self.path)
                raise SetupError(f"nothing can be kept in {where}: {self._why}; make it writable or set state_dir:")
            try:
                with self._database:
                    count = self._database.execute(statement, values).rowcount
                self._recovered()
                return count
            except sqlite3.Error as error:
                self._failed(error)
                raise SetupError(f"{self.path} cannot be written: {error}") from None

    def _failed(self, error: sqlite3.Error) -> None:
        if type(error) is sqlite3.DatabaseError and self.state != "memory":  # damaged: no writing will mend it
            self._database.close()
            with contextlib.suppress(OSError):
                self._quarantine(error)
            self.state, self._database = self._open(os.path.dirname(self.path))
            return
        self.errors += 1
        if self.state == "disk":
            self.state = "failing"
            log.warning("%s: %s; keeping results in memory until it can be written", self.path, error)

    def _recovered(self) -> None:
        if self.state == "failing":
            self.state = "disk"
            log.info("%s can be written again", self.path)


def _middle(result: Result) -> float:
    ordered = sorted(result.corrected or result.latencies)
    return ordered[len(ordered) // 2]


@contextlib.contextmanager
def alone(directory: str, what: str) -> Iterator[bool]:
    """Hold the directory's lock `what` for as long as the block runs; False when someone else holds it.

    Where no lock file can be made there is nothing to protect either: then it is True.
    """
    try:
        os.makedirs(directory, mode=0o750, exist_ok=True)
        fd = os.open(os.path.join(directory, f"{what}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError:
        yield True
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = True
    except OSError:
        held = False
    try:
        yield held
    finally:
        os.close(fd)
