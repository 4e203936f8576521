"""Events: a changed model, an upgraded engine, another power mode, throttling; each once, none that did not happen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from edgemon import catalog, hardware
from edgemon.events import Events, Packages, folders
from edgemon.metric import Reading
from tests.simulated import snapshot

EMPTY = snapshot()


def mode(name: str) -> Reading:
    return hardware.POWER_MODE(1.0, "nvpmodel", name)


def throttled(on: float) -> Reading:
    return hardware.THROTTLED(on, "soc", "SoC", "thermal")


def watch(probes: Mapping[str, tuple[str, str, str]]) -> Events:
    events = Events()
    events.follow(probes)
    return events


def looks(events: Events, *readings: Reading, count: int = 3) -> list[tuple[str, str]]:
    """What some looks find."""
    return [found for _ in range(count) for found in events.look(snapshot(*readings))]


def test_a_model_that_is_replaced_is_found_once(tmp_path: Path) -> None:
    """Also by one of the same size and time, as by rsync; the other probe's model is as it was."""
    one, other = tmp_path / "one.onnx", tmp_path / "other.onnx"
    one.write_bytes(b"old")
    other.write_bytes(b"old")
    events = watch({"a": (str(one), "onnx", ""), "b": (str(other), "onnx", "")})
    assert looks(events) == []
    before = one.stat()
    (tmp_path / "new").write_bytes(b"new")
    os.utime(tmp_path / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (tmp_path / "new").replace(one)
    assert looks(events) == [("a", "model")]
    one.unlink()
    assert looks(events) == [("a", "model")]


def test_a_model_that_is_being_copied_is_left_until_it_keeps_still(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"")
    events = watch({"a": (str(path), "onnx", "")})
    for size in range(1, 5):
        path.write_bytes(b"x" * size)
        assert looks(events, count=1) == []
    assert looks(events) == [("a", "model")]


def test_a_model_replaced_just_before_a_reload_is_found_after_it(tmp_path: Path) -> None:
    """As who replaces both the model and the configuration does."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    events = watch({"a": (str(path), "onnx", "")})
    path.write_bytes(b"newer")
    events.follow({"a": (str(path), "onnx", ""), "b": (str(path), "onnx", "")})
    assert looks(events) == [("a", "model")]


def test_what_is_no_file_is_no_event() -> None:
    assert looks(watch({"a": ("https://example.invalid/v2", "onnx", ""), "b": ("\0", "fake", "")})) == []


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment as an application has one, without pip."""
    home = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    return home


def test_an_upgraded_engine_in_the_probes_own_python_is_found(venv: Path) -> None:
    """By the folder pip makes for each version; other packages come and go unnoticed."""
    (packages,) = venv.glob("lib/python3*/site-packages")
    (packages / "onnxruntime-1.20.0.dist-info").mkdir()
    events = watch({"a": ("/m", "onnx", str(venv / "bin/python")), "b": ("/m", "fake", str(venv / "bin/python"))})
    assert looks(events) == []
    (packages / "requests-2.0.dist-info").mkdir()
    assert looks(events) == []
    shutil.rmtree(packages / "onnxruntime-1.20.0.dist-info")
    (packages / "onnxruntime_gpu-1.21.0.dist-info").mkdir()
    assert looks(events) == [("a", "runtime")]


def test_the_folders_are_those_the_interpreter_says_it_has(venv: Path) -> None:
    """Asked of the interpreter itself, which the daemon never starts for this."""
    python = str(venv / "bin/python")
    code = "import sys; print(*[one for one in sys.path if one.endswith('-packages')], sep='\\n')"
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said
    assert set(said) <= set(folders(python))


def test_the_engine_in_edgemons_own_python_is_seen() -> None:
    pytest.importorskip("onnxruntime")
    assert any(str(name).startswith("onnxruntime") for name in Packages("onnx", "").mark())
    assert Packages("fake", "").mark() == ()


def test_another_power_mode_or_governor_is_an_event_for_every_probe() -> None:
    events = watch({"a": ("/m", "fake", ""), "b": ("/m", "fake", "")})
    governor = catalog.CPU_GOVERNOR(1.0, "policy0", "schedutil")
    assert looks(events, mode("15W"), governor) == []
    assert looks(events, mode("30W"), governor) == [("a", "power_mode"), ("b", "power_mode")]
    assert looks(events, mode("30W"), catalog.CPU_GOVERNOR(1.0, "policy0", "powersave"), count=2)
    assert looks(events) == []  # a sensor that says nothing is no change


def test_throttling_begins_and_ends_once() -> None:
    """What it was before the first look is no event, nor that nothing is known of it."""
    events = watch({"a": ("/m", "fake", "")})
    assert looks(events, throttled(1.0)) == []
    assert looks(events, throttled(0.0)) == [("a", "throttling_ended")]
    assert looks(events) == []
    assert looks(events, throttled(1.0)) == [("a", "throttling_began")]
