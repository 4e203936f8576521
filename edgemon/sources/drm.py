"""How busy the engines of GPUs and NPUs are, from what their drivers tell of each client (drm-usage-stats.rst).

/proc/<pid>/fdinfo/<fd> of an open /dev/dri or /dev/accel node has `drm-engine-<name>: <n> ns` (i915, amdgpu, panfrost,
v3d, etnaviv, amdxdna, …) or `drm-cycles-<name>` and `drm-total-cycles-<name>` (xe: its own, and those of the clock).
A client is counted once, though processes share it and duplicate its descriptors. Its id is never used again.

Only who may read every process sees every client; a part of them is a wrong number, so that is refused with EACCES:
without CAP_SYS_PTRACE, with hidepid, and in a PID namespace of its own (a container). What a client did between the
last pass and its end is not seen. Looking through all descriptors takes ms, so a pass looks at a part of them: known
clients are read every time, new ones are found after `descriptors / BUDGET` passes at the latest.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

BUDGET = 1000
"""Processes and descriptors looked at in one pass."""
NODES = ("/dev/dri/", "/dev/accel/")
FACT = re.compile(
    r"^drm-(client-id|engine-capacity|engine|total-cycles|cycles)(?:-([\w-]{1,32}))?:\s*(\d{1,20})\b", re.MULTILINE
)
OUTERMOST = "pid:[4026531836]"
"""The PID namespace that has every process (PROC_PID_INIT_INO, include/linux/proc_ns.h)."""


class Work(NamedTuple):
    """Of one client on one engine: ns, or cycles with those of the clock; and how many engines share the name."""

    busy: int
    total: int | None = None
    capacity: int = 1


class Scanner:
    """The clients of every device, and what their engines have done since this process first looked."""

    def __init__(self, root: str = "", clock: Any = time.monotonic) -> None:
        self._proc, self._sys, self._clock = f"{root}/proc", f"{root}/sys", clock
        self._holders: dict[int, dict[str, str]] = {}
        self._clients: dict[str, dict[int, dict[str, Work]]] = {}
        self._totals: dict[str, dict[str, float]] = {}
        self._clocks: dict[tuple[str, str], int] = {}
        self._at: dict[str, float] = {}
        self._newest: dict[str, int] = {}
        self._blind: set[int] = set()
        self._next = self._rounds = 0

    def read(self, devices: Sequence[str]) -> list[dict[str, Any]]:
        """See `engines`."""
        rounds = self._rounds
        self._look()
        if self._blind:
            raise PermissionError(errno.EACCES, f"process {min(self._blind)} may not be looked into")
        return [self._device(device, rounds > 0) for device in devices]

    def _look(self) -> None:
        """Look through the descriptors of as many processes as the budget allows, from where the last pass ended."""
        pids = sorted(int(name) for name in os.listdir(self._proc) if name.isdecimal())
        if 1 not in pids or os.readlink(f"{self._proc}/self/ns/pid") != OUTERMOST:
            raise PermissionError(errno.EACCES, "not every process can be seen")
        self._blind.intersection_update(pids)
        for pid in self._holders.keys() - pids:
            del self._holders[pid]
        left = BUDGET
        for pid in [pid for pid in pids if pid >= self._next]:
            if left <= 0:
                self._next = pid
                return
            left -= 1 + self._process(pid)
        self._next, self._rounds = 0, self._rounds + 1

    def _process(self, pid: int) -> int:
        """Note the descriptors of a process that are of such nodes, with their devices; how many it has."""
        folder = f"{self._proc}/{pid}/fd"
        try:
            names = os.listdir(folder)[:BUDGET]
        except PermissionError:
            self._blind.add(pid)
            return 0
        except OSError:  # it has ended
            return 0
        self._blind.discard(pid)
        self._holders.pop(pid, None)
        for name in names:
            with suppress(OSError):
                target = os.readlink(f"{folder}/{name}")
                if target.startswith(NODES):
                    self._holders.setdefault(pid, {})[name] = self._named(target)
        return len(names)

    def _named(self, node: str) -> str:
        """PCI address, or the kernel's name, of the device of a node."""
        kind = "accel" if node.startswith(NODES[1]) else "drm"
        return os.path.basename(os.path.realpath(f"{self._sys}/class/{kind}/{os.path.basename(node)}/device"))

    def _device(self, device: str, complete: bool) -> dict[str, Any]:
        """What one device did since its last pass; `complete` when every process was looked at before this one."""
        now, known = self._clock(), self._clients.get(device, {})
        elapsed = now - self._at[device] if device in self._at else None
        clients, newest = self._read(device), self._newest.get(device, 0)
        gained: dict[str, float] = {}
        for client, works in clients.items():
            fresh = complete and elapsed is not None and client > newest
            for engine, work in works.items():
                before = known.get(client, {}).get(engine) or (Work(0) if fresh else work)
                share = self._seconds(device, engine, work, max(0, work.busy - before.busy), elapsed)
                gained[engine] = gained.get(engine, 0.0) + share / work.capacity
                works[engine] = work._replace(busy=max(work.busy, before.busy))
        self._clocks.update(
            ((device, engine), work.total) for works in clients.values() for engine, work in works.items() if work.total
        )
        self._clients[device], self._at[device] = clients, now
        self._newest[device] = max([newest, *clients])
        return self._row(device, gained, elapsed, self._rounds > 0)

    def _seconds(self, device: str, engine: str, work: Work, gain: int, elapsed: float | None) -> float:
        """Seconds of work; cycles are a share of those that the engine's clock made meanwhile."""
        if work.total is None:
            return gain / 1e9
        passed = work.total - self._clocks.get((device, engine), work.total)
        return gain / passed * elapsed if passed > 0 and elapsed else 0.0

    def _row(self, device: str, gained: dict[str, float], elapsed: float | None, complete: bool) -> dict[str, Any]:
        totals = self._totals.setdefault(device, {})
        for engine, seconds in gained.items():
            totals[engine] = totals.get(engine, 0.0) + seconds
        known = elapsed if complete else None
        engines = {
            name: {"busy": busy, "utilization": min(1.0, gained.get(name, 0.0) / known) if known else None}
            for name, busy in totals.items()
        }
        return {"id": device, "clients": len(self._clients[device]), "complete": complete, "engines": engines}

    def _read(self, device: str) -> dict[int, dict[str, Work]]:
        """The clients of a device by id."""
        places = [(pid, name) for pid, held in self._holders.items() for name, one in held.items() if one == device]
        clients = dict(facts(self._contents(pid, name)) for pid, name in places)
        return {client: works for client, works in clients.items() if client is not None}

    def _contents(self, pid: int, name: str) -> str:
        with suppress(OSError), open(f"{self._proc}/{pid}/fdinfo/{name}", encoding="utf-8", errors="replace") as file:
            return file.read(16384)
        return ""


def facts(text: str) -> tuple[int | None, dict[str, Work]]:
    """The id of the client in an fdinfo, and its work by engine."""
    found: dict[str, dict[str, int]] = {}
    for key, engine, value in FACT.findall(text):
        found.setdefault(key, {})[engine] = int(value)
    client, capacity = found.get("client-id", {}).get(""), found.get("engine-capacity", {})
    works = {name: Work(busy, None, capacity.get(name) or 1) for name, busy in found.get("engine", {}).items() if name}
    for name, total in found.get("total-cycles", {}).items():
        if name not in works and name in found.get("cycles", {}):
            works[name] = Work(found["cycles"][name], total, capacity.get(name) or 1)
    return client, works


SCANNER = Scanner()


def engines(devices: Sequence[str]) -> list[dict[str, Any]]:
    """What the engines of these devices (PCI addresses, or the kernel's names) did since the call before this one.

    `{"id": "0000:00:02.0", "clients": 3, "complete": true, "engines": {"render": {"busy": 12.5, "utilization": 0.4}}}`:
    `busy` in s is a counter of this process, an engine's of which there are several is their mean. `utilization` is
    None the first time, and until every process has been looked at (`complete`). A device that is asleep must not be
    named, since reading wakes it. OSError EACCES where not every process may be read.
    """
    return SCANNER.read(devices)
