"""Multiply-accumulates of the operators that have them: dense ones, as the mathematics needs, whatever a kernel saves.

Additions of a bias, activations, pooling, normalisation and other arithmetic without a sum of products are no MACs.
"""

from math import prod
from typing import Callable, Dict

from edgemon.anatomy import rules, sums
from edgemon.anatomy.values import Call, Dims, Unknown, Value, known, size

Cost = Callable[[Call, Value], int]


def conv(call: Call, out: Value) -> int:
    """Each output takes the kernel over its group's channels."""
    return size(_shape(out)) * prod(call.dims(second(call.op))[1:])


def transposed(call: Call, _out: Value) -> int:
    """Each input meets the kernel of its group's outputs; what is cropped away is computed all the same."""
    return size(call.shape(0)) * prod(call.dims(1)[1:])


def product(call: Call, out: Value) -> int:
    """Each output takes the inner size."""
    return size(_shape(out)) * inner(call)


def inner(call: Call) -> int:
    """The size that a product sums over, from whichever operand tells."""
    b, other = call.shape(second(call.op)), call.shape(0)
    turned = call.op.endswith(("Gemm", "FusedMatMul", "TransposeMatMul"))
    right = b[-1] if turned and call.whole("transB", 0) and len(b) > 1 else b[-2] if len(b) > 1 else b[0]
    left = other[-2] if turned and call.whole("transA", 0) and len(other) > 1 else other[-1]
    return known([right if right is not None else left])[0]


def nbits(call: Call, out: Value) -> int:
    """MatMulNBits."""
    return size(_shape(out)) * call.whole("K", 0)


def recurrent(call: Call, _out: Value) -> int:
    """Each step of each sequence takes all weights of the gates."""
    return size(call.shape(0)[:2]) * (size(call.shape(1)) + size(call.shape(2)))


def einsum(call: Call, _out: Value) -> int:
    """Two operands with something to sum over: every combination of subscripts."""
    sizes, result = sums.letters(call)
    count = len(call.inputs)
    if count > 2:
        raise Unknown
    return size(tuple(sizes.values())) if count == 2 and set(sizes) - set(result) else 0


def attention(call: Call, out: Value) -> int:
    """Scores of all queries and keys, and their sum over the values. A cache of keys and values is not counted."""
    q, k, v = call.dims(0), call.dims(1), call.dims(2)
    past = (6, 7) if call.op == "ms.MultiHeadAttention" else (4, 5)
    if len(q) not in (3, 4) or len(k) != len(q) or len(v) != len(q):
        raise Unknown
    if any(call.optional(index) is not None for index in past):
        raise Unknown
    return prod(q) * k[-2] + size(_shape(out)) * k[-2]


def fused_attention(call: Call, out: Value) -> int:
    """com.microsoft's Attention: the projection of the input, then as `attention`."""
    (batch, places, features), weight = call.dims(0), call.dims(1)
    past = call.optional(8 if call.op == "ms.QAttention" else 4)
    parts = call.list("qkv_hidden_sizes") or [weight[1] // 3] * 3
    if past is not None or out.shape is None or features != weight[0]:
        raise Unknown
    return int(batch * places * (prod(weight) + places * (parts[0] + parts[2])))


def second(op: str) -> int:
    """Where an operator has its weights."""
    return 3 if op in ("QLinearConv", "QLinearMatMul", "ms.QGemm") else 1


def _shape(value: Value) -> Dims:
    if value.shape is None:
        raise Unknown
    return value.shape


COSTS: Dict[str, Cost] = {
    **dict.fromkeys(["Conv", "ConvInteger", "QLinearConv", "DeformConv", "ms.FusedConv"], conv),
    "ConvTranspose": transposed,
    **dict.fromkeys([*rules.PRODUCTS, "Gemm", "ms.FusedGemm", "ms.QGemm"], product),
    "ms.MatMulNBits": nbits,
    **dict.fromkeys(["LSTM", "GRU", "RNN"], recurrent),
    "Einsum": einsum,
    **dict.fromkeys(["Attention", "ms.MultiHeadAttention"], attention),
    **dict.fromkeys(["ms.Attention", "ms.QAttention"], fused_attention),
}
QUANTISED = {
    "ConvInteger", "QLinearConv", "MatMulInteger", "QLinearMatMul", "ms.MatMulIntegerToFloat",
    "ms.DynamicQuantizeMatMul", "ms.QGemm", "ms.QAttention",
}  # fmt: skip
"""Operators that compute in eight bits whatever else they are given."""


def precision(call: Call) -> str:
    """What a node's MACs are computed in, as the model says: int8 where both operands are quantised."""
    if call.op in QUANTISED:
        return "int8"
    x, weight = call.value(0), call.optional(second(call.op))
    stored = [value.stored for value in (x, weight) if value is not None]
    if len(stored) == 2 and all(stored):
        wide = sorted(("int8" if "int8" in one else "int16" if "int16" in one else one) for one in stored)
        return "int16" if "int16" in wide else "int8" if "int8" in wide else wide[0]
    return x.dtype or (weight.dtype if weight is not None else "") or "unknown"
