"""The worker, with a model that does a known amount of work: `slower.py RUNS WORKER DESCRIPTOR`.

One inference becomes RUNS runs of the session, real ones; nothing of the fingerprint changes. So 21 instead of 20 is a
model or an engine that became 5 % slower. Run by its path in place of the worker.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from edgemon.runtimes.onnx import Onnx

RUNS = int(sys.argv[1])
once = Onnx.infer


def infer(self: Onnx) -> Callable[[], Any]:
    """Several runs in the place of one."""
    run = once(self)

    def runs() -> None:
        for _ in range(RUNS):
            run()

    return runs


Onnx.infer = infer  # type: ignore[method-assign]
del sys.argv[0:2]
runpy.run_path(sys.argv[0], run_name="__main__")
