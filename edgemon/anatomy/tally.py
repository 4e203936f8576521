"""What a count comes to."""

from collections import Counter
from typing import Any, Dict, Sequence

from edgemon.anatomy.values import LARGEST, size

BITS = {"4": 4, "8": 8, "16": 16, "32": 32, "64": 64}
NAMED = 20
"""Operators named of those that were not counted."""


class Tally:
    """MACs, parameters, and what share of the nodes that compute is behind the MACs."""

    def __init__(self) -> None:
        self.macs = 0
        self.known = 0
        self.missed: Counter[str] = Counter()
        self.opaque = False
        self.precision: Counter[str] = Counter()
        self.elements: Counter[str] = Counter()

    def count(self, macs: int, precision: str) -> None:
        """A node whose MACs are known."""
        self.macs += macs
        self.known += 1
        self.precision[precision] += macs
        if self.macs >= LARGEST:
            raise ValueError("the model has more MACs than any device computes")

    def miss(self, operator: str, opaque: bool) -> None:
        """A node that computes, or may, and whose MACs are not known; `opaque` when it hides parameters too."""
        self.missed[operator] += 1
        self.opaque = self.opaque or opaque

    def store(self, dtype: str, shape: Sequence[int]) -> None:
        """A stored tensor of parameters."""
        self.elements[dtype or "unknown"] += size(shape)

    def result(self) -> Dict[str, Any]:
        """As facts: macs, parameters (None when a compiled part hides some), parameter_bytes by dtype, precision as
        shares of the MACs, coverage as the share of computing nodes whose MACs are known, and the others by operator.
        """
        nodes = self.known + sum(self.missed.values())
        return {
            "macs": self.macs,
            "parameters": None if self.opaque else sum(self.elements.values()),
            "parameter_bytes": {name: count * bits(name) // 8 for name, count in sorted(self.elements.items())},
            "precision": {name: macs / self.macs for name, macs in self.precision.most_common() if macs},
            "coverage": self.known / nodes if nodes else 1.0,
            "nodes": nodes,
            "uncounted": dict(self.missed.most_common(NAMED)),
        }


def bits(dtype: str) -> int:
    """Bits of an element."""
    digits = dtype.lstrip("abcdefghijklmnopqrstuvwxyz").split("e")[0]
    return 8 if dtype == "bool" else int(digits) if digits.isdigit() else 32
