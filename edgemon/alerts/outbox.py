"""The outbox: every flip on disk before it is sent, and how far each receiver has come.

One file of its own, one row a flip, a cursor for each receiver: whatever is killed or unplugged, a flip that was put is
sent, and one that was put again is not. A kill between a receiver's answer and the cursor's next place repeats that one
notification, under the same identity. A disk that fails moves the outbox to memory with what can be read, and back.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar

from edgemon import alerting, database
from edgemon.alerts.flip import Flip
from edgemon.metric import Reading

log = logging.getLogger("edgemon.outbox")

FILE = "outbox.sqlite"
STATES = ("disk", "memory")
REASONS = ("refused", "failed", "overflow", "damaged")
"""Why a flip is given up."""
KEPT = 1000
"""Flips kept, sent or not; beyond them only the last flip of each alert stays, up to four times as many rows."""
AGAIN = 60.0
"""Seconds after which a disk that failed is tried again."""
T = TypeVar("T")
SCHEMA = """
CREATE TABLE IF NOT EXISTS flips (
  id INTEGER PRIMARY KEY AUTOINCREMENT, identity TEXT UNIQUE, fingerprint TEXT, data TEXT);
CREATE INDEX IF NOT EXISTS flips_by_alert ON flips (fingerprint, id);
CREATE TABLE IF NOT EXISTS cursors (notifier TEXT PRIMARY KEY, id INTEGER) WITHOUT ROWID;
"""
OLD = """
SELECT id FROM flips WHERE id <= :last - :kept AND (id <= :last - 4 * :kept
  OR EXISTS (SELECT 1 FROM flips AS later WHERE later.fingerprint = flips.fingerprint AND later.id > flips.id))
"""
QUEUED = """
SELECT notifier, (SELECT count(*) FROM flips WHERE flips.id > cursors.id) FROM cursors ORDER BY notifier
"""


class Outbox:
    """The queue of all receivers. Any thread may use it. `queued` is how many flips wait for each receiver."""

    def __init__(self, directory: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = os.path.join(directory, FILE)
        self.errors, self.state = 0, "disk"
        self.dropped: Counter[tuple[str, str]] = Counter()
        self._clock, self._tried, self._copied = clock, 0.0, True
        self.queued: Mapping[str, int] = {}
        self._lock = threading.RLock()
        self._database = self._open()

    def follow(self, notifiers: Collection[str]) -> None:
        """Keep flips for these from now on, those that were kept for them before included, and for no others."""

        def change(disk: sqlite3.Connection) -> None:
            known = {row[0] for row in disk.execute("SELECT notifier FROM cursors")}
            disk.executemany("DELETE FROM cursors WHERE notifier = ?", [(one,) for one in known - set(notifiers)])
            disk.executemany(
                "INSERT INTO cursors SELECT ?, coalesce(max(id), 0) FROM flips",
                [(one,) for one in notifiers if one not in known],
            )

        self._do(change)

    def put(self, flip: Flip) -> bool:
        """Keep a flip for every receiver; False when it was put before. Too many: the oldest go, and are counted."""
        row = (flip.identity, flip.fingerprint, json.dumps(flip.to_json()))

        def change(disk: sqlite3.Connection) -> tuple[bool, list[tuple[str, int]]]:
            if disk.execute("SELECT 1 FROM flips WHERE identity = ?", row[:1]).fetchone():
                return False, []
            last = disk.execute("INSERT INTO flips (identity, fingerprint, data) VALUES (?, ?, ?)", row).lastrowid
            old = [one[0] for one in disk.execute(OLD, {"last": last, "kept": KEPT})]
            disk.executemany("DELETE FROM flips WHERE id = ?", [(one,) for one in old])
            cursors = disk.execute("SELECT notifier, id FROM cursors").fetchall() if old else []
            return True, [(name, sum(one > place for one in old)) for name, place in cursors]

        new, lost = self._do(change)
        self.dropped.update({(name, "overflow"): count for name, count in lost if count})
        return new

    def pending(self, notifier: str, count: int) -> list[tuple[int, Flip]]:
        """The next flips of a receiver with their places, in order; no two of one alert, so that none is overtaken."""
        query = (
            "SELECT flips.id, data FROM flips, cursors WHERE notifier = ? AND flips.id > cursors.id "
            "ORDER BY flips.id LIMIT ?"
        )
        found: list[tuple[int, Flip]] = []
        for place, data in self._do(lambda disk: disk.execute(query, (notifier, count)).fetchall()):
            try:
                flip = Flip.from_json(json.loads(data))
            except (ValueError, TypeError, KeyError, AttributeError):
                if found:
                    break
                log.warning("%s: a flip is damaged and left out", self.path)
                self.drop(notifier, place, "damaged")
                continue
            if any(one.fingerprint == flip.fingerprint for _, one in found):
                break
            found.append((place, flip))
        return found

    def passed(self, notifier: str, place: int) -> None:
        """The receiver took everything up to this place."""
        self._do(lambda disk: disk.execute("UPDATE cursors SET id = max(id, ?) WHERE notifier = ?", (place, notifier)))

    def drop(self, notifier: str, place: int, reason: str) -> None:
        """Give up the flip at this place, for this receiver."""
        self.dropped[notifier, reason] += 1
        self.passed(notifier, place)

    def readings(self) -> Iterator[Reading]:
        """What waits, what was given up, and where it is kept; a disk that hangs holds nobody up here."""
        for name, count in self.queued.items():
            yield alerting.QUEUED(count, name)
            for reason in REASONS:
                yield alerting.DROPPED(self.dropped[name, reason], name, reason)
        for state in STATES:
            yield alerting.OUTBOX_STATE(float(state == self.state), state)
        yield alerting.OUTBOX_ERRORS(self.errors)

    def close(self) -> None:
        """Let go of the file, once back on it if that can be."""
        with self._lock:
            self._tried = 0.0
            self._return()
            self._database.close()

    def _do(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """One transaction, on disk or, where that fails, in memory."""
        with self._lock:
            self._return()
            try:
                return self._act(action)
            except sqlite3.Error as error:
                if self.state == "memory":
                    raise
                self._leave(error)
            return self._act(action)

    def _act(self, action: Callable[[sqlite3.Connection], T]) -> T:
        with self._database:
            result, counts = action(self._database), self._database.execute(QUEUED).fetchall()
        self.queued = dict(counts)
        return result

    def _open(self) -> sqlite3.Connection:
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o750, exist_ok=True)
            try:
                return database.connect(self.path, SCHEMA)
            except sqlite3.Error as error:
                if not database.damaged(error):
                    raise
                self.errors += 1
                database.quarantine(self.path, error)
                return database.connect(self.path, SCHEMA)
        except (OSError, sqlite3.Error) as error:
            return self._memory(error)

    def _leave(self, error: sqlite3.Error) -> None:
        """Leave the disk for memory; a damaged file is set aside."""
        with contextlib.suppress(sqlite3.Error):
            self._database.close()
        self._database = self._memory(error)
        if type(error) is sqlite3.DatabaseError:
            with contextlib.suppress(OSError):
                database.quarantine(self.path, error)
            self._tried = 0.0

    def _memory(self, error: Exception) -> sqlite3.Connection:
        self.errors += 1
        self.state, self._tried = "memory", self._clock() + AGAIN
        log.warning("%s cannot be used, keeping notifications in memory: %s", self.path, error)
        memory, self._copied = database.in_memory(self.path, SCHEMA)
        return memory

    def _return(self) -> None:
        """Leave memory for the disk once that can be used: whole, or beside what could not be read before."""
        if self.state == "disk" or self._clock() < self._tried:
            return
        self._tried = self._clock() + AGAIN
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o750, exist_ok=True)
            disk = database.connect(self.path, SCHEMA)
        except (OSError, sqlite3.Error):
            return
        try:
            if self._copied:
                self._database.backup(disk)
            else:
                _merge(self._database, disk)
        except sqlite3.Error:
            disk.close()
            return
        self._database.close()
        self.state, self._database = "disk", disk
        log.info("%s can be used now", self.path)


def _merge(memory: sqlite3.Connection, disk: sqlite3.Connection) -> None:
    """Add what is in memory to a disk that has rows of its own: what a receiver still waits for goes behind them."""
    waiting = "SELECT identity, fingerprint, data FROM flips WHERE id > ? ORDER BY id"
    least = memory.execute("SELECT coalesce(min(id), 0) FROM cursors").fetchone()
    rows: list[Any] = memory.execute(waiting, least).fetchall()
    names = memory.execute("SELECT notifier FROM cursors").fetchall()
    with disk:
        disk.executemany("INSERT OR IGNORE INTO cursors SELECT ?, coalesce(max(id), 0) FROM flips", names)
        disk.executemany("INSERT OR IGNORE INTO flips (identity, fingerprint, data) VALUES (?, ?, ?)", rows)
