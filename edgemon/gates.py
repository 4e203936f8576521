"""Gates: what on this device makes a probe wait. Pure functions of a snapshot and the local time.

A gate whose sensor is absent is open: what is not known holds nothing. Pressure is what PSI counted between two
snapshots, since its counters alone say nothing of now.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from edgemon import catalog, config, hardware
from edgemon.limits import Gates
from edgemon.metric import Metric
from edgemon.store import Snapshot
from edgemon.windows import window

SLOWED = "throttled"
"""The limit that holds a probe. At `high.critical` it would be too late, and many a chip runs above it all its life."""
HARMFUL = frozenset({"thermal", "power", "undervoltage", "hardware"})
"""Causes of throttling that pass; a cap that somebody set (software) stays, and measuring under it is right."""
SPAN = 10.0
"""Seconds over which pressure is averaged, as the kernel's avg10."""
RESOURCES = ("cpu", "memory", "io")


@dataclass(frozen=True, slots=True)
class Held:
    """Why a probe waits: the reason as it is counted, and the numbers."""

    reason: str
    text: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.text})"


class Pressure:
    """Share of time that tasks waited, by resource, over the last ten seconds or the last two snapshots."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Mapping[str, float]]] = deque()

    def see(self, snapshot: Snapshot) -> None:
        """Remember what PSI has counted so far."""
        waited = {labels[0]: value for labels, value in every(snapshot, catalog.PRESSURE_TIME) if labels[1] == "some"}
        while len(self._seen) > 1 and self._seen[1][0] <= snapshot.at - SPAN:
            self._seen.popleft()
        self._seen.append((snapshot.at, waited))

    def share(self, resource: str) -> float | None:
        """0 to 1, or None where it is not known."""
        if len(self._seen) < 2:
            return None
        (began, before), (ended, after) = self._seen[0], self._seen[-1]
        if resource not in before or resource not in after or ended <= began:
            return None
        return min(1.0, max(0.0, (after[resource] - before[resource]) / (ended - began)))


@dataclass(frozen=True, slots=True)
class View:
    """What gates look at: the device now, its recent pressure, the local time, the phase of the probe."""

    snapshot: Snapshot
    pressure: Pressure
    moment: time.struct_time
    phase: float = 0.0


def closed(gates: Gates, probe: config.Probe, view: View) -> Iterator[Held]:
    """Every gate that holds a probe now, the one to name first."""
    for reason, look in LOOKS.items():
        if reason not in probe.despite:
            text = look(gates, probe, view)
            if text:
                yield Held(reason, text)


def every(snapshot: Snapshot, metric: Metric) -> Iterator[tuple[tuple[str, ...], float]]:
    """Labels and value of every series of a metric."""
    return ((labels, value) for (one, labels), value in snapshot.series.items() if one is metric)


def _hot(gates: Gates, _probe: config.Probe, view: View) -> str:
    bounds: dict[str, float] = {}
    if gates.trip_points:
        for (ident, _, kind), value in every(view.snapshot, catalog.TEMPERATURE_LIMIT):
            if kind == SLOWED:
                bounds[ident] = min(value, bounds.get(ident, value))
    highest = gates.temperature or float("inf")
    over = [
        (value - limit, f"{value:.0f} °C, limit {limit:.0f} °C, {name or ident}")
        for (ident, name, _), value in every(view.snapshot, catalog.TEMPERATURE)
        if value >= (limit := min(highest, bounds.get(ident, highest)))
    ]
    return max(over)[1] if over else ""


def _throttled(gates: Gates, _probe: config.Probe, view: View) -> str:
    return ", ".join(throttled(view.snapshot)) if gates.throttled else ""


def throttled(snapshot: Snapshot) -> list[str]:
    """What is slowed down now, with the cause."""
    found = every(snapshot, hardware.THROTTLED)
    return sorted(f"{name or ident}: {cause}" for (ident, name, cause), value in found if value and cause in HARMFUL)


def _memory(gates: Gates, _probe: config.Probe, view: View) -> str:
    left = view.snapshot.series.get((catalog.MEMORY_AVAILABLE, ()))
    if left is None or left >= gates.memory:
        return ""
    return f"{left / (1 << 20):.0f} MiB available, {gates.memory >> 20} MiB wanted"


def short(gates: Gates, view: View) -> bool:
    """Whether memory is short, whatever a probe does despite that."""
    share, limit = view.pressure.share("memory"), gates.memory_pressure
    return bool(_memory(gates, config.Probe(), view)) or (limit > 0 and share is not None and share > limit)


def _load(gates: Gates, _probe: config.Probe, view: View) -> str:
    load = view.snapshot.series.get((catalog.LOAD_1M, ()))
    count = len({labels[0] for labels, _ in every(view.snapshot, catalog.CPU_TIME)})
    if not gates.load or load is None or not count or load / count <= gates.load:
        return ""
    return f"{load / count:.2f} per CPU, limit {gates.load:g}"


def _pressure(gates: Gates, _probe: config.Probe, view: View) -> str:
    for resource in RESOURCES:
        limit: float = getattr(gates, f"{resource}_pressure")
        share = view.pressure.share(resource) if limit else None
        if share is not None and share > limit:
            return f"tasks wait for {resource} {share:.0%} of the time, limit {limit:.0%}"
    return ""


def _battery(gates: Gates, _probe: config.Probe, view: View) -> str:
    charges = [value for _, value in every(view.snapshot, catalog.BATTERY_CHARGE)]
    if not gates.battery or not charges or not _discharging(view.snapshot):
        return ""
    low = min(charges) < gates.battery or gates.battery == 1
    return f"{min(charges):.0%} left, on battery, {gates.battery:.0%} wanted" if low else ""


def _discharging(snapshot: Snapshot) -> bool:
    """A battery says that it is discharging; where none says what it does, no supply delivers."""
    states = {labels[2] for labels, value in every(snapshot, catalog.SUPPLY_STATE) if value} - {"unknown"}
    online = [value for _, value in every(snapshot, catalog.SUPPLY_ONLINE)]
    return "discharging" in states if states else bool(online) and not any(online)


def _window(gates: Gates, probe: config.Probe, view: View) -> str:
    for only in filter(None, (gates.only, probe.only)):
        if not any(window(one).open(view.moment, view.phase) for one in only):
            return f"only {', '.join(only)}"
    shut = [one for one in (*gates.never, *probe.never) if window(one).open(view.moment)]
    return f"not {shut[0]}" if shut else ""


def _boot(gates: Gates, _probe: config.Probe, view: View) -> str:
    up = view.snapshot.series.get((catalog.UPTIME, ()))
    return f"up for {up:.0f} s of {gates.boot:.0f} s" if up is not None and up < gates.boot else ""


LOOKS: dict[str, Callable[[Gates, config.Probe, View], str]] = {
    "hot": _hot,
    "throttled": _throttled,
    "memory": _memory,
    "load": _load,
    "pressure": _pressure,
    "battery": _battery,
    "window": _window,
    "boot": _boot,
}
