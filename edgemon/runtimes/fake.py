"""No engine and no hardware: a simulated model, for trying edgemon and for its tests. Always labelled simulated.

`options` of the probe choose what it does: `work` (microseconds an inference burns, default 500), `compute` and
`memory` (microseconds of a reference kernel, default 500) and `behaviour`, one of ok, raise, nan, wrong, segfault,
abort, exit, spin, allocate, chatter, babble (prints without end, between rounds as well), leak (keeps 16 MiB of each
round); the crashes are real ones. With `round` it only behaves so from that round of its worker on.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
import threading
import time
from typing import Any, Callable, Dict, List

from edgemon.probe.golden import tensor
from edgemon.probe.kernels import Kernel
from edgemon.probe.result import Request


class Fake:
    """A model that burns time and behaves as told."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._behaviour = str(request.options.get("behaviour", "ok"))
        self._from, self._round = int(request.options.get("round", 1)), 1
        self._kept: List[bytes] = []
        self._work = float(request.options.get("work", 500)) * 1e-6

    def start(self) -> None:
        """Nothing to import."""

    def version(self) -> str:
        """There is only one."""
        return "1"

    def load(self) -> None:
        """Behave as told."""
        if self._behaviour not in BEHAVIOURS:
            raise ValueError("behaviour %s is unknown; known: %s" % (self._behaviour, ", ".join(sorted(BEHAVIOURS))))
        if self._from <= 1:
            BEHAVIOURS[self._behaviour]()

    def infer(self) -> Callable[[], Any]:
        """Burn the CPU for the configured time."""

        return _burn(self._work)

    def kernels(self) -> Dict[str, Kernel]:
        """Kernels that burn time as configured, whatever the machine does."""
        options = self._request.options
        return {
            name: Kernel("simulated", _burn(float(options.get(name, 500)) * 1e-6)) for name in ("compute", "memory")
        }

    def outputs(self, index: int) -> List[Dict[str, Any]]:
        """Four values that depend on the seed and, when told to be wrong or NaN, on that."""
        seed = self._request.seeds[index]
        if index == 0:
            self._behave()
        values = [float((seed * 7 + step * 3) % 11) for step in range(4)]
        if self._behaviour in {"nan", "wrong"} and self._round > self._from:
            values[0] = float("nan") if self._behaviour == "nan" else -100.0
        return [tensor("output", "float32", [4], repr(values).encode(), values)]

    def _behave(self) -> None:
        """Once a round."""
        if self._behaviour == "leak":
            self._kept.append(b"x" * (16 << 20))
        if self._from == self._round > 1:
            BEHAVIOURS[self._behaviour]()
        self._round += 1

    def facts(self) -> Dict[str, Any]:
        """That it is simulated, before all."""
        return {
            "runtime": "fake",
            "simulated": True,
            "model_sha256": hashlib.sha256(self._request.model.encode()).hexdigest(),
            "requested": ["Simulated"],
            "registered": ["Simulated"],
            "placement": {"Simulated": 1.0},
            "options": {"work": self._request.options.get("work", 500)},
        }


def _burn(seconds: float) -> Callable[[], Any]:
    def run() -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    return run


def _nothing() -> None:
    pass


def _raise() -> None:
    raise RuntimeError("told to raise")


def _segfault() -> None:
    ctypes.string_at(0)


def _spin() -> None:
    while True:
        pass


def _allocate() -> None:
    kept = []
    while True:
        kept.append(bytearray(16 << 20))


def _chatter() -> None:
    for _ in range(64):
        sys.stdout.write("x" * 65536)
        sys.stderr.write("y" * 65536)


def _babble() -> None:
    def work() -> None:
        while True:
            sys.stdout.write("x" * 65536)

    threading.Thread(target=work, daemon=True).start()


BEHAVIOURS: Dict[str, Callable[[], None]] = {
    "ok": _nothing,
    "nan": _nothing,
    "wrong": _nothing,
    "raise": _raise,
    "segfault": _segfault,
    "abort": os.abort,
    "exit": lambda: os._exit(3),
    "spin": _spin,
    "allocate": _allocate,
    "chatter": _chatter,
    "babble": _babble,
    "leak": _nothing,
}

RUNTIME = Fake
