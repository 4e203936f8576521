"""A look at the device: its conditions at one moment, from the snapshot of everything its sensors read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from edgemon import catalog, hardware
from edgemon.conditions import Conditions, short
from edgemon.metric import Metric, State
from edgemon.store import Series, Snapshot

MOST = 16
"""Entries of one kind that are kept: a server has hundreds of CPUs and sensors."""
HARMLESS = ("fan", "hot-surface-alert", "tcc offset")
"""What in the name of a cooling device tells that its level slows nothing down."""
COMPUTING = ("gpu", "npu", "tpu", "dla")
"""Accelerators (hw.type) that run models."""
T = TypeVar("T")


def seen(snapshot: Snapshot) -> Conditions:
    """The conditions at the moment of a snapshot."""
    look, at = _Look(snapshot.series), snapshot.at
    accelerators = look.accelerators()
    temperatures, limits = look.heat()
    return Conditions(
        seconds=at,
        looks=1,
        uptime=at,
        temperatures=temperatures,
        limits=limits,
        clocks=_first({**look.cpu_clocks(), **look.clocks()}),
        throttled=_first(look.throttled()),
        counters=look.counters(),
        memory=look.memory(),
        modes=_first(look.texts(hardware.POWER_MODE)),
        governors=_first(look.texts(catalog.CPU_GOVERNOR)),
        states=_first({ident: state for ident, (state, _) in accelerators.items()}),
        drivers=_first({ident: driver for ident, (_, driver) in accelerators.items() if driver}),
        busy=_first({one[0]: n for one, n in look.of(hardware.UTILIZATION) if one[2] in COMPUTING}),
        links=_first(look.links()),
        supplies=_first(look.supplies()),
        failing=_first(look.failing()),
    )


class _Look:
    """The series of a snapshot by metric."""

    def __init__(self, series: Mapping[Series, float]) -> None:
        self._by: dict[Metric, list[tuple[tuple[str, ...], float]]] = {}
        for (metric, labels), value in series.items():
            if metric in READ:
                self._by.setdefault(metric, []).append((labels, value))

    def of(self, metric: Metric) -> list[tuple[tuple[str, ...], float]]:
        """Labels and values."""
        return self._by.get(metric, [])

    def texts(self, metric: Metric) -> dict[str, str]:
        """Of an info of two labels: the second by the first."""
        return {one[0]: one[1] for one, _ in self.of(metric)}

    def heat(self) -> tuple[dict[str, float], dict[str, tuple[float, str]]]:
        """Temperatures and their limits, those with the least headroom first, then the hottest."""
        limits: dict[str, tuple[float, str]] = {}
        for (ident, _, kind), value in self.of(catalog.TEMPERATURE_LIMIT):
            limits[ident] = min(limits.get(ident, (value, kind)), (value, kind))
        heats = {one[0]: short(value) for one, value in self.of(catalog.TEMPERATURE)}
        order = sorted(heats, key=lambda ident: limits.get(ident, (200.0,))[0] - heats[ident])
        return {i: heats[i] for i in order[:MOST]}, {i: limits[i] for i in order[:MOST] if i in limits}

    def cpu_clocks(self) -> dict[str, tuple[float, float, float]]:
        """By cpufreq policy, which is called after its first CPU: the fastest CPU of it."""
        names = {one[0].removeprefix("policy") for one, _ in self.of(catalog.CPU_SPEED_LIMIT)}
        policies = {int(name) for name in names if name.isdecimal()}
        fastest: dict[str, float] = {}
        for (cpu,), value in self.of(catalog.CPU_FREQUENCY):
            first = max([one for one in policies if cpu.isdecimal() and one <= int(cpu)], default=None)
            if first is not None:
                fastest[f"policy{first}"] = max(fastest.get(f"policy{first}", 0.0), value)
        return {name: (value, *self._allowed(catalog.CPU_SPEED_LIMIT, name)) for name, value in fastest.items()}

    def clocks(self) -> dict[str, tuple[float, float, float]]:
        """By accelerator, memory among them."""
        return {one[0]: (n, *self._allowed(hardware.FREQUENCY_LIMIT, one[0])) for one, n in self.of(hardware.FREQUENCY)}

    def _allowed(self, metric: Metric, ident: str) -> tuple[float, float]:
        kinds = {one[-1]: value for one, value in self.of(metric) if one[0] == ident}
        return kinds.get("max", 0.0), kinds.get("throttled", 0.0)

    def throttled(self) -> dict[str, float]:
        """What slows something down now, 1 for each."""
        flags = {f"{cause} {ident}": 1.0 for (ident, _, cause), value in self.of(hardware.THROTTLED) if value}
        told = {one[0] for one, _ in self.of(hardware.THROTTLED)}
        for (ident, name), level in self.of(catalog.COOLING_LEVEL):
            if level > 0 and ident not in told and not any(word in name.lower() for word in HARMLESS):
                flags[f"cooling {ident}"] = 1.0
        return flags

    def counters(self) -> dict[str, float]:
        """Throttlings, pressure and errors so far."""
        found = {f"pressure {one[0]} {one[1]}": value for one, value in self.of(catalog.PRESSURE_TIME)}
        cpus = sum(value for _, value in self.of(catalog.CPU_THROTTLES))
        found |= {"throttle thermal cpu": cpus} if self.of(catalog.CPU_THROTTLES) else {}
        events = {f"throttle {cause} {ident}": n for (ident, _, cause), n in self.of(hardware.THROTTLE_EVENTS)}
        errors = {f"error {kind} {ident}": n for (ident, _, kind), n in self.of(hardware.ACCELERATOR_ERRORS)}
        return {**found, **_first(events), **_first(errors)}

    def memory(self) -> dict[str, float]:
        """The share of memory that is available."""
        limit = next((n for _, n in self.of(catalog.MEMORY_LIMIT)), 0.0)
        free = [n for _, n in self.of(catalog.MEMORY_AVAILABLE)]
        return {"available": short(free[0] / limit)} if free and limit else {}

    def accelerators(self) -> dict[str, tuple[str, str]]:
        """State, and driver with firmware version, of what runs models."""
        states = {one[0]: one[3] for one, value in self.of(hardware.ACCELERATOR_STATE) if value == 1}
        return {
            one[0]: (states.get(one[0], "present"), " ".join(part for part in one[5:] if part))
            for one, _ in self.of(hardware.ACCELERATOR_INFO)
            if one[2] in COMPUTING
        }

    def links(self) -> dict[str, tuple[float, float, float, float]]:
        """Lanes and transfers of PCIe links, now and at most."""
        told = [
            {one[0]: value for one, value in self.of(metric)}
            for metric in (
                hardware.LINK_WIDTH, hardware.LINK_WIDTH_LIMIT, hardware.LINK_TRANSFERS, hardware.LINK_TRANSFERS_LIMIT
            )
        ]  # fmt: skip
        idents = [ident for ident in told[0] if all(ident in one for one in told)]
        return {ident: (told[0][ident], told[1][ident], told[2][ident], told[3][ident]) for ident in idents}

    def supplies(self) -> dict[str, str]:
        """Whether mains deliver, and the state of batteries."""
        online = {one[0]: "online" if n else "offline" for one, n in self.of(catalog.SUPPLY_ONLINE)}
        return {**online, **{one[0]: one[2] for one, n in self.of(catalog.SUPPLY_STATE) if n == 1}}

    def failing(self) -> dict[str, str]:
        """Sensors that cannot be read."""
        bad = {State.DENIED.value, State.TIMEOUT.value, State.ERROR.value}
        return {f"{one[0]}.{one[1]}": one[2] for one, n in self.of(catalog.SENSOR_STATE) if n and one[2] in bad}


def _first(found: Mapping[str, T]) -> dict[str, T]:
    return dict(list(found.items())[:MOST])


READ = {
    catalog.TEMPERATURE, catalog.TEMPERATURE_LIMIT, catalog.CPU_SPEED_LIMIT, catalog.CPU_FREQUENCY,
    catalog.CPU_GOVERNOR, catalog.CPU_THROTTLES, catalog.COOLING_LEVEL, catalog.PRESSURE_TIME, catalog.MEMORY_LIMIT,
    catalog.MEMORY_AVAILABLE, catalog.SUPPLY_ONLINE, catalog.SUPPLY_STATE, catalog.SENSOR_STATE, hardware.FREQUENCY,
    hardware.FREQUENCY_LIMIT, hardware.THROTTLED, hardware.THROTTLE_EVENTS, hardware.ACCELERATOR_ERRORS,
    hardware.ACCELERATOR_INFO, hardware.ACCELERATOR_STATE, hardware.UTILIZATION, hardware.POWER_MODE,
    hardware.LINK_WIDTH, hardware.LINK_WIDTH_LIMIT, hardware.LINK_TRANSFERS, hardware.LINK_TRANSFERS_LIMIT,
}  # fmt: skip
