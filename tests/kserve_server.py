"""The embedded model behind KServe's own model server, over HTTP and gRPC: `python kserve_server.py MODEL HTTP GRPC`.

Runs in KServe's venv.
"""

import sys
from typing import Any

import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.errors import InvalidInput


class Onnx(Model):  # type: ignore[misc]
    """ONNX Runtime as KServe's own runtimes use it."""

    def load(self) -> bool:
        """Make the session."""
        self._session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
        self.ready = True
        return True

    async def get_input_types(self) -> list[dict[str, Any]]:
        """The metadata's inputs."""
        return [{"name": one.name, "datatype": "FP32", "shape": one.shape} for one in self._session.get_inputs()]

    async def get_output_types(self) -> list[dict[str, Any]]:
        """The metadata's outputs."""
        return [{"name": one.name, "datatype": "FP32", "shape": one.shape} for one in self._session.get_outputs()]

    def predict(self, payload: InferRequest, *_: Any, **__: Any) -> InferResponse:
        """Infer; what ONNX Runtime refuses is the client's mistake."""
        try:
            arrays = self._session.run(None, {one.name: one.as_numpy() for one in payload.inputs})
        except (onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument, ValueError) as error:
            raise InvalidInput(str(error)) from None
        outputs = []
        for declared, values in zip(self._session.get_outputs(), arrays, strict=True):
            one = InferOutput(declared.name, list(values.shape), "FP32")
            one.set_data_from_numpy(values, binary_data=bool(payload.use_binary_outputs))
            outputs.append(one)
        return InferResponse(payload.id, self.name, outputs, use_binary_outputs=payload.use_binary_outputs)


if __name__ == "__main__":
    model = Onnx("mobilenet")
    model.load()
    ModelServer(http_port=int(sys.argv[2]), grpc_port=int(sys.argv[3]), workers=1).start([model])
