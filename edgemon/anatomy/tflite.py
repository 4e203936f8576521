"""Counts the MACs of a LiteRT model (tensorflow/lite/schema/schema.fbs) from the shapes that its tensors carry.

The file tells every tensor's shape for the inputs it was converted with, 1 for a size that is open. Where only the
batch is open, as in most models, the shapes are followed from the inputs on; where more is, or an input is given
another shape, the operators that touch such a tensor are not counted.
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


LIKE = {
    5, 6, 8, 11, 14, 19, 20, 21, 22, 25, 26, 28, 39, 43, 47, 50, 53, 54, 59, 66, 70, 73, 75, 76, 98, 101, 104, 108, 111,
    114, 116, 117, 150,
}  # fmt: skip
"""Operators whose output has as many elements as their input: activations, casts, Reshape, Transpose, Squeeze."""
FOLLOW = {0, 1, 12, 13, 17, 18, 23, 34, 40, 41, 42, 55, 57, 60, 74, 82, 89, 97, 99, 100} | set(COUNTED) - {FULLY}
"""Operators whose output has the batch of their first input: arithmetic, pooling, padding, resizing, reductions."""
CONCATENATION = 2


class Tensor:
    """A tensor; `stored` tells that its elements are in the file, `shape` is None where it is open.

    `claim` is what the shape is if the open first size is the batch and nothing else.
    """

    def __init__(
        self, shape: Optional[Tuple[int, ...]], dtype: str, stored: bool, claim: Optional[Tuple[int, ...]] = None
    ) -> None:
        self.shape, self.dtype, self.stored, self.claim = shape, dtype, stored, claim


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
            _follow(operator)
            _weigh(operator, tally)
    return tally


def _code(table: Table) -> Tuple[int, str]:
    """An operator's number and, of a custom one, its name."""
    code = max(table.scalar(0, "b"), table.scalar(3, "i"))
    return code, table.text(1) if code == CUSTOM else COUNTED.get(code) or NOT_FREE.get(code, "BUILTIN_%d" % code)


def _tensors(graph: Table, stored: Sequence[bool], shapes: Mapping[str, Sequence[int]]) -> List[Tensor]:
    tables, inputs = graph.tables(0), graph.numbers(1) or []
    given = {place: tuple(shapes.get(_at(tables, place).text(3), ())) for place in inputs}
    resized = any(one and one != _shape(tables[place]) for place, one in given.items())
    batch = next((one[0] for one in given.values() if one), 1)
    made = []
    for table in tables:
        buffer, shape = table.scalar(2, "I"), _shape(table)
        kept = 0 < buffer < len(stored) and stored[buffer]
        signature = tuple(table.numbers(7) or shape)
        claim = (batch, *shape[1:]) if signature[:1] == (-1,) and signature[1:] == shape[1:] else None
        believed = kept or (signature == shape and not resized)
        made.append(Tensor(shape if believed else None, DTYPES.get(table.scalar(1, "b"), ""), kept, claim))
    for place, one in given.items():
        tensor = made[place]
        if tensor.claim and one in ((), tensor.claim):
            tensor.shape = tensor.claim
    return made


def _follow(operator: Operator) -> None:
    """Believe what an output's shape claims to be where the operator carries the batch of its inputs on to it."""
    inputs = [one for one in operator.inputs if one]
    if not inputs or any(one.shape is None for one in inputs):
        return
    for output in operator.outputs:
        if output.shape is None and output.claim and _carries(operator, inputs, output.claim):
            output.shape = output.claim


def _carries(operator: Operator, inputs: Sequence[Tensor], claim: Tuple[int, ...]) -> bool:
    sizes = [prod(one.shape or ()) for one in inputs]
    if operator.code in LIKE:
        return prod(claim) == sizes[0]
    if operator.code == CONCATENATION:
        return prod(claim) == sum(sizes)
    if operator.code == FULLY:
        outputs, features = (inputs[1].shape or (0, 0))[:2]
        return prod(claim) * features == sizes[0] * outputs
    return operator.code in FOLLOW


def _shape(table: Table) -> Tuple[int, ...]:
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
