"""The worker, with a model that does a known amount of work: `slower.py FILE WORKER DESCRIPTOR`.

One inference becomes as many runs of the session as the file says when a round begins, real ones; nothing of the
fingerprint changes. So 21 instead of 20 is a model or an engine that became 5 % slower, in the middle of the life of a
worker that stays. Run by its path in place of the worker.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from edgemon.runtimes.onnx import Onnx

FILE = sys.argv[1]
once, checked = Onnx.infer, Onnx.outputs
runs = [1]


def infer(self: Onnx) -> Callable[[], Any]:
    """Several runs in the place of one."""
    run = once(self)

    def several() -> None:
        for _ in range(runs[0]):
            run()

    return several


def outputs(self: Onnx, index: int) -> list[dict[str, Any]]:
    """The outputs, which are looked at before anything is timed: the time to learn how slow to be."""
    with open(FILE) as file:
        runs[0] = int(file.read())
    return checked(self, index)


Onnx.infer, Onnx.outputs = infer, outputs  # type: ignore[method-assign]
del sys.argv[0:2]
runpy.run_path(sys.argv[0], run_name="__main__")
