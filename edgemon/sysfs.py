"""Root: the one way a sensor reads this machine, so that a test can put another machine in its place.

Kernel files are read relative to a root directory, library calls (psutil) go through `call`, programs through `run`. A
capture answers all three (`capture.Replay`), a mere directory the first. What cannot be read is None and counted by
errno: absent is never zero.
"""

from __future__ import annotations

import errno
import fnmatch
import importlib
import math
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)")
NATURAL = re.compile(r"(\d+)")
LONGEST = 65536
REMEMBER = 30.0
"""Seconds for which directory listings and texts that do not change (names, labels, limits) are kept."""
SELDOM = 10.0
"""Seconds for which what a program printed is kept: none is started more often."""

DENIED = frozenset({"EACCES", "EPERM"})
ABSENT = frozenset({"ENOENT", "ENOTDIR", "ENODEV", "ENXIO", "ENOTSUP", "EOPNOTSUPP"})


def natural(name: str) -> tuple[object, ...]:
    """Sort key that puts cpu2 before cpu10."""
    return tuple(int(part) if part.isdigit() else part for part in NATURAL.split(name))


def live_call(name: str, **kwargs: object) -> Any:
    """Call `module.function` of a library and make its answer plain: named tuples become dicts."""
    module, function = name.rsplit(".", 1)
    return plain(getattr(importlib.import_module(module), function)(**kwargs))


def live_run(command: tuple[str, ...], timeout: float) -> str:
    """What a program prints on standard output; OSError when it is not there, fails, or is not done in time."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise TimeoutError(errno.ETIMEDOUT, f"{command[0]} took longer than {timeout:g} s") from None
    if done.returncode:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())
        raise OSError(errno.EIO, f"{command[0]} ended with {done.returncode}: {said[:200]}")
    return done.stdout[:LONGEST].decode("utf-8", "replace")


def plain(value: Any) -> Any:
    """The value in terms of dict, list and scalars, as JSON would give it back."""
    if hasattr(value, "_asdict"):
        return {key: plain(item) for key, item in zip(value._fields, value, strict=True)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


class Root:
    """Files and calls of one machine. `view()` gives a sensor its own tally over the shared memory."""

    def __init__(self, path: str = "/", clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path.rstrip("/")
        self.live = self.path == ""
        self.errors: Counter[str] = Counter()
        self._clock = clock
        self._memory: dict[tuple[str, str], tuple[float, Any]] = {}

    def view(self) -> Root:
        """The same machine with an empty error tally."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.errors = Counter()
        return other

    def text(self, path: str) -> str | None:
        """Contents without surrounding blanks and NULs, or None; not more than 64 KiB are read."""
        try:
            return self.read(path).decode("utf-8", "replace").strip(" \t\r\n\0")
        except OSError as error:
            self._failed(error)
            return None

    def number(self, path: str, scale: float = 1.0) -> float | None:
        """The decimal number a file holds times `scale`; anything else is None and counted as `unparsable`."""
        return self.parse(self.text(path), scale)

    def parse(self, text: str | None, scale: float = 1.0) -> float | None:
        """A decimal number times `scale`, or None; hex, nan, inf and underscores are not numbers here."""
        if text is None:
            return None
        value = float(text) if NUMBER.fullmatch(text) and text.isascii() else math.inf
        if math.isfinite(value):
            return value * scale
        self.errors["unparsable" if text else "empty"] += 1
        return None

    def fixed(self, path: str) -> str | None:
        """`text` of a file that does not change while the machine runs; read again after half a minute."""
        value: str | None = self._remember("text", path, self.text)
        return value

    def fixed_number(self, path: str, scale: float = 1.0) -> float | None:
        """`number` of a file that rarely changes: limits, sizes."""
        return self.parse(self.fixed(path), scale)

    def glob(self, pattern: str) -> list[str]:
        """Paths that match, in natural order; a `*` never crosses a slash. Kept for half a minute."""
        found: list[str] = self._remember("glob", pattern, self._glob)
        return found

    def asleep(self, device: str) -> bool:
        """Whether the kernel has suspended a device: reading more of it may wake it (power/runtime_status)."""
        return self.text(f"{device}/power/runtime_status") == "suspended"

    def link(self, path: str) -> str:
        """Where the path leads after every symbolic link, as a path of this machine. Kept for half a minute."""
        where: str = self._remember("link", path, self.real)
        return where

    def call(self, name: str, **kwargs: object) -> Any:
        """Ask a library, `module.function`, and take its answer as dicts, lists and scalars.

        None where there is no answer; what the library raises for a file or device that is gone is counted.
        """
        try:
            return self.ask(name, kwargs)
        except OSError as error:
            self._failed(error)
        except NotImplementedError:
            pass
        return None

    def run(self, *command: str, timeout: float = 2.0) -> str | None:
        """What a program prints, or None: not there, failed, too slow. It runs every 10 s at most, and so may fail."""

        def once(_key: str) -> str | OSError:
            try:
                return self.execute(command, timeout)
            except OSError as error:
                return error

        told: str | OSError = self._remember("run", " ".join(command), once, SELDOM)
        if isinstance(told, OSError):
            self._failed(told)
            return None
        return told

    # What follows is the machine itself: all a captured or a recorded machine has to put in its place.

    def read(self, path: str) -> bytes:
        """The first 64 KiB of a file, or OSError. A sequence file of /proc gives no more than a page at a time."""
        fd = os.open(self.path + path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            data = part = os.read(fd, LONGEST)
            while part and path.startswith("/proc/") and len(data) < LONGEST:
                part = os.read(fd, LONGEST - len(data))
                data += part
            return data
        finally:
            os.close(fd)

    def names(self, folder: str) -> list[str]:
        """What is in a directory, or OSError."""
        return os.listdir(f"{self.path}{folder}/")

    def exists(self, path: str) -> bool:
        """Whether the path is there; nothing is counted."""
        return os.path.exists(self.path + path)

    def real(self, path: str) -> str:
        """Where the path leads after every symbolic link, as a path of this machine."""
        real = os.path.realpath(self.path + path)
        return real if self.live else real[len(os.path.realpath(self.path).rstrip("/")) :]

    def ask(self, name: str, kwargs: Mapping[str, object]) -> Any:
        """The answer of a library; OSError, or NotImplementedError. A mere tree of files has no libraries."""
        return live_call(name, **kwargs) if self.live else None

    def execute(self, command: tuple[str, ...], timeout: float, /) -> str:
        """What a program prints, or OSError."""
        if self.live:
            return live_run(command, timeout)
        raise FileNotFoundError(errno.ENOENT, "a tree of files has no programs")

    def _failed(self, error: OSError) -> None:
        name = errno.errorcode.get(error.errno or 0, "unknown")
        if name not in ABSENT:  # what is not there is no error
            self.errors[name] += 1

    def _remember(self, kind: str, key: str, read: Callable[[str], Any], seconds: float = REMEMBER) -> Any:
        now = self._clock()
        at, value = self._memory.get((kind, key), (-math.inf, None))
        if now - at >= seconds:
            value = read(key)
            self._memory[kind, key] = (now, value)
        return value

    def _glob(self, pattern: str) -> list[str]:
        found = [""]
        for part in pattern.strip("/").split("/"):
            found = [path for base in found for path in self._step(base, part)]
        return found

    def _step(self, base: str, part: str) -> list[str]:
        if not any(mark in part for mark in "*?["):
            return [f"{base}/{part}"] if self.exists(f"{base}/{part}") else []
        try:
            names = self.names(base)
        except OSError as error:
            self._failed(error)
            return []
        return [f"{base}/{name}" for name in sorted(fnmatch.filter(names, part), key=natural)]
