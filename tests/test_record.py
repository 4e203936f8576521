"""Recording: what sensors touched is in the capture, and plays again; what hangs or is denied holds nothing up."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from edgemon import catalog
from edgemon.capture import Entry, load, parse, render
from edgemon.doctor import groups
from edgemon.metric import Reading
from edgemon.platforms import Platform, Sensor, discover
from edgemon.record import record
from edgemon.replay import Replay
from edgemon.sysfs import Root
from tests.devices import DEVICES, HERE
from tests.doctor import examined
from tests.test_replay import Clock, readings

PLATFORMS = discover().values()


def reading(path: str) -> Platform:
    """A platform that reads one file."""

    def read(root: Root) -> Iterator[Reading]:
        yield catalog.LOAD_1M(root.number(path))

    return Platform("one", lambda root: root.exists("/x"), (Sensor("read", read),))


@pytest.mark.parametrize("device", DEVICES)
def test_the_recording_of_a_capture_reads_as_the_capture(device: str) -> None:
    """Every platform on every captured device: nothing a sensor needs is missing, nothing is distorted by masking."""
    source = load(str(HERE / f"{device}.capture"))
    text = render(record(PLATFORMS, Replay(source)))
    assert readings(Replay(parse(text))) == readings(Replay(source))


@pytest.mark.parametrize("device", DEVICES)
def test_the_doctor_says_of_the_recording_of_a_capture_what_it_says_of_the_capture(device: str) -> None:
    source = load(str(HERE / f"{device}.capture"))
    text = render(record(PLATFORMS, Replay(source)))
    assert groups.examine(examined(Replay(parse(text)))) == groups.examine(examined(Replay(source)))


EVERYTHING = """== /proc/swaps
Filename Type Size Used Priority
/dev/mmcblk0p3 partition 102396 0 -2
== /proc/vmstat
oom_kill 2
== /proc/device-tree/chosen/power/max_current \\x
\\x00\\x00\\x0b\\xb8
== /sys/class/devfreq/1.gpu/governor
powersave
== /sys/devices/system/cpu/cpufreq/policy0/scaling_driver
cpufreq-dt
== /sys/devices/system/cpu/cpufreq/policy0/scaling_governor
powersave
== /run/chrony/chronyd.pid
1
== call edgemon.sources.timex.status()
{"status": 0, "maximum_error_us": 5}
== /sys/bus/pci/devices/0000:01:00.0/vendor
0x8086
== /sys/bus/pci/devices/0000:01:00.0/device
0x7d1d
"""


def test_what_only_the_doctor_reads_is_recorded_as_well() -> None:
    said = groups.examine(examined(Replay(parse(EVERYTHING))))
    text = " ".join(one.what for found in said.findings.values() for one in found)
    for part in ("flash", "killed 2", "3 A", "1.gpu is powersave", "policy0 is powersave", "by chrony", "Intel NPU"):
        assert part in text
    assert groups.examine(examined(Replay(parse(render(record(PLATFORMS, Replay(parse(EVERYTHING)))))))) == said


def test_the_recording_of_this_machine_has_the_series_of_this_machine() -> None:
    """The values move on; which series there are does not."""
    again = readings(Replay(parse(render(record(PLATFORMS, Root())))))
    assert {line.split(" ")[0] for line in again} == {line.split(" ")[0] for line in readings(Root())}
    assert len(again) > 50


def test_the_recording_of_this_machine_does_not_tell_who_it_is() -> None:
    text = render(record(PLATFORMS, Root()))
    private = [
        Path("/etc/machine-id"),
        Path("/sys/class/dmi/id/product_uuid"),
        *Path("/sys/class/net").glob("*/address"),
    ]
    for path in private:
        value = path.read_text().strip() if path.is_file() and os.access(path, os.R_OK) else ""
        assert not value.strip("0f:") or value not in text, path
    assert f'"{platform.node()}"' not in text


def test_a_hung_file_holds_nothing_up_and_plays_as_a_timeout(tmp_path: Path) -> None:
    """A FIFO without a writer: opening it never returns."""
    os.mkfifo(tmp_path / "hung")
    (tmp_path / "x").write_text("1")
    capture = record([reading("/hung"), reading("/x")], Root(str(tmp_path)), timeout=0.2)
    (moment,) = capture.moments
    assert moment.entries["/hung"] == Entry(failure="ETIMEDOUT")
    assert moment.entries["/x"] == Entry(b"1")
    root = Replay(capture)
    assert (root.number("/hung"), root.errors) == (None, {"ETIMEDOUT": 1})
    os.close(os.open(tmp_path / "hung", os.O_RDWR | os.O_NONBLOCK))


def test_a_file_that_is_denied_plays_as_denied() -> None:
    capture = record([reading("/y")], Replay(parse("== /x\n== /y !EACCES\n")))
    assert capture.moments[0].entries["/y"] == Entry(failure="EACCES")


def test_later_moments_hold_what_changed_came_and_went() -> None:
    source = parse("== /x\n== /y\n1\n== /z\n1\n== @5s\n== /y\n2\n== @9s\n== /y !ENOENT\n")
    clock = Clock()

    def moments() -> Iterable[float]:
        for clock.now in (0.0, 5.0, 9.0):
            yield clock.now

    capture = record([reading("/y")], Replay(source, clock=clock), moments=moments())
    first, second, third = (moment.entries for moment in capture.moments)
    assert set(first) == {"/x", "/y"}
    assert (second, third) == ({"/y": Entry(b"2\n")}, {"/y": Entry(failure="ENOENT")})


def test_wide_adds_what_matches_its_globs_and_where_links_lead(tmp_path: Path) -> None:
    (tmp_path / "sys/class/accel/accel0").mkdir(parents=True)
    (tmp_path / "sys/class/accel/accel0/kind").write_text("npu\n")
    (tmp_path / "drivers/rocket").mkdir(parents=True)
    (tmp_path / "sys/class/accel/accel0/driver").symlink_to("../../../../drivers/rocket")
    entries = record([], Root(str(tmp_path)), wide=["/sys/class/accel/*/*"]).moments[0].entries
    assert entries["/sys/class/accel/accel0/kind"] == Entry(b"npu\n")
    assert entries["/sys/class/accel/accel0/driver"] == Entry(target="/drivers/rocket")


def capture(*words: str) -> subprocess.CompletedProcess[str]:
    """Run `edgemon capture`."""
    command = [sys.executable, "-m", "edgemon", "capture", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_writes_a_capture_and_says_what_is_in_it(tmp_path: Path) -> None:
    """Over some time, of this machine; the file is never overwritten, and plays in `edgemon sense`."""
    file = str(tmp_path / "this.capture")
    ran = capture("--for", "1s", "--every", "1s", "--wide", "--output", file)
    assert (ran.returncode, ran.stdout) == (0, "")
    assert ran.stderr.startswith("recorded ")
    assert [round(moment.at) for moment in load(file).moments] == [0, 1]
    again = capture("--output", file)
    assert (again.returncode, again.stderr) == (3, f"edgemon: {file}: file exists\n")
    command = [sys.executable, "-m", "edgemon", "sense", "--root", file]
    sensed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "system_cpu_time_seconds_total" in sensed.stdout


@pytest.mark.parametrize("words", [("--for", "0s"), ("--for", "2"), ("--every", "2h")])
def test_a_time_that_makes_no_sense_is_refused(words: tuple[str, ...]) -> None:
    ran = capture(*words)
    assert ran.returncode == 2
    assert "must be a duration from 1s to 1h, such as 30s or 1m30s" in ran.stderr


def test_a_root_that_is_no_capture_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("== /a\n== b\n")
    command = [sys.executable, "-m", "edgemon", "run", "--root", str(tmp_path / "bad")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    assert "bad:2: == b is no path, call, run, or later moment such as @30s" in ran.stderr
