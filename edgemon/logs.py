"""Where messages go: readable lines on standard error, with journald's priority prefix where the journal listens."""

from __future__ import annotations

import logging
import os
import sys
from typing import ClassVar


class Journal(logging.Formatter):
    """Lines that begin with their syslog priority (sd-daemon(3))."""

    PRIORITY: ClassVar = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return f"<{self.PRIORITY.get(record.levelname, 6)}>{super().format(record)}"


def to_stderr(level: str = "info") -> None:
    """Send edgemon's messages to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    terminal = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
    handler.setFormatter(Journal("%(message)s") if "JOURNAL_STREAM" in os.environ else terminal)
    log = logging.getLogger("edgemon")
    log.handlers = [handler]
    log.setLevel(level.upper())
