"""The outbox: what was put is delivered once, in order, whatever is killed, damaged or full."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from edgemon.alerts import outbox
from edgemon.alerts.outbox import FILE, KEPT, Outbox
from tests.alerts.flips import flip, key
from tests.running import HERE


def drain(box: Outbox, name: str, count: int = 1) -> list[tuple[str, float, str]]:
    """Take everything that waits."""
    found = []
    while waiting := box.pending(name, count):
        found += [key(one) for _, one in waiting]
        box.passed(name, waiting[-1][0])
    return found


def opened(where: Path, *names: str) -> Outbox:
    box = Outbox(str(where))
    box.follow(names)
    return box


def test_each_receiver_gets_each_flip_once_and_in_order(tmp_path: Path) -> None:
    box = opened(tmp_path, "a", "b")
    flips = [flip(starts_at=float(n)) for n in range(1, 6)]
    assert all(box.put(one) for one in flips)
    assert drain(box, "a") == [key(one) for one in flips]
    assert box.queued == {"a": 0, "b": 5}
    assert drain(box, "b") == [key(one) for one in flips]


def test_the_same_flip_is_not_taken_twice_also_after_a_restart(tmp_path: Path) -> None:
    box = opened(tmp_path, "a")
    assert box.put(flip())
    assert drain(box, "a") == [key(flip())]
    box.close()
    box = opened(tmp_path, "a")
    assert not box.put(flip(value=2.0))
    assert drain(box, "a") == []
    assert box.put(flip(state="resolved"))


def test_what_waits_survives_a_restart(tmp_path: Path) -> None:
    box = opened(tmp_path, "a")
    box.put(flip("A"))
    box.put(flip("B"))
    box.passed("a", box.pending("a", 1)[0][0])
    box.close()
    assert drain(opened(tmp_path, "a"), "a") == [key(flip("B"))]


def test_a_flip_that_was_put_is_on_disk_when_the_process_is_killed(tmp_path: Path) -> None:
    """SIGKILL right after put returned."""
    code = f"""
import os, signal
from edgemon.alerts.outbox import Outbox
from tests.alerts.flips import flip
box = Outbox({str(tmp_path)!r})
box.follow(["a"])
box.put(flip())
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=HERE, check=False).returncode == -9
    assert drain(opened(tmp_path, "a"), "a") == [key(flip())]


def test_a_new_receiver_gets_what_comes_and_one_that_went_is_forgotten(tmp_path: Path) -> None:
    box = opened(tmp_path, "a")
    box.put(flip("A"))
    box.follow(["a", "b"])
    box.put(flip("B"))
    assert drain(box, "b") == [key(flip("B"))]
    assert drain(box, "a") == [key(flip("A")), key(flip("B"))]
    box.follow(["b"])
    assert box.queued == {"b": 0}


def test_a_batch_holds_no_two_flips_of_one_alert(tmp_path: Path) -> None:
    """Else a firing and its resolved flip would go out in one request, in an order nobody promises."""
    box = opened(tmp_path, "a")
    for one in (flip("A"), flip("B"), flip("A", "resolved"), flip("C")):
        box.put(one)
    assert [one.alertname for _, one in box.pending("a", 10)] == ["A", "B"]


def test_too_many_flips_drop_the_oldest_and_count_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For those only who had not had them; the last flip of an alert stays, so that it is known after a restart."""
    monkeypatch.setattr(outbox, "KEPT", 10)
    box = opened(tmp_path, "quick", "slow")
    box.put(flip("Lasting"))
    for n in range(20):
        box.put(flip(starts_at=1.0 + n))
        drain(box, "quick")
    assert box.dropped == {("slow", "overflow"): 10}
    assert drain(box, "slow")[:2] == [key(flip("Lasting")), key(flip(starts_at=11.0))]
    assert not box.put(flip("Lasting"))
    for n in range(40):
        box.put(flip(f"Other{n}"))
    assert sum(box.queued.values()) <= 2 * 4 * 10
    assert KEPT == 1000


def test_a_damaged_row_is_left_out_and_counted(tmp_path: Path) -> None:
    box = opened(tmp_path, "a")
    box.put(flip("A"))
    box.put(flip("B"))
    box.close()
    with sqlite3.connect(tmp_path / FILE) as disk:
        disk.execute("UPDATE flips SET data = '{' WHERE id = 1")
    box = opened(tmp_path, "a")
    assert drain(box, "a", 5) == [key(flip("B"))]
    assert box.dropped == {("a", "damaged"): 1}


def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database at all" * 1000)
    box = opened(tmp_path, "a")
    assert (box.state, box.errors) == ("disk", 1)
    assert box.put(flip())
    assert list(tmp_path.glob(f"{FILE}.broken-*"))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_while_the_disk_fails_it_works_in_memory_and_goes_back_with_all_of_it(tmp_path: Path) -> None:
    """A full disk: the write that fails is made in memory, at once; once there is room everything is on disk."""
    clock = Clock()
    box = Outbox(str(tmp_path), clock)
    box.follow(["a"])
    box.put(flip("A"))
    box._database.execute("PRAGMA max_page_count = 1")  # what a full disk answers: SQLITE_FULL
    for n in range(200):
        assert box.put(flip("B", starts_at=1.0 + n, annotations={"description": "x" * 500}))
    assert (box.state, box.errors) == ("memory", 1)
    assert box.queued == {"a": 201}
    clock.now += 61
    assert not box.put(flip("A"))
    assert box.state == "disk"
    box.close()
    names = [name for name, _, _ in drain(opened(tmp_path, "a"), "a", 50)]
    assert names == ["A"] + ["B"] * 200


def test_a_directory_that_cannot_be_made_is_memory_until_it_can(tmp_path: Path) -> None:
    clock = Clock()
    (tmp_path / "file").write_text("")
    box = Outbox(str(tmp_path / "file"), clock)
    box.follow(["a"])
    assert (box.state, box.put(flip())) == ("memory", True)
    os.remove(tmp_path / "file")
    clock.now += 61
    assert len(box.pending("a", 5)) == 1
    assert (box.state, box.queued) == ("disk", {"a": 1})
    assert drain(opened(tmp_path / "file", "a"), "a") == [key(flip())]


def test_what_the_disk_had_while_it_could_not_be_read_comes_first(tmp_path: Path) -> None:
    """The state directory appears late, with a queue of the last run in it: nothing of either is lost."""
    clock = Clock()
    before = opened(tmp_path / "real", "a")
    before.put(flip("Old"))
    before.close()
    (tmp_path / "late").write_text("")
    box = Outbox(str(tmp_path / "late"), clock)
    box.follow(["a"])
    box.put(flip("New"))
    os.remove(tmp_path / "late")
    os.rename(tmp_path / "real", tmp_path / "late")
    clock.now += 61
    assert drain(box, "a") == [key(flip("Old")), key(flip("New"))]
    assert box.state == "disk"
