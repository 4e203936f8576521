"""Trouble to put a device in: other work on the same core or another one, and on the memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

BUSY = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
share, period = float(sys.argv[2]), 0.02
while True:
    end = time.perf_counter() + share * period
    while time.perf_counter() < end:
        pass
    time.sleep((1 - share) * period)
"""
COPY = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
size = 96 << 20
source, target = memoryview(bytearray(size)), memoryview(bytearray(size))
while True:
    target[:] = source
"""


@contextmanager
def running(*programs: list[str]) -> Iterator[None]:
    """These programs, for as long as the block runs, each in a session of its own as a service is.

    The kernel shares a core among sessions before it does among tasks (`man 7 sched`, autogroup).
    """
    started = [
        subprocess.Popen([sys.executable, "-c", *one], stdin=subprocess.DEVNULL, start_new_session=True)
        for one in programs
    ]
    try:
        yield
    finally:
        for one in started:
            one.kill()
            one.wait()


def busy(cpu: int, share: float) -> list[str]:
    """A loop that has this share of a core."""
    return [BUSY, str(cpu), str(share)]


def copies(cpus: list[int]) -> list[list[str]]:
    """A copy of more than the caches hold, on each of these cores."""
    return [[COPY, str(cpu)] for cpu in cpus]


def cores() -> list[int]:
    """The cores that may be used; the last is the worker's."""
    return sorted(os.sched_getaffinity(0))
