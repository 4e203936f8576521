"""Other processes: telemetry of real ones, devices they hold, other monitors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgemon.doctor import Finding, Group, processes
from edgemon.sources.maps import mapped
from edgemon.sysfs import Root
from tests.doctor import examined, made, said
from tests.running import stop

WHEEL = "/opt/app/site-packages/onnxruntime/capi/onnxruntime_pybind11_state.cpython-311-aarch64-linux-gnu.so"
STORE = "/home/app/.cache/Microsoft/DeveloperTools/.onnxruntime/onnxruntime.db-shm"


def process(*files: str, environ: str = "", more: str = "") -> str:
    """A process of a made-up machine."""
    variables = environ.replace(" ", "\\x00")
    return (
        f"== /proc/42/comm\nfrigate\n== /proc/42/environ \\x\nHOME=/root\\x00{variables}\n"
        f"== call edgemon.sources.maps.mapped(pid='42')\n{json.dumps(list(files))}\n{more}"
    )


def wheel(version: str) -> str:
    """The wheel's metadata, in the process's own mount namespace."""
    return f"== /proc/42/root/opt/app/site-packages/onnxruntime-{version}.dist-info/METADATA\n\n"


@pytest.mark.parametrize(
    ("text", "severity", "what"),
    [
        (process(WHEEL, STORE, more=wheel("1.32.0")), "warning", "1.32.0 has its telemetry on"),
        (process(WHEEL, STORE, environ="ORT_DISABLE_TELEMETRY=1"), "warning", "has its telemetry on"),
        (process(WHEEL, more=wheel("1.32.0")), "warning", "1.32.0 was started without"),
        (process(WHEEL), "warning", "of unknown version was started without"),
        (process(WHEEL, environ="ORT_DISABLE_TELEMETRY=0 CI=false"), "warning", "was started without"),
        (process("/usr/lib/libonnxruntime.so.1.29.1"), "warning", "1.29.1 was started without"),
        (process("/usr/lib/libonnxruntime.so.1.28.0"), "ok", "1.28.0 has no telemetry yet"),
        (process(WHEEL, more=wheel("1.20.1")), "ok", "1.20.1 has no telemetry yet"),
        (process(WHEEL, environ="ORT_DISABLE_TELEMETRY=1"), "ok", "has its telemetry off"),
        (process(WHEEL, environ="ORT_DISABLE_TELEMETRY=2"), "warning", "was started without"),
        (process(WHEEL, environ="ORT_DISABLE_TELEMETRY=TRUE"), "ok", "has its telemetry off"),
        (process(WHEEL, environ="CI=woodpecker"), "ok", "has its telemetry off"),
        (process(f"{WHEEL} (deleted)"), "warning", "was started without"),
        (process("/usr/lib/libc.so.6"), "ok", "no process that can be looked into has ONNX Runtime loaded"),
    ],
)
def test_what_a_process_does_is_told_by_its_files_then_its_version_then_its_environment(
    text: str, severity: str, what: str
) -> None:
    ((found, told),) = said(processes.GROUP, made(text))
    assert (found, what in told) == (severity, True), told


def test_an_extension_beside_onnx_runtime_does_not_lend_it_its_version() -> None:
    other = "== /proc/42/root/opt/app/site-packages/onnxruntime_extensions-0.13.0.dist-info/METADATA\n\n"
    gpu = "== /proc/42/root/opt/app/site-packages/onnxruntime_gpu-1.30.0.dist-info/METADATA\n\n"
    assert "Runtime 1.30.0" in said(processes.GROUP, made(process(WHEEL, more=other + gpu)))[0][1]
    assert "of unknown version" in said(processes.GROUP, made(process(WHEEL, more=other)))[0][1]


def test_processes_that_are_closed_to_this_user_are_a_finding_of_their_own() -> None:
    text = "== /proc/7/comm\nnginx\n== call edgemon.sources.maps.mapped(pid='7') !EACCES\n"
    (finding,) = processes.GROUP.examine(made(text))
    assert finding.severity == "note"
    assert "1 processes cannot be looked into" in finding.what
    assert "nginx" in finding.evidence


def test_who_holds_an_accelerator_and_which_monitors_run_is_told() -> None:
    held = "== /proc/42/fd/5 -> /dev/apex_0\n== /proc/42/fd/6 -> /dev/null\n"
    command = "== /proc/43/cmdline \\x\n/usr/bin/python3\\x00/usr/local/bin/jtop\\x00--force\n"
    daemon = "== /proc/44/cmdline \\x\n/opt/edgemon/bin/python\\x00-m\\x00edgemon\\x00run\n"
    found = said(processes.GROUP, made(process("/usr/lib/libc.so.6", more=held + command + daemon)))
    assert ("note", "/dev/apex_0 is in use by frigate (42)") in found
    assert ("note", "jtop runs here: it takes its share of CPU and of slow sensors") in found
    assert ("ok", "edgemon run runs here") in found


def test_a_capture_without_processes_says_nothing() -> None:
    assert said(processes.GROUP, made("== /proc/uptime\n1 1\n")) == []


@contextmanager
def started(code: str, *before: str, **env: str) -> Iterator[int]:
    """A process that has run the code and waits; its id."""
    environment = {key: value for key, value in os.environ.items() if key not in processes.SWITCHES}
    command = [*before, sys.executable, "-c", f"{code}\nprint('ready', flush=True)\nimport time\ntime.sleep(60)"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**environment, **env})
    try:
        assert running.stdout is not None
        if running.stdout.readline() != b"ready\n":
            pytest.skip(f"cannot be started here: {running.communicate()[1].decode()[-200:]}")
        yield running.pid
    finally:
        stop(running)
        running.communicate()


def about(pid: int, group: Group = processes.GROUP) -> Finding:
    """What the group says of a real process of this machine."""
    (finding,) = [one for one in group.examine(examined(Root())) if f"({pid})" in one.what]
    return finding


def test_a_real_process_that_was_started_without_the_variable_is_found_with_the_version() -> None:
    """It sets the variable itself, so that the test phones nobody; its environment at the start does not tell."""
    import onnxruntime  # noqa: PLC0415

    code = "import os\nos.environ['ORT_DISABLE_TELEMETRY'] = '1'\nimport onnxruntime"
    with started(code) as pid:
        finding = about(pid)
    assert finding.severity == "warning"
    assert f"ONNX Runtime {onnxruntime.__version__} was started without ORT_DISABLE_TELEMETRY=1" in finding.what
    assert finding.evidence.startswith(f"/proc/{pid}/environ: no ORT_DISABLE_TELEMETRY")


def test_a_real_process_that_was_started_with_the_variable_is_fine() -> None:
    with started("import onnxruntime", ORT_DISABLE_TELEMETRY="1") as pid:
        finding = about(pid)
    assert (finding.severity, finding.evidence) == ("ok", f"/proc/{pid}/environ: ORT_DISABLE_TELEMETRY=1")


def test_a_real_process_whose_telemetry_is_on_is_found_by_the_database_it_has_open(tmp_path: Path) -> None:
    """In a network namespace of its own, from which nothing gets out."""
    import onnxruntime  # noqa: PLC0415

    if tuple(map(int, onnxruntime.__version__.split(".")[:2])) < processes.FIRST or not shutil.which("unshare"):
        pytest.skip("needs an ONNX Runtime with telemetry, and unshare")
    code = (
        "import onnxruntime, time\nuntil = time.monotonic() + 20\n"
        "while '.onnxruntime/onnxruntime.db' not in open('/proc/self/maps').read() and time.monotonic() < until:\n"
        "    time.sleep(0.05)"
    )
    with started(code, "unshare", "-rn", HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path)) as pid:
        finding = about(pid)
    assert finding.severity == "warning"
    assert "has its telemetry on" in finding.what
    assert "onnxruntime.db" in finding.evidence


def test_the_mapped_files_of_a_process_are_those_it_has_open_however_many() -> None:
    """More mappings than one read of a kernel file gives."""
    code = (
        "import mmap, tempfile, ctypes\nkept = []\n"
        "for _ in range(900):\n    file = tempfile.NamedTemporaryFile()\n    file.write(b'x')\n    file.flush()\n"
        "    kept.append((file, mmap.mmap(file.fileno(), 1)))"
    )
    with started(code) as pid:
        files = mapped(str(pid))
        size = len(Path(f"/proc/{pid}/maps").read_bytes())
    assert size > 65536
    assert len([one for one in files if "/tmp" in one]) >= 900
    assert len(files) == len(set(files))
