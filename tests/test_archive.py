"""The archive: old or new, never half; what the disk refuses is kept in memory, said, and tried again."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgemon.archive import BATCH, FILE, KEPT, Archive, alone
from edgemon.errors import SetupError
from edgemon.judge.baseline import Baseline
from edgemon.metric import Reading
from edgemon.probe.result import Outcome, Result

HERE = Path(__file__).parents[1]


def baseline(number: int, probe: str = "p", mark: str = "aaaa00000000", size: int = 10) -> Baseline:
    """A baseline of which every part says which one it is."""
    golden = [[{"values": [float(number)] * size}]]
    return Baseline(probe, mark, {"n": str(number)}, (float(number),) * size, {"CPU": 1.0}, golden, float(number))


def result(number: int, probe: str = "p") -> Result:
    return Result(probe, Outcome.OK, str(number), at=float(number), latencies=[0.1, 0.3, 0.2], outputs=[[{"v": [1]}]])


def fill(archive: Archive, count: int, start: int = 0, probe: str = "p") -> None:
    for number in range(start, start + count):
        archive.add(result(number, probe), "mark")


def rows(directory: Path) -> int:
    """Results on disk, as another process sees them."""
    database = sqlite3.connect(directory / FILE)
    try:
        return int(database.execute("SELECT count(*) FROM results").fetchone()[0])
    finally:
        database.close()


def numbers(archive: Archive, probe: str = "p") -> list[int]:
    return [int(one.detail) for _, one in archive.results(probe)]


def state(archive: Archive) -> str:
    """The one state that is exported as 1."""
    found = [reading.labels[0] for reading in readings(archive, "edgemon.archive.state") if reading.value]
    (name,) = found
    return name


def readings(archive: Archive, name: str) -> Iterator[Reading]:
    return (reading for reading in archive.readings() if reading.metric.name == name)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    one = Archive(str(tmp_path))
    yield one
    one.close()


def test_a_baseline_is_given_back_equal(archive: Archive) -> None:
    archive.keep(baseline(1))
    assert archive.baseline("p", "aaaa00000000") == baseline(1)
    assert archive.baselines() == [baseline(1)]
    assert archive.baseline("q") is None


def test_another_fingerprint_is_another_baseline_and_the_same_one_replaces(archive: Archive) -> None:
    for one in (baseline(1), baseline(2, mark="bbbb00000000"), baseline(3)):
        archive.keep(one)
    assert [one.at for one in archive.baselines()] == [3.0, 2.0]
    assert archive.baseline("p", "bbbb00000000") == baseline(2, mark="bbbb00000000")


def test_without_its_fingerprint_the_latest_baseline_is_given(archive: Archive) -> None:
    for one in (baseline(2), baseline(1, mark="bbbb00000000")):
        archive.keep(one)
    found = archive.baseline("p", "cccc00000000")
    assert found
    assert found.at == 2.0


def test_baselines_are_removed_by_the_first_digits_only(archive: Archive) -> None:
    """Wildcards of SQL mean nothing: `%` and `_` are no digits of a fingerprint."""
    for number, mark in enumerate(["ab0000000000", "ab1100000000", "cd0000000000"]):
        archive.keep(baseline(number, mark=mark))
    assert archive.remove("p", "%") == archive.remove("p", "__") == archive.remove("q", "") == 0
    assert archive.remove("p", "ab11") == 1
    assert archive.remove("p", "") == 2
    assert archive.baselines() == []


def test_results_reach_the_disk_ten_at_a_time(archive: Archive, tmp_path: Path) -> None:
    """Before that they are given back all the same."""
    fill(archive, BATCH - 1)
    assert (rows(tmp_path), numbers(archive)) == (0, list(range(BATCH - 1)))
    fill(archive, 1, BATCH - 1)
    assert (rows(tmp_path), numbers(archive)) == (BATCH, list(range(BATCH)))


def test_close_writes_what_is_pending(tmp_path: Path) -> None:
    archive = Archive(str(tmp_path))
    fill(archive, 3)
    archive.close()
    assert rows(tmp_path) == 3


def test_the_last_thousand_results_of_each_probe_are_kept_in_order(archive: Archive, tmp_path: Path) -> None:
    fill(archive, 5, probe="q")
    fill(archive, KEPT + 25)
    archive.flush()
    assert numbers(archive) == list(range(25, KEPT + 25))
    assert numbers(archive, "q") == list(range(5))
    assert rows(tmp_path) == KEPT + 5
    assert [int(one.detail) for _, one in archive.results("p", 3)] == [KEPT + 22, KEPT + 23, KEPT + 24]


def test_a_kept_result_has_its_middle_and_its_fingerprint_but_no_outputs(archive: Archive) -> None:
    archive.add(result(7), "mark")
    ((mark, one),) = archive.results("p")
    assert (mark, one.corrected, one.latencies, one.outputs) == ("mark", [0.2], [], [])


def test_a_missing_state_directory_is_created(tmp_path: Path) -> None:
    archive = Archive(str(tmp_path / "a/b/c"))
    archive.keep(baseline(1))
    archive.close()
    assert (tmp_path / "a/b/c").stat().st_mode & 0o777 == 0o750
    assert Archive(str(tmp_path / "a/b/c")).baseline("p") == baseline(1)


WRITER = """
import sys
from edgemon.archive import Archive
from tests.test_archive import baseline, fill
archive, number = Archive(sys.argv[1]), int(sys.argv[2])
while True:
    number += 1
    archive.keep(baseline(number, size=2000))
    fill(archive, 1, number)
    print(number, flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_the_old_baseline_or_the_new_whole(tmp_path: Path) -> None:
    """Thirty kills: the file opens at once, nothing is quarantined, and no acknowledged baseline is lost."""
    chance, last = random.Random(7), 0
    for _ in range(30):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(last)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(HERE)}) as writer:
            assert writer.stdout
            said = writer.stdout.readline()
            time.sleep(chance.uniform(0, 0.04))
            writer.kill()
            said = (said + writer.stdout.read()).split(b"\n")[-2]
        archive = Archive(str(tmp_path))
        found = archive.baseline("p")
        archive.close()
        assert found
        assert int(said) <= found.at <= int(said) + 1
        assert found == baseline(int(found.at), size=2000)
        last = int(found.at)
    assert not list(tmp_path.glob("*.broken-*"))
    assert state(Archive(str(tmp_path))) == "disk"


def damaged(good: bytes, how: str, chance: random.Random) -> bytes:
    """The file after an accident."""
    data = bytearray(good)
    page = 4096 * chance.randrange(len(data) // 4096)
    if how == "random":
        return chance.randbytes(len(data))
    if how == "text":
        return b"this is no database\n" * 100
    if how == "truncated":
        return bytes(data[: chance.randrange(512, len(data))])
    if how == "page":
        data[page : page + 4096] = chance.randbytes(4096)
    if how == "zeros":
        data[page : page + 4096] = bytes(4096)
    if how == "bit":
        data[chance.randrange(100, len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a whole archive of eleven pages."""
    directory = tmp_path_factory.mktemp("good")
    archive = Archive(str(directory))
    for number in range(5):
        archive.keep(baseline(number, mark=f"{number:012x}", size=100))
    fill(archive, 40)
    archive.close()
    return (directory / FILE).read_bytes()


@pytest.mark.parametrize("how", ["random", "text", "truncated"])
def test_a_file_that_is_no_database_is_put_aside_and_started_anew(
    tmp_path: Path, good: bytes, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said, counted, and nothing of the old file is lost."""
    broken = damaged(good, how, random.Random(1))
    (tmp_path / FILE).write_bytes(broken)
    archive = Archive(str(tmp_path))
    (aside,) = tmp_path.glob(f"{FILE}.broken-*")
    assert aside.read_bytes() == broken
    assert f"moved to {aside} and started anew" in caplog.text
    assert (state(archive), archive.errors, archive.baselines()) == ("disk", 1, [])
    archive.keep(baseline(1))
    archive.close()
    assert Archive(str(tmp_path)).baseline("p") == baseline(1)


@pytest.mark.parametrize("how", ["random", "truncated", "page", "zeros", "bit"])
def test_no_damage_keeps_the_archive_from_opening_reading_and_writing(tmp_path: Path, good: bytes, how: str) -> None:
    """Forty accidents of a kind: afterwards a baseline can be kept, and ten results more are on disk."""
    chance = random.Random(how)
    for number in range(40):
        directory = tmp_path / str(number)
        directory.mkdir()
        (directory / FILE).write_bytes(damaged(good, how, chance))
        archive = Archive(str(directory))
        assert all(one.probe for one in archive.baselines())
        assert archive.results("p") is not None
        archive.keep(baseline(99, mark="ffff00000000"))
        fill(archive, 2 * BATCH, 1000)
        assert archive.baseline("p", "ffff00000000") == baseline(99, mark="ffff00000000")
        assert numbers(archive)[-2 * BATCH :] == list(range(1000, 1000 + 2 * BATCH))
        assert state(archive) == "disk"
        archive.close()


def test_a_damaged_row_costs_itself_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    archive = Archive(str(tmp_path))
    for number in range(3):
        archive.keep(baseline(number, mark=f"{number:012x}"))
    database = sqlite3.connect(tmp_path / FILE)
    with database:
        database.execute("UPDATE baselines SET data = CAST(x'7b22ff' AS TEXT) WHERE at = 2")
    database.close()
    assert [one.at for one in archive.baselines()] == [1.0, 0.0]
    found = archive.baseline("p")
    assert found
    assert found.at == 1.0
    assert "a row is damaged and left out" in caplog.text
    assert archive.errors == 2
    archive.close()


def test_damage_that_shows_only_later_is_put_aside_too(tmp_path: Path, good: bytes) -> None:
    """Pages that go bad under a running daemon; what was pending is then written to the new file."""
    (tmp_path / FILE).write_bytes(good)
    archive = Archive(str(tmp_path))
    fill(archive, 3, 100)
    with (tmp_path / FILE).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (len(good) - 4096))
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"{FILE}{suffix}").unlink()
    archive._database.close()
    archive._database = sqlite3.connect(tmp_path / FILE, check_same_thread=False)
    assert archive.baselines() == []
    archive.flush()
    assert (state(archive), rows(tmp_path)) == ("disk", 3)
    assert len(list(tmp_path.glob("*.broken-*"))) == 1


@pytest.mark.parametrize("what", ["file", "directory"])
def test_a_state_directory_that_cannot_be_one_is_replaced_by_memory(
    tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A file in its place, or a directory in the database's: results are kept, a baseline is refused with reason."""
    directory = tmp_path / "state"
    if what == "file":
        directory.write_text("")
    else:
        (directory / FILE).mkdir(parents=True)
    archive = Archive(str(directory))
    fill(archive, 25)
    assert (state(archive), numbers(archive), archive.errors) == ("memory", list(range(25)), 1)
    assert "keeping results in memory" in caplog.text
    reason = "File exists" if what == "file" else "unable to open database file"
    with pytest.raises(SetupError, match=f"nothing can be kept in {directory}: .*{reason}.*; .* set state_dir:"):
        archive.keep(baseline(1))
    archive.close()


def test_memory_is_left_for_the_disk_once_that_can_be_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What was kept in memory is then written, in order."""
    caplog.set_level(logging.INFO)
    (tmp_path / "state").write_text("")
    archive = Archive(str(tmp_path / "state"))
    fill(archive, 25)
    (tmp_path / "state").unlink()
    fill(archive, 1, 25)
    assert (state(archive), numbers(archive), rows(tmp_path / "state")) == ("disk", list(range(26)), 26)
    assert "can be used now" in caplog.text
    archive.keep(baseline(1))
    archive.close()


def test_memory_holds_a_thousand_results_at_most(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    archive = Archive(str(tmp_path / "state"))
    fill(archive, KEPT + 7)
    assert numbers(archive) == list(range(7, KEPT + 7))


def test_a_failing_write_is_counted_and_made_up_for(archive: Archive, tmp_path: Path) -> None:
    """A table that is not there stands for whatever makes a write fail."""
    other = sqlite3.connect(tmp_path / FILE)
    with other:
        other.execute("ALTER TABLE results RENAME TO elsewhere")
    fill(archive, 12)
    assert (state(archive), numbers(archive)) == ("failing", list(range(12)))
    assert archive.errors >= 3
    with other:
        other.execute("ALTER TABLE elsewhere RENAME TO results")
    other.close()
    archive.flush()
    assert (state(archive), rows(tmp_path), numbers(archive)) == ("disk", 12, list(range(12)))


def test_a_baseline_that_is_kept_shows_that_the_disk_works_again(archive: Archive, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / FILE)
    with other:
        other.execute("ALTER TABLE baselines RENAME TO elsewhere")
    with pytest.raises(SetupError, match="cannot be written: no such table: baselines"):
        archive.keep(baseline(1))
    assert state(archive) == "failing"
    with other:
        other.execute("ALTER TABLE elsewhere RENAME TO baselines")
    other.close()
    archive.keep(baseline(1))
    assert state(archive) == "disk"


def load(directory: Path) -> None:
    """Fill the disk to the last page."""
    with (directory / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


def apart(directory: Path, mount: str, code: str) -> Any:
    """What the code says as JSON, run where the mount is made and seen by nobody else."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("mounting needs root and unshare")
    prelude = """
        import json, logging, os, subprocess, sys
        from pathlib import Path
        from edgemon.archive import *
        from edgemon.errors import SetupError
        from tests.test_archive import *
        directory = Path(sys.argv[1])
        said = {}
    """
    script = textwrap.dedent(prelude) + textwrap.dedent(code) + "\nprint(json.dumps(said))\n"
    command = f'{mount} && exec "{sys.executable}" -c "$1" "$0"'
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-c", command, str(directory), script],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(HERE)}, timeout=60, check=False,
    )  # fmt: skip
    if ran.stderr.startswith("unshare: ") or "permission denied" in ran.stderr.lower():
        pytest.skip(f"no private mounts here: {ran.stderr.strip()}")
    assert ran.returncode == 0, ran.stderr
    return {**json.loads(ran.stdout), "log": ran.stderr}


def test_a_read_only_directory_is_memory_with_the_old_baselines(tmp_path: Path) -> None:
    """Also those that only the write-ahead log of a killed daemon holds."""
    archive = Archive(str(tmp_path))
    archive.keep(baseline(1))
    archive.close()
    code = (
        f"import os; from tests.test_archive import *; Archive({str(tmp_path)!r}).keep(baseline(2, 'q')); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(HERE)}, check=False)
    assert (tmp_path / f"{FILE}-wal").stat().st_size
    said = apart(
        tmp_path,
        'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0"',
        """
        archive = Archive(str(directory))
        fill(archive, 25)
        said.update(state=state(archive), numbers=numbers(archive), errors=archive.errors)
        said.update(baselines=[one.to_json() == baseline(n, one.probe).to_json() for n, one in
                               enumerate(archive.baselines(), 1)])
        try:
            archive.keep(baseline(3))
        except SetupError as error:
            said.update(refused=str(error))
        archive.close()
        with alone(str(directory), "probe") as held:
            said.update(held=held)
        """,
    )
    assert (said["state"], said["numbers"], said["errors"]) == ("memory", list(range(25)), 1)
    assert said["baselines"] == [True, True]
    assert f"nothing can be kept in {tmp_path}: " in said["refused"]
    assert "make it writable" in said["refused"]
    assert said["held"] is True
    assert "keeping results in memory" in said["log"]


def test_a_read_only_directory_with_a_damaged_file_is_memory(tmp_path: Path, good: bytes) -> None:
    """Neither the quarantine nor the copy can work; the daemon does."""
    for how in ("random", "page", "truncated"):
        (tmp_path / FILE).write_bytes(damaged(good, how, random.Random(3)))
        said = apart(
            tmp_path,
            'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0"',
            """
            archive = Archive(str(directory))
            fill(archive, 25)
            archive.baselines()
            said.update(state=state(archive), last=numbers(archive)[-25:])
            """,
        )
        assert (said["state"], said["last"]) == ("memory", list(range(25)))


def test_a_full_disk_is_failing_and_recovers_once_there_is_room(tmp_path: Path) -> None:
    """Nothing is lost meanwhile, and a baseline is refused with the reason."""
    said = apart(
        tmp_path,
        'mount -t tmpfs -o size=512k none "$0"',
        """
        archive = Archive(str(directory))
        archive.keep(baseline(1))
        fill(archive, 10)
        load(directory)
        fill(archive, 300, 10)
        said.update(full=state(archive), kept=numbers(archive) == list(range(310)), errors=archive.errors)
        try:
            archive.keep(baseline(2, size=5000))
        except SetupError as error:
            said.update(refused=str(error))
        said.update(old=archive.baseline("p") == baseline(1))
        (directory / "ballast").unlink()
        archive.flush()
        said.update(after=state(archive), again=numbers(archive) == list(range(310)), rows=rows(directory))
        archive.keep(baseline(3))
        archive.close()
        said.update(last=Archive(str(directory)).baseline("p") == baseline(3))
        """,
    )
    assert said["full"] == "failing"
    assert said["errors"] > 0
    assert said["kept"]
    assert "cannot be written: database or disk is full" in said["refused"]
    assert said["old"]
    assert (said["after"], said["again"], said["rows"], said["last"]) == ("disk", True, 310, True)
    assert "can be written again" not in said["log"]


def test_an_archive_opened_on_a_full_disk_moves_there_once_there_is_room(tmp_path: Path) -> None:
    said = apart(
        tmp_path,
        'mount -t tmpfs -o size=512k none "$0"',
        """
        load(directory)
        archive = Archive(str(directory))
        fill(archive, 12)
        said.update(full=state(archive))
        (directory / "ballast").unlink()
        archive.flush()
        said.update(after=state(archive), rows=rows(directory))
        """,
    )
    assert (said["full"], said["after"], said["rows"]) == ("memory", "disk", 12)


def test_two_archives_on_one_file_see_each_others_work(tmp_path: Path) -> None:
    """The daemon's and a command's."""
    daemon, command = Archive(str(tmp_path)), Archive(str(tmp_path))
    command.keep(baseline(1))
    assert daemon.baseline("p") == baseline(1)
    fill(daemon, BATCH)
    assert numbers(command) == list(range(BATCH))
    command.close()
    fill(daemon, BATCH, BATCH)
    assert rows(tmp_path) == 2 * BATCH
    daemon.close()


def test_two_archives_write_at_once_without_an_error(tmp_path: Path) -> None:
    archives = [Archive(str(tmp_path)) for _ in range(2)]
    threads = [
        threading.Thread(target=fill, args=(archive, 200, 0, name))
        for archive, name in zip(archives, "ab", strict=True)
    ]
    for thread in threads:
        thread.start()
    for number in range(50):
        archives[number % 2].keep(baseline(number))
    for thread in threads:
        thread.join()
    assert [archive.errors for archive in archives] == [0, 0]
    assert numbers(archives[0], "b") == numbers(archives[1], "a") == list(range(200))
    for archive in archives:
        archive.close()


def test_many_threads_share_one_archive(archive: Archive) -> None:
    threads = [threading.Thread(target=fill, args=(archive, 100, 0, name)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(numbers(archive, name) == list(range(100)) for name in "abcd")
    assert archive.errors == 0


def test_a_lock_is_held_by_one_and_freed_by_its_death(tmp_path: Path) -> None:
    """A killed holder leaves nothing that would keep the next one out."""
    code = (
        f"from edgemon.archive import alone\nwith alone({str(tmp_path)!r}, 'x') as it: print(it, flush=True); input()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout
    assert holder.stdout.readline() == b"True\n"
    with alone(str(tmp_path), "x") as held, alone(str(tmp_path), "y") as other:
        assert (held, other) == (False, True)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with alone(str(tmp_path), "x") as held:
        assert held


def test_notes_are_kept_by_kind_and_those_with_a_mark_once(tmp_path: Path) -> None:
    """On disk at once, for whoever reads beside the daemon; also those of a disk that came later."""
    one, other = Archive(str(tmp_path)), Archive(str(tmp_path))
    one.note("flip", "a", 1.0, {"n": 1}, "mark")
    one.note("flip", "a", 2.0, {"n": 2}, "mark")
    one.note("flip", "", 3.0, {"n": 3})
    one.note("verdict", "b", 4.0, {"n": 4})
    for archive in (one, other):
        assert archive.notes("flip") == [("a", 1.0, {"n": 1}), ("", 3.0, {"n": 3})]
        assert archive.notes("flip", "a") == [("a", 1.0, {"n": 1})]
        assert archive.notes("verdict", "a") == []
        archive.close()
    (tmp_path / "file").write_text("")
    nowhere = Archive(str(tmp_path / "file" / "state"))
    nowhere.note("verdict", "b", 5.0, {"n": 5})
    assert nowhere.notes("verdict") == [("b", 5.0, {"n": 5})]
    (tmp_path / "file").unlink()
    nowhere.flush()
    assert nowhere.state == "disk"
    nowhere.close()
    again = Archive(str(tmp_path / "file" / "state"))
    assert again.notes("verdict") == [("b", 5.0, {"n": 5})]
    again.close()


def test_of_notes_of_a_kind_the_last_thousand_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgemon.archive.KEPT", 5)
    archive = Archive(str(tmp_path))
    archive.note("verdict", "a", 0.0, {})
    for number in range(8):
        archive.note("flip", "a", float(number), {})
    assert [at for _, at, _ in archive.notes("flip")] == [3.0, 4.0, 5.0, 6.0, 7.0]
    assert len(archive.notes("verdict")) == 1
    archive.close()
