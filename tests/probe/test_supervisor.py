"""The supervisor: whatever a worker does, the run ends in time, is named, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgemon.probe import supervisor
from edgemon.probe.result import Outcome, Request
from tests.probe import MIB, ROOT, SPIN, ask, eventually, gone, interpreter, no_descriptors, running, workers

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=20), inner, max_size=3),
    max_leaves=8,
)
SCRATCH = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


# how a run is bounded


def test_a_run_is_killed_at_the_timeout_and_so_is_what_the_worker_started(tmp_path: Path) -> None:
    child = tmp_path / "child"
    python = interpreter(tmp_path / "python", f'sleep 300 & echo $! > {child}\nexec $PYTHON "$@"')
    result = supervisor.run(ask(options=SPIN, timeout=0.5), python)
    assert result.outcome is Outcome.TIMEOUT
    assert result.wall_seconds
    assert 0.5 <= result.wall_seconds < 5
    pid = int(child.read_text())
    assert eventually(lambda: not psutil.pid_exists(pid) or gone(psutil.Process(pid)))


def test_what_a_worker_leaves_running_when_it_ends_is_killed_too(tmp_path: Path) -> None:
    child = tmp_path / "child"
    python = interpreter(tmp_path / "python", f"sleep 300 & echo $! > {child}\nexit 0")
    assert supervisor.run(ask(), python).outcome is Outcome.CRASHED
    pid = int(child.read_text())
    assert eventually(lambda: not psutil.pid_exists(pid) or gone(psutil.Process(pid)))


def test_a_cancel_ends_a_run_within_a_second() -> None:
    with running(ask(options=SPIN, timeout=60.0)) as run:
        assert eventually(lambda: run.worker.cpu_times().user > 0.3)
        began = time.monotonic()
        run.cancel.set()
        result = run.result()
        assert time.monotonic() - began < 1
        assert (result.outcome, result.detail) == (Outcome.SKIPPED, "cancelled: edgemon is stopping")
        assert gone(run.worker)


def test_a_run_that_is_cancelled_before_it_starts_is_skipped() -> None:
    cancel = threading.Event()
    cancel.set()
    assert supervisor.run(ask(options=SPIN), "", cancel).outcome is Outcome.SKIPPED


def test_shared_memory_which_the_kernels_limit_does_not_count_is_bounded_too(tmp_path: Path) -> None:
    hoard = "import mmap, time; m = mmap.mmap(-1, 300 << 20); m.write(b'x' * (300 << 20)); time.sleep(60)"
    result = supervisor.run(ask(memory=100 * MIB), interpreter(tmp_path / "python", f'exec $PYTHON -c "{hoard}"'))
    assert (result.outcome, result.detail) == (Outcome.FAILED, "used more than 100 MiB of memory, killed in start")


def test_a_worker_killed_from_outside_is_named() -> None:
    with running(ask(options=SPIN, timeout=60.0)) as run:
        assert eventually(lambda: run.worker.cpu_times().user > 0.3)
        run.worker.send_signal(signal.SIGKILL)
        result = run.result()
    assert result.outcome is Outcome.CRASHED
    assert result.detail.startswith("killed by SIGKILL, most likely by the kernel for want of memory, in load")


PARENT = f"""
from edgemon.probe import supervisor
from edgemon.probe.result import Request
supervisor.run(Request(probe="p", runtime="fake", options={SPIN!r}, timeout=60.0))
"""


@pytest.mark.parametrize("after", [0.0, 0.003, 0.01, 0.02, 0.03, 0.05, 0.5])
def test_a_worker_dies_with_its_parent_however_young_it_is(after: float) -> None:
    """The parent is killed with SIGKILL so long after its worker has appeared; nothing else ends this worker."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT)
    try:
        assert eventually(lambda: bool(workers(parent.pid)))
        worker = workers(parent.pid)[0]
        time.sleep(after)
        assert not gone(worker)
    finally:
        parent.kill()
        parent.wait()
    died = eventually(lambda: gone(worker), 5.0)
    with contextlib.suppress(psutil.NoSuchProcess):
        worker.kill()  # where it did not, it must not outlive the test
    assert died


# what a worker is given


def test_a_worker_steps_back_and_sends_nothing_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """First to be killed for memory, last to be scheduled, no core dumps, its own session, no secrets of systemd's."""
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/edgemon")
    with running(ask(options=SPIN, timeout=60.0, memory=512 * MIB)) as run:
        worker = run.worker
        assert eventually(lambda: worker.cpu_times().user > 0.3)
        assert Path(f"/proc/{worker.pid}/oom_score_adj").read_text() == "1000\n"
        assert worker.nice() == 19
        assert worker.rlimit(resource.RLIMIT_CORE) == (0, 0)
        assert worker.rlimit(resource.RLIMIT_DATA) == (512 * MIB, 512 * MIB)
        assert os.getpgid(worker.pid) == os.getsid(worker.pid) == worker.pid
        assert worker.cwd() == "/"
        environment = worker.environ()
        assert environment["ORT_DISABLE_TELEMETRY"] == "1"
        assert not {"NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY"} & set(environment)
        assert run.worker.num_fds() <= 8, "stdin, stdout, stderr and where these lead, the socket, schedstat; no others"


def test_the_parent_is_as_it_was() -> None:
    before = os.nice(0), Path("/proc/self/oom_score_adj").read_text(), resource.getrlimit(resource.RLIMIT_CORE)
    supervisor.run(ask())
    assert before == (
        os.nice(0),
        Path("/proc/self/oom_score_adj").read_text(),
        resource.getrlimit(resource.RLIMIT_CORE),
    )


# what a worker answers


def test_an_answer_larger_than_a_pipe_arrives_whole() -> None:
    result = supervisor.run(ask(options={"work": 1}, samples=10000, seconds=20.0))
    assert len(json.dumps(result.to_json())) > 4 * 65536
    assert len(result.latencies) == len(result.corrected) >= 10000


def test_a_request_larger_than_a_pipe_arrives_whole() -> None:
    tensor = {"name": "output", "shape": [4], "sha256": "", "values": [0.5] * 50000}
    digest = supervisor.run(ask(until="load")).facts["model_sha256"]
    result = supervisor.run(ask(golden=[[tensor]], golden_digest=digest))
    assert result.outcome is Outcome.WRONG_OUTPUT


def test_a_large_request_to_a_worker_that_never_reads_does_not_hold_the_supervisor(tmp_path: Path) -> None:
    """Not even when a process that left the worker's group keeps all its descriptors open."""
    text = "exec 3<&0; setsid sleep 20 <&3 & echo $! > $0.pid; sleep 0.2; exit 0"
    python = interpreter(tmp_path / "python", text)
    result = supervisor.run(ask(golden=[[{"values": [1.0] * 100000}]]), python)
    assert result.outcome is Outcome.CRASHED
    assert result.wall_seconds
    assert result.wall_seconds < 5
    os.kill(int((tmp_path / "python.pid").read_text()), signal.SIGKILL)


@pytest.mark.parametrize("status", [0, 3])
def test_the_last_words_are_kept_the_rest_of_megabytes_is_not(status: int, tmp_path: Path) -> None:
    text = f"head -c 5000000 /dev/zero | tr '\\0' 'x'; echo; echo 'what broke' >&2; exit {status}"
    result = supervisor.run(ask(), interpreter(tmp_path / "python", text))
    assert result.outcome is Outcome.CRASHED
    assert result.detail.startswith(f"exited with status {status} without an answer in start: ")
    assert result.detail.endswith("what broke")
    assert len(result.detail) < 500


def test_what_is_printed_takes_no_memory(tmp_path: Path) -> None:
    tracemalloc.start()
    result = supervisor.run(ask(), interpreter(tmp_path / "python", "head -c 60000000 /dev/zero"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.outcome is Outcome.CRASHED
    assert peak < 20 * MIB, "less than a third of what was printed; room for the largest answer is 8 MiB of it"


def test_who_prints_without_end_is_still_killed_at_the_timeout(tmp_path: Path) -> None:
    result = supervisor.run(
        ask(timeout=0.5), interpreter(tmp_path / "python", "yes & yes & cat /dev/zero & exec cat /dev/zero")
    )
    assert result.outcome is Outcome.TIMEOUT
    assert result.wall_seconds
    assert result.wall_seconds < 5


def test_bytes_that_are_no_text_make_a_detail_all_the_same(tmp_path: Path) -> None:
    result = supervisor.run(ask(), interpreter(tmp_path / "python", "head -c 3000 /dev/urandom; exit 1"))
    assert result.outcome is Outcome.CRASHED
    json.dumps(result.to_json()).encode()


def answering(directory: Path, answer: bytes, status: int = 0) -> str:
    """An interpreter that writes this answer and exits."""
    (directory / "answer").write_bytes(answer)
    return interpreter(directory / "python", f"cat {directory}/answer >&0\nexit {status}")


@SCRATCH
@given(st.binary(max_size=300) | st.lists(PLAIN.map(lambda value: json.dumps(value).encode())).map(b"\n".join))
def test_garbage_for_an_answer_is_a_crash_never_an_exception(tmp_path: Path, answer: bytes) -> None:
    result = supervisor.run(ask(), answering(tmp_path, answer))
    assert result.outcome is Outcome.CRASHED
    assert result.detail.startswith("exited with status 0 without an answer in ")


@SCRATCH
@given(st.dictionaries(st.sampled_from(["facts", "latencies", "detail", "outputs", "stage", "x"]), PLAIN))
def test_a_result_of_wrong_kinds_is_a_crash_or_a_result_never_an_exception(tmp_path: Path, answer: Any) -> None:
    line = json.dumps({"result": {"probe": "p", "outcome": "ok", **answer}})
    result = supervisor.run(ask(), answering(tmp_path, line.encode()))
    assert result.outcome is Outcome.CRASHED or result.probe == "test"


WHOLE = b'{"stage": "load"}\n{"result": {"probe": "p", "outcome": "ok"}}\n'


@pytest.mark.parametrize("length", [0, 10, 18, 30, len(WHOLE) - 2])
def test_half_an_answer_is_a_crash_in_the_last_stage_told(length: int, tmp_path: Path) -> None:
    result = supervisor.run(ask(), answering(tmp_path, WHOLE[:length], 9))
    assert result.outcome is Outcome.CRASHED
    assert result.stage == ("load" if length >= 18 else "start")
    assert result.detail == f"exited with status 9 without an answer in {result.stage}"


def test_a_whole_answer_counts_although_the_worker_crashes_after_it(tmp_path: Path) -> None:
    """An engine may crash while it is torn down."""
    assert supervisor.run(ask(), answering(tmp_path, WHOLE, 139)).outcome is Outcome.OK


def test_an_engine_that_hangs_while_it_is_torn_down_is_left_behind(tmp_path: Path) -> None:
    program = "import atexit, runpy, sys, time; atexit.register(time.sleep, 60); del sys.argv[0]; "
    program += "runpy.run_path(sys.argv[0], run_name='__main__')"
    python = interpreter(tmp_path / "python", f'exec $PYTHON -c "{program}" "$@"')
    assert supervisor.run(ask(timeout=5.0), python).outcome is Outcome.OK


def test_an_answer_of_nothing_but_brackets_is_a_crash(tmp_path: Path) -> None:
    assert supervisor.run(ask(), answering(tmp_path, b"[" * 200_000)).outcome is Outcome.CRASHED


# interpreters


def test_an_interpreter_that_cannot_be_started_is_named_with_the_reason(tmp_path: Path) -> None:
    plain, words = tmp_path / "plain", tmp_path / "words"
    plain.write_text("#!/bin/sh\n")
    words.write_text("no program")
    words.chmod(0o755)
    reasons = {
        str(tmp_path / "missing"): "No such file or directory",
        str(plain): "Permission denied",
        str(tmp_path): "Permission denied",
        str(words): "Exec format error",
    }
    for python, reason in reasons.items():
        result = supervisor.run(ask(), python)
        assert (result.outcome, result.stage) == (Outcome.FAILED, "start")
        assert result.detail == f"cannot start {python}: {reason}; set python: of the probe to an interpreter"


@pytest.mark.parametrize(("python", "status"), [("/bin/true", 0), ("/bin/false", 1)])
def test_an_interpreter_that_exits_at_once_is_named(python: str, status: int) -> None:
    result = supervisor.run(ask(), python)
    assert (result.outcome, result.detail) == (
        Outcome.CRASHED,
        f"exited with status {status} without an answer in start",
    )


def test_where_no_descriptor_is_left_another_interpreter_is_not_advised() -> None:
    with no_descriptors():
        result = supervisor.run(ask())
    assert (result.outcome, result.stage) == (Outcome.FAILED, "start")
    assert result.detail == f"cannot start {sys.executable}: Too many open files"


# what is left behind


def test_what_a_killed_worker_wrote_for_the_moment_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    lines = f'mkdir "$TMPDIR/deep"\necho x > "$TMPDIR/deep/file"\necho "$TMPDIR" > {tmp_path}/told\nexec sleep 60'
    result = supervisor.run(ask(timeout=1.0), interpreter(tmp_path / "python", lines))
    assert result.outcome is Outcome.TIMEOUT
    assert os.path.dirname((tmp_path / "told").read_text().strip()) == str(tmp_path / "tmp")
    assert os.listdir(tmp_path / "tmp") == []


def test_where_nothing_can_be_written_for_the_moment_a_probe_runs_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    assert supervisor.run(ask()).outcome is Outcome.OK


def test_thirty_runs_of_all_kinds_leave_no_descriptor_process_or_thread(tmp_path: Path) -> None:
    kinds: list[tuple[Request, str]] = [
        (ask(), ""),
        (ask(options={"behaviour": "segfault"}), ""),
        (ask(options=SPIN, timeout=0.15), ""),
        (ask(options={"behaviour": "chatter"}), ""),
        (ask(), str(tmp_path / "missing")),
        (ask(golden=[[{"values": [1.0] * 100000}]]), "/bin/true"),
    ]

    def left() -> tuple[int, int, int]:
        return (
            len(os.listdir("/proc/self/fd")),
            len(psutil.Process().children(recursive=True)),
            threading.active_count(),
        )

    before = left()
    outcomes = {supervisor.run(*kind).outcome for kind in kinds * 5}
    assert outcomes == {Outcome.OK, Outcome.CRASHED, Outcome.TIMEOUT, Outcome.FAILED}
    assert left() == before
