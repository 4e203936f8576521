"""The worker, in which something befalls a real engine amid its inferences: `saboteur.py RUNTIME WHAT WORKER`.

Run by its path in place of the worker. The crashes, the hang and the memory are real; so is the SIGKILL, which is what
the kernel sends for want of memory, and the exception, which is what an engine raises when its device is gone.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
KEPT: list[bytearray] = []
FIFTH = 5
"""The inference in which it happens."""


def hang() -> None:
    """As in a driver."""
    while True:
        time.sleep(60)


def hoard() -> None:
    """Memory without end."""
    while True:
        KEPT.append(bytearray(16 << 20))


def gone() -> None:
    """The device."""
    raise RuntimeError("the device is gone")


def leaking(made: Any) -> None:
    """The outputs of each round, and as much besides as no engine holds."""
    once = made.outputs

    def outputs(self: Any, index: int) -> Any:
        KEPT.append(bytearray(b"x" * (160 << 20)))
        return once(self, index)

    made.outputs = outputs


FAULTS: dict[str, Callable[[], Any]] = {
    "hang": hang,
    "segfault": lambda: ctypes.string_at(0),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hoard": hoard,
    "gone": gone,
}


def main(runtime: str, what: str) -> None:
    """Put the fault where the runtime infers, or where it runs if it times itself."""
    made = importlib.import_module(f"edgemon.runtimes.{runtime}").RUNTIME
    if what == "leak":
        leaking(made)
        return
    fault = FAULTS[what]
    if hasattr(made, "run"):
        made.run = lambda self: fault()
        return
    once = made.infer

    def infer(self: Any) -> Callable[[], Any]:
        run, count = once(self), [0]

        def runs() -> None:
            count[0] += 1
            if count[0] == FIFTH:
                fault()
            run()

        return runs

    made.infer = infer


if __name__ == "__main__":
    main(*sys.argv[1:3])
    del sys.argv[0:3]
    runpy.run_path(sys.argv[0], run_name="__main__")
