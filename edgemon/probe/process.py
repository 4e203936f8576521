"""A child process as seen from outside: what it costs, and how it went."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time

PATIENCE = 3.0
"""Seconds to wait for the death of what was killed."""
TICK = os.sysconf("SC_CLK_TCK")


def resident(pid: int | str = "self") -> int:
    """Resident bytes of a process (/proc/PID/statm, field 2), 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0


def spent(pid: int) -> float:
    """CPU seconds of a process that is not reaped yet and of its reaped children, in ticks (proc_pid_stat(5))."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICK  # utime, stime, cutime, cstime
    except (OSError, IndexError, ValueError):
        return 0.0


def dead(child: int) -> int | None:
    """The exit status of a child that has ended (negative: signal), which stays to be reaped; None while it lives."""
    found = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if found is None:
        return None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def kill(child: int, patience: float = PATIENCE) -> None:
    """Kill a child's process group, also when the child is already gone; wait for it, but not for the unkillable.

    It stays to be reaped, unless it was before, so that its number is no other's meanwhile.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    until = time.monotonic() + patience
    with contextlib.suppress(ChildProcessError):  # reaped before
        while dead(child) is None and time.monotonic() < until:
            time.sleep(0.002)
