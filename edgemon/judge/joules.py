"""Energy of one inference: what the device used while the model ran alone, and that above idle.

The idle power is measured in pauses of the same run, before and after. Their difference is part of the uncertainty, as
are the bounds of the meter. The accuracy of the sensor itself is not known here and comes on top.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgemon.energy import Spent
from edgemon.probe.result import Result

Meter = Callable[[float, float], "Spent | None"]
"""Energy of the whole device between two moments of CLOCK_BOOTTIME, where it can tell."""


@dataclass(frozen=True, slots=True)
class Joules:
    """Of one inference, in joules: all that the device used, that above idle, and the most the latter can be off.

    `idle` is the device's idle power in watts. `net` within `error` of nothing says that the meter is too coarse.
    """

    gross: float
    net: float
    error: float
    idle: float


def joules(result: Result, meter: Meter) -> Joules | None:
    """The energy of an inference; None where the run has no such windows or nothing meters them."""
    windows, count = result.windows, result.metered
    used = _spent(meter, windows.get("energy"))
    idles = [found for name in ("idle_before", "idle") if (found := _spent(meter, windows.get(name)))]
    if not used or not idles or count < 1:
        return None
    powers = [spent.joules / seconds for spent, seconds in idles]
    idle = sum(powers) / len(powers)
    doubt = sum(spent.error / seconds for spent, seconds in idles) / len(idles) + (max(powers) - min(powers)) / 2
    spent, seconds = used
    net, error = spent.joules - idle * seconds, spent.error + doubt * seconds
    return Joules(spent.joules / count, net / count, error / count, idle)


def _spent(meter: Meter, window: list[float] | None) -> tuple[Spent, float] | None:
    """Energy and length of a window."""
    found = meter(window[0], window[1]) if window else None
    return (found, window[1] - window[0]) if found and window else None
