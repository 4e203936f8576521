"""Comparing outputs with golden ones: bits, largest difference, cosine, largest element (stdlib only, Python >= 3.8).

A tensor is plain: name, dtype, shape, sha256 of all its bytes, and its first values as numbers.
"""

import hashlib
import math
from typing import Any, Dict, Iterable, List, Sequence

from edgemon.probe.result import Tolerance

LONGEST = 4096
"""Values of one tensor that are kept and compared; the digest covers all of them."""


def tensor(name: str, dtype: str, shape: Sequence[int], raw: bytes, values: Iterable[float]) -> Dict[str, Any]:
    """A plain tensor from its bytes and its first values."""
    return {
        "name": name,
        "dtype": dtype,
        "shape": list(shape),
        "sha256": hashlib.sha256(raw).hexdigest(),
        "values": [float(value) for value in values],
    }


def finite(outputs: Sequence[Sequence[Dict[str, Any]]]) -> bool:
    """Whether no value of any output is NaN or infinite."""
    return all(math.isfinite(value) for tensors in outputs for one in tensors for value in one["values"])


def distance(
    outputs: Sequence[Sequence[Dict[str, Any]]], golden: Sequence[Sequence[Dict[str, Any]]]
) -> Dict[str, float]:
    """Worst distance over all inputs and tensors; empty when names or shapes differ.

    max_abs is relative to the largest golden magnitude of the tensor; cosine is 1 - similarity; top1 the share of
    tensors whose largest element moved; bits the share of tensors that are not bit-identical.
    """
    pairs = [(a, b) for ours, theirs in zip(outputs, golden) for a, b in zip(ours, theirs)]
    if len(outputs) != len(golden) or any(len(a) != len(b) for a, b in zip(outputs, golden)) or not pairs:
        return {}
    if any(a["name"] != b["name"] or a["shape"] != b["shape"] for a, b in pairs):
        return {}
    return {
        "bits": sum(a["sha256"] != b["sha256"] for a, b in pairs) / len(pairs),
        "max_abs": max(_max_abs(a["values"], b["values"]) for a, b in pairs),
        "cosine": max(1 - _cosine(a["values"], b["values"]) for a, b in pairs),
        "top1": sum(_top(a["values"]) != _top(b["values"]) for a, b in pairs) / len(pairs),
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
    return ""


def _max_abs(values: List[float], golden: List[float]) -> float:
    scale = max((abs(value) for value in golden), default=0.0) or 1.0
    return max((abs(a - b) for a, b in zip(values, golden)), default=0.0) / scale


def _cosine(values: List[float], golden: List[float]) -> float:
    norm = math.sqrt(sum(a * a for a in values) * sum(b * b for b in golden))
    if norm == 0.0:
        return 1.0 if values == golden else 0.0
    return min(1.0, sum(a * b for a, b in zip(values, golden)) / norm)


def _top(values: List[float]) -> int:
    return max(range(len(values)), key=values.__getitem__, default=-1)
