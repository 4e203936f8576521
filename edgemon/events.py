"""Events that call for a probe: what has changed on the device since the last sweep, found by stat and in the snapshot.

A file counts as changed once it has kept still from one look to the next, so that a copy in progress is not probed.
Whether its contents differ is for the probe to say, which digests the model anyway.
"""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator, Mapping

from edgemon import catalog, hardware
from edgemon.gates import every, throttled
from edgemon.store import Snapshot

ENGINES = {
    "onnx": ("onnxruntime",),
    "litert": ("ai_edge_litert", "tflite_runtime", "tensorflow", "pycoral"),
    "openvino": ("openvino",),
    "hailo": ("hailort", "hailo_platform"),
}
"""Distributions that carry a runtime's engine, as their metadata folders are named."""
SYSTEM = ("/usr/lib/python3*/*-packages", "/usr/local/lib/python3*/*-packages", "/usr/lib64/python3*/*-packages")
Mark = tuple[object, ...]


def stamp(path: str) -> Mark:
    """What tells one file from another without reading it; empty when it is not there."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return ()
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def folders(python: str) -> list[str]:
    """Where an interpreter finds packages: edgemon's own path, or the places customary beside another one."""
    if not python:
        return [path for path in sys.path if path.endswith("-packages")]
    homes = {os.path.dirname(os.path.dirname(one)) for one in (python, os.path.realpath(python))}
    patterns = [*(f"{glob.escape(home)}/lib*/python3*/*-packages" for home in sorted(homes)), *SYSTEM]
    return [path for pattern in patterns for path in glob.glob(pattern)]


class Packages:
    """The versions of an engine's distributions, by the names of their metadata folders."""

    def __init__(self, runtime: str, python: str) -> None:
        self._names = ENGINES.get(runtime, ())
        self._folders = folders(python) if self._names else []
        self._seen: Mark | None = None
        self._found: Mark = ()

    def mark(self) -> Mark:
        """What is installed; the folders are only listed when they have changed."""
        seen = tuple(stamp(path) for path in self._folders)
        if seen != self._seen:
            self._seen, self._found = seen, tuple(sorted(self._list()))
        return self._found

    def _list(self) -> Iterator[str]:
        for path in self._folders:
            try:
                names = os.listdir(path)
            except OSError:
                continue
            yield from (name for name in names if name.endswith("-info") and name.startswith(self._names))


class Still:
    """A value that may change; `turned` says so once it has kept still."""

    def __init__(self, value: Mark) -> None:
        self._last = self._settled = value

    def turned(self, value: Mark) -> bool:
        """Whether the value is another than the last that kept still, and the same as at the last look."""
        still, self._last = value == self._last, value
        if not still or value == self._settled:
            return False
        self._settled = value
        return True


class Watched:
    """The model file and the engine of one probe."""

    def __init__(self, model: str, runtime: str, python: str) -> None:
        self.about = (model, runtime, python)
        self._packages = Packages(runtime, python)
        self._marks = {"model": Still(stamp(model)), "runtime": Still(self._packages.mark())}

    def look(self) -> list[str]:
        """What of them has changed since the last look."""
        now = {"model": stamp(self.about[0]), "runtime": self._packages.mark()}
        return [event for event, still in self._marks.items() if still.turned(now[event])]


class Events:
    """What has happened since the last look."""

    def __init__(self) -> None:
        self._watched: dict[str, Watched] = {}
        self._mode: Mark = ()
        self._throttled: bool | None = None

    def follow(self, probes: Mapping[str, tuple[str, str, str]]) -> None:
        """Watch model, runtime and python of these probes; what is as before is not taken for unchanged meanwhile."""
        before = {name: one for name, one in self._watched.items() if one.about == probes.get(name)}
        self._watched = {name: before.get(name) or Watched(*about) for name, about in probes.items()}

    def look(self, snapshot: Snapshot) -> list[tuple[str, str]]:
        """Probe and event of all that has happened; events of the device are for every probe."""
        found = [(name, event) for name, one in self._watched.items() for event in one.look()]
        return [*found, *((name, event) for event in self._device(snapshot) for name in self._watched)]

    def _device(self, snapshot: Snapshot) -> Iterator[str]:
        modes = tuple(sorted(labels for one in (hardware.POWER_MODE, catalog.CPU_GOVERNOR)
                             for labels, _ in every(snapshot, one)))  # fmt: skip
        if modes and self._mode and modes != self._mode:
            yield "power_mode"
        self._mode = modes or self._mode
        if next(every(snapshot, hardware.THROTTLED), None) is not None:
            before, self._throttled = self._throttled, bool(throttled(snapshot))
            if before is not None and before is not self._throttled:
                yield "throttling_began" if self._throttled else "throttling_ended"
