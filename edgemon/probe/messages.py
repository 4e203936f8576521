"""The messages of the Open Inference Protocol over gRPC, in Protocol Buffers (stdlib only, Python >= 3.8).

Field numbers are those of KServe's `grpc_predict_v2.proto`, in which Triton, OpenVINO Model Server and MLServer agree.
Tensors are raw bytes beside the message, or typed contents within it; both are read, whichever a server answers with.
"""

import struct
from typing import Any, Dict, List, Sequence, Tuple, Union

from edgemon.probe.tensors import KINDS, Input, pack, plain, unpack
from edgemon.protobuf import Budget, field, fields, numbers, packed, text, view, whole

SERVICE = "/inference.GRPCInferenceService/"
CONTENTS = {
    "BOOL": 1, "INT8": 2, "INT16": 2, "INT32": 2, "INT64": 3, "UINT8": 4, "UINT16": 4, "UINT32": 4, "UINT64": 5,
    "FP32": 6, "FP64": 7,
}  # fmt: skip
"""Fields of InferTensorContents; FP16 has none."""
REAL = ("FP32", "FP64")
Value = Union[int, memoryview]


def infer(model: Tuple[str, str], inputs: Sequence[Input], outputs: Sequence[str], raw: bool) -> bytes:
    """ModelInferRequest for a model's name and version."""
    name, version = model
    head = field(1, name) + (field(2, version) if version else b"") + field(3, "edgemon")
    tensors = b"".join(field(5, _input(one, raw)) for one in inputs)
    wanted = b"".join(field(6, field(1, one)) for one in outputs)
    return head + tensors + wanted + (b"".join(field(7, one.raw) for one in inputs) if raw else b"")


def _input(one: Input, raw: bool) -> bytes:
    """InferInputTensor."""
    told = field(1, one.name) + field(2, one.datatype) + packed(3, one.shape)
    return told if raw else told + field(5, _contents(one))


def _contents(one: Input) -> bytes:
    if one.datatype not in CONTENTS:
        raise ValueError("input %s is %s, which only fits into a request as bytes: tensors: binary" % one[:2])
    number = CONTENTS[one.datatype]
    return field(number, one.raw) if one.datatype in REAL else packed(number, unpack(one.datatype, one.raw))


def named(name: str, version: str) -> bytes:
    """ModelReadyRequest and ModelMetadataRequest."""
    return field(1, name) + (field(2, version) if version else b"")


def flag(data: bytes) -> bool:
    """Whether a ServerLiveResponse, ServerReadyResponse or ModelReadyResponse says yes."""
    return any(number == 1 and whole(value) for number, value in _read(data)[0])


def server(data: bytes) -> Dict[str, Any]:
    """ServerMetadataResponse, as the protocol's JSON has it."""
    found, budget = _read(data)
    told: Dict[str, Any] = {"name": "", "version": "", "extensions": []}
    for number, value in found:
        if number == 3:
            told["extensions"].append(text(value, budget))
        elif number in (1, 2):
            told["name" if number == 1 else "version"] = text(value, budget)
    return told


def metadata(data: bytes) -> Dict[str, Any]:
    """ModelMetadataResponse, as the protocol's JSON has it."""
    found, budget = _read(data)
    told: Dict[str, Any] = {"name": "", "versions": [], "platform": "", "inputs": [], "outputs": []}
    for number, value in found:
        if number in (1, 3):
            told["name" if number == 1 else "platform"] = text(value, budget)
        elif number == 2:
            told["versions"].append(text(value, budget))
        elif number in (4, 5):
            told["inputs" if number == 4 else "outputs"].append(_tensor(view(value), budget)[0])
    return told


def read(data: bytes) -> List[Dict[str, Any]]:
    """The plain tensors of a ModelInferResponse, by name; ValueError when it is none."""
    found, budget = _read(data)
    heads = [_tensor(view(value), budget) for number, value in found if number == 5]
    raws = [bytes(view(value)) for number, value in found if number == 6]
    if not heads:
        raise ValueError("the answer holds no output")
    if raws and len(raws) != len(heads):
        raise ValueError("the answer holds %d outputs and the bytes of %d" % (len(heads), len(raws)))
    made = []
    for place, (one, contents) in enumerate(heads):
        if one["datatype"] not in KINDS:
            raise ValueError("output %s is %s, which edgemon cannot compare" % (one["name"], one["datatype"]))
        data = raws[place] if raws else _typed(one["datatype"], contents, budget)
        made.append(plain(one["name"], one["datatype"], one["shape"], data, unpack(one["datatype"], data)))
    return sorted(made, key=lambda one: str(one["name"]))


def _read(data: bytes) -> Tuple[List[Tuple[int, Value]], Budget]:
    """The fields of a message. Each costs a byte at least, so that its size bounds what reading it costs."""
    budget = Budget(2 * len(data) + 100)
    return list(fields(memoryview(data), budget)), budget


def _tensor(data: memoryview, budget: Budget) -> Tuple[Dict[str, Any], List[memoryview]]:
    """TensorMetadata and InferOutputTensor: name, datatype and shape, and the contents of the latter."""
    told: Dict[str, Any] = {"name": "", "datatype": "", "shape": []}
    contents = []
    for number, value in fields(data, budget):
        if number in (1, 2):
            told["name" if number == 1 else "datatype"] = text(value, budget)
        elif number == 3:
            told["shape"] += numbers(value, budget)
        elif number == 5:
            contents.append(view(value))
    return told, contents


def _typed(datatype: str, contents: Sequence[memoryview], budget: Budget) -> bytes:
    """The bytes of typed contents, packed or one by one."""
    wanted, found = CONTENTS.get(datatype), [one for part in contents for one in fields(part, budget)]
    values = [value for number, value in found if number == wanted]
    if datatype in REAL:
        size = struct.calcsize("<" + KINDS[datatype][0])
        return b"".join(value.to_bytes(size, "little") if isinstance(value, int) else value for value in values)
    return pack(datatype, [one for value in values for one in _whole(datatype, value, budget)])


def _whole(datatype: str, value: Value, budget: Budget) -> List[int]:
    signed = numbers(value, budget)
    return [one & 0xFFFFFFFFFFFFFFFF for one in signed] if datatype == "UINT64" else signed
