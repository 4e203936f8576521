"""What a model is fed: seeded values without denormals, or the user's own files (numpy is handed in; Python >= 3.8).

Seeded floats are uniform in [0, 1), which holds no denormal: those slow a CPU down by up to 70 times and say nothing of
the model. A quantised input gets the same real numbers, quantised, so that variants of one model see the same thing.
Whole numbers are the same draws, spread over their span. Where there is no numpy (`tensors`, for served models) the
standard library draws the same numbers, so that a model answers there as it does here.
"""

from __future__ import annotations

import difflib
import hashlib
import math
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence

from edgemon.probe.result import Request

MOST = 1 << 28
"""Elements of one input."""
FLOATS = ("float32", "float16", "float64")
SPANS, SPAN = {"uint8": (0, 256), "int8": (-128, 128)}, (0, 2)
"""What whole numbers are drawn from, the last left out, and those of every other type."""
SEEDED = "seeded "
KNOWN = (*FLOATS, *SPANS, "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool")


class Port(NamedTuple):
    """An input or output as the model declares it; a size that is no number from 0 on is open, no sizes may mean any.

    A real value is (stored - zero) * scale where scale is not 0.
    """

    name: str
    dtype: str
    shape: Sequence[Any]
    scale: float = 0.0
    zero: int = 0


class Inputs:
    """The sets of arrays a model is fed, one for each seed or each set of files; ValueError for what does not fit.

    `told` stands for their content: the digest of what is given, `seeded real 1x3x224x224` for what is not.
    """

    def __init__(self, numpy: Any, request: Request, ports: Sequence[Port]) -> None:
        self._numpy, self._shapes = numpy, request.shapes
        names = [port.name for port in ports]
        unknown("shapes", request.shapes, names, "the model's inputs are")
        for files in request.inputs:
            unknown("inputs", files, names, "the model's inputs are")
        self.told = ""
        if request.inputs:
            self.sets = [self._given(files, ports) for files in request.inputs]
        else:
            self.sets = [self._seeded(seed, ports) for seed in request.seeds]
            self.told = "%s%s" % (SEEDED, ", ".join(self._kind(port) for port in ports))

    def _seeded(self, seed: int, ports: Sequence[Port]) -> Dict[str, Any]:
        random = self._numpy.random.RandomState(seed)  # its stream is frozen across numpy versions
        return {port.name: self._random(port, random) for port in ports}

    def _random(self, port: Port, random: Any) -> Any:
        known(port)
        drawn = random.random_sample(sized(port, self._shapes.get(port.name)))
        if port.scale:
            return self._quantised(port, drawn)
        if port.dtype in FLOATS:
            made = drawn.astype(port.dtype)
            made[made < self._numpy.finfo(port.dtype).tiny] = 0  # float16 has denormals from 6e-5 down
            return made
        low, high = SPANS.get(port.dtype, SPAN)
        return self._numpy.asarray(self._numpy.floor(drawn * (high - low)) + low).astype(port.dtype)

    def _kind(self, port: Port) -> str:
        """What the seeds make of an input: all real numbers are alike, quantised or not."""
        kind = "real" if port.scale or port.dtype in FLOATS else port.dtype
        return "%s %s" % (kind, "x".join(map(str, sized(port, self._shapes.get(port.name)))))

    def _given(self, files: Dict[str, str], ports: Sequence[Port]) -> Dict[str, Any]:
        missing = [port.name for port in ports if port.name not in files]
        if missing:
            raise ValueError("inputs gives nothing for %s; name a .npy or raw file for each input" % ", ".join(missing))
        arrays = {port.name: self._read(port, files[port.name]) for port in ports}
        sha256 = hashlib.sha256(self.told.encode())
        for name in sorted(arrays):
            sha256.update(repr((name, str(arrays[name].dtype), arrays[name].shape)).encode())
            sha256.update(arrays[name].tobytes())
        self.told = sha256.hexdigest()
        return {port.name: self._fitted(port, arrays[port.name]) for port in ports}

    def _read(self, port: Port, path: str) -> Any:
        try:
            array = self._numpy.load(path, allow_pickle=False) if path.endswith(".npy") else self._raw(port, path)
        except OSError as error:
            said = (error.strerror or str(error)).lower()
            raise ValueError("input %s: %s cannot be read: %s" % (port.name, path, said)) from None
        except ValueError as error:
            raise ValueError("input %s: %s: %s" % (port.name, path, str(error).lower())) from None
        check(self._numpy, port, path, array)
        return self._numpy.ascontiguousarray(array)

    def _raw(self, port: Port, path: str) -> Any:
        array, shape = self._numpy.fromfile(path, dtype=port.dtype), sized(port, self._shapes.get(port.name))
        if array.size != math.prod(shape):
            text = "holds %d values of %s, the shape %s needs %d"
            raise ValueError(text % (array.size, port.dtype, shape, math.prod(shape)))
        return array.reshape(shape)

    def _fitted(self, port: Port, array: Any) -> Any:
        return self._quantised(port, array) if port.scale and str(array.dtype) in FLOATS else array

    def _quantised(self, port: Port, real: Any) -> Any:
        span = self._numpy.iinfo(port.dtype)
        return self._numpy.clip(self._numpy.rint(real / port.scale) + port.zero, span.min, span.max).astype(port.dtype)


def known(port: Port) -> None:
    """Raise ValueError for an input of a type that cannot be made."""
    if port.dtype not in KNOWN:
        raise ValueError("input %s is of type %s, which edgemon cannot make" % (port.name, port.dtype))


def sized(port: Port, given: Optional[Sequence[int]], most: int = MOST) -> List[int]:
    """The shape to make of what a model declares and what the probe's `shapes` say; ValueError where that is none.

    Of open sizes only the first is taken for 1.
    """
    if given is not None:
        if not fits(given, port.shape):
            text = "input %s has the shape %s, which the probe's shapes %s do not fit"
            raise ValueError(text % (port.name, port.shape, given))
        return list(given)
    shape = [1 if index == 0 and is_open(size) else size for index, size in enumerate(port.shape)]
    if any(is_open(size) for size in shape):
        example = [1 if is_open(size) else size for size in shape]
        text = "input %s has the open shape %s: give it in the probe's shapes, as in {%s: %s}"
        raise ValueError(text % (port.name, port.shape, port.name, example))
    if math.prod(shape) > most:
        raise ValueError("input %s has %d elements, edgemon makes up to %d" % (port.name, math.prod(shape), most))
    return shape


def is_open(size: Any) -> bool:
    """Whether a model leaves a size open: by a name, by None, by -1."""
    return not isinstance(size, int) or size < 0


def check(numpy: Any, port: Port, path: str, array: Any) -> None:
    """Raise ValueError for an array that is not what the input declares, or that would spoil every measurement."""
    dtype, shape = str(array.dtype), list(array.shape)
    if dtype != port.dtype and not (port.scale and dtype in FLOATS):
        raise ValueError("input %s is %s, %s holds %s" % (port.name, port.dtype, path, dtype))
    if not fits(shape, port.shape):
        raise ValueError("input %s has the shape %s, %s holds %s" % (port.name, list(port.shape), path, shape))
    if dtype not in FLOATS:
        return
    if not numpy.isfinite(array).all():
        raise ValueError("input %s: %s holds NaN or infinity" % (port.name, path))
    tiny = int(((array != 0) & (abs(array) < numpy.finfo(array.dtype).tiny)).sum())
    if tiny and dtype != "float16":
        text = "input %s: %s holds %d denormal values, which slow CPUs down up to 70 times; set them to 0"
        raise ValueError(text % (port.name, path, tiny))


def alike(ours: str, theirs: str) -> bool:
    """Whether two models saw the same: seeded inputs of one kind, or files of one's own, taken to show the same."""
    return bool(ours) and (ours == theirs or not (ours.startswith(SEEDED) or theirs.startswith(SEEDED) or not theirs))


def comparable(ports: Sequence[Port]) -> Sequence[Port]:
    """The outputs as they are; ValueError for one whose values are no numbers."""
    for port in ports:
        if port.dtype not in KNOWN:
            raise ValueError("output %s is a %s, which edgemon cannot compare" % (port.name, port.dtype))
    return ports


def fits(given: Sequence[int], declared: Sequence[Any]) -> bool:
    """Whether a shape is one of those declared; an empty declaration may mean any rank."""
    fixed = [free if is_open(size) else size for size, free in zip(declared, given)]
    return min(given, default=0) >= 0 and (not declared or (len(given) == len(declared) and fixed == list(given)))


def unknown(what: str, given: Iterable[str], known: Sequence[str], those: str = "known:") -> None:
    """Raise ValueError for names that are not among the known, with the nearest one."""
    strange = [name for name in given if name not in known]
    if strange:
        close = difflib.get_close_matches(strange[0], known, 1)
        hint = " (did you mean %s?)" % close[0] if close else ""
        raise ValueError("%s names %s%s; %s %s" % (what, ", ".join(strange), hint, those, ", ".join(known)))


def digest(*paths: str) -> str:
    """The sha256 of the model's files in order, in hex; ValueError when one cannot be read or is empty."""
    sha256 = hashlib.sha256()
    for path in paths:
        size = 0
        try:
            with open(path, "rb") as file:
                for block in iter(lambda: file.read(1 << 20), b""):
                    sha256.update(block)
                    size += len(block)
        except OSError as error:
            raise ValueError("model %s cannot be read: %s" % (path, (error.strerror or "").lower())) from None
        if not size:
            raise ValueError("model %s is empty" % path)
    return sha256.hexdigest()
