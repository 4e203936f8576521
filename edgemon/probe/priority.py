"""How a worker stands back: behind production for CPU, disk and memory, on the CPUs it was told, gone with the daemon.

Standard library only, Python >= 3.8. Numbers are those of linux/prctl.h, linux/ioprio.h and asm/unistd.h.
"""

from __future__ import annotations

import os
import resource
import select
import sys
from typing import Any

from edgemon.probe.result import Request

NORMAL, NICE, IDLE = "normal", "nice", "idle"
PR_SET_PDEATHSIG, SIGKILL = 1, 9
IOPRIO_WHO_PROCESS, IOPRIO_IDLE = 1, 3 << 13
IOPRIO_SET: dict[tuple[str, bool], int] = {
    ("x86_64", True): 251,
    ("aarch64", True): 30,
    ("riscv64", True): 30,
    ("aarch64", False): 314,
    ("armv8l", False): 314,
    ("armv7l", False): 314,
    ("armv6l", False): 314,
    ("x86_64", False): 289,
    ("i686", False): 289,
}
"""The system call by machine and whether this Python is one of 64 bits; on any other machine it is not made."""


def step_back(request: Request) -> None:
    """First to be killed, last to be scheduled, no core dump, bounded memory; ValueError for CPUs that are not here."""
    _write("/proc/self/oom_score_adj", "1000")
    if request.scheduling != NORMAL:
        os.nice(19)
        _fall_behind_other_sessions()
    if request.scheduling == IDLE:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if request.memory:
        resource.setrlimit(resource.RLIMIT_DATA, (request.memory, request.memory))
    _call_the_kernel(request.scheduling != NORMAL)
    reader = select.poll()
    reader.register(1, 0)
    if reader.poll(0):  # nobody reads what this prints: the daemon went before it could be noticed
        os._exit(1)
    if request.cpus:
        _keep_to(request.cpus)


def told(request: Request) -> dict[str, Any]:
    """What of this the inference time depends on, as options of the fingerprint; nothing for what is customary."""
    found: dict[str, Any] = {"scheduling": request.scheduling} if request.scheduling != NICE else {}
    return {**found, "cpus": ",".join(request.cpus)} if request.cpus else found


def numbers(cpus: list[str]) -> list[int]:
    """The CPUs that a list of numbers and ranges such as 4-7 means."""
    ends = [one.partition("-")[::2] for one in cpus]
    return sorted({cpu for low, high in ends for cpu in range(int(low), int(high or low) + 1)})


def _keep_to(cpus: list[str]) -> None:
    """Run on these CPUs and no other; the kernel itself would silently leave out those that are not here."""
    here = sorted(os.sched_getaffinity(0))
    missing = [cpu for cpu in numbers(cpus) if cpu not in here]
    if missing:
        listed = ", ".join(map(str, here[:16])) + (", …" if here[16:] else "")
        raise ValueError(f"cpus: {missing[0]} is not a CPU this may run on; those are {listed}")
    os.sched_setaffinity(0, numbers(cpus))


def _fall_behind_other_sessions() -> None:
    """Be as nice as a session as among its own tasks.

    Where the kernel groups tasks by session (CONFIG_SCHED_AUTOGROUP, `man 7 sched`), a nice value
    counts within a session alone, and a worker has one of its own: it would get as much CPU as all of production's.
    """
    if os.getsid(0) == os.getpid():
        _write("/proc/self/autogroup", "19")


def _call_the_kernel(behind: bool) -> None:
    import ctypes  # noqa: PLC0415 - 5 ms that a failing start need not pay

    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    number = IOPRIO_SET.get((os.uname().machine, sys.maxsize > 1 << 32))
    if behind and number:
        libc.syscall(number, IOPRIO_WHO_PROCESS, 0, IOPRIO_IDLE)  # where it is refused, the nice value still counts


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError:
        pass  # a container may forbid it; the probe is no worse for it
