"""What else happened while the model ran: run delay, steal, clocks, throttling, suspend (stdlib only, Python >= 3.8).

Everything is read by the worker itself, before and after; what cannot be read is left out.
"""

import os
import time
from typing import Dict, List, Sequence

CPUS = "/sys/devices/system/cpu"
MANY = 16
"""CPUs that are looked at, at most: reading the clock of one can take a millisecond."""
BUSY = (0, 1, 2, 5, 6, 7)
"""Columns of /proc/stat in which a CPU had something to run: user, nice, system, irq, softirq, steal."""
STEAL = 7


class RunDelay:
    """How long the threads of this process were runnable but not running: schedstat, field 2 (sched-stats.rst).

    The threads are those that live when it is made: an engine's pool does by the time its warm-up is over.
    """

    def __init__(self, tasks: str = "/proc/self/task") -> None:
        self._files = [fd for fd in (_open("%s/%s/schedstat" % (tasks, task)) for task in _list(tasks)) if fd >= 0]

    def read(self) -> List[int]:
        """Nanoseconds by thread; 0 for one that has ended."""
        return [_second(fd) for fd in self._files]

    def close(self) -> None:
        """Let go of the files."""
        for fd in self._files:
            os.close(fd)
        self._files = []


def longest(before: Sequence[int], after: Sequence[int]) -> float:
    """Seconds the most delayed thread waited: no wait of one thread makes an inference longer than itself."""
    return max([max(0, b - a) for a, b in zip(before, after)] or [0]) * 1e-9


def total(before: Sequence[int], after: Sequence[int]) -> float:
    """Seconds all threads waited."""
    return sum(max(0, b - a) for a, b in zip(before, after)) * 1e-9


class Witness:
    """A look at the machine when it is made, and what changed by the time it is asked."""

    def __init__(self, cpus: str = CPUS, stat: str = "/proc/stat") -> None:
        self._cpus, self._stat = cpus, stat
        self._clock, self._throttles, self._ticks = self._hertz(), self._events(), self._columns()
        self._slept = _slept()

    def tell(self) -> Dict[str, float]:
        """Steal, clocks, throttling and suspend since then; what cannot be read is not there."""
        told: Dict[str, float] = {"timer": timer()}
        passed = [after - before for before, after in zip(self._ticks, self._columns())]
        busy = sum(passed[column] for column in BUSY) if len(passed) > STEAL else 0
        if busy > 0:
            told["steal"] = max(0.0, passed[STEAL] / busy)
        clock, throttles = self._hertz(), self._events()
        if self._clock and clock:
            told["clock_begin"], told["clock_end"] = self._clock, clock
        if self._throttles >= 0 and throttles >= 0:
            told["throttles"] = float(max(0, throttles - self._throttles))
        told["suspended"] = max(0.0, round(_slept() - self._slept, 3))
        return told

    def _hertz(self) -> float:
        """The fastest of the CPUs allowed: the busy one, where each has its clock; 0 if none is told."""
        return max([_number(one) for one in self._each("cpufreq/scaling_cur_freq")] or [0]) * 1e3

    def _events(self) -> int:
        """Throttling events of the CPUs so far; -1 if they are not counted."""
        counts = self._each("thermal_throttle/core_throttle_count") + self._each(
            "thermal_throttle/package_throttle_count"
        )
        return sum(_number(one) for one in counts) if counts else -1

    def _each(self, name: str) -> List[str]:
        allowed = sorted(os.sched_getaffinity(0))[:MANY]
        found = [text("%s/cpu%d/%s" % (self._cpus, cpu, name)) for cpu in allowed]
        return [one for one in found if one]

    def _columns(self) -> List[int]:
        return [_number(one) for one in text(self._stat).partition("\n")[0].split()[1:]]


def timer() -> float:
    """Seconds between two looks at the clock with nothing between them, as a rule."""
    looks = [time.perf_counter() for _ in range(102)]
    return sorted(b - a for a, b in zip(looks, looks[1:]))[50]


def peak_memory() -> int:
    """Peak resident bytes: VmHWM, since ru_maxrss is inherited from the parent over exec."""
    with open("/proc/self/status") as status:
        return next((int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM")), 0)


def restart_peak() -> bool:
    """Let the peak begin anew from what is resident now; whether this kernel does so (proc_pid_clear_refs(5))."""
    try:
        with open("/proc/self/clear_refs", "w") as refs:
            refs.write("5")
    except OSError:
        return False
    return True


def available(path: str = "/proc/meminfo") -> int:
    """Bytes of memory the kernel could give: MemAvailable of proc_meminfo(5)."""
    return next((int(line.split()[1]) << 10 for line in text(path).splitlines() if line.startswith("MemAvail")), 0)


def boottime() -> float:
    """CLOCK_BOOTTIME in seconds."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _slept() -> float:
    """Seconds this boot spent suspended; the least of some looks, as between two readings others may have the CPU."""
    return min(-time.clock_gettime(time.CLOCK_MONOTONIC) + boottime() for _ in range(5))


def _second(fd: int) -> int:
    try:
        return int(os.pread(fd, 128, 0).split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def _number(told: str) -> int:
    return int(told) if told.isdigit() else 0


def _list(path: str) -> List[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:
        return -1


def text(path: str) -> str:
    """The first 4 KiB of a small file, stripped; empty if it cannot be read."""
    fd = _open(path)
    if fd < 0:
        return ""
    try:
        return os.read(fd, 4096).decode("ascii", "replace").strip()
    except OSError:
        return ""
    finally:
        os.close(fd)
