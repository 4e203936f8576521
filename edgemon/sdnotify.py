"""What the service manager is told, and what it asks for: sd_notify(3) in a few lines, nothing without systemd."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(*said: str) -> bool:
    """Tell the service manager, such as `READY=1`; whether one listens and took it. A full queue is waited for 1 s."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.settimeout(1.0)
        one.sendto("\n".join(said).encode(), "\0" + address[1:] if address.startswith("@") else address)
        return True
    return False


def watchdog() -> float:
    """Seconds within which `WATCHDOG=1` must come, or the service is killed; 0 when nobody waits for it."""
    pid, span = os.environ.get("WATCHDOG_PID", ""), os.environ.get("WATCHDOG_USEC", "")
    return int(span) / 1e6 if span.isdigit() and pid in {"", str(os.getpid())} else 0.0
