"""Killed, cut off, damaged, full, read-only: what was written is there again, and the rest is kept in memory."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edgemon import pushed
from edgemon.sinks.otlp.batch import TELEMETRY
from edgemon.spool.shelf import ASIDE
from tests.running import HERE
from tests.spool import Clock, account, batch, drain, files, number_of, reading, spool
from tests.test_archive import apart

WRITING = """
import sys
from pathlib import Path
from tests.spool import batch, spool
one = spool(Path(sys.argv[1]), durability=0.0)
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 100_000):
    one.put(batch(number, 4000))
    one.keep()
    print(number, flush=True)
"""
PRELUDE = """
from edgemon import pushed
from tests.spool import *
clock = Clock()
def state(one): return [one.state, reading(one, pushed.STATE, one.state)]
def load(where):
    try:
        with (where / "ballast").open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
    except OSError:
        pass
"""


def test_a_daemon_killed_at_any_moment_has_lost_nothing_it_had_written(tmp_path: Path) -> None:
    """kill -9, ten times in the same directory, at moments by chance; every number that was told is there, once."""
    chance, told = random.Random(5), list[int]()
    for round_ in range(10):
        command = [sys.executable, "-c", WRITING, str(tmp_path / "spool"), str(round_ * 100_000)]
        environment = {**os.environ, "PYTHONPATH": str(HERE)}
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert child.stdout
        told += [int(child.stdout.readline()) for _ in range(chance.randrange(2, 40))]
        child.send_signal(signal.SIGKILL)
        rest, _ = child.communicate()
        told += [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    one = spool(tmp_path / "spool")
    kept = list(drain(one))
    assert len(set(kept)) == len(kept)
    assert set(told) <= set(kept)
    assert len(kept) - len(told) <= 10, "what was written and not yet told when it was killed"
    assert (account(one)["dropped"], reading(one, pushed.ERRORS)) == (0, 0)


class Cut(BaseException):
    """The power is gone."""


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_a_power_cut_at_any_call_to_the_disk_loses_only_what_was_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    """The n-th call does nothing, or half of a write, or all, and nothing comes after it; for every n there is."""
    for number in range(10_000):
        where, told, sent = tmp_path / str(number), list[int](), list[int]()
        with monkeypatch.context() as patch:
            cutting(patch, number, done)
            try:
                work(where, told, sent)
            except Cut:
                pass
            else:
                break
        kept = list(drain(spool(where)))
        assert len(set(kept)) == len(kept)
        assert set(told) - set(sent) <= set(kept) <= {*told, *range(max([-1, *told]) + 7)}
    assert number > 40, "as many calls were cut"


def work(where: Path, told: list[int], sent: list[int]) -> None:
    """Write a few files of every grade, send some of it, begin anew, and tell what is certainly on disk."""
    for first in (0, 6):
        one = spool(where, durability=0.0, disk=256 << 10)
        for number in range(first, first + 6):
            one.put(batch(number, 9000 + number, grade=number % 3))
            one.keep()
            told.append(number)
            if number % 4 == 3 and (entry := one.stored()):
                sent.append(number_of(entry.batch))
                one.sent(entry)
        one.close()


def cutting(patch: pytest.MonkeyPatch, last: int, done: bool) -> None:
    """Let the calls that change a disk end with this one."""
    left = [last]

    def cut(act: Callable[..., Any], *given: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            if act is pwrite and not done:
                pwrite(given[0], given[1][: len(given[1]) // 2], given[2])
            if done:
                act(*given, **named)
            raise Cut
        return act(*given, **named)

    pwrite = os.pwrite
    for name in ("pwrite", "fdatasync", "fsync", "posix_fallocate", "ftruncate", "truncate", "unlink", "replace"):
        patch.setattr(os, name, partial(cut, getattr(os, name)))


def test_a_file_of_which_nothing_can_be_read_is_set_aside_and_told(tmp_path: Path) -> None:
    """Only the last such file is kept; the others are used, and writing begins anew."""
    clock = Clock()
    for round_ in range(3):
        one = spool(tmp_path, clock)
        one.put(batch(round_))
        one.close()
    for file in files(tmp_path)[:2]:
        file.write_bytes(random.Random(1).randbytes(5000))
    again = spool(tmp_path, clock)
    assert (reading(again, pushed.DAMAGED), (tmp_path / ASIDE).stat().st_size) == (2, 5000)
    again.put(batch(3))
    again.close()
    assert sorted(drain(spool(tmp_path, clock))) == [2, 3]


def test_a_frame_that_the_flash_has_changed_is_dropped_and_counted(tmp_path: Path) -> None:
    """It was counted as buffered by its head; the account adds up."""
    clock = Clock()
    one = spool(tmp_path, clock, durability=0.0)
    for number in range(5):
        one.put(batch(number))
        one.keep()
    one.close()
    (file,) = files(tmp_path)
    data = bytearray(file.read_bytes())
    place = next(block.place for block in one._waiting.blocks()[2:] if block.place)
    data[place.at + 50] ^= 1
    file.write_bytes(data)
    again = spool(tmp_path, clock)
    assert sorted(drain(again)) == [0, 1, 3, 4]
    found = account(again)
    assert (found["damaged"], found["buffered"], reading(again, pushed.DAMAGED)) == (1 + 2, 0, 1)


def test_other_things_in_the_directory_harm_nobody(tmp_path: Path) -> None:
    """A folder and a link with a name of ours, an empty file, files of other programs."""
    (tmp_path / "00000001-2.spool").mkdir()
    (tmp_path / "00000002-2.spool").write_bytes(b"")
    (tmp_path / "00000003-2.spool").symlink_to(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("mine")
    one = spool(tmp_path)
    one.put(batch(1))
    one.close()
    assert list(drain(spool(tmp_path))) == [1]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_directory_that_cannot_be_made_is_memory(tmp_path: Path) -> None:
    """And disk once it can."""
    (tmp_path / "spool").write_text("a file")
    clock = Clock()
    one = spool(tmp_path / "spool" / "below", clock)
    one.put(batch(0))
    clock.now += 400
    one.keep()
    assert (one.state, reading(one, pushed.STATE, "memory")) == ("memory", 1.0)
    (tmp_path / "spool").unlink()
    clock.now += 60
    one.keep()
    assert one.state == "disk"
    assert list(drain(spool(tmp_path / "spool" / "below", clock))) == [0]


def test_a_full_disk_is_memory_until_there_is_room(tmp_path: Path) -> None:
    """A real one, filled by others; nothing is lost, and what had been written stays."""
    said = apart(
        tmp_path,
        'mount -t tmpfs -o size=3m none "$0"',
        PRELUDE
        + """
        where = directory / "spool"
        one = spool(where, clock)
        for number in range(200):
            one.put(batch(number, 1000)); one.keep(); clock.now += 10
            if number == 50:
                load(directory)
        said.update(full=state(one), errors=one.errors, full_account=account(one))
        (directory / "ballast").unlink()
        clock.now += 60
        one.keep()
        said.update(after=state(one), account=account(one), memory=sum(len(b.body) for b in one._waiting.blocks()))
        one.close()
        said.update(kept=sorted(drain(spool(where, clock))))
        """.replace("\n        ", "\n"),
    )
    assert (said["full"], said["after"], said["memory"]) == (["memory", 1.0], ["disk", 1.0], 0)
    assert said["errors"] > 0
    assert said["kept"] == list(range(200))
    assert said["account"]["dropped"] == said["full_account"]["dropped"] == 0
    assert said["log"].count("cannot be used") == 1


def test_a_disk_that_is_remounted_read_only_is_still_sent_from(tmp_path: Path) -> None:
    """As a card that fails ends up; what is new is kept in memory, and the files go once they can."""
    said = apart(
        tmp_path,
        'mount -t tmpfs none "$0"',
        PRELUDE
        + """
        where = directory / "spool"
        one = spool(where, clock)
        for number in range(100):
            one.put(batch(number)); one.keep(); clock.now += 10
        one.close()
        subprocess.run(["mount", "-o", "remount,ro", str(directory)], check=True)
        one = spool(where, clock)
        said.update(state=state(one))
        for number in range(100, 200):
            one.put(batch(number)); one.keep(); clock.now += 10
        said.update(sent=sorted(drain(one)), account=account(one), files=len(files(where)))
        one.put(batch(200)); clock.now += 400; one.keep()
        subprocess.run(["mount", "-o", "remount,rw", str(directory)], check=True)
        clock.now += 60
        one.keep()
        said.update(after=state(one), left=len(files(where)), last=list(drain(spool(where, clock))))
        """.replace("\n        ", "\n"),
    )
    assert said["state"] == ["memory", 1.0]
    assert said["sent"] == list(range(200))
    assert said["account"]["buffered"] == said["account"]["dropped"] == 0
    assert said["files"] == 1
    assert (said["after"], said["left"], said["last"]) == (["disk", 1.0], 1, [200])


def test_memory_is_bounded_while_the_disk_is_away(tmp_path: Path) -> None:
    """The oldest telemetry goes first; alerts stay."""
    (tmp_path / "spool").write_text("a file")
    clock = Clock()
    one = spool(tmp_path / "spool", clock, memory=1 << 20)
    for number in range(600):
        one.put(batch(number, 20_000 if number % 10 else 100, grade=TELEMETRY if number % 10 else 0))
        one.keep()
        clock.now += 10
        assert (reading(one, pushed.BYTES, "memory") or 0) <= 1 << 20
    found = account(one)
    assert found["full"] == found["dropped"] > 0
    kept = sorted(drain(one))
    assert [number for number in kept if number % 10 == 0] == list(range(0, 600, 10))
    assert 599 in kept


@pytest.mark.parametrize("number", [5, 28])
def test_an_error_while_writing_costs_nothing(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """EIO and ENOSPC from the very call that makes it durable: the frame is kept in memory, and written again later."""
    clock, fail = Clock(), True
    original = os.fdatasync

    def fdatasync(file: int) -> None:
        if fail:
            raise OSError(number, os.strerror(number))
        original(file)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    one = spool(tmp_path, clock)
    for count in range(100):
        one.put(batch(count))
        one.keep()
        clock.now += 10
    assert one.errors > 0
    fail = False
    clock.now += 400
    one.keep()
    one.keep()
    assert one.state == "disk"
    assert sorted(drain(spool(tmp_path, clock))) == list(range(100))
    assert account(one)["dropped"] == 0
