"""SQLite files that survive power cuts, damage and a full disk: how one is opened, set aside, and read into memory."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time

log = logging.getLogger("edgemon.database")


def connect(path: str, schema: str) -> sqlite3.Connection:
    """The file, made if it is not there, proven whole and writable; sqlite3.Error otherwise."""
    database = sqlite3.connect(path, timeout=10.0, check_same_thread=False)
    database.text_factory = _text
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.executescript(schema)
        if database.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("damaged pages")
        database.execute("BEGIN IMMEDIATE")  # a disk that cannot be written must show now
        database.execute("PRAGMA user_version = 1")
        database.commit()
    except sqlite3.Error:
        database.close()
        raise
    return database


def quarantine(path: str, error: sqlite3.Error) -> None:
    """Move a damaged file aside."""
    aside = f"{path}.broken-{int(time.time())}"
    log.warning("%s is damaged (%s): moved to %s and started anew", path, error, aside)
    os.replace(path, aside)
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.remove(path + suffix)


def damaged(error: sqlite3.Error) -> bool:
    """Whether it is the file's fault; one that is locked, read-only or on a full disk is not."""
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)


def in_memory(path: str, schema: str) -> tuple[sqlite3.Connection, bool]:
    """A database in memory with what can still be read from the file, and whether that could be read."""
    name = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    for mode in ("mode=ro", "mode=ro&immutable=1"):  # the second needs no lock, and sees no write-ahead log
        memory = sqlite3.connect(":memory:", check_same_thread=False)
        try:
            with contextlib.closing(sqlite3.connect(f"file:{name}?{mode}", uri=True)) as disk:
                disk.backup(memory)
            memory.executescript(schema)
            memory.text_factory = _text
            return memory, True
        except sqlite3.Error:
            memory.close()
    memory = sqlite3.connect(":memory:", check_same_thread=False)
    memory.executescript(schema)
    return memory, False


def _text(raw: bytes) -> str:
    """Text of a row; one that a broken disk has changed need not be UTF-8."""
    return raw.decode("utf-8", "replace")
