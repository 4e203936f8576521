"""NVML through the real nvidia-ml-py, against a simulated libnvidia-ml.so.1 that is compiled here.

Each test is a process of its own: the library is found on LD_LIBRARY_PATH when a process starts, and stays loaded.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
Run = Callable[..., list[Any]]
PRELUDE = """
import json, os, shutil, sys, threading, time
from edgemon.sources import nvml
now = [1000.0]
nvml.CLIENT._clock = lambda: now[0]
def mode(name):
    open(os.environ["FAKE_NVML"], "w").write(name)
def read(later=1.0):
    now[0] += later
    said.append(nvml.read())
said = []
"""
FULL = {
    "id": "0000:3b:00.0",
    "pci_id": "10de:1eb8",
    "name": "Simulated T4",
    "vbios": "90.04.84.00.06",
    "max_clock_sm": 1590,
    "max_clock_memory": 5001,
    "temperature_shutdown": 96,
    "temperature_slowdown": 93,
    "temperature_gpu_max": 85,
    "reasons_supported": 0x1FF,
    "utilization": 37,
    "utilization_memory": 5,
    "utilization_encoder": 59,
    "memory_used": 1082130432,
    "memory_total": 16106127360,
    "power": 26780,
    "energy": 123456,
    "clock_sm": 585,
    "clock_memory": 5000,
    "temperature": 40,
    "reasons": 0x24,
    "ecc_corrected": 3,
    "ecc_uncorrected": 0,
    "replays": 2,
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compile the simulated library with some macros defined; the folder it is in."""
    if not find_spec("pynvml") or not (compiler := shutil.which("gcc")):
        pytest.skip("needs gcc and nvidia-ml-py")
    made: dict[tuple[str, ...], Path] = {}

    def build(*macros: str) -> Path:
        if macros not in made:
            folder = tmp_path_factory.mktemp("nvml")
            command = [compiler, "-shared", "-fPIC", "-w", *(f"-D{macro}" for macro in macros)]
            command += ["-o", str(folder / "libnvidia-ml.so.1"), str(HERE / "fake_nvml.c")]
            subprocess.run(command, check=True, timeout=60)
            made[macros] = folder
        return made[macros]

    return build


@pytest.fixture
def run(library: Callable[..., Path], tmp_path: Path) -> Run:
    """Run lines of Python after PRELUDE in a process that has the library; what `said` holds at the end."""

    def execute(code: str, mode: str = "ok", *macros: str, folder: Path | None = None) -> list[Any]:
        (tmp_path / "mode").write_text(mode)
        environment = {"LD_LIBRARY_PATH": str(folder or library(*macros)), "FAKE_NVML": str(tmp_path / "mode")}
        script = f"{PRELUDE}\n{code}\nprint(json.dumps(said), flush=True)\nos._exit(0)"
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": str(HERE.parent.parent), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers: list[Any] = json.loads(done.stdout)
        return answers

    return execute


def test_a_gpu_gives_the_fields_it_supports_and_no_other(run: Run) -> None:
    assert run("read()") == [{"driver": "595.80", "gpus": [FULL]}]


def test_what_is_not_supported_is_not_asked_again(run: Run) -> None:
    code = "for _ in range(20): read()\nimport pynvml, ctypes\n"
    said = run(code + "said.append(ctypes.c_int.in_dll(pynvml.nvmlLib, 'fake_fan_calls').value)")
    assert said[-1] == 1
    assert said[0] == said[19]


def test_several_sensors_of_one_sweep_share_one_answer(run: Run) -> None:
    first, second, third = run("read()\nmode('lost')\nread(0.1)\nread(0.5)")
    assert first == second
    assert third["gpus"] == [{"id": "0000:3b:00.0", "name": "Simulated T4", "error": "gpu_is_lost"}]


def test_an_old_driver_is_asked_by_the_old_names(run: Run) -> None:
    (said,) = run("read()", "ok", "OLD")
    gpu = said["gpus"][0]
    assert (gpu["reasons"], gpu["memory_used"]) == (0x8, 1489567744)
    assert "reasons_supported" not in gpu


def test_on_a_jetson_almost_nothing_is_supported(run: Run) -> None:
    (said,) = run("read()", "jetson")
    assert said["gpus"] == [{"id": "0000:3b:00.0", "pci_id": "10de:1eb8", "name": "Simulated T4"}]


@pytest.mark.parametrize(("mode", "code"), [("mismatch", "lib_rm_version_mismatch"), ("absent", "driver_not_loaded")])
def test_a_failing_start_says_why_and_is_tried_again_ever_more_rarely(mode: str, code: str, run: Run) -> None:
    tries = """
real, starts = nvml.Client._start, []
def start(self):
    starts.append(now[0]); real(self)
nvml.Client._start = start
for _ in range(2000): read()
said[:] = [said[0], said[-1], [b - a for a, b in zip(starts, starts[1:])]]
"""
    first, last, pauses = run(tries, mode)
    assert first == last
    assert first["error"] == code
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300, 300, 300]


def test_a_driver_that_comes_back_is_read_again(run: Run) -> None:
    *failed, back = run("read()\nmode('ok')\nread()\nread(5)", "absent")
    assert [one["error"] for one in failed] == ["driver_not_loaded"] * 2
    assert back["gpus"] == [FULL]


def test_a_library_that_was_updated_is_loaded_in_the_same_process(
    run: Run, library: Callable[..., Path], tmp_path: Path
) -> None:
    """The mismatch after an update ends when the module is reloaded, but only for who loads the new library."""
    shutil.copytree(library("BROKEN"), tmp_path / "lib")
    new = library('VERSION="610.57"') / "libnvidia-ml.so.1"
    place = tmp_path / "lib/libnvidia-ml.so.1"
    code = f"read()\nshutil.copy('{new}', '{place}.new')\nos.replace('{place}.new', '{place}')\nread(5)"
    before, after = run(code, "ok", folder=tmp_path / "lib")
    assert before["error"] == "lib_rm_version_mismatch"
    assert after == {"driver": "610.57", "gpus": [FULL]}


def test_a_lost_gpu_costs_itself_only_and_is_looked_for_again(run: Run) -> None:
    (said,) = run("read()", "two")
    assert said["gpus"] == [FULL, {"id": "", "error": "gpu_is_lost"}]
    lost, still, back = run("read()\nmode('ok')\nread(0.1)\nread(5)", "lost")
    assert lost == still
    assert lost["gpus"][0]["error"] == "gpu_is_lost"
    assert back["gpus"] == [FULL]


def test_a_field_that_times_out_is_counted_and_asked_again(run: Run) -> None:
    late, later, well = run("read()\nread()\nmode('ok')\nread()", "timeout")
    assert late == later
    assert late["gpus"][0]["failures"] == {"timeout": 1}
    assert "power" not in late["gpus"][0]
    assert well["gpus"] == [FULL]


def test_who_asks_while_nvml_hangs_is_not_held_up(run: Run) -> None:
    code = "threading.Thread(target=read, daemon=True).start()\ntime.sleep(0.5)\nbegan = time.monotonic()\nread()\n"
    said, seconds = run(code + "said.append(time.monotonic() - began)", "hang")
    assert said["error"] == "busy"
    assert seconds < 5


def test_without_a_library_it_says_so(run: Run, tmp_path: Path) -> None:
    (said,) = run("read()", "ok", folder=tmp_path)
    assert said["error"] == "library_not_found"


def test_without_the_binding_there_is_no_answer(run: Run) -> None:
    assert run("sys.modules['pynvml'] = None\nread()") == [None]
