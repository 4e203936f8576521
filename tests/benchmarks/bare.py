"""Nothing but an engine in a loop: its name, a model's path, threads, seed, nice level in argv, the median on stdout.

Run by its path in a process of its own. Options and input are those of edgemon/runtimes/, the number of inferences that
of edgemon/probe/measure.py; nothing of edgemon is imported.
"""

from __future__ import annotations

import importlib
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np

SAMPLES, LEAST, WARM_UP = 100, 0.25, 0.3


def onnx(model: str, threads: int, seed: int) -> Callable[[], Any]:
    """One inference of ONNX Runtime."""
    import onnxruntime  # noqa: PLC0415 - only the engine that is asked for is there

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    random = np.random.RandomState(seed)
    feed = {one.name: random.random_sample(one.shape).astype(np.float32) for one in session.get_inputs()}
    return lambda: session.run(None, feed)


def litert(model: str, threads: int, seed: int) -> Callable[[], Any]:
    """One inference of LiteRT."""
    interpreter = importlib.import_module("ai_edge_litert.interpreter").Interpreter(model, num_threads=threads)
    interpreter.allocate_tensors()
    random = np.random.RandomState(seed)
    for one in interpreter.get_input_details():
        interpreter.set_tensor(one["index"], random.random_sample(one["shape"]).astype(np.float32))
    invoke: Callable[[], Any] = interpreter.invoke
    return invoke


def main(engine: str, model: str, threads: int, seed: int, nice: int) -> None:
    """Print the median seconds of an inference."""
    os.nice(nice)
    infer = {"onnx": onnx, "litert": litert}[engine](model, threads, seed)
    end = time.perf_counter() + WARM_UP
    while time.perf_counter() < end:
        infer()
    took: list[float] = []
    end = time.perf_counter() + LEAST
    while len(took) < SAMPLES or time.perf_counter() < end:
        began = time.perf_counter()
        infer()
        took.append(time.perf_counter() - began)
    print(statistics.median(took))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
