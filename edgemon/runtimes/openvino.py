"""OpenVINO (openvino >= 2023.3): CPU, GPU, NPU, AUTO, HETERO and their like, from IR, ONNX, TFLite and more.

`options`: `device` in OpenVINO's own words, such as `NPU` or `AUTO:NPU,CPU`; `config`, any property of the device, over
PERFORMANCE_HINT: LATENCY and the probe's threads. Without it `providers` are the devices: one, or several in order as
HETERO takes them. What is built for an accelerator is kept in the probe's cache.

AUTO starts on the CPU and hands over when the accelerator's build is done; so that no inference falls into that, it is
told to wait. Which device executes is the compiled model's own word (EXECUTION_DEVICES).
"""

from __future__ import annotations

import functools
import os
import sys
from typing import Any, Callable, Dict, List, Optional

from edgemon.probe import golden
from edgemon.probe.graphs import matmul
from edgemon.probe.inputs import Inputs, Port, comparable, digest, unknown
from edgemon.probe.kernels import ACCELERATED, HERE, Kernel, product
from edgemon.probe.result import Request

OPTIONS = ["device", "config"]
META = ("AUTO", "HETERO", "MULTI", "BATCH")


class Openvino:
    """One compiled model with one inference request."""

    def __init__(self, request: Request) -> None:
        self._request = request
        several = "HETERO:%s" % ",".join(request.providers) if len(request.providers) > 1 else ""
        self._device = str(request.options.get("device") or several or (request.providers or ["CPU"])[0])

    def start(self) -> None:
        """Import the engine without its telemetry package, which at import writes an id to $HOME and sends an event."""
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment] # then the engine takes its stub
        import numpy
        import openvino

        self._numpy, self._engine = numpy, openvino

    def version(self) -> str:
        """The engine's version."""
        return str(self._engine.__version__)

    def sees(self) -> Dict[str, Any]:
        """The devices OpenVINO finds."""
        core = self._engine.Core()
        return {"devices": ["%s: %s" % (d, core.get_property(d, "FULL_DEVICE_NAME")) for d in core.available_devices]}

    def load(self) -> None:
        """Read the model, compile it for the device, make the inputs."""
        unknown("options", self._request.options, OPTIONS)
        path = self._request.model
        weights = os.path.splitext(path)[0] + ".bin"
        there = path.endswith(".xml") and os.path.exists(weights) and os.path.getsize(weights)
        self._digest = digest(path, *([weights] if there else []))
        self._core = self._engine.Core()
        self._model = self._plainly("model %s" % path, self._core.read_model, path)
        ports = [port(place, one) for place, one in enumerate(self._model.inputs)]
        unknown("shapes", self._request.shapes, [one.name for one in ports], "the model's inputs are")
        self._inputs = Inputs(self._numpy, self._request, ports)
        self._outputs = comparable([port(place, one) for place, one in enumerate(self._model.outputs)])
        if self._request.shapes:
            shapes = {place: self._request.shapes.get(one.name, one.shape) for place, one in enumerate(ports)}
            self._model.reshape({place: [-1 if size is None else size for size in s] for place, s in shapes.items()})
        self._compiled = self._plainly("device %s" % self._device, self._compile)
        self._infer = self._compiled.create_infer_request()
        self._feed(0)

    def infer(self) -> Callable[[], Any]:
        """One inference on the first input."""
        return functools.partial(self._infer.infer, share_outputs=True)

    def outputs(self, index: int) -> List[Dict[str, Any]]:
        """The plain tensors for one set of inputs; then the first is back."""
        self._feed(index)
        self._infer.infer(share_outputs=True)
        arrays = [self._infer.get_output_tensor(place).data for place in range(len(self._outputs))]
        share = len(arrays) * len(self._inputs.sets)
        made = [golden.plain(self._numpy, o.name, array, share) for o, array in zip(self._outputs, arrays)]
        self._feed(0)
        return made

    def facts(self) -> Dict[str, Any]:
        """What really runs."""
        executed = self.profile()
        one = dict.fromkeys(executed, 1.0) if len(executed) == 1 else {}
        return {
            "runtime": "openvino",
            "model_sha256": self._digest,
            "requested": requested(self._device),
            "registered": list(self._core.available_devices),
            "placement": self._assigned() or one,
            "executed": executed,
            "inputs": self._inputs.told,
            "options": {"threads": self._request.threads, **self._request.options},
        }

    def profile(self) -> Dict[str, Optional[float]]:
        """The devices that execute; AUTO may have handed over since the model was loaded."""
        devices = [str(name).strip("()") for name in self._compiled.get_property("EXECUTION_DEVICES")]
        return dict.fromkeys(devices) if len(devices) > 1 else dict.fromkeys(devices, 1.0)

    def kernels(self) -> Dict[str, Kernel]:
        """A fixed product of matrices on the device that executes, alone: refused, not run elsewhere, if it cannot."""
        executed = list(self.profile())
        device = executed[0] if len(executed) == 1 else requested(self._device)[0]
        size, depth = HERE if device == "CPU" else ACCELERATED
        values = self._numpy.random.RandomState(0).random_sample((2, size, size)).astype("float32") / size
        model = self._core.read_model(matmul(size, depth, values[0].tobytes()), b"")
        compiled = self._core.compile_model(model, device, self._config(device))
        found = [str(name).strip("()") for name in compiled.get_property("EXECUTION_DEVICES")]
        if found != [device]:
            raise RuntimeError("the reference graph runs on %s" % ", ".join(found))
        infer = compiled.create_infer_request()
        infer.set_input_tensor(0, self._engine.Tensor(values[1], shared_memory=True))
        return {"compute": product(device, size, depth, functools.partial(infer.infer, share_outputs=True))}

    def _compile(self) -> Any:
        return self._core.compile_model(self._model, self._device, self._config(self._device))

    def _config(self, device: str) -> Dict[str, Any]:
        devices = requested(device)
        config: Dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if {"CPU", "AUTO"} & set(devices):
            config["INFERENCE_NUM_THREADS"] = self._request.threads
        if device.startswith("AUTO"):
            config["ENABLE_STARTUP_FALLBACK"] = False
        if self._request.cache and devices != ["CPU"]:
            os.makedirs(self._request.cache, exist_ok=True)
            config["CACHE_DIR"] = self._request.cache
        config.update(self._request.options.get("config") or {})
        return config

    def _assigned(self) -> Dict[str, float]:
        """Share of the operators that HETERO gives to each device; other devices take a model whole."""
        if not self._device.startswith("HETERO"):
            return {}
        where = list(self._core.query_model(self._model, self._device).values())
        counts = {**dict.fromkeys(requested(self._device), 0), **{name: where.count(name) for name in where}}
        return {name: count / len(where) for name, count in counts.items()} if where else {}

    def _feed(self, index: int) -> None:
        for place, array in enumerate(self._inputs.sets[index].values()):
            self._infer.set_input_tensor(place, self._engine.Tensor(array, shared_memory=True))

    def _plainly(self, what: str, action: Callable[..., Any], *given: Any) -> Any:
        """The action's result; its error without the engine's own source lines, and with the devices there are."""
        try:
            return action(*given)
        except RuntimeError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            said = " ".join(line for line in lines if not line.startswith(("Exception from", "Check '")))
            devices = "; devices here: %s" % ", ".join(self._core.available_devices) if what.startswith("dev") else ""
            raise RuntimeError("%s: %s%s" % (what, said or lines[-1], devices)) from None


def port(place: int, one: Any) -> Port:
    """An input or output from the model's own; a size that is open is None."""
    names = sorted(one.get_names())
    try:
        dtype = str(one.get_element_type().to_dtype())
    except (RuntimeError, ValueError, TypeError):
        dtype = one.get_element_type().get_type_name()
    shape = one.get_partial_shape()
    sizes = [size.get_length() if size.is_static else None for size in shape] if shape.rank.is_static else []
    return Port(names[0] if names else "%d" % place, dtype, sizes)


def requested(device: str) -> List[str]:
    """The devices a device string asks for, best first: `AUTO:NPU,CPU` is NPU, CPU; `AUTO` alone leaves it open."""
    kind, _, rest = device.partition(":")
    if kind not in META or not rest:
        return [device]
    return [name.split("(")[0] for name in rest.split(",") if not name.startswith("-")] or [kind]


RUNTIME = Openvino
