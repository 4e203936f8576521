"""Shapes of what slides a window: convolutions and pooling (onnx.ai/onnx/operators), and of what resizes."""

from typing import Callable, Dict, List, Optional, Sequence

from edgemon.anatomy.values import Call, Dims, Unknown, Value, known, plain


def extent(size: Optional[int], kernel: int, step: int, gap: int, pad: int, up: bool = False) -> Optional[int]:
    """Places of a window along one axis; `pad` is that of both ends, `gap` the dilation, `up` rounds up."""
    if size is None:
        return None
    if step < 1 or gap < 1 or kernel < 1:
        raise Unknown
    room = size + pad - ((kernel - 1) * gap + 1)
    if room < 0:
        raise Unknown
    return (room + (step - 1 if up else 0)) // step + 1


def spatial(call: Call, sizes: Dims, kernel: Sequence[int]) -> List[Optional[int]]:
    """Output sizes of a convolution or a pooling over these input sizes."""
    rank = len(kernel)
    steps, gaps = call.list("strides") or [1] * rank, call.list("dilations") or [1] * rank
    pads = call.list("pads") or [0] * 2 * rank
    auto, up = call.attributes.get("auto_pad", "NOTSET") or "NOTSET", bool(call.whole("ceil_mode", 0))
    if not len(sizes) == len(steps) == len(gaps) == rank or len(pads) != 2 * rank:
        raise Unknown
    made: List[Optional[int]] = []
    for axis, size in enumerate(sizes):
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            made.append(None if size is None else -(-size // steps[axis]))
            continue
        pad = 0 if auto == "VALID" else pads[axis] + pads[axis + rank]
        count = extent(size, kernel[axis], steps[axis], gaps[axis], pad, up)
        if up and count is not None and size is not None and (count - 1) * steps[axis] >= size + pads[axis]:
            count -= 1  # a last window that would begin in the padding is left out
        made.append(count)
    return made


def conv(call: Call) -> List[Value]:
    """Conv and its kin: N x C x spatial with M x C/group x kernel gives N x M x spatial."""
    x, weight = call.shape(0), known(call.shape(WEIGHT.get(call.op, 1)))
    if len(x) != len(weight) or len(x) < 3:
        raise Unknown
    shape = (x[0], weight[0], *spatial(call, x[2:], weight[2:]))
    return [Value("int32" if call.op == "ConvInteger" else call.value(0).dtype, shape)]


WEIGHT = {"QLinearConv": 3}


def transposed(call: Call) -> List[Value]:
    """ConvTranspose: N x C x spatial with C x M/group x kernel."""
    x, weight = call.shape(0), known(call.shape(1))
    rank = len(weight) - 2
    steps, gaps = call.list("strides") or [1] * rank, call.list("dilations") or [1] * rank
    pads, extra = call.list("pads") or [0] * 2 * rank, call.list("output_padding") or [0] * rank
    asked = call.list("output_shape")
    auto = call.attributes.get("auto_pad", "NOTSET") or "NOTSET"
    made: List[Optional[int]] = []
    for axis, size in enumerate(x[2:]):
        if asked:
            made.append(asked[axis])
        elif size is None:
            made.append(None)
        elif auto in ("SAME_UPPER", "SAME_LOWER"):
            made.append(size * steps[axis])
        else:
            pad = 0 if auto == "VALID" else pads[axis] + pads[axis + rank]
            whole = steps[axis] * (size - 1) + extra[axis] + (weight[2 + axis] - 1) * gaps[axis] + 1
            made.append(whole - pad)
    return [plain((x[0], weight[1] * call.whole("group", 1), *made), call.value(0))]


def pool(call: Call) -> List[Value]:
    """MaxPool, AveragePool, LpPool."""
    x, kernel = call.shape(0), call.list("kernel_shape")
    if not kernel:
        raise Unknown
    made = plain((*x[:2], *spatial(call, x[2:], kernel)), call.value(0))
    return [made, Value("int64", made.shape)]


def pool_all(call: Call) -> List[Value]:
    """GlobalAveragePool and its kin."""
    x = call.shape(0)
    return [plain((*x[:2], *[1] * (len(x) - 2)), call.value(0))]


def resize(call: Call) -> List[Value]:
    """Resize and Upsample, by sizes or by scales, of all axes or of some; stretching only."""
    x = call.shape(0)
    where = call.list("axes") or list(range(len(x)))
    if (call.attributes.get("keep_aspect_ratio_policy", "stretch") or "stretch") != "stretch":
        raise Unknown
    made = list(x)
    sizes = call.optional(3)
    if sizes is not None and sizes.shape != (0,):
        for axis, size in zip(where, call.data(3)):
            made[axis] = size
        return [plain(tuple(made), call.value(0))]
    scales = call.list("scales") or list(call.data(2 if len(call.inputs) > 2 else 1))
    if len(scales) != len(where):
        raise Unknown
    for axis, scale in zip(where, scales):
        size = x[axis]
        made[axis] = None if size is None or scale is None else int(scale * size)  # exact: 24 bits times fewer than 29
    return [plain(tuple(made), call.value(0))]


def crops(call: Call) -> List[Value]:
    """RoiAlign: one crop for each region."""
    sizes = (call.whole("output_height", 1), call.whole("output_width", 1))
    return [plain((call.shape(1)[0], call.shape(0)[1], *sizes), call.value(0))]


def sampled(call: Call) -> List[Value]:
    """GridSample: the grid's places of each channel."""
    return [plain((*call.shape(0)[:2], *call.shape(1)[1:-1]), call.value(0))]


RULES: Dict[str, Callable[[Call], List[Value]]] = {
    **dict.fromkeys(["Conv", "ConvInteger", "QLinearConv", "DeformConv", "ms.FusedConv"], conv),
    "ConvTranspose": transposed,
    **dict.fromkeys(["MaxPool", "AveragePool", "LpPool"], pool),
    **dict.fromkeys(["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"], pool_all),
    **dict.fromkeys(["Resize", "Upsample"], resize),
    "RoiAlign": crops,
    "GridSample": sampled,
}
