"""One file of frames, written from front to back into room that was set aside, and cut off after its last frame.

A frame's head says what is in it, so that a start reads heads only, and carries a checksum of its own and the file's
number: what a power cut left half written, what an older file left in the same blocks and what the flash has changed
is no frame. After a head that is none the next one is looked for.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import zlib
from dataclasses import dataclass
from typing import NamedTuple

MAGIC, SUFFIX = b"edgemonF", ".spool"
ALIGN = 512
"""Frames begin on a sector, so that none is written again with the next one."""
HEAD = struct.Struct("<8sIIIBBHIIIQQ36s")
"""Magic, number, length and checksum of the body, grade, 0, batches, points by signal, start, end, boot; its CRC-32."""
SIZE = HEAD.size + 4


class Frame(NamedTuple):
    """What the head of a frame says; `points` are by signal, in the order of `batch.SIGNALS`."""

    grade: int
    batches: int
    points: tuple[int, int, int]
    start: int
    end: int
    boot: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame lies: its file, the place of its body, how long that is, and its checksum."""

    path: str
    at: int
    length: int
    checksum: int

    def read(self) -> bytes:
        """The body; ValueError where it is not what was written, or OSError."""
        with open(self.path, "rb", buffering=0) as file:
            body = os.pread(file.fileno(), self.length, self.at)
        if len(body) != self.length or zlib.crc32(body) != self.checksum:
            raise ValueError(f"{self.path}: the frame at {self.at - SIZE} is damaged")
        return body


class Writer:
    """A new file of `size` bytes; OSError where it cannot be made."""

    def __init__(self, path: str, number: int, size: int) -> None:
        self.path, self.size, self._number, self._used = path, size, number, 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            os.posix_fallocate(self._file, 0, size)
            os.fsync(self._file)
            sync(os.path.dirname(path))
        except OSError:
            self.discard()
            raise

    def fits(self, length: int) -> bool:
        """Whether a frame with a body of that length has room."""
        return self._used + SIZE + length <= self.size

    def write(self, frame: Frame, body: bytes) -> Place:
        """Write a frame, on the flash when this returns; OSError, after which nothing more may be written here."""
        place = Place(self.path, self._used + SIZE, len(body), zlib.crc32(body))
        data = head(self._number, frame, body) + body
        done = 0
        while done < len(data):
            done += os.pwrite(self._file, data[done:], self._used + done)
        os.fdatasync(self._file)
        self._used += -(-len(data) // ALIGN) * ALIGN
        return place

    def close(self) -> int:
        """Give back the room that was not used; the size that is left."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, self._used)
        os.close(self._file)
        return self._used

    def discard(self) -> None:
        """Close and remove it."""
        os.close(self._file)
        with contextlib.suppress(OSError):
            os.unlink(self.path)


def head(number: int, frame: Frame, body: bytes) -> bytes:
    """The head of a frame, with its checksum."""
    boot = frame.boot.encode("ascii", "replace")[:36]
    about = (frame.grade, 0, frame.batches, *frame.points, frame.start, frame.end, boot)
    raw = HEAD.pack(MAGIC, number, len(body), zlib.crc32(body), *about)
    return raw + struct.pack("<I", zlib.crc32(raw))


def scan(path: str, number: int) -> tuple[list[tuple[Frame, Place]], int]:
    """The frames of a file whose heads are whole, the last one's body as well, and how many places were damaged."""
    with open(path, "rb", buffering=0) as file:
        found, damaged = _frames(path, file.fileno(), number)
    if found:  # the one a power cut can have torn
        try:
            found[-1][1].read()
        except ValueError:
            found.pop()
            damaged += 1
    return found, damaged


def _frames(path: str, file: int, number: int) -> tuple[list[tuple[Frame, Place]], int]:
    size, at, damaged = os.fstat(file).st_size, 0, 0
    found: list[tuple[Frame, Place]] = []
    while at < size:
        raw = os.pread(file, SIZE, at)
        one = _parse(raw, number)
        if one and at + SIZE + one[1] <= size:
            frame, length, checksum = one
            found.append((frame, Place(path, at + SIZE, length, checksum)))
            at += -(-(SIZE + length) // ALIGN) * ALIGN
            continue
        after = next(
            (place for place in range(at + ALIGN, size, ALIGN) if _parse(os.pread(file, SIZE, place), number)), size
        )
        damaged += any(raw) or after < size
        at = after
    return found, damaged


def _parse(raw: bytes, number: int) -> tuple[Frame, int, int] | None:
    if len(raw) < SIZE or raw[:8] != MAGIC or zlib.crc32(raw[:-4]) != int.from_bytes(raw[-4:], "little"):
        return None
    _, owner, length, checksum, grade, _, batches, *rest = HEAD.unpack(raw[:-4])
    points, (start, end, boot) = (rest[0], rest[1], rest[2]), rest[3:]
    name = sys.intern(boot.rstrip(b"\0").decode("ascii", "replace"))
    return (Frame(grade, batches, points, start, end, name), length, checksum) if owner == number else None


def sync(directory: str) -> None:
    """Have the names in a directory on the flash."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
