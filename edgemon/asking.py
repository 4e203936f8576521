"""What a worker is asked: the request that a probe's configuration and its baseline make."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from typing import Any

from edgemon import config
from edgemon import endpoint as served
from edgemon.judge.baseline import Baseline
from edgemon.probe.result import Request, Tolerance

MODELS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "models")
SEEDS = [0, 1]


def cache(state: str, name: str) -> str:
    """Where a probe's engine keeps what it builds."""
    return os.path.join(state, "cache", name)


def model_path(model: str) -> str:
    """The file a probe's model: means."""
    return os.path.join(MODELS, "mobilenet.onnx") if model == config.EMBEDDED else model


def request(
    name: str, probe: config.Probe, baseline: Baseline | None = None, record: bool = False, faults: bool = False
) -> Request:
    """What the worker is told: the configuration, and the golden outputs of the baseline or of the embedded model."""
    golden, digest, inputs, asked = [], "", "", probe.runtime in served.RUNTIMES
    if probe.model == config.EMBEDDED and not probe.inputs:
        with open(os.path.join(MODELS, "mobilenet.golden.json"), encoding="utf-8") as file:
            embedded = json.load(file)
        golden, digest = embedded["outputs"], embedded["model_sha256"]
    elif baseline:
        golden = outputs_of(baseline)
        digest, inputs = baseline.key.get("model", ""), baseline.key.get("inputs", "")
    return Request(
        probe=name,
        runtime=probe.runtime,
        model=model_path(probe.model),
        seeds=list(range(len(probe.inputs))) or SEEDS,
        inputs=[dict(files) for files in probe.inputs],
        shapes={key: list(shape) for key, shape in probe.shapes.items()},
        providers=list(probe.providers),
        threads=probe.threads,
        options=dict(probe.options),
        samples=probe.samples,
        seconds=probe.seconds,
        idle=probe.idle,
        timeout=probe.timeout,
        memory=probe.memory,
        golden=golden,
        golden_digest=digest,
        golden_inputs=inputs,
        tolerance=Tolerance(**{one.name: getattr(probe.tolerance, one.name) for one in fields(Tolerance)}),
        record=record,
        rate=probe.endpoint.rate if asked else 0.0,
        endpoint=served.told(probe.endpoint) if asked else {},
        faults=faults,
        scheduling=probe.scheduling,
        cpus=list(probe.cpus),
    )


def outputs_of(baseline: Baseline) -> list[list[dict[str, Any]]]:
    """The golden outputs of a baseline, as a request holds them."""
    return [[dict(one) for one in tensors] for tensors in baseline.golden]
