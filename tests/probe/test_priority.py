"""How a worker stands back, as the kernel tells of a real one; the fingerprint says what is not customary."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgemon.probe import supervisor
from edgemon.probe.priority import IOPRIO_IDLE, IOPRIO_SET, numbers
from edgemon.probe.result import Outcome
from tests.probe import SPIN, ask, eventually, running

IOPRIO_GET = {251: 252, 30: 31, 314: 315, 289: 290}


def session(pid: int) -> int | None:
    """How nice the process' session is to other sessions, None where this kernel does not group tasks by session."""
    file = Path(f"/proc/{pid}/autogroup")
    return int(file.read_text().split()[-1]) if file.exists() and file.read_text() else None


@pytest.mark.skipif(session(os.getpid()) is None, reason="this kernel does not group tasks by session")
def test_a_worker_yields_to_a_session_that_is_not_nice() -> None:
    """Beside one busy process of another session on the same core it gets little; by its nice value alone, half."""
    cpu = max(os.sched_getaffinity(0))
    code = f"import os\nos.sched_setaffinity(0, {{{cpu}}})\nprint(flush=True)\nwhile True: pass"
    with running(ask(options=SPIN, timeout=60.0, cpus=[str(cpu)])) as run:
        assert eventually(lambda: run.worker.cpu_times().user > 0.3)
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as busy:
            try:
                assert busy.stdout
                busy.stdout.readline()
                before, began = spent(run.worker.pid), spent(busy.pid)
                assert eventually(lambda: spent(busy.pid) > began + 0.5)
                assert spent(run.worker.pid) - before < 0.2 * (spent(busy.pid) - began)
            finally:
                busy.kill()


def spent(pid: int) -> float:
    """Seconds of CPU the process' first thread has had."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


@pytest.mark.parametrize(
    ("scheduling", "nice", "policy", "disk"),
    [
        ("normal", 0, os.SCHED_OTHER, 0),
        ("nice", 19, os.SCHED_OTHER, IOPRIO_IDLE),
        ("idle", 19, os.SCHED_IDLE, IOPRIO_IDLE),
    ],
)
def test_the_kernel_schedules_a_worker_as_told(scheduling: str, nice: int, policy: int, disk: int) -> None:
    number = IOPRIO_SET.get((os.uname().machine, True))
    with running(ask(options=SPIN, timeout=60.0, scheduling=scheduling)) as run:
        pid = run.worker.pid
        assert eventually(lambda: run.worker.cpu_times().user > 0.3)
        assert run.worker.nice() == nice + os.nice(0)
        assert os.sched_getscheduler(pid) == policy
        assert session(pid) in {nice, None}
        if number:
            assert ctypes.CDLL(None).syscall(IOPRIO_GET[number], 1, pid) >> 13 == disk >> 13


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, {}),
        ({"scheduling": "idle"}, {"scheduling": "idle"}),
        ({"scheduling": "normal", "cpus": ["0"]}, {"scheduling": "normal", "cpus": "0"}),
    ],
)
def test_what_is_not_customary_is_among_the_options(fields: dict[str, Any], told: dict[str, str]) -> None:
    options = supervisor.run(ask(**fields)).facts["options"]
    assert {name: value for name, value in options.items() if name != "work"} == told


def test_a_worker_runs_on_the_cpus_it_is_told() -> None:
    last = max(os.sched_getaffinity(0))
    with running(ask(options=SPIN, timeout=60.0, cpus=[str(last)])) as run:
        assert eventually(lambda: run.worker.cpu_times().user > 0.3)
        assert os.sched_getaffinity(run.worker.pid) == {last}


def test_a_cpu_that_is_not_here_is_named_with_those_that_are() -> None:
    result = supervisor.run(ask(cpus=["0", "4096-4099"]))
    here = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
    assert (result.outcome, result.stage) == (Outcome.FAILED, "start")
    assert result.detail == f"cpus: 4096 is not a CPU this may run on; those are {here}"


def test_ranges_and_numbers_are_put_together() -> None:
    assert numbers(["4-7", "0", "5-6"]) == [0, 4, 5, 6, 7]
