"""The command line: every command helps, answers in stable JSON, and refuses in a sentence with the right status."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from edgemon import cli, logs
from edgemon.archive import Archive
from edgemon.cli import COMMANDS
from tests.running import HERE, until
from tests.test_daemon import QUICK as DENSE
from tests.test_daemon import SPIN, alive, configure, edgemon

QUICK = {**DENSE, "interval": "60s"}  # by hand nothing is due, and a run may take as long as it does
ENV = {**os.environ, "PYTHONPATH": str(HERE)}
FINDING = {
    "probe", "outcome", "detail", "stage", "at", "boottime", "started", "import_seconds", "load_seconds",
    "first_seconds", "idle_seconds", "latencies", "corrected", "run_delay", "kernels", "witnesses", "windows",
    "slices", "inferences", "metered", "peak_memory", "cpu_seconds", "wall_seconds", "facts", "distance", "phases",
    "reference", "conditions", "fingerprint", "key", "validity", "verdict",
}  # fmt: skip
VERDICT = {
    "state", "cause", "text", "slowdown", "bounds", "relative", "references", "drift", "epoch", "evidence", "causes",
    "summary", "advice",
}  # fmt: skip
BASELINE = {
    "probe", "fingerprint", "key", "rounds", "placement", "golden", "at", "references", "kernels", "joules",
    "conditions", "phases", "processes",
}  # fmt: skip
SENSOR = {"sensor", "state", "seconds", "errors", "detail", "readings"}


def strict(text: str) -> Any:
    """JSON as everybody reads it: NaN and Infinity are none."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


@dataclass(frozen=True)
class Said:
    """What a command said in this process, where it costs no start of an interpreter."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Type a command; the handler of its log would outlive the test, so none is set."""
    monkeypatch.setattr(logs, "to_stderr", lambda *_: None)

    def run(*arguments: str) -> Said:
        try:
            status = cli.main(arguments)
        except SystemExit as error:
            status = int(error.code or 0)
        return Said(status, *capsys.readouterr())

    return run


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A configuration with a quick simulated probe, one that fails and one that never ends."""
    failing = {**QUICK, "options": {"behaviour": "raise"}}
    return configure(tmp_path, probes={"quick": QUICK, "failing": failing, "slow": SPIN})


@pytest.mark.parametrize("command", ["", *COMMANDS, *(f"baseline {verb}" for verb in ("record", "show", "list"))])
def test_every_command_explains_itself(typed: Callable[..., Said], command: str) -> None:
    ran = typed(*command.split(), "--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(f"usage: edgemon {command}".rstrip())


def test_the_help_names_every_command_and_every_exit_status(typed: Callable[..., Said]) -> None:
    text = typed("--help").stdout
    assert all(re.search(rf"^    {command} +[a-z]", text, re.MULTILINE) for command in COMMANDS)
    assert re.findall(r"^  (\d+) +\S", text.partition("exit status:")[2], re.MULTILINE) == ["0", "1", "2", "3", "130"]


def test_the_version_is_said(typed: Callable[..., Said]) -> None:
    assert re.fullmatch(r"edgemon \d+\.\d+\.\d+\S*\n", typed("--version").stdout)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("prob quick", "there is no prob; did you mean probe?"),
        ("baselin list", "there is no baselin; did you mean baseline?"),
        ("xyzzy", f"there is no xyzzy; there are {', '.join(COMMANDS)}"),
        ("baseline recrod quick", "there is no recrod; did you mean record?"),
        ("", "the following arguments are required: command"),
        ("baseline", "the following arguments are required: verb"),
        ("probe", "the following arguments are required: name"),
        ("metrics --jsn", "unrecognized arguments: --jsn"),
        ("metrics extra", "unrecognized arguments: extra"),
        ("config", "one of the arguments --example --schema --check is required"),
        ("config --example --schema", "not allowed with argument"),
        ("probe quick --rounds 0", "0 is not a whole number from 1 to 100"),
        ("probe quick --rounds 101", "101 is not a whole number from 1 to 100"),
        ("probe quick --rounds -1", "-1 is not a whole number from 1 to 100"),
        ("probe quick --rounds ten", "ten is not a whole number from 1 to 100"),
        ("probe quick --rounds 1_0", "1_0 is not a whole number from 1 to 100"),
        ("probe quick --rounds \u00b2", "\u00b2 is not a whole number from 1 to 100"),
        ("baseline record quick --rounds 2", "2 is not a whole number from 3 to 50"),
    ],
)
def test_a_wrong_command_line_is_exit_2_and_says_what_is_right(
    typed: Callable[..., Said], arguments: str, says: str
) -> None:
    ran = typed(*arguments.split())
    assert (ran.returncode, ran.stdout) == (2, "")
    assert says in ran.stderr


@pytest.mark.parametrize("command", ["probe", "baseline record", "baseline accept"])
def test_an_unknown_probe_is_exit_2_with_the_nearest_name(typed: Callable[..., Said], path: str, command: str) -> None:
    ran = typed(*command.split(), "quikc", "--config", path)
    assert (ran.returncode, ran.stderr) == (2, "edgemon: there is no probe quikc; did you mean quick?\n")
    ran = typed(*command.split(), "zzz", "--config", path)
    assert (ran.returncode, ran.stderr) == (2, "edgemon: there is no probe zzz; configured: quick, failing, slow\n")


@pytest.mark.parametrize(
    "command", ["run", "check", "doctor", "sense", "probe a", "baseline record a", "baseline list"]
)
@pytest.mark.parametrize("what", ["missing", "directory", "bad"])
def test_a_configuration_that_cannot_be_read_is_exit_2_for_every_command(
    typed: Callable[..., Said], tmp_path: Path, command: str, what: str
) -> None:
    where = {"missing": tmp_path / "none", "directory": tmp_path, "bad": tmp_path / "bad.yml"}[what]
    (tmp_path / "bad.yml").write_text("colour: red\nlisten: 7\n")
    ran = typed(*command.split(), "--config", str(where))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"edgemon: {where}: ")
    assert len(ran.stderr.splitlines()) == (2 if what == "bad" else 1)


def test_check_of_a_good_configuration_is_exit_0(typed: Callable[..., Said], tmp_path: Path) -> None:
    path = configure(tmp_path, probes={"quick": QUICK})
    ran = typed("check", "--config", path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"configuration  {path} is good" in ran.stdout
    assert "platform       linux: " in ran.stdout
    assert "runtime        fake 1" in ran.stdout
    assert re.search(r"^probe +quick: .* loads", ran.stdout, re.MULTILINE)


def test_check_is_exit_1_and_names_every_problem(typed: Callable[..., Said], tmp_path: Path) -> None:
    """A model that is not there, an unknown runtime, a Python that is none, a sensor and a platform nobody knows."""
    (tmp_path / "text").write_text("no program")
    probes = {
        "model": {"model": "/no/such/model.onnx"},
        "runtime": {"model": "/m", "runtime": "tensorrt"},
        "python": {**QUICK, "python": "/no/such/python"},
        "program": {**QUICK, "python": str(tmp_path / "text")},
        "other": {**QUICK, "python": "/bin/true"},
        "directory": {**QUICK, "python": str(tmp_path)},
        "bad": {**QUICK, "options": {"behaviour": "dance"}},
        "good": QUICK,
    }
    disable = ["linux.netwrok", "jetsno", "linux.load"]
    ran = typed("check", "--config", configure(tmp_path, probes=probes, sensors={"disable": disable}))
    assert (ran.returncode, ran.stderr) == (1, "")
    problems = [line.removeprefix("problem").strip() for line in ran.stdout.splitlines() if line.startswith("problem")]
    expected = [
        r"sensors\.disable: linux\.netwrok is no platform or sensor; see edgemon devices",
        r"sensors\.disable: jetsno is no platform or sensor; see edgemon devices",
        r"probes\.model: .*/no/such/model\.onnx.*",
        r"probes\.runtime: runtime tensorrt is unknown; known: .*onnx.*",
        r"probes\.python: python /no/such/python cannot be executed",
        r"probes\.program: python \S*text cannot be executed",
        r"probes\.other: exited with status 0 without an answer.*",
        r"probes\.directory: .*",
        r"probes\.bad: behaviour dance is unknown; known: .*",
    ]
    assert len(problems) == len(expected), problems
    assert all(re.fullmatch(one, problem) for one, problem in zip(expected, problems, strict=True)), problems
    assert "probe          good: " in ran.stdout


def test_devices_as_json_has_stable_keys(typed: Callable[..., Said]) -> None:
    ran = typed("devices", "--json")
    data = strict(ran.stdout)
    rest = {"simulated", "boards", "power_modes", "accelerators", "warnings"}
    assert (ran.returncode, set(data), data["simulated"]) == (0, {"device", "platforms", *rest}, False)
    assert set(data["device"]) == {"device", "cpu", "arch", "kernel", "os", "governor", "id"}
    assert "linux" in data["platforms"]
    for sensors in data["platforms"].values():
        keys = {"sensor", "state", "readings", "source", "errors", "detail", "remedy"}
        assert all(set(one) == keys for one in sensors)


def test_devices_for_people_names_the_device_and_every_sensor(typed: Callable[..., Said]) -> None:
    text = typed("devices").stdout
    assert re.search(r"^id +[0-9a-f-]{36}$", text, re.MULTILINE)
    assert re.search(r"^  memory +ok +\d+ readings$", text, re.MULTILINE)


DOCTOR = {"device", "simulated", "findings", "left_out"}


def test_the_doctor_examines_this_machine(path: str) -> None:
    """The real command: stable JSON, and an exit status that says whether a warning or a problem is there."""
    ran = edgemon("doctor", "--json", "--config", path)
    data = strict(ran.stdout)
    assert set(data) == DOCTOR
    assert all(set(one) == {"group", "severity", "what", "evidence", "remedy"} for one in data["findings"])
    assert {"memory", "storage", "time", "engines", "other processes"} <= {one["group"] for one in data["findings"]}
    severities = {one["severity"] for one in data["findings"]}
    assert severities <= {"ok", "note", "warning", "problem"}
    assert ran.returncode == (1 if severities & {"warning", "problem"} else 0)
    assert not data["simulated"]


@pytest.mark.parametrize(
    ("device", "status"), [("raspberry-pi-5-pmic", 0), ("raspberry-pi-3", 1), ("coral-unbound", 1)]
)
def test_the_doctor_examines_a_capture_and_says_what_it_leaves_out(
    typed: Callable[..., Said], device: str, status: int
) -> None:
    file = str(HERE / f"tests/devices/{device}.capture")
    data = strict(typed("doctor", "--json", "--root", file).stdout)
    assert {"time", "engines", "other processes"} <= set(data["left_out"])
    assert data["simulated"]
    ran = typed("doctor", "--root", file)
    assert ran.returncode == status
    assert ran.stdout.startswith(f"simulated  {file} is replayed\n")
    for one in data["findings"]:
        assert f"  {one['severity']:<8} {one['what']}\n" in ran.stdout
        assert one["severity"] == "ok" or f"because  {one['evidence']}\n" in ran.stdout
        assert f"remedy   {one['remedy']}\n" in ran.stdout or not one["remedy"]
    assert re.search(
        r"^(no|\d+) problems?, (no|\d+) warnings?, (no|\d+) notes?, (no|\d+) ok$", ran.stdout, re.MULTILINE
    )


@pytest.mark.parametrize(
    ("device", "says"),
    [
        (
            "coral-unbound",
            [r"^  tpu    0000:02:00.0  unready      Google Coral Edge TPU PCIe$", "remedy .*gasket-dkms"],
        ),
        ("raspberry-pi-5", [r"^  throttled +absent", "remedy .*raspi-utils"]),
        (
            "raspberry-pi-denied",
            [r"^  throttled +ok +5 readings  from get_throttled  EACCES 1$", "remedy .*group video"],
        ),
        ("jetson-orin-jtop", [r"^  gpu +ok +\d+ readings  from jtop$", r"^  nvpmodel 15W$"]),
        ("jetson-agx-orin-jp6-hot", [r"^  gpu +ok +\d+ readings  from sysfs$", "remedy .*jetson-stats"]),
        ("nvidia-mismatch", [r"^  gpu +error +0 readings  nvml_lib_rm_version_mismatch 1$", "remedy .*reboot"]),
        (
            "hailo-8l-pi5",
            [r"^  npu    0000:01:00.0  ok .*driver 4", r"^  measurements +absent", "remedy .*python3-hailort"],
        ),
        ("rock-5b", [r"^  npu    fdab0000.npu"]),
    ],
)
def test_devices_tells_source_state_and_remedy_of_recorded_devices(
    typed: Callable[..., Said], device: str, says: list[str]
) -> None:
    ran = typed("devices", "--root", str(HERE / f"tests/devices/{device}.capture"))
    assert (ran.returncode, ran.stderr) == (0, "")
    for pattern in says:
        assert re.search(pattern, ran.stdout, re.MULTILINE), ran.stdout


def test_devices_tells_of_an_accelerator_without_driver_and_of_a_pycoral_that_is_none(
    typed: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "npu.capture").write_text(
        "== /sys/bus/pci/devices/0000:00:0b.0/vendor\n0x8086\n== /sys/bus/pci/devices/0000:00:0b.0/device\n0x7d1d\n"
    )
    text = typed("devices", "--root", str(tmp_path / "npu.capture")).stdout
    assert re.search(r"^  npu    0000:00:0b.0  no driver    Intel NPU 8086:7d1d\n +remedy +load it", text, re.MULTILINE)
    (tmp_path / "pycoral").mkdir()
    (tmp_path / "pycoral" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "\nwarnings\n  coral: the installed pycoral is not Google's" in typed("devices").stdout


def test_at_a_terminal_long_lines_are_folded() -> None:
    leader, follower = pty.openpty()
    subprocess.run(["stty", "cols", "60"], stdin=follower, check=True)
    command = [sys.executable, "-m", "edgemon", "devices", "--root", "tests/devices/raspberry-pi-5.capture"]
    environment = {key: value for key, value in ENV.items() if key != "COLUMNS"}
    subprocess.run(command, env=environment, cwd=HERE, stdout=follower, check=True, timeout=60)
    os.close(follower)
    lines = os.read(leader, 65536).decode().splitlines()
    os.close(leader)
    folded = [line for line in lines if line.startswith(" " * 17)]
    assert folded
    assert all(len(line) < 60 for line in folded)


def test_sense_as_json_has_stable_keys(typed: Callable[..., Said], path: str) -> None:
    ran = typed("sense", "--json", "--config", path)
    sensors = {one["sensor"]: one for one in strict(ran.stdout)}
    assert ran.returncode == 0
    assert all(set(one) == SENSOR for one in sensors.values())
    (free,) = [one for one in sensors["linux.memory"]["readings"] if one["labels"] == {"system_memory_state": "free"}]
    assert set(free) == {"name", "unit", "labels", "value"}
    assert (free["name"], free["unit"]) == ("system_memory_usage_bytes", "By")


def test_sense_leaves_out_what_is_disabled(typed: Callable[..., Said], tmp_path: Path) -> None:
    path = configure(tmp_path, sensors={"disable": ["hwmon", "linux.memory"]})
    names = {one["sensor"] for one in strict(typed("sense", "--json", "--config", path).stdout)}
    assert "linux.cpu" in names
    assert not [name for name in names if name.startswith("hwmon") or name == "linux.memory"]


def test_probe_as_json_has_stable_keys(typed: Callable[..., Said], path: str) -> None:
    ran = typed("probe", "quick", "--rounds", "1", "--json", "--config", path)
    data = strict(ran.stdout)
    assert (ran.returncode, set(data), set(data["verdict"])) == (0, FINDING, VERDICT)
    assert (data["probe"], data["outcome"], data["facts"]["simulated"]) == ("quick", "ok", True)


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [("raise", "failed"), ("segfault", "crashed"), ("nan", "wrong_output"), ("exit", "crashed")],
)
def test_a_probe_that_does_not_deliver_is_exit_1(
    typed: Callable[..., Said], tmp_path: Path, behaviour: str, outcome: str
) -> None:
    """In JSON as well, and after the first round: there is nothing to repeat."""
    path = configure(tmp_path, probes={"bad": {**QUICK, "options": {"behaviour": behaviour}}})
    ran = typed("probe", "bad", "--json", "--config", path)
    data = strict(ran.stdout)
    assert (ran.returncode, data["outcome"], data["verdict"]["state"]) == (1, outcome, "failing")
    assert set(data) == FINDING
    assert data["conditions"]["looks"] >= 2
    first = data["verdict"]["causes"][0]
    assert set(first) == {"name", "strength", "meaning", "witnesses", "next"}
    assert data["verdict"]["summary"].startswith(f"{first['strength']} {first['name']}: ")
    archive = Archive(str(tmp_path / "state"))
    assert len(archive.results("bad")) == 1
    archive.close()


def test_a_probe_for_people_says_outcome_verdict_and_what_ran(typed: Callable[..., Said], path: str) -> None:
    ran = typed("probe", "quick", "--rounds", "1", "--config", path)
    rows = dict(line.split(maxsplit=1) for line in ran.stdout.splitlines())
    assert (ran.returncode, rows["probe"], rows["outcome"]) == (0, "quick", "ok")
    assert rows["engine"] == "fake 1 (simulated)"
    assert rows["next"] == "record one while all is well: edgemon baseline record quick"
    failed = typed("probe", "failing", "--config", path)
    assert failed.returncode == 1
    assert re.search(r"^outcome +failed: told to raise$", failed.stdout, re.MULTILINE)
    assert re.search(
        r"^cause +unexplained, possible: .*\n  for +failed: told to raise  \[edgemon_probe_verdict{",
        failed.stdout,
        re.MULTILINE,
    )


def test_a_baseline_is_recorded_shown_listed_and_removed(typed: Callable[..., Said], path: str, tmp_path: Path) -> None:
    """The round trip, each step in words and in JSON; afterwards nothing is left."""
    recorded = typed("baseline", "record", "quick", "--rounds", "4", "--config", path)
    assert recorded.returncode == 0
    line = re.fullmatch(
        r"quick ([0-9a-f]{12,})  \d+\.\d{3} ms of 4 rounds, spread \d+\.\d%, \d{4}-\d\d-\d\d \d\d:\d\d\n",
        recorded.stdout,
    )
    assert line, recorded.stdout
    assert typed("baseline", "list", "--config", path).stdout == recorded.stdout
    shown = typed("baseline", "show", "quick", "--config", path).stdout
    assert shown.startswith(recorded.stdout)
    assert re.search(r"^  rounds +(\d+\.\d{3}, ){3}\d+\.\d{3} ms$", shown, re.MULTILINE)
    for verb in (["list"], ["show", "quick"]):
        (data,) = strict(typed("baseline", *verb, "--json", "--config", path).stdout)
        assert set(data) == BASELINE
        assert (data["probe"], data["fingerprint"], len(data["rounds"])) == ("quick", line[1], 4)
    probed = strict(typed("probe", "quick", "--rounds", "1", "--json", "--config", path).stdout)
    assert (probed["fingerprint"], probed["distance"]["max_abs"]) == (line[1], 0)
    accepted = typed("baseline", "accept", "quick", "--config", path)
    assert accepted.returncode == 0, accepted.stderr
    assert accepted.stdout.startswith(f"quick {line[1]}  ")
    assert " of 6 rounds, " in accepted.stdout
    nothing = typed("baseline", "remove", "quick", "ffffffffffff0", "--config", path)
    assert (nothing.returncode, nothing.stderr) == (
        3, "edgemon: quick has no such baseline; see: edgemon baseline list\n",
    )  # fmt: skip
    removed = typed("baseline", "remove", "quick", line[1][:4], "--config", path)
    assert (removed.returncode, removed.stdout) == (0, "1 removed\n")
    empty = typed("baseline", "list", "--config", path)
    assert (empty.returncode, empty.stdout) == (0, "no baselines; record one: edgemon baseline record NAME\n")
    assert strict(typed("baseline", "list", "--json", "--config", path).stdout) == []


@pytest.mark.parametrize(
    ("verb", "says"),
    [
        ("show quick", "quick has no baseline; run: edgemon baseline record quick"),
        ("show zzz", "zzz has no baseline; run: edgemon baseline record zzz"),
        ("remove quick", "quick has no such baseline; see: edgemon baseline list"),
        ("accept quick", "only 1 rounds of quick are known; run: edgemon baseline record quick"),
        ("record failing", "no baseline recorded: failed: told to raise"),
        ("accept failing", "nothing accepted: failed: told to raise"),
    ],
)
def test_a_baseline_that_cannot_be_had_is_exit_3_with_the_reason(
    typed: Callable[..., Said], path: str, verb: str, says: str
) -> None:
    ran = typed("baseline", *verb.split(), "--config", path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (3, "", f"edgemon: {says}\n")


def test_a_baseline_that_cannot_be_kept_is_exit_3_with_the_reason(typed: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = configure(tmp_path, state_dir=str(tmp_path / "file/state"), probes={"quick": QUICK})
    ran = typed("baseline", "record", "quick", "--rounds", "3", "--config", path)
    assert ran.returncode == 3
    assert f"edgemon: nothing can be kept in {tmp_path}/file/state: " in ran.stderr
    assert "Not a directory" in ran.stderr
    assert ran.stderr.endswith("; make it writable or set state_dir:\n")


def test_metrics_in_three_forms_name_the_same(typed: Callable[..., Said]) -> None:
    rows = strict(typed("metrics", "--json").stdout)
    assert all(set(row) == {"prometheus", "opentelemetry", "unit", "kind", "labels", "help"} for row in rows)
    text, table = typed("metrics").stdout, typed("metrics", "--markdown").stdout
    assert all(row["prometheus"] in text and f"| `{row['prometheus']}` |" in table for row in rows)


@pytest.mark.parametrize("command", ["metrics", "metrics --json", "config --schema", "sense", "--help"])
@pytest.mark.parametrize("reader", ["head -n 1", "true"])
def test_a_reader_that_has_enough_ends_it_without_a_word(command: str, reader: str) -> None:
    line = f'"$0" -m edgemon {command} | {reader}; exit "${{PIPESTATUS[0]}}"'
    ran = subprocess.run(
        ["bash", "-c", line, sys.executable], capture_output=True, text=True, env=ENV, check=False, timeout=30
    )
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("command", ["metrics", "devices"])
def test_a_full_disk_behind_the_output_is_a_sentence(command: str) -> None:
    line = f'"$0" -m edgemon {command} > /dev/full'
    ran = subprocess.run(["bash", "-c", line, sys.executable], capture_output=True, text=True, env=ENV, check=False)
    assert (ran.returncode, ran.stderr) == (3, "edgemon: output: no space left on device\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_descriptors_are_survived(path: str, closed: str) -> None:
    """The next files opened would take their numbers, and the worker's answer be lost; the probe ends well."""
    line = f'"$0" -m edgemon probe quick --rounds 1 --config {path} {closed}'
    ran = subprocess.run(["bash", "-c", line, sys.executable], capture_output=True, text=True, env=ENV, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_an_output_that_knows_no_unicode_is_written_with_escapes(tmp_path: Path) -> None:
    """A model path in Greek on a terminal in Latin-1."""
    path = configure(tmp_path, probes={"a": {"model": "/\u03bc.onnx"}})
    ran = edgemon("check", "--config", path, PYTHONIOENCODING="latin-1")
    assert ran.returncode == 1
    assert "\\u03bc.onnx" in ran.stdout


@pytest.mark.parametrize("verb", ["probe slow", "baseline record slow", "check"])
def test_control_c_is_exit_130_and_leaves_no_worker(path: str, verb: str, tmp_path: Path) -> None:
    """As at a terminal, where the whole foreground group gets the signal."""
    if verb == "check":
        path = configure(tmp_path, probes={"slow": SPIN})
    command = [sys.executable, "-m", "edgemon", *verb.split(), "--config", path]
    with subprocess.Popen(
        command, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        worker = until(lambda: spinning(process.pid))
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=10)
    assert (process.returncode, stderr) == (130, "edgemon: interrupted\n")
    assert not alive(worker)


def spinning(pid: int) -> psutil.Process | None:
    """The worker once it burns CPU."""
    children = psutil.Process(pid).children()
    return next((one for one in children if one.is_running() and one.cpu_times().user > 0.3), None)


def test_a_killed_command_takes_its_worker_along(path: str) -> None:
    command = [sys.executable, "-m", "edgemon", "probe", "slow", "--config", path]
    with subprocess.Popen(command, env=ENV, stdout=subprocess.DEVNULL) as process:
        worker = until(lambda: spinning(process.pid))
        process.kill()
    until(lambda: not alive(worker), 5.0)


def test_at_a_terminal_progress_is_shown_and_wiped_off(path: str) -> None:
    """Elsewhere standard error stays empty."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "edgemon", "probe", "quick", "--rounds", "2", "--config", path]
    ran = subprocess.run(command, env=ENV, stdout=subprocess.PIPE, stderr=follower, check=False, timeout=60)
    os.close(follower)
    shown = os.read(leader, 65536).decode()
    os.close(leader)
    assert ran.returncode == 0
    assert "quick: round 1 of 2" in shown
    assert "quick: round 2 of 2" in shown
    assert shown.endswith("\r\x1b[K")
    assert edgemon("probe", "quick", "--rounds", "1", "--config", path).stderr == ""


def test_a_command_reads_nothing_from_its_input(path: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "edgemon", "baseline", "list", "--config", path],
        env=ENV, input=b"\x00rubbish", capture_output=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["probe", "\udcff"],
        ["probe", ""],
        ["probe", "a" * 100_000],
        ["probe", "../../etc/passwd"],
        ["--config", "x"],
        ["sense", "--config", "\udcff"],
        ["sense", "--config", ""],
        ["sense", "--config", "a" * 5000],
        ["sense", "--config", "/dev/null/x"],
        ["sense", "--config", "/dev/zero"],
        ["check", "--config"],
        ["--", "metrics", "--", "x"],
        ["baseline", "remove", "quick", "%"],
        ["baseline", "show", "'; drop table baselines; --"],
    ],
)
def test_no_wrong_input_ends_in_a_traceback(arguments: list[str], path: str, tmp_path: Path) -> None:
    """Status 2 or 3, and a sentence of printable characters."""
    if arguments[0] in {"probe", "baseline"}:
        arguments = [*arguments, "--config", path]
    ran = edgemon(*arguments, HOME=str(tmp_path), XDG_STATE_HOME=str(tmp_path))
    assert ran.returncode in {2, 3}
    assert ran.stderr.startswith(("edgemon: ", "usage: "))


def test_help_costs_no_configuration_and_no_engine() -> None:
    """What is typed often is quick: no pydantic, YAML or engine is imported for it."""
    code = "import sys; sys.argv = ['edgemon', 'metrics']; from edgemon import cli; cli.main(); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENV, check=True)
    assert not {"pydantic", "yaml", "onnxruntime", "numpy"} & set(ran.stdout.splitlines()[-1].split())


def test_the_state_directory_is_systemds_then_the_customary_one(tmp_path: Path) -> None:
    (tmp_path / "empty.yml").write_text("probes: {}\n")
    ran = edgemon("check", "--config", str(tmp_path / "empty.yml"), STATE_DIRECTORY="/run/one:/run/two")
    assert re.search(r"^state +/run/one$", ran.stdout, re.MULTILINE)
