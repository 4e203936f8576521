"""Root: what is not there is None, what is no number is None, what failed is counted."""

from __future__ import annotations

import errno
import math
import tempfile
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as some

from edgemon.sysfs import REMEMBER, SELDOM, Root, natural, plain


@pytest.mark.parametrize(
    ("content", "value"),
    [("42\n", 42.0), ("-5", -5.0), (" 3.5 \n", 3.5), ("42\0", 42.0), ("", None), ("0x10", None), ("nan", None),
     ("inf", None), ("1_000", None), ("1e5", None), ("٤٢", None), ("42 mV", None), ("9" * 400, None)],
)  # fmt: skip
def test_only_plain_decimal_numbers_are_numbers(tmp_path: Path, content: str, value: float | None) -> None:
    (tmp_path / "file").write_text(content)
    assert Root(str(tmp_path)).number("/file") == value


@given(some.binary(max_size=200))
def test_any_bytes_give_a_finite_number_or_none(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "file").write_bytes(content)
        value = Root(folder).number("/file")
    assert value is None or math.isfinite(value)


def test_a_missing_file_is_absent_and_no_error(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    assert root.text("/nothing") is None
    assert not root.errors


def test_a_failing_read_is_counted_by_errno(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    assert root.text("/") is None
    assert root.errors == {"EISDIR": 1}


def test_views_count_apart_and_remember_together(tmp_path: Path) -> None:
    (tmp_path / "name").write_text("gpu")
    root = Root(str(tmp_path))
    one, other = root.view(), root.view()
    assert one.fixed("/name") == "gpu"
    (tmp_path / "name").write_text("npu")
    assert other.fixed("/name") == "gpu"
    one.text("/")
    assert (one.errors, other.errors) == ({"EISDIR": 1}, {})


def test_what_is_remembered_is_read_again_after_half_a_minute(tmp_path: Path) -> None:
    now = [0.0]
    root = Root(str(tmp_path), clock=lambda: now[0])
    assert root.glob("/hwmon*") == []
    (tmp_path / "hwmon0").mkdir()
    assert root.glob("/hwmon*") == []
    now[0] = REMEMBER
    assert root.glob("/hwmon*") == ["/hwmon0"]


def test_glob_sorts_naturally_and_does_not_cross_slashes(tmp_path: Path) -> None:
    for name in ("cpu10", "cpu2", "cpu1"):
        (tmp_path / name / "deep").mkdir(parents=True)
    assert Root(str(tmp_path)).glob("/cpu*") == ["/cpu1", "/cpu2", "/cpu10"]
    assert sorted(["b10", "b9", "a"], key=natural) == ["a", "b9", "b10"]


def test_a_mere_tree_of_files_answers_no_call_and_runs_no_program(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    assert root.call("psutil.cpu_count", logical=True) is None
    assert root.run("true") is None
    assert not root.errors


def test_a_live_call_that_fails_is_counted_and_none() -> None:
    root = Root()
    assert root.call("psutil.disk_usage", path="/dev/null/x") is None
    assert root.call("os.listdir", path="/proc/self/mem") is None
    assert not set(root.errors) - {"ENOTDIR"}


def test_named_tuples_become_plain() -> None:
    assert set(plain(psutil.virtual_memory())) >= {"total", "available"}


def test_links_lead_to_paths_of_the_captured_machine(tmp_path: Path) -> None:
    (tmp_path / "sys/devices/gpu").mkdir(parents=True)
    (tmp_path / "sys/class").mkdir()
    (tmp_path / "sys/class/gpu").symlink_to("../devices/gpu")
    assert Root(str(tmp_path)).link("/sys/class/gpu") == "/sys/devices/gpu"


def test_a_file_of_proc_that_is_longer_than_a_page_is_read_whole() -> None:
    """The kernel gives a sequence file a page at a time: one read of /proc/cpuinfo shows two processors of many."""
    whole = Path("/proc/self/smaps").read_bytes()
    assert len(whole) > 8192
    assert len(Root().text("/proc/self/smaps") or "") > min(len(whole), 65536) // 2


class Programs(Root):
    """A machine whose only program fails every second time."""

    started = 0

    def execute(self, command: tuple[str, ...], _timeout: float, /) -> str:
        type(self).started += 1
        if self.started % 2:
            raise PermissionError(errno.EACCES, "no")
        return " ".join(command)


def test_a_program_is_started_every_ten_seconds_at_most_however_it_ended() -> None:
    """Whoever asks in between gets the same answer, or the same failure, which is counted as his."""
    now = [0.0]
    root = Programs("/nowhere", clock=lambda: now[0])
    told = []
    for now[0] in (0.0, SELDOM - 0.1, SELDOM, 2 * SELDOM - 0.1):
        view = root.view()
        told.append((view.run("tool", "-q"), dict(view.errors)))
    assert told == [(None, {"EACCES": 1})] * 2 + [("tool -q", {})] * 2
    assert Programs.started == 2
