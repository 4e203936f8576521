"""The shape an operator gives (onnx.ai/onnx/operators, and com.microsoft's of ONNX Runtime as `ms.`), by its name."""

import math
import operator
from typing import Any, Callable, Dict, List, Optional, Tuple

from edgemon.anatomy import moves, sums, windows
from edgemon.anatomy.tensors import DTYPES
from edgemon.anatomy.values import SMALL, Call, Dims, Value, axis_of, broadcast, plain

Rule = Callable[[Call], List[Value]]


def same(call: Call) -> List[Value]:
    """As the first input; elements only where nothing is done to them."""
    first = call.value(0)
    return [first if call.op == "Identity" else plain(first.shape, first)]


def cast(call: Call) -> List[Value]:
    """Cast, shape arithmetic included."""
    first, to = call.value(0), DTYPES.get(call.whole("to", 0), "")
    data = first.data
    if data is not None and to.startswith(("int", "uint", "bool")):
        data = tuple(None if one is None else int(one) for one in data)
    return [Value(to, first.shape, data)]


def elementwise(call: Call) -> List[Value]:
    """Broadcast of all inputs; the elements too where they are integers or floats of shape arithmetic."""
    values = [call.value(index) for index in range(len(call.inputs))]
    shape = broadcast([call.shape(index) for index in range(len(call.inputs))])
    dtype = "bool" if call.op in COMPARISONS else values[-1].dtype
    action = ARITHMETIC.get(call.op)
    lists = [value.data for value in values]
    known_lists = [one for one in lists if one is not None]
    longest = max((len(one) for one in known_lists), default=0)
    if not action or len(known_lists) != len(lists) or any(len(one) not in (1, longest) for one in known_lists):
        return [Value(dtype, shape)]
    spread = [one * longest if len(one) == 1 else one for one in known_lists]
    return [Value(dtype, shape, tuple(_apply(action, row) for row in zip(*spread)))]


def _apply(action: Callable[..., Any], row: Tuple[Any, ...]) -> Any:
    if None in row[: 1 if action is _choose else len(row)]:
        return None
    made = action(*row)
    return made if isinstance(made, bool) or made is None or abs(made) < 1 << 63 else None


def _choose(condition: Any, this: Any, that: Any) -> Any:
    return this if condition else that


def _divide(left: Any, right: Any) -> Any:
    if not right:
        return None
    if isinstance(left, int) and isinstance(right, int):
        quotient = abs(left) // abs(right)
        return quotient if (left < 0) == (right < 0) else -quotient
    return left / right


def _whole(action: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda one: one if isinstance(one, int) else float(action(one)) if math.isfinite(one) else None


ARITHMETIC: Dict[str, Callable[..., Any]] = {
    "Add": operator.add, "Sub": operator.sub, "Mul": operator.mul, "Div": _divide, "Neg": operator.neg,
    "Min": lambda *row: min(row), "Max": lambda *row: max(row), "Abs": abs, "Where": _choose,
    "Floor": _whole(math.floor), "Ceil": _whole(math.ceil), "Equal": operator.eq, "Greater": operator.gt,
    "Less": operator.lt, "GreaterOrEqual": operator.ge, "LessOrEqual": operator.le, "Not": operator.not_,
    "And": lambda a, b: bool(a and b), "Or": lambda a, b: bool(a or b),
}  # fmt: skip
COMPARISONS = {"Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Not", "And", "Or", "Xor", "IsNaN", "IsInf"}


def quantize(call: Call) -> List[Value]:
    """QuantizeLinear: the zero point's type."""
    zero = call.optional(2)
    told = DTYPES.get(call.whole("output_dtype", 0), "")
    return [Value(zero.dtype if zero else told or "uint8", call.shape(0))]


def dequantize(call: Call) -> List[Value]:
    """DequantizeLinear: the scale's type, remembering what it was."""
    first, scale = call.value(0), call.optional(1)
    return [Value((scale.dtype if scale else "") or "float32", first.shape, None, first.dtype)]


def dynamic(call: Call) -> List[Value]:
    """DynamicQuantizeLinear."""
    return [Value("uint8", call.shape(0)), Value("float32", ()), Value("uint8", ())]


def reduce(call: Call) -> List[Value]:
    """Reduce*: over the axes, or over all."""
    x, axes = call.shape(0), call.list("axes", 1)
    if not axes and call.whole("noop_with_empty_axes", 0):
        return [call.value(0)]
    gone = {axis_of(one, len(x)) for one in axes} if axes else set(range(len(x)))
    data: Optional[Tuple[Any, ...]] = None
    values = call.value(0).data
    if call.op == "ReduceProd" and values is not None and len(x) == 1 and None not in values:
        data = (math.prod(values),)
    return [Value(call.value(0).dtype, _without(x, gone, bool(call.whole("keepdims", 1))), data)]


def _without(x: Dims, gone: Any, keep: bool) -> Dims:
    return tuple(1 if axis in gone else one for axis, one in enumerate(x) if keep or axis not in gone)


def arg(call: Call) -> List[Value]:
    """ArgMax, ArgMin."""
    x = call.shape(0)
    gone = {axis_of(call.whole("axis", 0), len(x))}
    return [Value("int64", _without(x, gone, bool(call.whole("keepdims", 1))))]


def top(call: Call) -> List[Value]:
    """TopK."""
    x, count = list(call.shape(0)), call.attributes.get("k")
    axis = axis_of(call.whole("axis", -1), len(x))
    x[axis] = count if count is not None else call.data(1)[0]
    return [plain(tuple(x), call.value(0)), Value("int64", tuple(x))]


def range_(call: Call) -> List[Value]:
    """Range."""
    begin, end, step = (call.data(index)[0] for index in range(3))
    if None in (begin, end, step):
        return [Value(call.value(0).dtype, (None,))]
    count = max(0, math.ceil((end - begin) / step))
    data = tuple(begin + step * place for place in range(count)) if count <= SMALL else None
    return [Value(call.value(0).dtype, (count,), data)]


def nonzero(call: Call) -> List[Value]:
    """NonZero: as many columns as there turn out to be."""
    return [Value("int64", (len(call.shape(0)), None))]


def second(call: Call) -> List[Value]:
    """As the second input."""
    return [plain(call.shape(1), call.value(0))]


def normal(call: Call) -> List[Value]:
    """Layer normalisations: further outputs are not told."""
    return [plain(call.shape(0), call.value(0))]


SAME = (
    "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Softplus",
    "Softsign", "Softmax", "LogSoftmax", "Hardmax", "Clip", "ThresholdedRelu", "Mish", "Gelu", "Swish", "Erf", "Exp",
    "Log", "Sqrt", "Reciprocal", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh",
    "Atanh", "Sign", "Round", "Identity", "Dropout", "BatchNormalization", "InstanceNormalization",
    "GroupNormalization", "LRN", "LpNormalization", "MeanVarianceNormalization", "Shrink", "CumSum", "Trilu",
    "ReverseSequence", "ScatterElements", "ScatterND", "Scatter", "EyeLike", "RandomNormalLike", "RandomUniformLike",
    "Bernoulli", "BitwiseNot", "IsNaN", "IsInf", "CumProd", "TensorScatter", "ms.BiasGelu", "ms.FastGelu",
    "ms.QuickGelu", "ms.Gelu", "ms.RotaryEmbedding", "RotaryEmbedding", "ms.QLinearLeakyRelu", "ms.QLinearSigmoid",
    "ms.QLinearSoftmax",
)  # fmt: skip
NORMAL = (
    "LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization", "ms.SkipLayerNormalization",
    "ms.SkipSimplifiedLayerNormalization", "ms.LayerNormalization", "ms.SimplifiedLayerNormalization",
)  # fmt: skip
MANY = (
    "Add", "Sub", "Mul", "Div", "Pow", "Mod", "Min", "Max", "Sum", "Mean", "And", "Or", "Xor", "Equal", "Greater",
    "Less", "GreaterOrEqual", "LessOrEqual", "Where", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Floor",
    "Ceil", "Neg", "Abs", "Not",
)  # fmt: skip
REDUCE = (
    "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum",
    "ReduceLogSumExp", "ReduceSumSquare",
)  # fmt: skip
PRODUCTS = (
    "MatMul", "MatMulInteger", "QLinearMatMul", "ms.FusedMatMul", "ms.TransposeMatMul", "ms.MatMulIntegerToFloat",
    "ms.DynamicQuantizeMatMul",
)  # fmt: skip
FREE = (
    "Constant", "NonMaxSuppression", "Unique", "Compress", "MaxUnpool", "StringNormalizer", "SequenceConstruct",
    "SequenceAt", "SequenceEmpty", "SequenceInsert", "SequenceErase", "SequenceLength", "SplitToSequence",
    "ConcatFromSequence", "Optional", "OptionalHasElement", "OptionalGetElement", "ImageDecoder", "TfIdfVectorizer",
    "Multinomial", "RandomNormal", "RandomUniform", "ms.EmbedLayerNormalization", "ms.QLinearAdd", "ms.QLinearMul",
    "ms.QLinearConcat", "ms.QLinearAveragePool", "ms.QLinearGlobalAveragePool", "Col2Im", "CenterCropPad", "Det",
    "HannWindow", "HammingWindow", "BlackmanWindow", "BitCast",
)  # fmt: skip
"""Without a MAC; the shape is not worked out."""
RULES: Dict[str, Rule] = {
    **dict.fromkeys(SAME, same), **dict.fromkeys(NORMAL, normal), **dict.fromkeys(MANY, elementwise),
    **dict.fromkeys(REDUCE, reduce), **dict.fromkeys(["ArgMax", "ArgMin"], arg), **dict.fromkeys(PRODUCTS, sums.matmul),
    **windows.RULES, **moves.RULES, "Cast": cast, "CastLike": same, "QuantizeLinear": quantize,
    "DequantizeLinear": dequantize, "ms.QuantizeLinear": quantize, "ms.DequantizeLinear": dequantize,
    "DynamicQuantizeLinear": dynamic, "TopK": top, "Gemm": sums.gemm, "ms.FusedGemm": sums.gemm, "ms.QGemm": sums.gemm,
    "ms.MatMulNBits": sums.nbits, **dict.fromkeys(["LSTM", "GRU", "RNN"], sums.recurrent), "Einsum": sums.einsum,
    "Attention": sums.attention, "ms.MultiHeadAttention": sums.attention, "ms.GroupQueryAttention": normal,
    "ms.Attention": sums.fused_attention, "ms.QAttention": sums.fused_attention, "Range": range_, "NonZero": nonzero,
    "GatherElements": second,
}  # fmt: skip
