"""HailoRT through hailo_platform's InferModel (HailoRT >= 4.18): a .hef on a Hailo-8, 8L or 10. Not run on one yet.

`options`: `group_id` (default SHARED, as production's must be to share the device), `multi_process_service` (true where
hailort_service listens, unless given), `priority` of HailoRT's scheduler (0 to 31, default 0: production goes first).
A device that another process has for itself is no failure: the run is skipped as busy.

Inputs are in the HEF's own type; outputs are asked for as float32, which HailoRT dequantises on the host as it does in
most programs. A HEF is compiled for the device whole, but for what HailoRT says it does on the host (such as NMS).
There is no reference kernel on the device: a HEF comes from Hailo's own compiler only.
"""

from __future__ import annotations

import functools
import os
from typing import Any, Callable, Dict, List

from edgemon.probe import golden
from edgemon.probe.inputs import Inputs, Port, digest, unknown
from edgemon.probe.result import BusyError, Request

OPTIONS = ["group_id", "multi_process_service", "priority"]
DEVICE = "Hailo"
SERVICE = "/tmp/hailort_uds.sock"  # noqa: S108 - HailoRT's own, compiled in
IN_USE = ("HAILO_DEVICE_IN_USE", "HAILO_OUT_OF_PHYSICAL_DEVICES")


class Hailo:
    """One configured model on a virtual device that may be shared."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def start(self) -> None:
        """Import the engine."""
        import hailo_platform
        import numpy

        self._numpy, self._engine = numpy, hailo_platform

    def version(self) -> str:
        """The library's version, which the driver's and the firmware's must equal."""
        return str(self._engine.__version__)

    def load(self) -> None:
        """Open the device, configure the model, bind the buffers."""
        options = self._request.options
        unknown("options", options, OPTIONS)
        self._digest = digest(self._request.model)
        if not self._engine.Device.scan():
            raise RuntimeError("no Hailo device; see: hailortcli scan")
        self._device = self._open()
        model = self._device.create_infer_model(self._request.model)
        self._inputs = Inputs(self._numpy, self._request, [self._port(one) for one in model.inputs])
        for one in model.outputs:
            one.set_format_type(self._engine.FormatType.FLOAT32)
        empty = self._numpy.zeros
        self._results = {one.name: empty(one.shape, dtype="float32") for one in model.outputs}
        self._configured = model.configure()
        self._configured.set_scheduler_priority(int(options.get("priority") or 0))
        self._bindings = self._configured.create_bindings(self._inputs.sets[0], self._results)

    def infer(self) -> Callable[[], Any]:
        """One inference on the first input."""
        return functools.partial(self._configured.run, [self._bindings], int(self._request.timeout * 1000))

    def outputs(self, index: int) -> List[Dict[str, Any]]:
        """The plain tensors for one set of inputs; a list of boxes is taken as HailoRT's buffer holds it."""
        for buffer in self._results.values():
            buffer.fill(0)
        bindings = self._configured.create_bindings(self._inputs.sets[index], self._results)
        self._configured.run([bindings], int(self._request.timeout * 1000))
        share = len(self._results) * len(self._inputs.sets)
        return [golden.plain(self._numpy, name, array, share) for name, array in self._results.items()]

    def facts(self) -> Dict[str, Any]:
        """What really runs."""
        return {
            "runtime": "hailo",
            "model_sha256": self._digest,
            "requested": [DEVICE],
            "registered": [DEVICE],
            "placement": {DEVICE: 1.0},
            "inputs": self._inputs.told,
            "options": dict(self._request.options),
        }

    def _open(self) -> Any:
        options, params = self._request.options, self._engine.VDevice.create_params()
        params.scheduling_algorithm = self._engine.HailoSchedulingAlgorithm.ROUND_ROBIN
        params.group_id = str(options.get("group_id") or "SHARED")
        params.multi_process_service = bool(options.get("multi_process_service", os.path.exists(SERVICE)))
        try:
            return self._engine.VDevice(params)
        except self._engine.HailoRTException as error:
            if any(status in str(error) for status in IN_USE):
                hint = "run hailort_service and let both use the group %s to share it" % params.group_id
                raise BusyError("the Hailo device is in use by another process; %s" % hint) from None
            raise

    def _port(self, stream: Any) -> Port:
        return Port(stream.name, str(stream.format.type).rpartition(".")[2].lower(), list(stream.shape))


RUNTIME = Hailo
