"""Hailo's own software, from outside: `hailortcli`, `hailo_platform` in a helper process, HAILO_MONITOR's files.

Nothing of it is loaded into the daemon. A program gets its own process group and a deadline, and whatever it printed,
errors too, is the answer: the reason why HailoRT refuses a device stands on standard error. This file is its own
helper: run as a script it prints one line of JSON a value, so that a value that fails does not cost the others. The
helper needs nothing but Python 3.8 and hailo_platform, which is the system's (`python3-hailort`) more often than ours.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import json
import os
import re
import select
import signal
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

SECONDS = 8.0
"""Deadline of a program; importing hailo_platform (numpy) takes 1 to 3 s on a small board."""
LONGEST = 65536
MONITOR = "/tmp/hmon_files"  # noqa: S108 - where HailoRT writes: hailort/libhailort/src/utils/profiler/monitor_handler.hpp
FRESH, MOST = 2.5, 64
"""Seconds after which a monitor's file is a dead process's, since they are written every second; how many are read."""
SECRET = re.compile(r"(?mi)^(.*(?:serial|soc id|ult id|mac address|pm values).*?:).*$")


def identify() -> str:
    """What `hailortcli fw-control identify` says of every device, errors included, serial numbers left out."""
    return SECRET.sub(r"\1", ask("hailortcli", "fw-control", "identify"))


def measure() -> list[dict[str, object]]:
    """Values by device from the helper: `{"id": "0000:01:00.0", "name": "ts0", "value": 45.5}`, °C and W."""
    rows = []
    for line in ask(interpreter(), os.path.abspath(__file__)).splitlines():
        with suppress(ValueError):
            rows.append(json.loads(line))
    return [row for row in rows if isinstance(row, dict)]


def interpreter() -> str:
    """The Python that has hailo_platform: this one, else the system's."""
    return sys.executable if importlib.util.find_spec("hailo_platform") else "python3"


def ask(*command: str, seconds: float | None = None) -> str:
    """What a program prints within its deadline; TimeoutError kills all it started. Its exit code does not matter.

    HAILORT_LOGGER_PATH=NONE keeps HailoRT from writing hailort.log to flash at every start.
    """
    environment = {**os.environ, "HAILORT_LOGGER_PATH": "NONE"}
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=environment,
    )
    try:
        return drain(process, SECONDS if seconds is None else seconds).decode("utf-8", "replace")
    finally:
        end(process)


def drain(process: subprocess.Popen[bytes], seconds: float) -> bytes:
    """Output until its end, 64 KiB or the deadline."""
    until, output, poll = time.monotonic() + seconds, b"", select.poll()
    pipe = process.stdout.fileno() if process.stdout else -1
    poll.register(pipe)
    while len(output) < LONGEST:
        if not poll.poll(max(0.0, until - time.monotonic()) * 1e3):
            raise TimeoutError(errno.ETIMEDOUT, f"{process.args!r:.100} took longer than {seconds:g} s")
        part = os.read(pipe, LONGEST)
        if not part:
            break
        output += part
    return output[:LONGEST]


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill the group; one that a driver holds in the kernel is left to be reaped later."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.stdout:
        process.stdout.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(0.5)


def monitor() -> list[dict[str, object]]:
    """Utilisation by device from the files of processes that run with HAILO_MONITOR=1: `{"id": …, "percent": 63.2}`.

    /tmp/hmon_files/<pid> is a ProtoMon message (hailort/libhailort/scheduler_mon.proto). It is read without the lock
    that `hailortcli monitor` takes, so that the writer never waits: half a message does not parse and is left out.
    """
    try:
        names = sorted(os.listdir(MONITOR))[:MOST]
    except FileNotFoundError:
        return []
    rows = []
    for name in names:
        with suppress(OSError, ValueError, IndexError, struct.error):
            rows += list(devices(contents(f"{MONITOR}/{name}"))) if name.isdecimal() else []
    return rows


def contents(path: str) -> bytes:
    """A regular, fresh file; anybody may write to /tmp, so pipes, links and giants are refused."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        fresh = abs(time.time() - status.st_mtime) < FRESH
        return os.read(fd, LONGEST) if stat.S_ISREG(status.st_mode) and fresh else b""
    finally:
        os.close(fd)


def devices(message: bytes) -> Iterator[dict[str, object]]:
    """ProtoMon: field 4 is a device, of which 1 is its id and 2 its utilisation in percent; zero is not on the wire."""
    for number, body in list(fields(message)):
        if number == 4 and isinstance(body, bytes):
            parts = dict(fields(body))
            ident, percent = parts.get(1), parts.get(2, b"\0" * 8)
            if isinstance(ident, bytes) and isinstance(percent, bytes):
                yield {"id": ident.decode("utf-8"), "percent": struct.unpack("<d", percent)[0]}


def fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Number and contents of each field of a protobuf message (protobuf.dev/programming-guides/encoding)."""
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        value, size = 0, {1: 8, 5: 4}.get(key & 7)
        if size is None:
            value, at = varint(message, at)
        if key & 7 == 0:
            yield key >> 3, value
            continue
        size = value if key & 7 == 2 else size
        if size is None or at + size > len(message):
            raise ValueError("not a protobuf message")
        yield key >> 3, message[at : at + size]
        at += size


def varint(message: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = shift = 0
    while shift < 70:
        byte = message[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at
    raise ValueError("not a varint")


def main() -> None:
    """The helper: temperatures of all devices first, power last, since not every module has the sensor."""
    sys.path.pop(0)  # this folder, where hailo.py would be taken for Hailo's module of that name
    with suppress(ModuleNotFoundError):
        library = importlib.import_module("hailo_platform.pyhailort.pyhailort")
        found = {ident: library.Device(ident) for ident in library.Device.scan()}
        for ident, device in found.items():
            with suppress(library.HailoRTException):
                heat = device.control.get_chip_temperature()
                tell(ident, "ts0", heat.ts0_temperature)
                tell(ident, "ts1", heat.ts1_temperature)
        for ident, device in found.items():
            with suppress(library.HailoRTException):
                tell(ident, "power", device.control.power_measurement())


def tell(ident: object, name: str, value: float) -> None:
    """One line, out at once."""
    sys.stdout.write(json.dumps({"id": str(ident), "name": name, "value": float(value)}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
