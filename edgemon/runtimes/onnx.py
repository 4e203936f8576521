"""ONNX Runtime (onnxruntime >= 1.17), any execution provider of the installed build.

Placement is the engine's own record of node assignment (`session.record_ep_graph_assignment_info`, from 1.24 on);
`get_providers()` only says what is registered. Without the record the placement is left empty, never guessed.
"""

from __future__ import annotations

import functools
import hashlib
import math
import os
from typing import Any, Callable, Dict, List

from edgemon.probe.golden import LONGEST, tensor
from edgemon.probe.kernels import Kernel, matmul
from edgemon.probe.result import Request

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


class Onnx:
    """One session on one model."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._providers = request.providers or ["CPUExecutionProvider"]
        self._session: Any = None
        self._feeds: List[Dict[str, Any]] = []

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
        self._digest = digest(self._request.model)
        missing = [name for name in self._providers if name not in self._engine.get_available_providers()]
        if missing:
            have = ", ".join(self._engine.get_available_providers())
            raise RuntimeError("this onnxruntime has no %s; it has: %s" % (", ".join(missing), have))
        self._session = self._engine.InferenceSession(
            self._request.model, self._options(), providers=[self._provider(name) for name in self._providers]
        )
        self._session.disable_fallback()
        self._refuse()
        self._feeds = [self._feed(seed) for seed in self._request.seeds]

    def infer(self) -> Callable[[], Any]:
        """One inference on the first input, with as little Python around it as can be."""
        return functools.partial(self._session.run, None, self._feeds[0])

    def kernels(self) -> Dict[str, Kernel]:
        """A fixed product of float32 matrices on the first provider alone: refused, not run elsewhere, if it cannot."""
        provider = ROOFS.get(self._providers[0], self._providers[0])
        provider, size, depth = ("CPUExecutionProvider", 256, 1) if provider in HOST else (provider, 1024, 4)
        options = self._options()
        if provider not in HOST:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        values = self._numpy.random.RandomState(0).random_sample((2, size, size)).astype("float32") / size
        graph = matmul(size, depth, values[0].tobytes())
        session = self._engine.InferenceSession(graph, options, providers=[self._provider(provider)])
        session.disable_fallback()
        label = "%s %d x %d x %d float32" % (provider.replace("ExecutionProvider", ""), depth, size, size)
        return {"compute": Kernel(label, functools.partial(session.run, None, {"x": values[1]}), depth * size**3)}

    def outputs(self, index: int) -> List[Dict[str, Any]]:
        """The plain tensors the model gives for the input of one seed."""
        names = [output.name for output in self._session.get_outputs()]
        arrays = self._session.run(None, self._feeds[index])
        return [tensor(name, str(a.dtype), a.shape, a.tobytes(), self._values(a)) for name, a in zip(names, arrays)]

    def facts(self) -> Dict[str, Any]:
        """What really runs."""
        return {
            "runtime": "onnx",
            "model_sha256": self._digest,
            "requested": list(self._providers),
            "registered": self._session.get_providers(),
            "placement": self._placement(),
            "options": {"threads": self._request.threads, **self._shapes(), **self._request.options},
        }

    def _refuse(self) -> None:
        """Raise for what could not be given or compared."""
        inputs = [one.name for one in self._session.get_inputs()]
        strange = [name for name in self._request.shapes if name not in inputs]
        if strange:
            raise ValueError("shapes names %s; the model's inputs are %s" % (", ".join(strange), ", ".join(inputs)))
        for one in self._session.get_outputs():
            if one.type not in DTYPES:
                raise ValueError("output %s is a %s, which edgemon cannot compare" % (one.name, one.type))

    def _values(self, array: Any) -> List[float]:
        """The first values; where any value is NaN or infinite, the first of those: they must not go unseen."""
        flat = array.ravel()
        finite = self._numpy.isfinite(flat)
        return (flat if finite.all() else flat[~finite])[:LONGEST].tolist()  # type: ignore[no-any-return]

    def _shapes(self) -> Dict[str, Any]:
        return {"shapes": self._request.shapes} if self._request.shapes else {}

    def _options(self) -> Any:
        options = self._engine.SessionOptions()
        options.intra_op_num_threads = self._request.threads
        options.log_severity_level = 3
        config = {"session.intra_op.allow_spinning": "0", RECORD: "1", **self._request.options.get("config", {})}
        for key, value in config.items():
            options.add_session_config_entry(key, str(value))
        return options

    def _provider(self, name: str) -> Any:
        chosen = self._request.options.get("provider_options", {}).get(name)
        return (name, {key: str(value) for key, value in chosen.items()}) if chosen else name

    def _placement(self) -> Dict[str, float]:
        read = getattr(self._session, "get_provider_graph_assignment_info", None)
        if read is None:
            return {}
        counts: Dict[str, int] = dict.fromkeys(self._providers, 0)
        for part in read():
            counts[part.ep_name] = counts.get(part.ep_name, 0) + len(part.get_nodes())
        total = sum(counts.values())
        return {name: count / total for name, count in counts.items()} if total else {}

    def _feed(self, seed: int) -> Dict[str, Any]:
        random = self._numpy.random.RandomState(seed)  # its stream is frozen across numpy versions
        return {one.name: self._array(one, random) for one in self._session.get_inputs()}

    def _array(self, declared: Any, random: Any) -> Any:
        if declared.type not in DTYPES:
            raise ValueError("input %s is a %s, which edgemon cannot make" % (declared.name, declared.type))
        shape = self._shape(declared)
        if DTYPES[declared.type].startswith("float"):
            return random.random_sample(shape).astype(DTYPES[declared.type])
        return random.randint(0, 2, shape).astype(DTYPES[declared.type])

    def _shape(self, declared: Any) -> List[int]:
        given = self._request.shapes.get(declared.name)
        if given is not None:
            if not fits(given, declared.shape):
                text = "input %s has the shape %s, which the probe's shapes %s do not fit"
                raise ValueError(text % (declared.name, declared.shape, given))
            return given
        shape = [1 if index == 0 and not isinstance(size, int) else size for index, size in enumerate(declared.shape)]
        if not all(isinstance(size, int) for size in shape):
            raise ValueError(
                "input %s has the open shape %s: give it in the probe's shapes, as in {%s: %s}"
                % (declared.name, declared.shape, declared.name, [s if isinstance(s, int) else 1 for s in shape])
            )
        if math.prod(shape) > 1 << 28:
            raise ValueError("input %s has %d elements, edgemon makes up to 2^28" % (declared.name, math.prod(shape)))
        return shape


def fits(given: List[int], declared: List[Any]) -> bool:
    """Whether a shape is one of those declared; an empty declaration may mean any rank."""
    fixed = [size if isinstance(size, int) else free for size, free in zip(declared, given)]
    return min(given, default=0) >= 0 and (not declared or (len(given) == len(declared) and fixed == given))


def digest(path: str) -> str:
    """The sha256 of the model file, in hex; ValueError when it cannot be read or is empty."""
    sha256, size = hashlib.sha256(), 0
    try:
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                sha256.update(block)
                size += len(block)
    except OSError as error:
        raise ValueError("model %s cannot be read: %s" % (path, (error.strerror or "").lower())) from None
    if not size:
        raise ValueError("model %s is empty" % path)
    return sha256.hexdigest()


RUNTIME = Onnx
