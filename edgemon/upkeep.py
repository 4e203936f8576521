"""What the daemon itself costs."""

from __future__ import annotations

import errno
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
    yield catalog.PROCESS_MEMORY(resident() or None)
    yield catalog.PROCESS_THREADS(threading.active_count())
    yield catalog.PROCESS_FILES(_descriptors())
    yield catalog.PROCESS_UPTIME(time.monotonic() - began)


def _descriptors() -> int | None:
    """How many are open; where none is left to count them with, all there may be."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError as error:
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0] if error.errno == errno.EMFILE else None
