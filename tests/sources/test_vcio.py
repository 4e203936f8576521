"""The firmware's property message, and the real system call that carries it; the firmware itself is simulated."""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from edgemon.sources import vcio
from edgemon.sysfs import Root
from tests import devices
from tests.running import HERE
from tests.sources import syscalls

PRELUDE = """
import json, socket, sys, threading, time
from edgemon import collect
from edgemon.platforms import raspberrypi
from edgemon.sources import vcio
from edgemon.sysfs import Root
from tests.sources import syscalls
vcio.NODES = ("/no/such/node", sys.argv[2])
def say(what):
    print(json.dumps(what), flush=True)
def told(command):
    try:
        return vcio.ask(command)
    except OSError as error:
        return [error.errno, str(error)]
syscalls.trap(vcio.PROPERTY, socket.socket(fileno=int(sys.argv[1])))
"""
LONGEST = Path(devices.HERE / "raspberry-pi-5-pmic.capture").read_text().partition("pmic_read_adc\n")[2].rstrip("\n")
needs_seccomp = pytest.mark.skipif(not syscalls.supported(), reason="needs seccomp user notifications")


def firmware(text: bytes, status: int = 0x80000000) -> syscalls.Driver:
    """Answers every command with a text, as long as the message is one that the firmware understands."""

    def driver(message: bytes) -> bytes | int:
        size, code, tag, room, length, error = struct.unpack_from("=6I", message)
        if (size, code, tag, length, error) != (len(message), 0, 0x30080, 0, 0) or size != 20 + room + 4 or room % 4:
            return errno.EINVAL
        if message[24:].rstrip(b"\0") != b"get_throttled" or message[-4:] != b"\0\0\0\0":
            return errno.EINVAL
        header = struct.pack("=6I", size, status, tag, room, 0x80000000 | len(text), 0)
        return (header + text[: room - 4]).ljust(size - 4, b"\0") + b"\0\0\0\0"

    return driver


def asked(code: str, driver: syscalls.Driver, node: Path) -> list[Any]:
    """What a process says that runs this code, whose ioctls the driver answers."""
    ours, theirs = socket.socketpair()
    node.touch()
    syscalls.serve(ours, driver)
    ran = subprocess.run(
        [sys.executable, "-c", PRELUDE + code, str(theirs.fileno()), str(node)],
        pass_fds=[theirs.fileno()], capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(HERE)},
    )  # fmt: skip
    ours.close()
    theirs.close()
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_the_message_is_laid_out_as_vcgencmd_lays_it_out() -> None:
    """Size, request, tag, room, 0, error, text, end tag: raspi-utils' vcgencmd.c, but for its 1052 bytes."""
    message = vcio.request("measure_clock core")
    assert len(message) == 1024
    assert struct.unpack_from("=6I", message) == (1024, 0, 0x30080, 1000, 0, 0)
    assert bytes(message[24:43]) == b"measure_clock core\0"
    assert not any(message[42:])


def test_the_ioctl_is_that_of_the_kernel() -> None:
    """_IOWR(100, 0, char *): 0xc0086400 where a pointer has 8 bytes, 0xc0046400 where it has 4."""
    assert {8: 0xC0086400, 4: 0xC0046400}[struct.calcsize("P")] == vcio.PROPERTY


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (0x80000000, b"throttled=0x0\0", "throttled=0x0"),
        (0x80000000, b"\0", ""),
        (0x80000000, b"a\xff\0rest", "a\N{REPLACEMENT CHARACTER}"),
        (0x80000001, b"throttled=0x0\0", None),
        (0, b"get_throttled\0", None),
        (0x80000000, b"x" * 996, None),
    ],
)
def test_only_an_answer_that_is_whole_is_one(status: int, body: bytes, told: str | None) -> None:
    message = struct.pack("=6I996sI", 1024, status, 0x30080, 1000, 0, 0, body, 0)
    if told is not None:
        assert vcio.answer(message) == told
    else:
        with pytest.raises(OSError, match="status 0x") as caught:
            vcio.answer(message)
        assert caught.value.errno == errno.EPROTO


def test_the_longest_answer_known_has_room() -> None:
    assert len(LONGEST) > 900
    assert vcio.answer(struct.pack("=6I996sI", 1024, 0x80000000, 0, 0, 0, 0, LONGEST.encode(), 0)) == LONGEST


def test_a_command_without_room_is_refused() -> None:
    vcio.request("x" * 995)
    with pytest.raises(ValueError, match="at most 995 bytes"):
        vcio.request("x" * 996)


@pytest.mark.skipif(any(map(os.path.exists, vcio.NODES)), reason="this is a Raspberry Pi")
def test_a_machine_without_the_device_has_no_answer_and_no_error() -> None:
    root = Root()
    assert root.call("edgemon.sources.vcio.ask", command="get_throttled") is None
    assert not root.errors


@pytest.mark.parametrize(("mode", "kind"), [(0o000, "EACCES"), (0o644, "ENOTTY")])
def test_what_the_kernel_refuses_is_counted(
    mode: int, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real open and a real ioctl of a file that is no firmware."""
    node = tmp_path / "vcio"
    node.touch(mode)
    if kind == "EACCES" and os.access(node, os.R_OK):
        pytest.skip("root may open everything")
    monkeypatch.setattr(vcio, "NODES", (str(node),))
    root = Root()
    assert root.call("edgemon.sources.vcio.ask", command="get_throttled") is None
    assert root.errors == {kind: 1}


@needs_seccomp
def test_a_system_call_carries_command_and_answer(tmp_path: Path) -> None:
    assert asked('say(told("get_throttled"))', firmware(b"throttled=0x50005\0"), tmp_path / "vcio") == [
        "throttled=0x50005"
    ]
    assert asked('say(told("get_throttled"))', firmware(LONGEST.encode()), tmp_path / "vcio") == [LONGEST]


@needs_seccomp
def test_what_the_kernel_or_the_firmware_refuses_is_an_os_error(tmp_path: Path) -> None:
    for code in (errno.EINVAL, errno.ETIMEDOUT, errno.EIO, errno.EPERM):
        ((said, _),) = asked('say(told("get_throttled"))', lambda _message, code=code: code, tmp_path / "vcio")  # type: ignore[misc]
        assert said == code
    ((code, words),) = asked('say(told("get_throttled"))', firmware(b"x", 0x80000001), tmp_path / "vcio")
    assert (code, words) == (errno.EPROTO, f"[Errno {errno.EPROTO}] the firmware's answer is none: status 0x80000001")


@needs_seccomp
def test_a_sensor_reads_through_the_system_call_and_starts_no_program(tmp_path: Path) -> None:
    """On the files of a real Raspberry Pi 4 that has no vcgencmd."""
    devices.unpack("raspberry-pi-4", tmp_path / "pi")
    code = f"""
root = Root({str(tmp_path / "pi")!r})
root.live = True
sensor = next(one for one in raspberrypi.PLATFORM.sensors if one.name == "throttled")
sweep = collect.take("throttled", sensor, root)
say([sweep.state.value, sweep.errors, [[one.metric.name, *one.labels] for one in sweep.readings if one.value]])
"""
    ((state, errors, on),) = asked(code, firmware(b"throttled=0x20002\0"), tmp_path / "vcio")
    assert (state, errors) == ("ok", {})
    assert ["edgemon.throttled", "soc/cap", "arm frequency cap", "thermal"] in on
    assert ["edgemon.sensor.source.info", "raspberrypi", "throttled", "vcio"] in on


@needs_seccomp
def test_a_firmware_that_never_answers_stops_no_other_thread(tmp_path: Path) -> None:
    """Python gives its lock away during the ioctl, so that the sensor's timeout can strike."""
    code = """
threading.Thread(target=vcio.ask, args=("get_throttled",), daemon=True).start()
began = time.monotonic()
while time.monotonic() - began < 0.5:
    time.sleep(0.01)
say(threading.active_count())
sys.stdout.flush()
import os; os._exit(0)
"""
    hang = threading.Event()
    try:
        assert asked(code, lambda message: errno.EIO if hang.wait(30) else 0, tmp_path / "vcio") == [2]
    finally:
        hang.set()
