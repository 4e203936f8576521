"""Nothing but ONNX Runtime in a loop: a model's path, threads, seed and nice level in argv, the median on stdout.

Run by its path in a process of its own. Session options and input are those of edgemon/runtimes/onnx.py, the number of
inferences that of edgemon/probe/worker.py; nothing of edgemon is imported.
"""

from __future__ import annotations

import os
import statistics
import sys
import time

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime

SAMPLES, LEAST, WARM_UP = 100, 0.25, 0.3


def main(model: str, threads: int, seed: int, nice: int) -> None:
    """Print the median seconds of an inference."""
    os.nice(nice)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    random = np.random.RandomState(seed)
    feed = {one.name: random.random_sample(one.shape).astype(np.float32) for one in session.get_inputs()}
    end = time.perf_counter() + WARM_UP
    while time.perf_counter() < end:
        session.run(None, feed)
    took: list[float] = []
    end = time.perf_counter() + LEAST
    while len(took) < SAMPLES or time.perf_counter() < end:
        began = time.perf_counter()
        session.run(None, feed)
        took.append(time.perf_counter() - began)
    print(statistics.median(took))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
