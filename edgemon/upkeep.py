"""What the daemon itself costs."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Iterator

from edgemon import catalog
from edgemon.metric import Reading
from edgemon.probe.process import resident


def readings(began: float) -> Iterator[Reading]:
    """This process' CPU time, memory, threads and descriptors, and its age since `began` on the monotonic clock."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    yield catalog.PROCESS_CPU(usage.ru_utime, "user")
    yield catalog.PROCESS_CPU(usage.ru_stime, "system")
    yield catalog.PROCESS_MEMORY(resident())
    yield catalog.PROCESS_THREADS(threading.active_count())
    yield catalog.PROCESS_FILES(len(os.listdir("/proc/self/fd")))
    yield catalog.PROCESS_UPTIME(time.monotonic() - began)
