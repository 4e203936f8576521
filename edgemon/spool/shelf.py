"""The files of frames in one directory: which there are, which is written to, and when one can go.

A file holds frames of one grade, so that what is kept longer is not held up by what is not. It goes as a whole when
nothing of it is wanted any more: no note is kept of what was sent, and after a crash some is sent again, which a
receiver does not notice, since its time and its value are the same.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import threading
from dataclasses import dataclass, field

from edgemon.spool.segment import SIZE, SUFFIX, Frame, Place, Writer, scan, sync

log = logging.getLogger("edgemon.spool")

NAME = re.compile(rf"(\d{{8}})-(\d){re.escape(SUFFIX)}")
SIZES = (64 << 10, 256 << 10, 1 << 20)
"""Bytes of a file, by grade."""
ASIDE = "damaged"
"""Where the last file went of which nothing could be read."""


@dataclass(slots=True, eq=False)
class Block:
    """A frame that waits: on disk, or in memory with its body.

    `left` are its points by signal, less those of the batches that are `gone`: sent, or given up.
    """

    frame: Frame
    place: Place | None = None
    body: bytes = b""
    left: list[int] = field(default_factory=list)
    gone: frozenset[int] = frozenset()
    tries: int = 0


class Shelf:
    """Any thread may call it; each call is short, but for the disk."""

    def __init__(self, directory: str, limit: int) -> None:
        self.directory, self._limit = directory, limit
        self.damaged = self.written = 0
        self._lock = threading.RLock()
        self._files: dict[str, list[Block]] = {}
        self._sizes: dict[str, int] = {}
        self._writers: dict[int, Writer] = {}
        self._stale: set[str] = set()
        self._number = 0

    @property
    def size(self) -> int:
        """Bytes on disk, with room that is set aside."""
        return sum(list(self._sizes.values()))

    def check(self) -> None:
        """OSError where nothing can be written here; writes nothing itself."""
        self._made()
        about = os.statvfs(self.directory)
        if about.f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), self.directory)
        if not os.access(self.directory, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), self.directory)
        if about.f_bavail * about.f_frsize < SIZES[-1]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.directory)

    def adopt(self) -> list[Block]:
        """What an earlier run has left, oldest first; OSError where the directory cannot be read."""
        found: list[Block] = []
        with self._lock:
            for name in sorted(os.listdir(self.directory)):
                if (match := NAME.fullmatch(name)) and os.path.join(self.directory, name) not in self._files:
                    self._number = max(self._number, int(match[1]))
                    found += self._adopt(os.path.join(self.directory, name), int(match[1]))
        return found

    def put(self, block: Block, body: bytes) -> None:
        """Write a block, on the flash when this returns; OSError."""
        with self._lock:
            writer = self._writer(block.frame.grade, len(body))
            try:
                block.place, block.body = writer.write(block.frame, body), b""
            except OSError:
                self._finish(block.frame.grade)
                raise
            self._files[writer.path].append(block)
            self.written += SIZE + len(body)

    def need(self, grade: int, length: int) -> int:
        """Bytes the directory grows by when a body of that length is put."""
        with self._lock:
            writer = self._writers.get(grade)
            return 0 if writer and writer.fits(length) else self._room(grade, length)

    def victims(self, grade: int) -> list[Block]:
        """The blocks of the oldest file of the highest grade, if that is no lower than this one."""
        with self._lock:
            files = [path for path, blocks in self._files.items() if blocks and blocks[0].frame.grade >= grade]
            path = min(files, key=lambda path: (-self._files[path][0].frame.grade, path), default="")
            return list(self._files.get(path, ()))

    def forget(self, block: Block) -> None:
        """A block is not wanted any more; with the last one of a file that file goes."""
        with self._lock:
            path = block.place.path if block.place else ""
            blocks = self._files.get(path, [])
            if block in blocks:
                blocks.remove(block)
            if path in self._files and not blocks:
                self._remove(path)

    def tidy(self) -> None:
        """Remove what could not be removed before, as on a disk that was read-only."""
        with self._lock:
            for path in list(self._stale):
                self._unlink(path)

    def close(self) -> None:
        """Let go of the files."""
        with self._lock:
            for grade in list(self._writers):
                self._finish(grade)

    def _adopt(self, path: str, number: int) -> list[Block]:
        try:
            frames, damaged = scan(path, number)
            size = os.path.getsize(path)
        except OSError as error:
            self.damaged += 1
            log.warning("%s cannot be read, and is left alone: %s", path, error)
            return []
        self.damaged += damaged
        if damaged:
            log.warning("%s is damaged in %d places; the rest of it, %d frames, is used", path, damaged, len(frames))
        if not frames:
            self._set_aside(path, bool(damaged))
            return []
        blocks = [Block(frame, place, left=list(frame.points)) for frame, place in frames]
        self._files[path] = list(blocks)
        self._sizes[path] = self._cut(path, size, blocks)
        return blocks

    def _cut(self, path: str, size: int, blocks: list[Block]) -> int:
        """Give back the room an interrupted run had set aside; the size that is left."""
        used = max(block.place.at + block.place.length for block in blocks if block.place)
        with contextlib.suppress(OSError):
            if size > used + SIZES[0] // 4:
                os.truncate(path, used)
                return used
        return size

    def _set_aside(self, path: str, damaged: bool) -> None:
        with contextlib.suppress(OSError):
            if damaged:
                os.replace(path, os.path.join(self.directory, ASIDE))
            else:
                os.unlink(path)

    def _writer(self, grade: int, length: int) -> Writer:
        writer = self._writers.get(grade)
        if writer and writer.fits(length):
            return writer
        if writer:
            self._finish(grade)
        self._made()
        self._number += 1
        path = os.path.join(self.directory, f"{self._number:08d}-{grade}{SUFFIX}")
        writer = self._writers[grade] = Writer(path, self._number, self._room(grade, length))
        self._files[path], self._sizes[path] = [], writer.size
        return writer

    def _made(self) -> None:
        if not os.path.isdir(self.directory):
            os.makedirs(self.directory, mode=0o750)
            sync(os.path.dirname(self.directory))

    def _room(self, grade: int, length: int) -> int:
        return max(min(SIZES[grade], self._limit // 8), SIZE + length)

    def _finish(self, grade: int) -> None:
        """Write to a file no more; an empty one goes."""
        writer = self._writers.pop(grade)
        self._sizes[writer.path] = writer.close()
        if not self._files[writer.path]:
            self._remove(writer.path)

    def _remove(self, path: str) -> None:
        for grade, writer in list(self._writers.items()):
            if writer.path == path:
                self._writers.pop(grade).close()
        del self._files[path]
        self._unlink(path)

    def _unlink(self, path: str) -> None:
        """Remove a file; one that cannot be removed now is tried again later, and counts as long as it is there."""
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError:
            self._stale.add(path)
            return
        self._stale.discard(path)
        self._sizes.pop(path, None)
