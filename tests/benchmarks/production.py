"""What production does: a model at so many frames a second, on one core. `production.py CORE RATE MODEL RUNS`.

Each frame is due at its time, and its latency counts from then, so that a frame that had to wait tells so. Lines on
standard output: CLOCK_MONOTONIC at which the frame was due, and its latency in seconds. It ends with its parent.
"""

from __future__ import annotations

import os
import sys
import time

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime


def main(core: int, rate: float, model: str, runs: int) -> None:
    """For ever."""
    os.sched_setaffinity(0, {core})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    chance = np.random.RandomState(0)
    feed = {one.name: chance.random_sample(one.shape).astype(np.float32) for one in session.get_inputs()}
    due = time.monotonic() + 1.0
    while True:
        time.sleep(max(0.0, due - time.monotonic()))
        for _ in range(runs):
            session.run(None, feed)
        print(f"{due:.6f} {time.monotonic() - due:.6f}", flush=True)
        due = max(due + 1 / rate, time.monotonic() - 1.0)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
