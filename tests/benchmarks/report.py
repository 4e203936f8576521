"""Tables, medians with their intervals, targets, and the conditions a run was made under."""

from __future__ import annotations

import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """What was promised, what was measured, and whether the promise holds."""

    promise: str
    measured: str
    met: bool


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print aligned columns, the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    print(f"\n{title}")
    for row in [heads, ["-" * width for width in widths], *rows]:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  " + "  ".join([row[0].ljust(widths[0]), *cells]).rstrip())


def verdicts(targets: Sequence[Target]) -> int:
    """Print every target as met or missed; how many were missed."""
    rows = [[one.promise, one.measured, "met" if one.met else "MISSED"] for one in targets]
    table("targets", ["target", "measured", ""], rows)
    return sum(not one.met for one in targets)


def quantile(values: Sequence[float], share: float) -> float:
    """The nearest rank, so always a value that was measured."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """An interval for the median by order statistics, of at least the confidence where there are enough values."""
    ordered, count = sorted(values), len(values)
    cut, tail = 0, 2.0**-count
    while cut + 1 < count / 2 and 2 * (tail + math.comb(count, cut + 1) * 2.0**-count) <= 1 - confidence:
        cut += 1
        tail += math.comb(count, cut) * 2.0**-count
    return ordered[cut], ordered[-1 - cut]


def spread(values: Sequence[float], scale: float = 1.0) -> str:
    """The median with its interval: `1.003 [0.998, 1.010]`."""
    low, high = interval(values)
    return f"{statistics.median(values) * scale:.3f} [{low * scale:.3f}, {high * scale:.3f}]"


class Bound:
    """How long a measurement may take (0 minutes: as long as it does), and how far it is, on standard error."""

    def __init__(self, minutes: float = 0.0) -> None:
        self._end = time.monotonic() + minutes * 60 if minutes else math.inf
        self._said = 0.0

    def over(self) -> bool:
        """Whether it must come to an end with what it has."""
        return time.monotonic() >= self._end

    def say(self, text: str) -> None:
        """Tell how far it is, every ten seconds at most."""
        if time.monotonic() >= self._said + 10:
            self._said = time.monotonic()
            print(f"  ... {text}", file=sys.stderr, flush=True)


class Conditions:
    """What the rest of the machine did between the making and the telling."""

    def __init__(self) -> None:
        self._before = _ticks()

    def tell(self) -> str:
        """Share of the machine that was busy, and stolen by the hypervisor."""
        now = _ticks()
        passed = [after - before for before, after in zip(self._before, now, strict=True)]
        whole = sum(passed) or 1
        busy = 1 - (passed[3] + passed[4]) / whole
        return f"machine {busy:.0%} busy, {passed[7] / whole:.1%} stolen, load {os.getloadavg()[0]:.2f}"


def machine() -> str:
    """Where this was measured."""
    with open("/proc/cpuinfo") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    system = f"Linux {platform.release()}, Python {platform.python_version()}"
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} CPUs, {system}"


def _ticks() -> list[int]:
    with open("/proc/stat") as file:
        return [int(field) for field in file.readline().split()[1:9]]
