"""Power cuts and flash: a file cut off, torn or changed anywhere loses what was hit and nothing else."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from edgemon.spool.pack import pack, unpack
from edgemon.spool.segment import ALIGN, SIZE, Frame, Place, Writer, scan
from edgemon.spool.waiting import frame
from tests.spool import batch, number_of

COUNT = 3


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, list[Place]]:
    """A file of three frames, still with the room that was set aside, and where they are."""
    writer = Writer(str(tmp_path / "a"), 7, 4 << 10)
    return tmp_path / "a", [writer.write(*framed(number)) for number in range(COUNT)]


def framed(number: int) -> tuple[Frame, bytes]:
    return frame([batch(number, 100)]), pack([batch(number, 100)])


def numbers(path: Path) -> tuple[list[int], int]:
    """The numbers of the batches that can still be read, and how many places were damaged."""
    found, damaged = scan(str(path), 7)
    read = []
    for one, place in found:
        try:
            (found_batch,) = unpack(place.read())
        except ValueError:
            damaged += 1
            continue
        assert one == frame([found_batch])
        read.append(number_of(found_batch))
    return read, damaged


def test_frames_are_read_again_from_a_file_that_was_not_closed(written: tuple[Path, list[Place]]) -> None:
    path, _ = written
    assert (path.stat().st_size, numbers(path)) == (4 << 10, (list(range(COUNT)), 0))


@pytest.mark.parametrize("rest", ["room", "nothing", "old"])
def test_a_power_cut_at_every_byte_of_a_frame_costs_that_frame(
    written: tuple[Path, list[Place]], tmp_path: Path, rest: str
) -> None:
    """What follows are zeros, the end of the file, or what an older file had there: half a frame, and a whole one."""
    path, places = written
    whole, last = path.read_bytes(), places[-1]
    begin, end = last.at - SIZE, last.at + last.length
    old = bytearray(random.Random(1).randbytes(len(whole)))
    older = Writer(str(tmp_path / "older"), 6, 2 << 10)
    older.write(*framed(9))
    after = -(-end // ALIGN) * ALIGN
    old[after : after + (2 << 10)] = Path(older.path).read_bytes()
    for cut in range(begin, end):
        behind = {"room": bytes(len(whole) - cut), "nothing": b"", "old": bytes(old[cut:])}[rest]
        (tmp_path / "b").write_bytes(whole[:cut] + behind)
        found, damaged = numbers(tmp_path / "b")
        assert found == list(range(COUNT - 1)), cut
        assert damaged <= 2
    (tmp_path / "b").write_bytes(whole[:end])
    assert numbers(tmp_path / "b") == (list(range(COUNT)), 0)


def test_a_byte_changed_anywhere_costs_one_frame_at_most(written: tuple[Path, list[Place]], tmp_path: Path) -> None:
    """And is noticed: a frame is what was written, or it is none."""
    path, places = written
    whole = bytearray(path.read_bytes())
    for at in range(places[-1].at + places[-1].length):
        whole[at] ^= 0x41
        (tmp_path / "b").write_bytes(whole)
        whole[at] ^= 0x41
        found, damaged = numbers(tmp_path / "b")
        hit = [number for number, one in enumerate(places) if one.at - SIZE <= at < one.at + one.length]
        assert found == [number for number in range(COUNT) if number not in hit], at
        assert damaged == len(hit), at


def test_a_file_of_garbage_has_no_frames(tmp_path: Path) -> None:
    for seed in range(20):
        (tmp_path / "b").write_bytes(random.Random(seed).randbytes(seed * 700))
        assert numbers(tmp_path / "b") == ([], min(seed, 1))


def test_a_file_under_another_number_is_none_of_ours(written: tuple[Path, list[Place]]) -> None:
    """So that what is left in a file system's blocks is never taken for what was written now."""
    assert scan(str(written[0]), 8)[0] == []


def test_a_body_is_not_read_where_the_file_ends(written: tuple[Path, list[Place]]) -> None:
    path, places = written
    os.truncate(path, places[1].at + 5)
    with pytest.raises(ValueError, match="is damaged"):
        places[1].read()
    assert numbers(path) == ([0], 1)


def test_a_frame_that_does_not_fit_is_known_before(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path / "a"), 7, 4096)
    assert (writer.fits(4096 - SIZE), writer.fits(4097 - SIZE)) == (True, False)
    writer.write(*framed(1))
    assert not writer.fits(4096 - SIZE)
    assert writer.close() == (tmp_path / "a").stat().st_size < 4096
    assert numbers(tmp_path / "a") == ([1], 0)
