"""Counts the MACs of a LiteRT model (tensorflow/lite/schema/schema.fbs) from the shapes that its tensors carry.

The file tells every tensor's shape for the inputs it was converted with. Where an input is given another shape, or a
tensor's shape is open, the operators that touch it are not counted.
"""

from math import prod
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from edgemon.anatomy.flatbuffer import Table, root
from edgemon.anatomy.tally import Tally
from edgemon.anatomy.values import Unknown, bounded

IDENTIFIER = b"TFL3"
DTYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 5: "string", 6: "bool", 7: "int16",
    8: "complex64", 9: "int8", 10: "float64", 11: "complex128", 12: "uint64", 15: "uint32", 16: "uint16", 17: "int4",
    18: "bfloat16",
}  # fmt: skip
CONV_2D, DEPTHWISE, FULLY, LSTM, RNN, SVDF, CUSTOM = 3, 4, 9, 16, 24, 27, 32
SEQUENCE_RNN, SEQUENCE_LSTM, BOTH_RNN, BOTH_LSTM = 35, 44, 46, 52
TRANSPOSE_CONV, BATCH_MATMUL, CONV_3D, CONV_3D_TRANSPOSE = 67, 126, 132, 141
COUNTED = {
    CONV_2D: "CONV_2D", DEPTHWISE: "DEPTHWISE_CONV_2D", FULLY: "FULLY_CONNECTED", LSTM: "LSTM", RNN: "RNN",
    SVDF: "SVDF", SEQUENCE_RNN: "UNIDIRECTIONAL_SEQUENCE_RNN", SEQUENCE_LSTM: "UNIDIRECTIONAL_SEQUENCE_LSTM",
    BOTH_RNN: "BIDIRECTIONAL_SEQUENCE_RNN", BOTH_LSTM: "BIDIRECTIONAL_SEQUENCE_LSTM",
    TRANSPOSE_CONV: "TRANSPOSE_CONV", BATCH_MATMUL: "BATCH_MATMUL", CONV_3D: "CONV_3D",
    CONV_3D_TRANSPOSE: "CONV_3D_TRANSPOSE",
}  # fmt: skip
NOT_FREE = {
    15: "LSH_PROJECTION", 31: "CALL", CUSTOM: "CUSTOM", 51: "DELEGATE", 118: "IF", 119: "WHILE", 129: "CALL_ONCE",
    131: "RFFT2D",
}  # fmt: skip
"""Operators that hide or may hide MACs; so does what came after the 162 of schema 3's version 3c (StableHLO)."""
LAST = 161
OPAQUE = "edgetpu-custom-op"
BIASED = {CONV_2D: 2, DEPTHWISE: 2, FULLY: 2, TRANSPOSE_CONV: 3}
"""Where an operator has its bias, the one parameter of type int32."""
WEIGHTS = {TRANSPOSE_CONV: (2, 1), CONV_3D_TRANSPOSE: (2, 1)}
"""Where an operator has its data and its weights, when not at 0 and 1."""


class Tensor(NamedTuple):
    """A tensor; `stored` tells that its elements are in the file, `shape` is None when it is open."""

    shape: Optional[Tuple[int, ...]]
    dtype: str
    stored: bool


class Operator(NamedTuple):
    """An operator on tensors; an omitted input is None."""

    code: int
    name: str
    inputs: List[Optional[Tensor]]
    outputs: List[Tensor]
    adjoint: bool


def count(data: memoryview, shapes: Mapping[str, Sequence[int]]) -> Tally:
    """MACs and parameters of a LiteRT model whose inputs have these shapes; ValueError when the file is not one."""
    model, tally = root(data), Tally()
    stored = [bool(one.length(0) or one.scalar(2, "Q")) for one in model.tables(4)]
    names = [_code(one) for one in model.tables(1)]
    graphs = model.tables(2)
    if not graphs:
        raise ValueError("the model holds no graph: it is no LiteRT model")
    for number, graph in enumerate(graphs):
        tensors = _tensors(graph, stored, shapes)
        operators = [_operator(one, names, tensors) for one in graph.tables(3)]
        _store(operators, tally)
        for operator in operators if number == 0 else []:  # the others are bodies of control flow
            _weigh(operator, tally)
    return tally


def _code(table: Table) -> Tuple[int, str]:
    """An operator's number and, of a custom one, its name."""
    code = max(table.scalar(0, "b"), table.scalar(3, "i"))
    return code, table.text(1) if code == CUSTOM else COUNTED.get(code) or NOT_FREE.get(code, "BUILTIN_%d" % code)


def _tensors(graph: Table, stored: Sequence[bool], shapes: Mapping[str, Sequence[int]]) -> List[Tensor]:
    tables = graph.tables(0)
    resized = False
    for place in graph.numbers(1) or []:
        one = _at(tables, place)
        given = shapes.get(one.text(3))
        resized = resized or (given is not None and list(given) != (one.numbers(0) or []))
    made = []
    for table in tables:
        buffer = table.scalar(2, "I")
        kept = 0 < buffer < len(stored) and stored[buffer]
        signature = table.numbers(7) or []
        open_ = not kept and (resized or any(one < 0 for one in signature))
        made.append(Tensor(None if open_ else _shape(table), DTYPES.get(table.scalar(1, "b"), ""), kept))
    return made


def _shape(table: Table) -> Optional[Tuple[int, ...]]:
    shape = table.numbers(0) or []
    if any(one < 0 for one in shape) or prod(shape) >= 1 << 48 or len(shape) > 64:
        raise ValueError("the model holds a tensor of the impossible shape %s" % shape[:16])
    return tuple(shape)


def _operator(table: Table, codes: Sequence[Tuple[int, str]], tensors: Sequence[Tensor]) -> Operator:
    code, name = _at(codes, table.scalar(0, "I"))
    inputs = [None if one == -1 else _at(tensors, one) for one in table.numbers(1) or []]
    outputs = [_at(tensors, one) for one in table.numbers(2) or []]
    options = table.table(4) if code == BATCH_MATMUL else None
    return Operator(code, name, inputs, outputs, bool(options and options.scalar(0, "b")))


def _at(entries: Sequence, place: int):  # type: ignore[no-untyped-def, type-arg] # generic without TypeVar noise
    if not 0 <= place < len(entries):
        raise ValueError("the model points to entry %d of %d" % (place, len(entries)))
    return entries[place]


def _store(operators: Sequence[Operator], tally: Tally) -> None:
    """Count the stored tensors that operators read, each once: integers of 32 bits and more only as a bias."""
    seen: Dict[int, Tensor] = {}
    for operator in operators:
        for place, tensor in enumerate(operator.inputs):
            if tensor is None or not tensor.stored or not tensor.shape:
                continue
            bias = BIASED.get(operator.code) == place
            if bias or tensor.dtype not in ("int32", "int64", "bool", "string"):
                seen[id(tensor)] = tensor
    for tensor in seen.values():
        tally.store(tensor.dtype, tensor.shape or ())


def _weigh(operator: Operator, tally: Tally) -> None:
    if operator.code not in COUNTED and operator.code not in NOT_FREE and operator.code <= LAST:
        return
    try:
        tally.count(bounded(_macs(operator)), _precision(operator))
    except (Unknown, IndexError):
        tally.miss(operator.name, operator.name == OPAQUE)


def _macs(operator: Operator) -> int:
    """Dense MACs of one operator; Unknown when it has none that can be told."""
    code = operator.code
    data, weights = WEIGHTS.get(code, (0, 1))
    if code not in COUNTED:
        raise Unknown
    x, out = _dims(operator.inputs[data]), _dims(operator.outputs[0])
    if code in (LSTM, RNN, SVDF, SEQUENCE_RNN, SEQUENCE_LSTM, BOTH_RNN, BOTH_LSTM):
        matrices = [one.shape for one in operator.inputs if one and one.stored and one.shape and len(one.shape) == 2]
        return prod(x[:-1]) * sum(prod(shape) for shape in matrices)
    weight = _dims(operator.inputs[weights])
    if code == BATCH_MATMUL:
        return prod(out) * (x[-2] if operator.adjoint else x[-1])
    if code == DEPTHWISE:
        return prod(out) * prod(weight[1:3])
    if code == CONV_3D:
        return prod(out) * prod(weight[:4])
    if code in (TRANSPOSE_CONV, CONV_3D_TRANSPOSE):
        return prod(x) * prod(weight) // weight[-1]
    return prod(out) * prod(weight[1:])  # CONV_2D: OHWI; FULLY_CONNECTED: OI


def _dims(tensor: Optional[Tensor]) -> Tuple[int, ...]:
    if tensor is None or tensor.shape is None or 0 in tensor.shape:
        raise Unknown
    return tensor.shape


def _precision(operator: Operator) -> str:
    """What the MACs are computed in: a kernel with 8-bit weights quantises float activations as it goes."""
    data, weights = WEIGHTS.get(operator.code, (0, 1))
    x, weight = operator.inputs[data], operator.inputs[weights]
    kinds = [one.dtype for one in (x, weight) if one]
    if "int16" in kinds:
        return "int16"
    return "int8" if kinds[-1] in ("int8", "uint8", "int4") else kinds[0]
