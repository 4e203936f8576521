"""Hailo: sysfs from captures, its programs as impostors on PATH, its monitor's files as its protocol writes them."""

from __future__ import annotations

import errno
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgemon import catalog, hardware
from edgemon.platforms import Platform, hailo
from edgemon.sources import hailo as source
from edgemon.sysfs import Root
from tests import devices
from tests.devices import values

Machine = Callable[[str], devices.Captured]
Impostor = Callable[..., Path]

IDENTIFY = """Executing on device: 0000:01:00.0
Identifying board
Control Protocol Version: 2
Firmware Version: 4.21.0 (release,app,extended context switch buffer)
Board Name: Hailo-8
Device Architecture: HAILO8L
Serial Number: HLLWM2A0000001
SoC ID: 9A2F
"""
WARNING = "[HailoRT] [warning] Unsupported firmware operation. Host: 4.20.0, Device: 4.21.0"
MISMATCH = "[HailoRT] [error] CHECK failed - Driver version (4.20.0) is different from library version (4.19.0)"
LIBRARY = '''
"""What tests know of hailo_platform/pyhailort/pyhailort.py (hailo-ai/hailort): names, units, exceptions."""
import time

class HailoRTException(Exception):
    pass

class Heat:
    ts0_temperature, ts1_temperature, sample_count = 45.5, 45.25, 7

class Control:
    def __init__(self, ident):
        self.ident = ident
    def get_chip_temperature(self):
        if self.ident == "0000:02:00.0":
            raise HailoRTException("control failed")
        return Heat()
    def power_measurement(self):
        if self.ident == "0000:01:00.0":
            raise HailoRTException("HAILO_UNSUPPORTED_OPCODE")
        PAUSE
        return 3.19395

class Device:
    def __init__(self, ident):
        self.control = Control(ident)
    @staticmethod
    def scan():
        return ["0000:01:00.0", "0000:02:00.0"]
'''


def states(root: Root) -> dict[str, str]:
    readings = values(list(hailo.identity(root)), hardware.ACCELERATOR_STATE)
    return {labels[0]: labels[3] for labels, value in readings.items() if value == 1}


def alive(group: str) -> list[str]:
    """Processes of a group that are not dead; in a container nobody may be there to bury them."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, pgrp = file.read_text().rpartition(")")[2].split()[:3]
            found += [file.parent.name] if pgrp == group and state not in "ZX" else []
    return found


@pytest.fixture
def impostor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Impostor:
    """Put a program of that name and script before all others on PATH."""

    def put(name: str, script: str) -> Path:
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        return program

    return put


@pytest.mark.parametrize("device", devices.DEVICES)
def test_every_capture_reads_as_its_golden_file_says(device: str, golden: Callable[[str, Platform], None]) -> None:
    golden(device, hailo.PLATFORM)


@pytest.mark.parametrize("device", devices.DEVICES)
def test_no_two_readings_of_a_capture_are_the_same_series(device: str, machine: Machine) -> None:
    readings = devices.sweep(machine(device), hailo.PLATFORM)
    assert len({(reading.metric.name, reading.labels) for reading in readings}) == len(readings)


@pytest.mark.parametrize(
    ("text", "chip"),
    [
        (IDENTIFY, hailo.Chip("HAILO8L", "4.21.0", "")),
        ("Firmware Version: 5.3.0 (release,app)\nDevice Architecture: HAILO10H\n", hailo.Chip("HAILO10H", "5.3.0", "")),
        (f"{WARNING}\n{IDENTIFY}", hailo.Chip("HAILO8L", "4.21.0", "firmware_mismatch")),
        (MISMATCH, hailo.Chip("", "", "driver_mismatch")),
        ("[HailoRT] [error] Can't find hailo pcie class", hailo.Chip()),
        ("Firmware Version: 4.17.0garbage\nDevice Architecture: Unknown", hailo.Chip()),
        ("Firmware Version: ٤.٢.٣ (release)", hailo.Chip()),
        ("", hailo.Chip()),
    ],
)
def test_what_identify_says_becomes_firmware_model_and_trouble(text: str, chip: hailo.Chip) -> None:
    assert hailo.chip(text) == chip


def test_presence_and_pci_identity_need_no_software(machine: Machine) -> None:
    root = machine("hailo-8l-pi5")
    Path(root.path, "calls.json").unlink()
    infos = values(list(hailo.identity(root)), hardware.ACCELERATOR_INFO)
    assert list(infos) == [("0000:01:00.0", "Hailo-8", "npu", "Hailo", "1e60:2864", "4.17.0", "")]
    assert states(root) == {"0000:01:00.0": "ok"}
    assert not root.errors


def test_a_driver_of_another_version_than_the_library_is_a_named_failure(machine: Machine) -> None:
    root = machine("hailo-8l-mismatch")
    assert states(root) == {"0000:01:00.0": "failed"}
    assert root.errors == {"driver_mismatch": 1}


def test_firmware_of_another_version_is_a_named_failure_wherever_the_warning_stands(machine: Machine) -> None:
    root = machine("hailo-8l-pi5")
    for text in (f"{WARNING}\n{IDENTIFY}", f"{IDENTIFY}{WARNING}\n"):
        Path(root.path, "calls.json").write_text(json.dumps({"edgemon.sources.hailo.identify()": text}))
        fresh = devices.Captured(root.path)
        assert states(fresh) == {"0000:01:00.0": "failed"}
        assert fresh.errors == {"firmware_mismatch": 1}


def test_a_device_without_a_driver_is_unready_and_nothing_is_asked(machine: Machine, monkeypatch: Any) -> None:
    root = machine("hailo-8l-pi5")
    Path(root.path, "sys/bus/pci/devices/0000:01:00.0/driver").unlink()
    monkeypatch.setattr(root, "call", lambda name: pytest.fail(f"{name} was called"))
    assert states(root) == {"0000:01:00.0": "unready"}
    assert not list(hailo.measurements(root))


def test_a_device_given_to_a_virtual_machine_is_unready(machine: Machine) -> None:
    root = machine("hailo-8l-pi5")
    driver = Path(root.path, "sys/bus/pci/devices/0000:01:00.0/driver")
    driver.unlink()
    (driver.parents[2] / "drivers" / "vfio-pci").mkdir()
    driver.symlink_to("../../drivers/vfio-pci")
    assert states(root) == {"0000:01:00.0": "unready"}


def test_utilization_temperature_and_power_by_device(machine: Machine) -> None:
    root = machine("hailo-8-and-10h")
    assert values(list(hailo.utilization(root)), hardware.UTILIZATION) == {
        ("0000:03:00.0", "Hailo-8", "npu"): pytest.approx(0.936),
        ("0000:04:00.0", "Hailo-10H", "npu"): 0,
    }
    readings = list(hailo.measurements(root))
    assert values(readings, catalog.POWER) == {("0000:03:00.0/power", "Hailo-8", ""): 3.19395}
    assert len(values(readings, catalog.TEMPERATURE)) == 4


# Programs, run live


def test_a_serial_number_never_leaves_the_source(impostor: Impostor) -> None:
    impostor("hailortcli", f"cat <<'END'\n{IDENTIFY}END")
    said = Root().call("edgemon.sources.hailo.identify")
    assert "HAILO8L" in said
    assert "HLLWM2A0000001" not in said
    assert "9A2F" not in said


def test_the_reason_of_a_failure_is_read_from_standard_error(impostor: Impostor) -> None:
    impostor("hailortcli", f"echo '{MISMATCH}' >&2; exit 76")
    assert hailo.chip(Root().call("edgemon.sources.hailo.identify")).trouble == "driver_mismatch"


def test_no_log_is_written_to_flash(impostor: Impostor) -> None:
    impostor("hailortcli", 'echo "$HAILORT_LOGGER_PATH"')
    assert source.identify() == "NONE\n"


@pytest.mark.parametrize(
    "script", ["sleep 60", "sleep 60 & sleep 60", "trap '' TERM; sleep 60; sleep 60", "echo; sleep 60"]
)
def test_a_program_that_hangs_costs_only_its_deadline(
    script: str, impostor: Impostor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "SECONDS", 0.3)
    impostor("hailortcli", f"echo $$ >{tmp_path}/pid\n{script}")
    root, began = Root(), time.monotonic()
    assert root.call("edgemon.sources.hailo.identify") is None
    assert time.monotonic() - began < 1.5
    assert root.errors == {"ETIMEDOUT": 1}
    deadline = time.monotonic() + 2
    while alive((tmp_path / "pid").read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive((tmp_path / "pid").read_text().strip())


def test_a_program_that_prints_without_end_is_cut_off(impostor: Impostor) -> None:
    impostor("hailortcli", "exec cat /dev/zero")
    assert len(source.identify()) == 65536


@pytest.mark.parametrize(
    "script", ["head -c 5000 /dev/urandom", "printf '\\377\\376 Firmware Version: \\377'", "exit 1", "kill -9 $$"]
)
def test_a_program_that_prints_garbage_gives_nothing(script: str, impostor: Impostor) -> None:
    impostor("hailortcli", script)
    assert hailo.chips(source.identify()).get("0000:01:00.0", hailo.Chip()) == hailo.Chip()


def test_no_program_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    root = Root()
    assert root.call("edgemon.sources.hailo.identify") is None
    assert not root.errors


# The helper, a real process over a made-up library


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install a stand-in for hailo_platform where the helper's interpreter finds it."""

    def install(pause: str) -> None:
        package = tmp_path / "site" / "hailo_platform" / "pyhailort"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package.parent / "__init__.py").write_text("import hailo_platform.pyhailort\n")
        (package / "pyhailort.py").write_text(LIBRARY.replace("PAUSE", pause))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))

    return install


def test_the_helper_tells_what_every_device_answers(library: Callable[[str], None]) -> None:
    library("")
    assert Root().call("edgemon.sources.hailo.measure") == [
        {"id": "0000:01:00.0", "name": "ts0", "value": 45.5},
        {"id": "0000:01:00.0", "name": "ts1", "value": 45.25},
        {"id": "0000:02:00.0", "name": "power", "value": 3.19395},
    ]


def test_a_helper_that_hangs_costs_only_its_deadline(library: Callable[[str], None], monkeypatch: Any) -> None:
    library("time.sleep(60)")
    monkeypatch.setattr(source, "SECONDS", 1.0)
    root = Root()
    assert root.call("edgemon.sources.hailo.measure") is None
    assert root.errors == {"ETIMEDOUT": 1}


def test_without_hailo_platform_the_helper_says_nothing() -> None:
    assert source.measure() == []


def test_the_daemon_never_imports_hailo_platform(library: Callable[[str], None]) -> None:
    library("")
    code = "import sys; from edgemon.sources import hailo; hailo.measure(); print('hailo_platform' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# HAILO_MONITOR's files


def field(number: int, body: bytes) -> bytes:
    return bytes([number << 3 | 2, len(body)]) + body


def message(*shares: tuple[str, float]) -> bytes:
    """A ProtoMon as HailoRT 4.15 and later serialise it: pid, a network, frames, devices; 0.0 is left out (proto3)."""
    network = field(1, b"yolov8s") + b"\x11" + struct.pack("<d", 30.0) + b"\x19" + struct.pack("<d", 63.2)
    found = field(1, b"4242") + field(2, network) + field(3, field(1, b"yolov8s"))
    for ident, percent in shares:
        worth = b"\x11" + struct.pack("<d", percent) if percent else b""
        found += field(4, field(1, ident.encode()) + worth + field(3, b"HAILO8L"))
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "hmon_files"
    place.mkdir()
    monkeypatch.setattr(source, "MONITOR", str(place))
    return place


def test_the_monitors_file_tells_utilization_by_device(folder: Path) -> None:
    (folder / "4242").write_bytes(message(("0000:01:00.0", 63.2), ("0000:02:00.0", 0.0)))
    (folder / "4242.tmp").write_bytes(message(("0000:09:00.0", 1.0)))
    assert source.monitor() == [{"id": "0000:01:00.0", "percent": 63.2}, {"id": "0000:02:00.0", "percent": 0.0}]


def test_the_file_of_a_dead_process_is_left_out(folder: Path) -> None:
    (folder / "4242").write_bytes(message(("0000:01:00.0", 63.2)))
    os.utime(folder / "4242", (time.time() - 5, time.time() - 5))
    assert source.monitor() == []


def test_what_others_put_in_tmp_does_no_harm(folder: Path) -> None:
    os.mkfifo(folder / "1")
    (folder / "2").symlink_to("/etc/passwd")
    (folder / "3").mkdir()
    (folder / "4").write_bytes(message(("0000:01:00.0", 63.2))[:-3])
    (folder / "5").write_bytes(b"\xff" * 4096)
    (folder / "6").write_bytes(message(("0000:01:00.0", 1.5)))
    assert source.monitor() == [{"id": "0000:01:00.0", "percent": 1.5}]


def test_without_a_monitor_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MONITOR", "/nonexistent")
    assert source.monitor() == []


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.one_of(st.binary(max_size=200), st.integers(0, 80).map(lambda n: message(("0000:01:00.0", 63.2))[:n])))
def test_no_bytes_of_a_monitor_raise(data: bytes, folder: Path) -> None:
    (folder / "7").write_bytes(data)
    assert all(isinstance(row["percent"], float) for row in source.monitor())


# Whatever is said


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9))
ANSWERS = st.one_of(
    SCALARS,
    st.sampled_from(
        [IDENTIFY, MISMATCH, WARNING, "Executing on device: \nExecuting on device: x\nFirmware Version: 9.9.9"]
    ),
    st.lists(
        st.one_of(
            SCALARS,
            st.fixed_dictionaries(
                {
                    "id": st.one_of(SCALARS, st.just("0000:01:00.0")),
                    "name": st.one_of(SCALARS, st.sampled_from(["ts0", "ts1", "power"])),
                    "value": SCALARS,
                    "percent": SCALARS,
                }
            ),
        ),
        max_size=4,
    ),
)
FILES = ("bus/pci/devices/0000:01:00.0/vendor", "bus/pci/devices/0000:01:00.0/device", "module/hailo_pci/version")


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    answer=ANSWERS,
    file=st.sampled_from(FILES),
    garbage=st.one_of(st.none(), st.binary(max_size=40)),
    fail=st.booleans(),
)
def test_no_answer_and_no_file_raise_or_become_an_implausible_number(
    answer: Any, file: str, garbage: bytes | None, fail: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = devices.unpack("hailo-8l-pi5", tmp_path_factory.mktemp("fuzz"))
    sources = ("identify", "measure", "monitor")
    Path(root.path, "calls.json").write_text(
        json.dumps({f"edgemon.sources.hailo.{name}()": answer for name in sources})
    )
    if fail:
        root.failures = {f"/sys/{file}": errno.EIO}
    elif garbage is not None:
        Path(root.path, "sys", file).write_bytes(garbage)
    readings = devices.sweep(root, hailo.PLATFORM)
    bounds = {catalog.TEMPERATURE: (-55, 250), catalog.POWER: (0, 100), hardware.UTILIZATION: (0, 1)}
    for reading in readings:
        low, high = bounds.get(reading.metric, (0, 1e9))
        assert reading.value is None or low <= reading.value <= high
        assert all(label.isprintable() for label in reading.labels)
