"""The client of jtop: with doubles that hang and break, and with the real service over a synthetic tree."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgemon.sources import jtop
from edgemon.sysfs import Root

REPO = Path(__file__).parents[2]
SANDBOX = REPO.parent / "shared" / "jtop" / "sandbox"
VENV = Path("~/.cache/edgemon-peers/jtop-venv").expanduser()


class Service:
    """A double of the client: its samples, and what happens after them."""

    interval = 0.01

    def __init__(self, samples: int = 1, after: Callable[[], bool] = lambda: False) -> None:
        self.left, self.after, self.closed = samples, after, False
        self.uptime = timedelta(0)
        self.gpu = {"gpu": {"status": {"load": 37.3}, "freq": {"cur": 306000, "min": 306000, "max": 624750}}}
        self.engine: Any = {"DLA0": {"DLA0_CORE": {"online": True, "cur": 115200}}, "APE": {"APE": {"online": False}}}
        self.memory = {"EMC": {"cur": 2133000, "max": 2133000, "val": 10}, "RAM": {"tot": 1}}
        rail = {"VDD_SOC": {"volt": 5064, "curr": 304, "power": 1539}, "VDD_5V0": {"volt": 0, "curr": 0, "power": 0}}
        self.power: Any = {"rail": rail, "tot": {"volt": 5072, "power": 5072, "name": "VDD_IN"}}
        self.nvpmodel: Any = "15W"
        self.jetson_clocks: Any = None
        self.board = {"hardware": {"Model": "Orin", "SoC": "tegra234", "L4T": "36.4.0", "Serial Number": "1"}}

    def ok(self) -> bool:
        if self.left:
            self.left -= 1
            self.uptime += timedelta(seconds=1)
            return True
        return self.after()

    def close(self) -> None:
        self.closed = True


def failing(error: Exception) -> Callable[[], Any]:
    def connect() -> Any:
        raise error

    return connect


def wait(question: Callable[[], Any], seconds: float = 5.0) -> Any:
    """The first true answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := question():
            return answer
        time.sleep(0.01)
    raise AssertionError("nothing came")


def failure(client: jtop.Client) -> OSError | None:
    try:
        client.latest()
    except OSError as error:
        return error
    return None


def hang() -> bool:
    threading.Event().wait()
    return True


def test_a_sample_is_in_base_units_and_holds_no_serial_number() -> None:
    assert jtop.shape(Service()) == {
        "gpu": {"load": 0.373, "clock": {"now": 306e6, "allowed": 624.75e6}},
        "engines": {"dla0_core": {"on": True, "now": 115.2e6}, "ape": {"on": False}},
        "emc": {"load": 0.1, "clock": {"now": 2133e6, "allowed": 2133e6}},
        "rails": {"VDD_SOC": 1.539, "VDD_IN": 5.072},
        "board": {"Model": "Orin", "SoC": "tegra234", "L4T": "36.4.0"},
        "mode": "15W",
    }


@pytest.mark.parametrize("junk", [None, {}, [], "", {"gpu": None}, {"gpu": {"status": None, "freq": [1]}}, {"a": 1}])
def test_a_sample_of_another_form_holds_no_number(junk: Any) -> None:
    service = Service()
    service.gpu = service.engine = service.memory = service.power = service.board = junk
    service.nvpmodel = None
    sample = jtop.shape(service)
    assert not re.search("[0-9]", json.dumps(sample))
    assert not sample["rails"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 101, True, "50", None])
def test_a_load_that_is_none_is_left_out(value: Any) -> None:
    assert jtop.share(value) is None


def test_megahertz_taken_for_kilohertz_are_no_clock() -> None:
    assert jtop.clock({"cur": 1575, "max": 1575000}, now="cur", allowed="max") == {"allowed": 1.575e9}


@pytest.mark.parametrize("rail", [{"online": False, "power": 5}, {"volt": 0, "power": 5}, {"power": 0}, {"power": 1e9}])
def test_an_unplugged_rail_has_no_power(rail: dict[str, Any]) -> None:
    assert jtop.watts(rail) is None
    assert jtop.watts({"volt": 5000, "curr": 0, "power": 0}) == 0


@pytest.mark.parametrize("refused", [False, True])
def test_who_can_wait_gets_the_first_sample_or_the_reason_why_there_is_none(
    monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    """For a command that reads once; the daemon's sweep never waits."""
    refuse = failing(PermissionError(errno.EACCES, "closed"))
    client = jtop.Client(refuse if refused else lambda: threading.Event().wait(0.1) or Service(after=hang))
    monkeypatch.setattr(jtop, "CLIENT", client)
    jtop.settle()
    found = failure(client)
    assert (found.errno if found else client.latest()["mode"]) == (errno.EACCES if refused else "15W")  # type: ignore[index]


def test_the_first_question_starts_the_client_and_does_not_wait() -> None:
    gate = threading.Event()
    client = jtop.Client(lambda: gate.wait() and Service(after=hang))
    assert client.latest() is None
    gate.set()
    assert wait(client.latest)["mode"] == "15W"


def test_a_sample_expires_after_some_intervals_while_the_service_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jtop, "INTERVAL", 0.05)
    client = jtop.Client(lambda: Service(after=hang))
    wait(lambda: failure(client) is None and client.latest())
    error = wait(lambda: failure(client))
    assert error.errno == errno.ETIMEDOUT


def test_a_service_that_hands_out_its_last_sample_for_ever_is_hung(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jtop, "INTERVAL", 0.05)

    def stale() -> bool:
        time.sleep(0.01)
        return True

    client = jtop.Client(lambda: Service(after=stale))
    assert wait(lambda: failure(client)).errno == errno.ETIMEDOUT


def test_a_service_that_hangs_while_it_connects_is_told_after_some_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jtop, "INTERVAL", 0.02)
    client = jtop.Client(hang)
    assert wait(lambda: failure(client)).errno == errno.ETIMEDOUT


def test_a_lost_connection_is_closed_and_made_again() -> None:
    made: list[Service] = []

    def connect() -> Service:
        if len(made) > 3:
            hang()
        made.append(Service())
        return made[-1]

    client = jtop.Client(connect, pause=0.01)
    client.latest()
    wait(lambda: len(made) > 3)
    assert all(service.closed for service in made[:-1])


def test_the_pause_doubles_while_there_is_no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    ours: set[int] = set()

    def connect() -> Any:
        ours.add(threading.get_ident())
        raise FileNotFoundError(errno.ENOENT, "none")

    def sleep(seconds: float) -> None:
        if threading.get_ident() not in ours or len(pauses) > 7:
            hang()
        pauses.append(seconds)

    monkeypatch.setattr(jtop, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))
    failure(jtop.Client(connect))
    wait(lambda: len(pauses) > 7)
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError(errno.EACCES, "closed"), errno.EACCES),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), errno.ECONNREFUSED),
        (OSError("no number"), errno.EIO),
        (Exception("Mismatch version jtop service: [4.2.9] and client: [7.2.2]."), errno.EPROTO),
        (Exception("The jtop.service is not active. Please run:"), errno.ECONNREFUSED),
        (Exception("I can't access jtop.service.\nPlease logout"), errno.EACCES),
        (EOFError(), errno.EIO),
        (AttributeError("'NoneType' object has no attribute '_update'"), errno.EIO),
    ],
)
def test_every_failure_of_the_client_has_an_errno(error: Exception, code: int) -> None:
    client = jtop.Client(failing(error))
    assert wait(lambda: failure(client)).errno == code


def test_without_a_socket_nothing_is_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(jtop, "SOCKET", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="there is no jtop service"):
        jtop.connect()


def test_without_the_library_the_reason_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "socket").touch()
    monkeypatch.setattr(jtop, "SOCKET", str(tmp_path / "socket"))
    monkeypatch.setitem(sys.modules, "jtop", None)
    with pytest.raises(FileNotFoundError, match="jetson-stats cannot be imported"):
        jtop.connect()


def test_a_failure_reaches_the_tally_of_a_sensor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jtop, "CLIENT", jtop.Client(failing(PermissionError(errno.EACCES, "closed"))))
    wait(lambda: failure(jtop.CLIENT))
    root = Root("/")
    assert root.call("edgemon.sources.jtop.latest") is None
    assert root.errors == {"EACCES": 1}


# with the real service


@pytest.fixture(scope="session")
def venv() -> Path:
    """A virtual environment with jetson-stats, made once and kept."""
    for reason, missing in (("the sandbox needs root", os.geteuid()), (f"{SANDBOX} is not here", not SANDBOX.exists())):
        if missing:
            _lacking(reason)
    if not (VENV / "bin" / "jtop").exists():
        try:
            subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True, capture_output=True, timeout=300)
            pip = [f"{VENV}/bin/pip", "install", "-q", "jetson-stats>=4.2"]
            subprocess.run(pip, check=True, capture_output=True, timeout=600)
        except (OSError, subprocess.SubprocessError) as error:
            _lacking(f"jetson-stats cannot be installed in {VENV}: {error}")
    return VENV


def _lacking(reason: str) -> None:
    if os.environ.get("EDGEMON_REQUIRE_PEERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def inside(venv: Path, tmp_path: Path) -> Callable[[str], Any]:
    """Run a piece of Python beside the real service, and give back what it prints as JSON."""

    def run(code: str) -> Any:
        script = tmp_path / "inside.py"
        script.write_text(PRELUDE + code, "utf-8")
        process = subprocess.Popen(
            [SANDBOX, venv, venv / "bin" / "python", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(REPO)},
            start_new_session=True,
        )
        try:
            output, errors = process.communicate(timeout=120)
            assert output, errors  # the sandbox ends with 1 where the service was killed
            return json.loads(output.splitlines()[-1])
        finally:  # a service that a failed test left stopped
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    return run


PRELUDE = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
from edgemon.sources import jtop
from edgemon.sysfs import Root

JTOP = int(os.environ["JTOP_PID"])
FAKE = Path(os.environ["FAKE_SYS"])
slowest = 0.0

def ask():
    global slowest
    began = time.perf_counter()
    try:
        return jtop.latest()
    except OSError as error:
        return os.strerror(error.errno)
    finally:
        slowest = max(slowest, time.perf_counter() - began)

def until(test, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = ask()
        if test(answer):
            return answer
        time.sleep(0.05)
    sys.exit(f"last answer: {answer}")

def family(pid):
    found = [pid]
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found += family(int(path.parent.name))
    return found

"""


@pytest.mark.peer
def test_the_real_service_answers_and_its_values_follow_the_hardware(inside: Callable[[str], Any]) -> None:
    answer = inside("""
first = until(lambda one: isinstance(one, dict))
(FAKE / "devices/platform/17000000.gpu/load").write_text("912")
second = until(lambda one: isinstance(one, dict) and one["gpu"]["load"] == 0.912)
print(json.dumps([first, second, slowest]))
""")
    first, second, slowest = answer
    assert first["gpu"] == {"load": 0.373, "clock": {"now": 306e6, "allowed": 624.75e6}}
    assert first["rails"] == {"VDD_IN": 5.072, "VDD_CPU_GPU_CV": 1.255, "VDD_SOC": 1.539}
    assert first["emc"]["load"] == 0.1
    assert first["mode"] == "15W"
    assert second["gpu"]["load"] == 0.912
    assert slowest < 0.05


@pytest.mark.peer
def test_the_real_service_killed_and_started_again_is_found_again(inside: Callable[[str], Any]) -> None:
    answer = inside("""
until(lambda one: isinstance(one, dict))
for pid in reversed(family(JTOP)):
    os.kill(pid, signal.SIGKILL)
gone = until(lambda one: not isinstance(one, dict))
command = [os.environ["VENV"] + "/bin/jtop", "--force"]
path = os.environ["WORK"] + "/bin:" + os.environ["PATH"]
service = subprocess.Popen(command, env={**os.environ, "JTOP_SERVICE": "True", "PATH": path}, stdout=2)
began = time.monotonic()
until(lambda one: isinstance(one, dict), 60)
back = time.monotonic() - began
for pid in reversed(family(service.pid)):
    os.kill(pid, signal.SIGKILL)
print(json.dumps([gone, back, slowest]))
""")
    gone, back, slowest = answer
    # a part of the service that outlives another by an instant may still remove the socket
    ends = (errno.EIO, errno.ECONNREFUSED, errno.ETIMEDOUT, errno.ENOENT)
    assert gone in {os.strerror(one) for one in ends}
    assert back < 30
    assert slowest < 0.05


@pytest.mark.peer
@pytest.mark.parametrize("whom", ["", "[1:2]", "[2:3]"])
def test_the_real_service_stopped_stalls_nothing_and_its_values_expire(inside: Callable[[str], Any], whom: str) -> None:
    """The whole service, and each of its two children: one holds the socket, one reads the hardware."""
    answer = inside(f"""
until(lambda one: isinstance(one, dict))
pids = family(JTOP)
for pid in pids{whom}:
    os.kill(pid, signal.SIGSTOP)
hung = until(lambda one: not isinstance(one, dict))
for pid in pids{whom}:
    os.kill(pid, signal.SIGCONT)
until(lambda one: isinstance(one, dict), 60)
import threading
print(json.dumps([hung, slowest, threading.active_count()]))
""")
    hung, slowest, threads = answer
    assert hung == os.strerror(errno.ETIMEDOUT)
    assert slowest < 0.05
    assert threads <= 4


@pytest.mark.peer
def test_a_process_ends_though_the_real_service_hangs(inside: Callable[[str], Any]) -> None:
    answer = inside("""
code = "from edgemon.sources.jtop import latest\\nwhile not latest(): pass\\nprint(flush=True); input()"
child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
pids = family(JTOP)
for pid in pids:
    os.kill(pid, signal.SIGSTOP)
began = time.monotonic()
child.stdin.close()
try:
    child.wait(20)
finally:
    child.kill()
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
print(json.dumps(time.monotonic() - began))
""")
    assert answer < 5


@pytest.mark.peer
def test_the_real_socket_closed_to_this_user_is_named(inside: Callable[[str], Any]) -> None:
    """As the user nobody, who is not in the group jtop."""
    answer = inside("""
os.chmod("/run/jtop.sock", 0o660)
os.setgid(65534); os.setuid(65534)
root = Root("/")
until(lambda one: one == os.strerror(13))
print(json.dumps([root.call("edgemon.sources.jtop.latest"), dict(root.errors), jtop.CLIENT._failure.strerror]))
""")
    assert answer == [None, {"EACCES": 1}, "/run/jtop.sock is closed to this user, who must be in the group jtop"]


@pytest.mark.peer
def test_a_real_service_of_another_version_is_named(inside: Callable[[str], Any]) -> None:
    answer = inside("""
import jtop as _package
sys.modules["jtop.jtop"].get_var = lambda _pattern: "1.0.0"
until(lambda one: one == os.strerror(71))
print(json.dumps(jtop.CLIENT._failure.strerror))
""")
    assert answer.startswith("Mismatch version jtop service")


@pytest.mark.peer
def test_the_real_client_runs_no_programs_and_costs_little(inside: Callable[[str], Any]) -> None:
    """CPU of our side for ten samples; the client would look for CUDA and others with programs each time it is made."""
    answer = inside("""
def forbidden(event, arguments):
    if event in {"subprocess.Popen", "os.fork", "os.exec", "os.system"}:
        ran.append(str(arguments[0]))
ran = []
sys.addaudithook(forbidden)
until(lambda one: isinstance(one, dict))
before = time.process_time()
time.sleep(10)
print(json.dumps([ran, time.process_time() - before]))
""")
    ran, seconds = answer
    assert not ran
    print(f"\njtop client: {seconds * 100:.0f} ms CPU in 10 s")
    assert seconds < 0.5
