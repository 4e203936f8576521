"""Shapes of sums of products: matrix products, recurrent layers, attention."""

from typing import Any, Dict, List, Optional, Tuple

from edgemon.anatomy.values import Call, Dims, Unknown, Value, broadcast, known, plain


def matmul(call: Call) -> List[Value]:
    """MatMul and its kin by NumPy's rule."""
    a, b = _operands(call)
    left, right = list(a), list(b)
    if len(left) == 1:
        left = [1, *left]
    if len(right) == 1:
        right = [*right, 1]
    if left[-1] is not None and right[-2] is not None and left[-1] != right[-2]:
        raise Unknown
    shape = list(broadcast([tuple(left[:-2]), tuple(right[:-2])]))
    shape += ([left[-2]] if len(a) > 1 else []) + ([right[-1]] if len(b) > 1 else [])
    return [Value(call.value(0).dtype if call.op in ("MatMul", "ms.FusedMatMul") else "", tuple(shape))]


def _operands(call: Call) -> Tuple[Dims, Dims]:
    """Shapes of the two operands, transposed where FusedMatMul says so."""
    a, b = call.shape(0), call.shape(SECOND.get(call.op, 1))
    if not a or not b or call.whole("transBatchA", 0) or call.whole("transBatchB", 0):
        raise Unknown
    turn = call.op in ("ms.FusedMatMul", "ms.TransposeMatMul")
    return _turned(a, turn and call.whole("transA", 0)), _turned(b, turn and call.whole("transB", 0))


SECOND = {"QLinearMatMul": 3, "ms.QGemm": 3}
"""Where the second operand of a product is, when not at 1."""


def _turned(shape: Dims, turn: Any) -> Dims:
    return (*shape[:-2], shape[-1], shape[-2]) if turn and len(shape) > 1 else shape


def gemm(call: Call) -> List[Value]:
    """Gemm: two matrices, either transposed."""
    a = _turned(call.shape(0), call.whole("transA", 0))
    b = _turned(call.shape(SECOND.get(call.op, 1)), call.whole("transB", 0))
    if len(a) != 2 or len(b) != 2:
        raise Unknown
    return [plain((a[0], b[1]), call.value(0))]


def nbits(call: Call) -> List[Value]:
    """MatMulNBits: N columns of quantised weights."""
    return [plain((*call.shape(0)[:-1], call.whole("N", 0)), call.value(0))]


def recurrent(call: Call) -> List[Value]:
    """LSTM, GRU, RNN: Y and the last states."""
    steps, batch = call.shape(0)[:2]
    directions, hidden = call.shape(2)[0], call.shape(2)[-1]
    first = call.value(0)
    if call.whole("layout", 0):
        shapes: List[Dims] = [(steps, batch, directions, hidden), (steps, directions, hidden)]
    else:
        shapes = [(steps, directions, batch, hidden), (directions, batch, hidden)]
    return [plain(shape, first) for shape in (shapes[0], shapes[1], shapes[1])]


def einsum(call: Call) -> List[Value]:
    """Einsum without an ellipsis."""
    sizes, result = letters(call)
    return [plain(tuple(sizes[letter] for letter in result), call.value(0))]


def letters(call: Call) -> Tuple[Dict[str, Optional[int]], str]:
    """The size of each subscript of an Einsum, and the subscripts of its result."""
    equation = str(call.attributes.get("equation", "")).replace(" ", "")
    terms, arrow, result = equation.partition("->")
    if "." in equation or not terms:
        raise Unknown
    sizes: Dict[str, Optional[int]] = {}
    for index, term in enumerate(terms.split(",")):
        shape = call.shape(index)
        if len(shape) != len(term):
            raise Unknown
        for letter, one in zip(term, shape):
            if sizes.get(letter) in (None, 1):
                sizes[letter] = one
    if not arrow:
        result = "".join(sorted(one for one in sizes if terms.count(one) == 1))
    return sizes, result


def attention(call: Call) -> List[Value]:
    """Attention: the queries' places, the values' features."""
    q = call.shape(0)
    v = call.shape(2)
    if call.op == "ms.MultiHeadAttention":
        return [plain((*q[:-1], v[-1]), call.value(0))]
    if len(q) == 4:
        return [plain((*q[:-1], v[-1]), call.value(0))]
    heads = call.whole("q_num_heads", 0) // max(1, call.whole("kv_num_heads", 0))
    return [plain((*q[:-1], known([v[-1]])[0] * heads), call.value(0))]


def fused_attention(call: Call) -> List[Value]:
    """com.microsoft's Attention and QAttention: the projection of the input is part of it."""
    x, weight = call.shape(0), known(call.shape(1))
    parts = call.list("qkv_hidden_sizes") or [weight[1] // 3] * 3
    return [Value(call.value(0).dtype, (*x[:-1], parts[2]))]
