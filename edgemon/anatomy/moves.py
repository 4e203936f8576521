"""Shapes of what moves elements: reshape, transpose, concat, slice, gather and the like, shape arithmetic included."""

from itertools import product
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from edgemon.anatomy.values import SMALL, Call, Dims, Unknown, Value, axis_of, broadcast, known, plain, size

Rule = Callable[[Call], List[Value]]
DEEP = 8
"""Axes of a tensor whose elements are followed: shapes and axes have one or two."""


def strides(shape: Sequence[int]) -> List[int]:
    """Elements between neighbours along each axis of a row-major tensor."""
    steps, step = [], 1
    for one in reversed(shape):
        steps.append(step)
        step *= one
    return steps[::-1]


def pick(value: Value, shape: Sequence[Optional[int]], choose: Callable[[Tuple[int, ...]], Sequence[int]]) -> Value:
    """A tensor of the new shape whose element at each place is the old one at `choose(place)`, where they are known."""
    made = Value(value.dtype, tuple(shape), None, value.stored)
    if value.data is None or value.shape is None or None in shape or size(shape) > SMALL or len(shape) > DEEP:
        return made
    if not size(shape):
        return made._replace(data=())
    steps = strides(known(value.shape))
    places = product(*[range(one) for one in known(shape)])
    data = tuple(value.data[sum(at * step for at, step in zip(choose(place), steps))] for place in places)
    return made._replace(data=data)


def shape_of(call: Call) -> List[Value]:
    """Shape: sizes as a tensor, open ones as open elements."""
    shape = call.shape(0)
    rank = len(shape)
    begin, end = call.whole("start", 0), call.whole("end", rank)
    part = shape[slice(begin, end)]
    return [Value("int64", (len(part),), part)]


def size_of(call: Call) -> List[Value]:
    """Size: the number of elements."""
    return [Value("int64", (), (size(call.shape(0)),))]


def reshape(call: Call) -> List[Value]:
    """Reshape: 0 keeps a size, -1 takes what is left."""
    x, asked = call.value(0), call.list("shape", 1)
    if asked is None:
        raise Unknown
    shape: List[Optional[int]] = list(asked)
    if not call.whole("allowzero", 0):
        shape = [call.shape(0)[place] if one == 0 else one for place, one in enumerate(shape)]
    if shape.count(-1) > 1:
        raise Unknown
    if -1 in shape:
        shape[shape.index(-1)] = _left(x.shape, [one for one in shape if one != -1])
    return [Value(x.dtype, tuple(shape), x.data, x.stored)]


def _left(shape: Optional[Dims], others: Sequence[Optional[int]]) -> Optional[int]:
    """The size that -1 stands for; sizes open on both sides cancel only when they are the one unknown of each."""
    if shape is None or None in shape or None in others:
        return None
    whole, part = size(shape), size(others)
    if not part or whole % part:
        raise Unknown
    return whole // part


def flatten(call: Call) -> List[Value]:
    """Flatten: two axes."""
    x = call.shape(0)
    axis = call.whole("axis", 1)
    if not -len(x) <= axis <= len(x):
        raise Unknown
    cut = axis if axis >= 0 else axis + len(x)
    return [plain((_product(x[:cut]), _product(x[cut:])), call.value(0))]


def _product(shape: Dims) -> Optional[int]:
    return None if None in shape else size(shape)


def transpose(call: Call) -> List[Value]:
    """Transpose."""
    x = call.shape(0)
    order = call.list("perm") or list(range(len(x)))[::-1]
    if sorted(order) != list(range(len(x))):
        raise Unknown
    back = [order.index(axis) for axis in range(len(x))]
    return [pick(call.value(0), [x[axis] for axis in order], lambda place: [place[axis] for axis in back])]


def concat(call: Call) -> List[Value]:
    """Concat; elements are joined where the tensors are shapes: of one axis."""
    values = [call.value(index) for index in range(len(call.inputs))]
    shapes = [call.shape(index) for index in range(len(call.inputs))]
    rank = len(shapes[0])
    axis = axis_of(call.whole("axis", 1), rank)
    along = [shape[axis] for shape in shapes]
    rest = [next((s[place] for s in shapes if s[place] is not None), None) for place in range(rank)]
    rest[axis] = None if None in along else sum(known(along))
    joined: Optional[Tuple[Any, ...]] = None
    if rank == 1 and all(value.data is not None for value in values):
        joined = tuple(one for value in values for one in value.data or ())
    return [Value(values[0].dtype, tuple(rest), joined)]


def split(call: Call) -> List[Value]:
    """Split: by sizes, or evenly into as many as there are outputs."""
    x, value = call.shape(0), call.value(0)
    axis = axis_of(call.whole("axis", 0), len(x))
    parts = call.list("split", 1)
    if parts is None:
        count = call.whole("num_outputs", call.outputs)
        total = known([x[axis]])[0]
        if count > SMALL:
            raise Unknown
        each = -(-total // count)
        parts = [min(each, total - each * place) for place in range(count)]
    made, begin = [], 0
    for part in parts:
        shape = [*x[:axis], part, *x[axis + 1 :]]
        made.append(pick(value, shape, _shifted(axis, begin)))
        begin += part or 0
    return made


def _shifted(axis: int, by: int) -> Callable[[Tuple[int, ...]], List[int]]:
    return lambda place: [at + by if number == axis else at for number, at in enumerate(place)]


def slice_(call: Call) -> List[Value]:
    """Slice, in attributes (opset 1) or inputs (opset 10)."""
    x = list(call.shape(0))
    starts, ends = call.list("starts", 1), call.list("ends", 2)
    if starts is None or ends is None:
        raise Unknown
    axes, steps = call.list("axes", 3) or list(range(len(starts))), call.list("steps", 4) or [1] * len(starts)
    ranges: Dict[int, range] = {}
    for axis, begin, end, step in zip(axes, starts, ends, steps):
        at = axis_of(axis, len(x))
        if None in (begin, end, x[at]):
            x[at] = None
            continue
        ranges[at] = range(*slice(begin, _end(end, step, known([x[at]])[0]), step).indices(known([x[at]])[0]))
        x[at] = len(ranges[at])
    if any(value is None for value in x):
        return [plain(tuple(x), call.value(0))]
    return [pick(call.value(0), x, lambda place: [ranges[a][p] if a in ranges else p for a, p in enumerate(place)])]


def _end(end: int, step: int, length: int) -> Optional[int]:
    """Python's end for ONNX's: walking backwards, an end before the first element means all of them."""
    return None if step < 0 and end < -length else end


def gather(call: Call) -> List[Value]:
    """Gather along an axis."""
    x, places = call.shape(0), call.value(1)
    if places.shape is None:
        raise Unknown
    axis, rank = axis_of(call.whole("axis", 0), len(x)), len(places.shape)
    shape = [*x[:axis], *places.shape, *x[axis + 1 :]]
    if places.data is None or None in places.data or None in places.shape or x[axis] is None:
        return [Value(call.value(0).dtype, tuple(shape), None, call.value(0).stored)]
    chosen = [axis_of(int(one), known([x[axis]])[0]) for one in places.data]
    steps = strides(known(places.shape))

    def choose(place: Tuple[int, ...]) -> List[int]:
        inner = sum(at * step for at, step in zip(place[axis : axis + rank], steps))
        return [*place[:axis], chosen[inner], *place[axis + rank :]]

    return [pick(call.value(0), shape, choose)]


def gather_nd(call: Call) -> List[Value]:
    """GatherND."""
    x, places = call.shape(0), call.shape(1)
    batch, depth = call.whole("batch_dims", 0), known([places[-1]])[0]
    return [plain((*places[:-1], *x[batch + depth :]), call.value(0))]


def squeeze(call: Call) -> List[Value]:
    """Squeeze: the named axes, or all of size 1."""
    x, value = call.shape(0), call.value(0)
    axes = call.list("axes", 1)
    gone = {axis_of(one, len(x)) for one in axes} if axes is not None else {a for a, n in enumerate(known(x)) if n == 1}
    shape = tuple(one for axis, one in enumerate(x) if axis not in gone)
    return [Value(value.dtype, shape, value.data, value.stored)]


def unsqueeze(call: Call) -> List[Value]:
    """Unsqueeze: axes of size 1 more."""
    x, value = call.shape(0), call.value(0)
    axes = call.list("axes", 1)
    if not axes:
        raise Unknown
    rank = len(x) + len(axes)
    new = {axis_of(one, rank) for one in axes}
    rest = iter(x)
    shape = tuple(1 if axis in new else next(rest) for axis in range(rank))
    return [Value(value.dtype, shape, value.data, value.stored)]


def expand(call: Call) -> List[Value]:
    """Expand: broadcast to a shape."""
    shape = broadcast([call.shape(0), tuple(call.data(1))])
    value, lead = call.value(0), len(shape) - len(call.shape(0))
    x = call.shape(0)
    return [pick(value, shape, lambda place: [0 if x[a] == 1 else place[a + lead] for a in range(len(x))])]


def tile(call: Call) -> List[Value]:
    """Tile: each axis so many times."""
    x, times = call.shape(0), call.data(1)
    if len(times) != len(x):
        raise Unknown
    return [plain(tuple(None if None in (a, b) else a * b for a, b in zip(x, times)), call.value(0))]


def pad(call: Call) -> List[Value]:
    """Pad: before and after each axis, or each of some axes."""
    x, pads = list(call.shape(0)), call.list("pads", 1) or call.list("paddings")
    if pads is None:
        raise Unknown
    axes = [axis_of(one, len(x)) for one in call.data(3)] if call.optional(3) is not None else list(range(len(x)))
    if len(pads) != 2 * len(axes):
        raise Unknown
    for number, axis in enumerate(axes):
        parts = [x[axis], pads[number], pads[number + len(axes)]]
        x[axis] = None if None in parts else sum(known(parts))
    return [plain(tuple(x), call.value(0))]


def constant_of_shape(call: Call) -> List[Value]:
    """ConstantOfShape: one value everywhere, a float zero unless told."""
    shape, told = tuple(call.data(0)), call.attributes.get("value")
    fill = told.data[0] if told and told.data else (0.0 if not told else None)
    small = fill is not None and None not in shape and size(shape) <= SMALL
    return [Value(told.dtype if told else "float32", shape, (fill,) * size(shape) if small else None)]


def depth_to_space(call: Call) -> List[Value]:
    """DepthToSpace and its inverse."""
    batch, channels, height, width = known(call.shape(0))
    block = call.whole("blocksize", 1)
    if call.op == "DepthToSpace":
        shape = (batch, channels // (block * block), height * block, width * block)
    else:
        shape = (batch, channels * block * block, height // block, width // block)
    return [plain(shape, call.value(0))]


def one_hot(call: Call) -> List[Value]:
    """OneHot: an axis more, of the given depth."""
    x, depth = call.shape(0), call.data(1)[0]
    axis = axis_of(call.whole("axis", -1), len(x) + 1)
    return [plain((*x[:axis], None if depth is None else int(depth), *x[axis:]), call.value(2))]


RULES: Dict[str, Rule] = {
    "Shape": shape_of, "Size": size_of, "Reshape": reshape, "Flatten": flatten, "Transpose": transpose,
    "Concat": concat, "Split": split, "Slice": slice_, "Gather": gather, "GatherND": gather_nd, "Squeeze": squeeze,
    "Unsqueeze": unsqueeze, "Expand": expand, "Tile": tile, "Pad": pad, "ConstantOfShape": constant_of_shape,
    "DepthToSpace": depth_to_space, "SpaceToDepth": depth_to_space, "OneHot": one_hot,
}  # fmt: skip
