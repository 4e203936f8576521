"""Where messages go: readable lines on standard error, JSON by choice, and under systemd the journal with its fields.

What a message is about is told beside it: `log.info("…", extra={"event": "verdict", "probe": name})`. In the journal
that is MESSAGE_ID, EDGEMON_PROBE and so on, in JSON a key; the lane is the thread that speaks.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator

SOCKET = "/run/systemd/journal/socket"
ABOUT = ("probe", "alert", "sensor")
"""What a message may be about, as attributes of its record."""
EVENTS = {
    "started": "1b208562d48845dfb44e358b991377ab",
    "stopping": "0d776d9d5c3c45838be392854d0d1557",
    "reloaded": "28612a5d7f24490097194e3fd14d7179",
    "refused": "180b0a43e6d24512bb4009e509cd0194",
    "stuck": "dd096b3c9b2f40c08cb49f3bf38b3e56",
    "safe_mode": "68ffc4dd63734860a0babb95a0103d0c",
    "verdict": "f0be9bada0f74f61acd693e3f36e302b",
    "alert": "98bc8290299449a29ca8b6335a1bcf0d",
    "platforms": "479e3178e2cd450291cbf435be93e7aa",
}
"""Message ids (sd_journal_print(3)) of what happens to a device or to edgemon; they never change."""
TERMINAL = ("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
PRIORITY = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


class Prefixed(logging.Formatter):
    """Lines that begin with their syslog priority (sd-daemon(3)), for a journal that takes lines only."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return f"<{PRIORITY.get(record.levelname, 6)}>{super().format(record)}"


class Json(logging.Formatter):
    """One object a line: time (RFC 3339, UTC), level, message, logger, lane, event, and what it is about."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"
        said = {"time": at, "level": record.levelname.lower(), "message": text(record), "logger": record.name}
        event = {"event": record.event} if getattr(record, "event", "") in EVENTS else {}  # type: ignore[attr-defined]
        return json.dumps({**said, **dict(_about(record)), **event}, ensure_ascii=False)


class Journal(logging.Handler):
    """Sends records to journald with their fields; what it does not take goes to standard error as a line."""

    def __init__(self, address: str = SOCKET) -> None:
        super().__init__()
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(1.0)  # a journal that hangs must not take the lanes along
        self._line = logging.StreamHandler(sys.stderr)
        self._line.setFormatter(Prefixed("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        try:
            self._socket.sendto(datagram(record), self._address)
        except OSError:
            self._line.emit(record)

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()
        super().close()


def to_stderr(level: str = "info", form: str = "auto") -> None:
    """Send edgemon's messages where `form` says: auto is the journal if standard error leads there, else text."""
    form = form if form != "auto" else "journal" if journaled() else "text"
    handler: logging.Handler = Journal() if form == "journal" else logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if form == "json" else logging.Formatter(*TERMINAL))
    log = logging.getLogger("edgemon")
    before, log.handlers = log.handlers, [handler]
    for one in before:
        one.close()
    log.setLevel(level.upper())


def journaled() -> bool:
    """Whether standard error leads to the journal ($JOURNAL_STREAM, systemd.exec(5))."""
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}" and os.path.exists(SOCKET)


def text(record: logging.LogRecord) -> str:
    """The message, with the traceback where there is one."""
    trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
    return f"{record.getMessage()}\n{trace}" if trace else record.getMessage()


def datagram(record: logging.LogRecord) -> bytes:
    """A record in the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL)."""
    fields = {
        "MESSAGE": text(record),
        "PRIORITY": str(PRIORITY.get(record.levelname, 6)),
        "SYSLOG_IDENTIFIER": "edgemon",
        "LOGGER": record.name,
        **{f"EDGEMON_{name.upper()}": value for name, value in _about(record)},
    }
    event = getattr(record, "event", "")
    if event in EVENTS:
        fields |= {"MESSAGE_ID": EVENTS[event], "EDGEMON_EVENT": event}
    return b"".join(_field(name, value.encode("utf-8", "replace")) for name, value in fields.items())


def _field(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
    return name.encode() + b"=" + value + b"\n"


def _about(record: logging.LogRecord) -> Iterator[tuple[str, str]]:
    thread = record.threadName or ""
    if thread.startswith("edgemon-"):
        yield "lane", thread.removeprefix("edgemon-")
    for name in ABOUT:
        if value := getattr(record, name, ""):
            yield name, str(value)
