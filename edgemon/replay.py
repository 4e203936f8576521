"""Replay: a captured machine in memory, which sensors read as if it were this one, over time if it has moments."""

from __future__ import annotations

import bisect
import errno
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgemon.capture import Capture, Entry, Moment, called
from edgemon.sysfs import LONGEST, Root

LINKS = 40
"""Symbolic links followed in one path, as in the kernel."""


class Tree:
    """The files of one moment: entries by their path after every link, and what is in each directory."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self.files: dict[str, Entry] = {}
        self.folders: dict[str, set[str]] = {"": set()}
        self._links = self._settled({key: entry.target for key, entry in entries.items() if entry.target})
        self._known: dict[str, str] = {}
        for key, entry in entries.items():
            if key.startswith("/"):
                self._put(key, entry)
        for path in list(self._links):
            where = self._real(path)
            if where not in self.files:  # what a link leads to is there, though a sensor read nothing of it
                self._folder(where)

    def real(self, path: str) -> str:
        """The path after every link."""
        if path not in self._known:
            self._known[path] = self._real(path)
        return self._known[path]

    def _settled(self, links: dict[str, str]) -> dict[str, str]:
        """The links by paths that lead through no other link."""
        self._links = links
        for _ in range(LINKS):
            placed = {self._place(path): target for path, target in links.items()}
            if placed == self._links:
                break
            self._links = placed
        return self._links

    def _place(self, path: str) -> str:
        folder, _, name = path.rpartition("/")
        return f"{self._real(folder)}/{name}"

    def _real(self, path: str) -> str:
        found, rest, followed = "", [part for part in reversed(path.split("/")) if part], 0
        while rest:
            part = rest.pop()
            if part == "..":
                found = found.rpartition("/")[0]
                continue
            target = self._links.get(f"{found}/{part}")
            if target is None or followed == LINKS:  # links that lead in circles lead nowhere
                found = f"{found}/{part}"
                continue
            followed += 1
            found = "" if target.startswith("/") else found
            rest += [part for part in reversed(target.split("/")) if part not in {"", "."}]
        return found

    def _put(self, key: str, entry: Entry) -> None:
        place = self._place(key.rstrip("/"))
        if entry.target:
            self._name(place)
        elif key.endswith("/"):
            self._folder(place)
        elif entry.failure != "ENOENT":
            self._name(place)
            self.files[place] = entry

    def _name(self, place: str) -> None:
        folder, _, name = place.rpartition("/")
        self._folder(folder)
        self.folders[folder].add(name)

    def _folder(self, place: str) -> None:
        if place not in self.folders:
            self.folders[place] = set()
            self._name(place)


class Replay(Root):
    """A capture as a root. It plays from the moment it is made, by `clock`, and stays at the last moment."""

    def __init__(self, capture: Capture, name: str = "capture", clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(name, clock)
        self._moments, self._starts = capture.moments, [moment.at for moment in capture.moments]
        self._began = clock()
        self._now: list[tuple[int, dict[str, Entry], Tree]] = []

    def entries(self) -> dict[str, Entry]:
        """What the machine is at this moment."""
        return self._at()[1]

    def read(self, path: str) -> bytes:
        """A file of the capture."""
        tree = self._at()[2]
        where = tree.real(path)
        if where in tree.files:
            return tree.files[where].contents()[:LONGEST]
        raise _error(errno.EISDIR if where in tree.folders else errno.ENOENT)

    def names(self, folder: str) -> list[str]:
        """A directory of the capture."""
        tree = self._at()[2]
        found = tree.folders.get(where := tree.real(folder))
        if found is None:
            raise _error(errno.ENOTDIR if where in tree.files else errno.ENOENT)
        return list(found)

    def exists(self, path: str) -> bool:
        """Whether the capture has the path."""
        tree = self._at()[2]
        where = tree.real(path)
        return where in tree.files or where in tree.folders

    def real(self, path: str) -> str:
        """Where a path of the capture leads."""
        return self._at()[2].real(path)

    def ask(self, name: str, kwargs: Mapping[str, object]) -> Any:
        """What the call answered when the capture was made."""
        entry = self.entries().get(key := called(name, kwargs))
        return entry.answer(f"{self.path}: {key}") if entry else None

    def execute(self, command: tuple[str, ...], _timeout: float, /) -> str:
        """What the program printed when the capture was made."""
        entry = self.entries().get(f"run {' '.join(command)}")
        if entry is None:
            raise _error(errno.ENOENT)
        return entry.contents().decode("utf-8", "replace")

    def _at(self) -> tuple[int, dict[str, Entry], Tree]:
        """The number, the entries and the files of the moment that is now; views share them."""
        number = max(0, bisect.bisect_right(self._starts, self._clock() - self._began) - 1)
        if not self._now or self._now[0][0] != number:
            entries = merged(self._moments[: number + 1])
            self._now[:] = [(number, entries, Tree(entries))]
        return self._now[0]


def merged(moments: Sequence[Moment]) -> dict[str, Entry]:
    """What there is after all these moments."""
    entries: dict[str, Entry] = {}
    for _, changed in moments:
        gone = tuple(key.rstrip("/") for key, entry in changed.items() if entry.failure == "ENOENT")
        below = tuple(f"{key}/" for key in gone)
        entries = {
            key: entry for key, entry in entries.items() if key.rstrip("/") not in gone and not key.startswith(below)
        }
        entries.update(changed)
    return entries


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))
