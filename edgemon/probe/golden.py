"""Comparing outputs with golden ones: bits, largest difference, cosine, largest elements (stdlib only, Python >= 3.8).

A tensor is plain: name, dtype, shape, sha256 of all its bytes, and its values as numbers. Of a large one an even sample
is kept (every `step`-th value), with the places of its largest elements (`top`): enough to compare, bounded in size.
"""

import hashlib
import math
from typing import Any, Dict, Iterable, List, Sequence

from edgemon.probe.result import Tolerance

LONGEST = 4096
"""Values of one tensor that are kept and compared; the digest covers all of them."""
ALL = 1 << 16
"""Values of all tensors of all inputs: some 2 MB as JSON, a quarter of the answer the daemon reads."""
LEAST = 64
TOP = 16
"""Largest elements of a sampled tensor whose places are kept."""


def tensor(  # noqa: PLR0913, PLR0917 - the fields of a tensor
    name: str, dtype: str, shape: Sequence[int], raw: bytes, values: Iterable[float], step: int = 1,
    top: Sequence[int] = (),
) -> Dict[str, Any]:  # fmt: skip
    """A plain tensor from its bytes and its values, or every `step`-th of them and the places of the largest."""
    return {
        "name": name,
        "dtype": dtype,
        "shape": list(shape),
        "sha256": hashlib.sha256(raw).hexdigest(),
        "values": [float(value) for value in values],
        **({"step": step, "top": list(top)} if step > 1 else {}),
    }


def plain(numpy: Any, name: str, array: Any, share: int = 1, scale: float = 0.0, zero: int = 0) -> Dict[str, Any]:
    """The plain tensor of an array that is one of `share`; real values are (stored - zero) * scale if scale is given.

    Where any value is NaN or infinite, the values are those: they must not go unseen.
    """
    flat = array.ravel()
    real = (flat.astype("float64") - zero) * scale if scale else flat
    limit = max(LEAST, min(LONGEST, ALL // share))
    finite = numpy.isfinite(real)
    if not finite.all():
        return tensor(name, str(array.dtype), array.shape, array.tobytes(), real[~finite][:limit].tolist())
    step = max(1, math.ceil(real.size / limit))
    top: List[int] = []
    if step > 1:
        largest = numpy.argpartition(real, -TOP)[-TOP:]
        top = sorted(largest.tolist(), key=lambda place: (-float(real[place]), place))
    return tensor(name, str(array.dtype), array.shape, array.tobytes(), real[::step].tolist(), step, top)


def finite(outputs: Sequence[Sequence[Dict[str, Any]]]) -> bool:
    """Whether no value of any output is NaN or infinite."""
    return all(math.isfinite(value) for tensors in outputs for one in tensors for value in one["values"])


def distance(
    outputs: Sequence[Sequence[Dict[str, Any]]], golden: Sequence[Sequence[Dict[str, Any]]], top_k: int = 5
) -> Dict[str, float]:
    """Worst distance over all inputs and tensors; empty when names or shapes differ.

    max_abs is relative to the largest golden magnitude of the tensor; cosine is 1 - similarity; top1 the share of
    tensors whose largest element moved; topk the worst share of the `top_k` largest that are no longer among them;
    bits the share of tensors that are not bit-identical.
    """
    if any(a["name"] != b["name"] for ours, theirs in zip(outputs, golden) for a, b in zip(ours, theirs)):
        return {}
    return between(outputs, golden, top_k)


def between(
    outputs: Sequence[Sequence[Dict[str, Any]]], others: Sequence[Sequence[Dict[str, Any]]], top_k: int = 5
) -> Dict[str, float]:
    """The distance of two variants of a model, whose tensors are paired in order and may have other names."""
    pairs = [(a, b) for ours, theirs in zip(outputs, others) for a, b in zip(ours, theirs)]
    if len(outputs) != len(others) or any(len(a) != len(b) for a, b in zip(outputs, others)) or not pairs:
        return {}
    if any(a["shape"] != b["shape"] or a.get("step", 1) != b.get("step", 1) for a, b in pairs):
        return {}
    return {
        "bits": sum(a["sha256"] != b["sha256"] for a, b in pairs) / len(pairs),
        "max_abs": max(_max_abs(a["values"], b["values"]) for a, b in pairs),
        "cosine": max(1 - _cosine(a["values"], b["values"]) for a, b in pairs),
        "top1": sum(_top(a, 1) != _top(b, 1) for a, b in pairs) / len(pairs),
        "topk": max(_moved(_top(a, top_k), _top(b, top_k)) for a, b in pairs),
    }


def wrong(measured: Dict[str, float], tolerance: Tolerance) -> str:
    """Why the outputs are wrong, in words, or an empty string."""
    if not measured:
        return "outputs have other names or shapes than the golden ones"
    if measured["max_abs"] > tolerance.max_abs:
        return "largest difference is %.3g of the golden range, allowed %g" % (measured["max_abs"], tolerance.max_abs)
    if 1 - measured["cosine"] < tolerance.cosine:
        return "cosine similarity is %.5f, allowed from %g" % (1 - measured["cosine"], tolerance.cosine)
    if tolerance.top1 and measured["top1"]:
        return "the largest element moved for %.0f %% of the outputs" % (100 * measured["top1"])
    if 1 - measured["topk"] < tolerance.agreement:
        text = "%.0f %% of the %d largest elements stayed among them, allowed from %.0f %%"
        return text % (100 - 100 * measured["topk"], tolerance.top_k, 100 * tolerance.agreement)
    return ""


def _max_abs(values: List[float], golden: List[float]) -> float:
    scale = max((abs(value) for value in golden), default=0.0) or 1.0
    return max((abs(a - b) for a, b in zip(values, golden)), default=0.0) / scale


def _cosine(values: List[float], golden: List[float]) -> float:
    norm = math.sqrt(sum(a * a for a in values) * sum(b * b for b in golden))
    if norm == 0.0:
        return 1.0 if values == golden else 0.0
    return min(1.0, sum(a * b for a, b in zip(values, golden)) / norm)


def _top(one: Dict[str, Any], count: int) -> List[int]:
    """The places of the largest elements, the first of equals first."""
    values = one["values"]
    places: List[int] = one.get("top") or sorted(range(len(values)), key=lambda place: (-values[place], place))
    return places[:count]


def _moved(ours: List[int], theirs: List[int]) -> float:
    return 1 - len(set(ours) & set(theirs)) / len(theirs) if theirs else 0.0
