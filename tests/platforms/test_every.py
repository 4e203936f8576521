"""What holds for every sensor of every platform, on every captured device."""

from __future__ import annotations

import ast
import errno
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edgemon
from edgemon import collect
from edgemon.capture import load
from edgemon.metric import Reading
from edgemon.platforms import discover
from edgemon.replay import Replay
from tests import devices
from tests.devices import DEVICES, HERE, implausible
from tests.platforms import fuzz
from tests.test_replay import Clock

PLATFORMS = discover()
EVERY = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
FILES = [
    (device, entry.path)
    for device in DEVICES
    for entry in devices.entries(device)
    if not (entry.target or entry.path.endswith("/") or entry.path == "/calls.json")
]
TEXTS = ("", "\0", "\0" * 4096, "9" * 5000, "-1", "-2147483648", "18446744073709551615", "nan", "inf", "1e400", "0x1f",
         "1\n2\n3", " ", "\n", "\t", "x" * 70_000, "N/A", "error=1", "{}", "٤٢", "\N{PILE OF POO}" * 99)  # fmt: skip
GARBAGE = st.one_of(
    st.sampled_from([one.encode() for one in TEXTS]),
    st.sampled_from([b"\xff\xfe", b"\xc3\x28 1", b"\x80" * 300]),
    st.binary(max_size=60),
    st.integers(-(2**70), 2**70).map(lambda number: str(number).encode()),
)
FATES = st.sampled_from(["write", "write", "write", "vanish", "EIO", "EAGAIN", "EACCES", "EINVAL", "ENODATA", "ENODEV"])
PROGRAMS = {"edgemon.sources.hailo.identify", "edgemon.sources.hailo.measure"}
"""Calls that start a program."""


class Liar(devices.Captured):
    """A device whose firmware and programs say anything, or fail, and whose libraries are gone or fail."""

    said: str | OSError | None = None

    def ask(self, name: str, kwargs: Mapping[str, object]) -> Any:
        if isinstance(self.said, OSError):
            raise self.said
        return self.said if name == "edgemon.sources.vcio.ask" else None

    def execute(self, command: tuple[str, ...], _timeout: float, /) -> str:
        if isinstance(self.said, OSError):
            raise self.said
        return self.said or ""


class Watched(Replay):
    """A device that notes when which program was started, and by which call."""

    def __init__(self, device: str, clock: Clock) -> None:
        super().__init__(load(str(HERE / f"{device}.capture")), clock=clock)
        self.started: list[tuple[float, str]] = []
        self.called: list[str] = []

    def ask(self, name: str, kwargs: Mapping[str, object]) -> Any:
        self.called.append(name)
        return super().ask(name, kwargs)

    def execute(self, command: tuple[str, ...], timeout: float, /) -> str:
        self.started.append((self._clock(), " ".join(command)))
        return super().execute(command, timeout)


def sound(readings: list[Reading]) -> bool:
    """Whether every number can be meant and every label can be shown."""
    shown = all(label.isprintable() and len(label) <= 200 for reading in readings for label in reading.labels)
    return shown and not any(map(implausible, readings))


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, devices.Captured]:
    return fuzz.unpacked(tmp_path_factory, DEVICES)


def test_every_platform_reads_something_of_a_captured_device() -> None:
    """So that none is left out below."""
    assert {name for device in DEVICES for name in devices.sections(device)} == set(PLATFORMS)


@EVERY
@given(place=st.sampled_from(FILES), garbage=GARBAGE, fate=FATES)
def test_no_contents_of_a_file_raise_or_become_a_number_that_cannot_be(
    place: tuple[str, str], garbage: bytes, fate: str, roots: dict[str, devices.Captured]
) -> None:
    """Empty, NUL, huge, negative, not UTF-8, failing, and gone between listing and reading."""
    device, path = place
    assert sound(fuzz.spoil(roots[device], path, garbage, fate, list(PLATFORMS.values())))


@EVERY
@given(
    device=st.sampled_from(DEVICES),
    said=st.one_of(
        st.sampled_from(TEXTS),
        st.text(max_size=60),
        st.sampled_from([None, *(OSError(code, "no") for code in (errno.EIO, errno.EACCES, errno.ETIMEDOUT))]),
    ),
)
def test_no_answer_of_a_firmware_or_a_program_raises_or_becomes_a_number_that_cannot_be(
    device: str, said: str | OSError | None, roots: dict[str, devices.Captured]
) -> None:
    """What our own sources and psutil answer has a shape; that they fail, or are not there, has none."""
    root = Liar(roots[device].path, roots[device].failures)
    root.said = said
    for platform in PLATFORMS.values():
        platform.detect(root)
        assert sound(devices.sweep(root, platform)), platform.name


@pytest.mark.parametrize("device", DEVICES)
def test_no_program_is_started_more_often_than_every_ten_seconds(device: str) -> None:
    """Though all sensors are asked every second; calls that start one are made by sensors of ten seconds and more."""
    clock = Clock()
    root = Watched(device, clock)
    for second in range(31):
        clock.now = float(second)
        for platform in PLATFORMS.values():
            for sensor in platform.sensors if platform.detect(root) else ():
                root.called.clear()
                collect.take(sensor.name, sensor, root)
                assert sensor.every >= 10 or not PROGRAMS & set(root.called), sensor.name
    for command in {command for _, command in root.started}:
        times = [at for at, one in root.started if one == command]
        assert all(later - earlier >= 10 for earlier, later in pairwise(times)), command


def test_programs_are_started_by_the_root_and_by_hailos_source_only() -> None:
    home = Path(edgemon.__file__).parent
    found = set()
    for path in [*home.glob("platforms/*.py"), *home.glob("sources/*.py"), home / "sysfs.py"]:
        names = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for alias in node.names
        }
        if names & {"subprocess", "pty", "multiprocessing"}:
            found.add(path.name)
    assert found == {"sysfs.py", "hailo.py"}
