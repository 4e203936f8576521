"""ONNX Runtime (onnxruntime >= 1.17), any execution provider of the installed build.

`options`: `provider_options` by provider; `optimization` (off, basic, extended, layout, all), `spinning` (off unless
asked for: it burns a core between inferences), `inter_threads`, `policy` (automatic selection of a device, from 1.22
on), and `config` with any session configuration entry. What TensorRT and OpenVINO build is kept in the probe's cache
unless their options say otherwise.

Placement is the engine's own record of node assignment (`session.record_ep_graph_assignment_info`, from 1.24 on);
`get_providers()` only says what is registered. Without the record the placement is left empty, never guessed. A
provider that this build lacks, or that cannot be had, leaves the model to the CPU as it does in production: that is
measured, and told. Only a name that no build knows is refused.
"""

from __future__ import annotations

import difflib
import functools
import json
import os
import re
import tempfile
from typing import Any, Callable, Dict, List

from edgemon.probe import golden
from edgemon.probe.graphs import matmul
from edgemon.probe.inputs import Inputs, Port, comparable, digest, unknown
from edgemon.probe.kernels import ACCELERATED, HERE, Kernel, product
from edgemon.probe.result import Request

CPU = "CPUExecutionProvider"
DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int16)": "int16",
    "tensor(uint16)": "uint16",
    "tensor(int32)": "int32",
    "tensor(uint32)": "uint32",
    "tensor(int64)": "int64",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
}
HOST = {"CPUExecutionProvider", "AzureExecutionProvider"}
"""Providers that compute on the host's CPU."""
ROOFS = {"TensorrtExecutionProvider": "CUDAExecutionProvider"}
"""The provider whose reference graph stands for one that would have to build it for minutes."""
RECORD = "session.record_ep_graph_assignment_info"
OPTIONS = ["config", "provider_options", "optimization", "spinning", "inter_threads", "policy"]
LEVELS = {"off": "DISABLE_ALL", "basic": "ENABLE_BASIC", "extended": "ENABLE_EXTENDED", "layout": "ENABLE_LAYOUT", "all": "ENABLE_ALL"}  # fmt: skip # noqa: E501
POLICIES = ["PREFER_CPU", "PREFER_NPU", "PREFER_GPU", "MAX_PERFORMANCE", "MAX_EFFICIENCY", "MIN_OVERALL_POWER"]
CACHES: Dict[str, Dict[str, Any]] = {
    "TensorrtExecutionProvider": {
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": "{}",
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": "{}",
    },
    "OpenVINOExecutionProvider": {"cache_dir": "{}"},
}
"""Options by which a provider keeps what it builds, for {} the directory (onnxruntime.ai/docs/execution-providers)."""
PROFILED = 3


class Onnx:
    """One session on one model."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._chosen = dict(request.options.get("provider_options") or {})
        self._policy = str(request.options.get("policy") or "")
        self._providers = request.providers or list(self._chosen) or [CPU]
        self._refused: Dict[str, str] = {}
        self._session: Any = None

    def start(self) -> None:
        """Import the engine, telemetry off: from 1.29 it writes and phones home at import (see README)."""
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import numpy
        import onnxruntime

        self._numpy, self._engine = numpy, onnxruntime

    def version(self) -> str:
        """The engine's version."""
        return str(self._engine.__version__)

    def sees(self) -> Dict[str, Any]:
        """Providers of this build, which proves nothing about devices, and the devices they found (from 1.22 on)."""
        find = getattr(self._engine, "get_ep_devices", None)
        found = ["%s: %s %s" % (one.ep_name, one.device.type.name, one.device.vendor) for one in find()] if find else []
        return {"providers": self._engine.get_available_providers(), "devices": found}

    def load(self) -> None:
        """Read the model, create the session on the asked-for providers only, make the inputs."""
        unknown("options", self._request.options, OPTIONS)
        self._digest = digest(self._request.model)
        self._available()
        self._session = self._create(self._options())
        self._session.disable_fallback()
        comparable([port(one) for one in self._session.get_outputs()])
        self._inputs = Inputs(self._numpy, self._request, [port(one) for one in self._session.get_inputs()])

    def infer(self) -> Callable[[], Any]:
        """One inference on the first input, with as little Python around it as can be."""
        return functools.partial(self._session.run, None, self._inputs.sets[0])

    def kernels(self) -> Dict[str, Kernel]:
        """A fixed product of float32 matrices on the first provider alone: refused, not run elsewhere, if it cannot."""
        provider = ROOFS.get(self._providers[0], self._providers[0])
        provider, (size, depth) = ("CPUExecutionProvider", HERE) if provider in HOST else (provider, ACCELERATED)
        options = self._options()
        if provider not in HOST:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        values = self._numpy.random.RandomState(0).random_sample((2, size, size)).astype("float32") / size
        graph = matmul(size, depth, values[0].tobytes())
        session = self._engine.InferenceSession(graph, options, providers=[self._provider(provider)])
        session.disable_fallback()
        call = functools.partial(session.run, None, {"x": values[1]})
        return {"compute": product(provider.replace("ExecutionProvider", ""), size, depth, call)}

    def outputs(self, index: int) -> List[Dict[str, Any]]:
        """The plain tensors the model gives for one set of inputs."""
        names = [output.name for output in self._session.get_outputs()]
        arrays = self._session.run(None, self._inputs.sets[index])
        share = len(names) * len(self._inputs.sets)
        return [golden.plain(self._numpy, name, array, share) for name, array in zip(names, arrays)]

    def facts(self) -> Dict[str, Any]:
        """What really runs."""
        self._refuse()
        return {
            "runtime": "onnx",
            "model_sha256": self._digest,
            "requested": [self._policy.replace("PREFER_", "")] if self._policy else list(self._providers),
            "registered": self._session.get_providers(),
            "refused": self._refused,
            "placement": self._placement(),
            "inputs": self._inputs.told,
            "options": {"threads": self._request.threads, **self._request.options},
        }

    def profile(self) -> Dict[str, float]:
        """Share of kernel time by provider, from the engine's profile of a session of its own, which costs it speed."""
        self._session = None
        with tempfile.TemporaryDirectory(prefix="edgemon-") as folder:
            options = self._options()
            options.enable_profiling, options.profile_file_prefix = True, os.path.join(folder, "profile")
            session = self._create(options)
            for _ in range(PROFILED):
                session.run(None, self._inputs.sets[0])
            with open(session.end_profiling(), encoding="utf-8") as file:
                return shares(json.load(file))

    def _available(self) -> None:
        """Note the providers this build lacks; raise for those of which no build has heard."""
        have, known = self._engine.get_available_providers(), self._engine.get_all_providers()
        listed = ", ".join(have)
        for name in self._providers:
            if name not in have and name not in known:
                bare = {bared(one): one for one in known}
                close = difflib.get_close_matches(bared(name), list(bare), 1)
                hint = " (did you mean %s?)" % bare[close[0]] if close else ""
                raise RuntimeError("this onnxruntime has no %s%s; it has: %s" % (name, hint, listed))
            if name not in have:
                self._refused[name] = "this onnxruntime is built without it; it has: %s" % listed

    def _refuse(self) -> None:
        """Ask again for each provider that was not registered: why is only printed."""
        registered = self._session.get_providers()
        for name in [] if self._policy else self._providers:
            if name not in registered and name not in self._refused:
                again = functools.partial(self._engine.InferenceSession, self._request.model, self._options())
                said = heard(functools.partial(again, providers=[self._provider(name)]))
                self._refused[name] = said or "the engine does not say why"

    def _create(self, options: Any) -> Any:
        if self._policy:
            return self._engine.InferenceSession(self._request.model, options)
        have = self._engine.get_available_providers()
        asked = [self._provider(name) for name in self._providers if name in have]
        return self._engine.InferenceSession(self._request.model, options, providers=asked or [CPU])

    def _options(self) -> Any:
        options, asked = self._engine.SessionOptions(), self._request.options
        options.intra_op_num_threads = self._request.threads
        options.log_severity_level = 3
        if asked.get("optimization"):
            level = "ORT_" + one_of("optimization", asked["optimization"], LEVELS)
            options.graph_optimization_level = getattr(self._engine.GraphOptimizationLevel, level)
        if asked.get("inter_threads"):
            options.inter_op_num_threads = int(asked["inter_threads"])
            options.execution_mode = self._engine.ExecutionMode.ORT_PARALLEL
        if self._policy:
            name = one_of("policy", self._policy, {policy: policy for policy in POLICIES})
            options.set_provider_selection_policy(getattr(self._engine.OrtExecutionProviderDevicePolicy, name))
        spinning = "1" if asked.get("spinning") else "0"
        config = {"session.intra_op.allow_spinning": spinning, RECORD: "1", **(asked.get("config") or {})}
        for key, value in config.items():
            options.add_session_config_entry(key, text(value))
        return options

    def _provider(self, name: str) -> Any:
        cache = self._request.cache
        if name == "OpenVINOExecutionProvider" and str(self._chosen.get(name, {}).get("device_type", "CPU")) == "CPU":
            cache = ""
        kept = {key: cache if value == "{}" else value for key, value in CACHES.get(name, {}).items()} if cache else {}
        chosen = {**kept, **(self._chosen.get(name) or {})}
        if cache and cache in chosen.values():
            os.makedirs(cache, exist_ok=True)
        return (name, {key: str(value) for key, value in chosen.items()}) if chosen else name

    def _placement(self) -> Dict[str, float]:
        read = getattr(self._session, "get_provider_graph_assignment_info", None)
        if read is None:
            return {}
        counts: Dict[str, int] = {} if self._policy else dict.fromkeys(self._providers, 0)
        for part in read():
            counts[part.ep_name] = counts.get(part.ep_name, 0) + len(part.get_nodes())
        total = sum(counts.values())
        return {name: count / total for name, count in counts.items()} if total else {}


def port(one: Any) -> Port:
    """An input or output from the session's description of it."""
    return Port(one.name, DTYPES.get(one.type, one.type), one.shape)


def shares(events: List[Dict[str, Any]]) -> Dict[str, float]:
    """Share of kernel time by provider in a profile, each kernel's first run left out."""
    spent: Dict[str, float] = {}
    seen = set()
    for event in events:
        if event.get("cat") == "Node" and str(event.get("name")).endswith("_kernel_time"):
            provider = event["args"].get("provider", "")
            key = event["name"], event["args"].get("node_index")
            if key in seen:
                spent[provider] = spent.get(provider, 0.0) + event["dur"]
            seen.add(key)
    total = sum(spent.values())
    return {name: time / total for name, time in spent.items()} if total else {}


def bared(provider: str) -> str:
    """The part of a provider's name that tells it from others."""
    return provider.replace("ExecutionProvider", "").lower()


def heard(action: Callable[[], Any]) -> str:
    """The first error that the engine prints meanwhile, without what stands before its words."""
    kept, sink = os.dup(2), os.memfd_create("edgemon-heard")
    try:
        os.dup2(sink, 2)
        action()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        said = os.pread(sink, 65536, 0).decode("utf-8", "replace")
        os.close(sink)
    line = next((line for line in said.splitlines() if "[E:" in line), "")
    return re.sub(r"^[: 0-9]*(FAIL : )?", "", line.rpartition("] ")[2]).strip()[:300]


def one_of(what: str, value: Any, known: Dict[str, str]) -> str:
    """What a word of the options stands for; ValueError for another word."""
    if value not in known:
        raise ValueError("%s must be one of %s, not %s" % (what, ", ".join(known), value))
    return known[value]


def text(value: Any) -> str:
    """A session configuration entry: true and false are 1 and 0 there."""
    return str(int(value)) if isinstance(value, bool) else str(value)


RUNTIME = Onnx
