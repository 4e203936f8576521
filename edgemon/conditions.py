"""Conditions: what a device was like while a probe ran, in a few hundred bytes that are kept with the result.

`look.seen` takes them from one snapshot, `over` makes those of a run from all that were taken from just before it until
just after it, and `typical` those of several runs. Every mapping is by the `hw.id` of the thing or by what its comment
says; what nobody told is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from edgemon.judge.statistics import median

T = TypeVar("T")
TEXTS = ("modes", "governors", "states", "drivers", "supplies", "failing")
NOW, LIMIT, ALLOWED = range(3)
"""Of a clock: now, what the hardware can, what is allowed now (0: nobody says)."""
WORKER = "worker"
"""The clock of the fastest CPU the worker may use, as it saw it itself in the steady phase."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What held. `counters` grew by that much within `seconds`: for one moment these are the uptime.

    `temperatures` (°C) and `clocks` (Hz) are the highest seen, `memory` (share available) the lowest, `throttled`
    shares of the looks, `busy` of accelerators before the run. `limits` are the lowest of a temperature, with its type.
    """

    seconds: float = 0.0
    looks: int = 0
    uptime: float = 0.0
    temperatures: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    clocks: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    throttled: Mapping[str, float] = field(
        default_factory=dict
    )  # by `<cause> <hw.id>`; cooling devices by `cooling <id>`
    counters: Mapping[str, float] = field(
        default_factory=dict
    )  # `pressure cpu some`, `throttle <cause> <id>`, `error …`
    memory: Mapping[str, float] = field(default_factory=dict)  # `available`, a share
    taken: Mapping[str, float] = field(default_factory=dict)  # from the worker: `run_delay`, `steal`, shares
    modes: Mapping[str, str] = field(default_factory=dict)
    governors: Mapping[str, str] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)  # of accelerators that compute; `present` if nobody says
    drivers: Mapping[str, str] = field(default_factory=dict)  # driver and firmware version of accelerators
    busy: Mapping[str, float] = field(default_factory=dict)
    links: Mapping[str, tuple[float, float, float, float]] = field(default_factory=dict)  # lanes, of; transfers/s, of
    supplies: Mapping[str, str] = field(default_factory=dict)  # online, offline, or the state of the battery
    failing: Mapping[str, str] = field(default_factory=dict)  # sensors that do not read: denied, timeout, error

    def to_json(self) -> dict[str, Any]:
        """As plain values; what is empty is left out."""
        return {name: value for name, value in asdict(self).items() if value}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Conditions:
        """The inverse of `to_json`; TypeError or ValueError for anything else. Unknown names are ignored."""
        if not isinstance(data, Mapping):
            raise TypeError("conditions are not a mapping")
        names = [one.name for one in fields(Conditions) if one.name in data]
        return Conditions(**{name: _parsed(name, data[name]) for name in names})

    def rate(self, counter: str) -> float | None:
        """What a counter grew in a second: of a pressure the share of time; None if it was not told."""
        if counter not in self.counters or self.seconds <= 0:
            return None
        return self.counters[counter] / self.seconds

    def grown(self, kind: str) -> dict[str, float]:
        """Counters of a kind (`throttle thermal`) that grew, by id."""
        return _under(self.counters, kind)

    def active(self, cause: str) -> dict[str, float]:
        """What was slowed down for a cause, by id, with the share of looks in which it was."""
        return _under(self.throttled, cause)


def over(looks: Sequence[Conditions], clock: float = 0.0, taken: Mapping[str, float] | None = None) -> Conditions:
    """The conditions of a run, from those before it, during it and after it.

    `clock` is what its worker saw, in Hz, `taken` the shares of its time that others had.
    """
    first, last = looks[0], looks[-1]
    grown = {name: max(0.0, n - first.counters.get(name, 0.0)) for name, n in last.counters.items()}
    clocks = _joined([one.clocks for one in looks], lambda values: max(values, key=lambda value: value[NOW]))
    return Conditions(
        seconds=round(last.uptime - first.uptime, 3),
        looks=len(looks),
        uptime=round(last.uptime, 3),
        temperatures=_joined([one.temperatures for one in looks], max),
        limits=last.limits,
        clocks={**clocks, **({WORKER: (clock, 0.0, 0.0)} if clock else {})},
        throttled={name: short(n) for name, n in _mean([one.throttled for one in looks]).items() if n},
        counters={name: short(n) for name, n in grown.items() if n or name.startswith("pressure ")},
        memory=_joined([one.memory for one in looks], min),
        taken={name: short(n) for name, n in (taken or {}).items()},
        busy=first.busy,
        links=_joined([one.links for one in looks], max),
        **{name: getattr(last, name) for name in TEXTS},
    )


def typical(runs: Sequence[Conditions]) -> Conditions:
    """Several runs as one: medians of what they measured, sums of what counters grew, and the texts of the last."""
    return Conditions(
        seconds=short(sum(one.seconds for one in runs)),
        looks=sum(one.looks for one in runs),
        uptime=runs[-1].uptime,
        temperatures=_joined([one.temperatures for one in runs], median),
        limits=runs[-1].limits,
        clocks=_joined([one.clocks for one in runs], _middle),
        throttled={name: short(n) for name, n in _mean([one.throttled for one in runs]).items() if n},
        counters={name: short(n) for name, n in _sum([one.counters for one in runs]).items()},
        memory=_joined([one.memory for one in runs], median),
        taken=_joined([one.taken for one in runs], median),
        busy=_joined([one.busy for one in runs], median),
        links=_joined([one.links for one in runs], _middle),
        **{name: getattr(runs[-1], name) for name in TEXTS},
    )


def short(value: float) -> float:
    """Six digits: more say nothing and take room."""
    return float(f"{value:.6g}")


def _joined(maps: Sequence[Mapping[str, T]], join: Callable[[list[T]], T]) -> dict[str, T]:
    """One value of all those by each name."""
    names = dict.fromkeys(name for one in maps for name in one)
    return {name: join([one[name] for one in maps if name in one]) for name in names}


def _under(counts: Mapping[str, float], kind: str) -> dict[str, float]:
    """What is not 0 and whose name begins so, by the rest of the name."""
    return {name[len(kind) + 1 :]: n for name, n in counts.items() if n > 0 and name.startswith(f"{kind} ")}


def _sum(maps: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {
        name: sum(one.get(name, 0.0) for one in maps) for name in dict.fromkeys(name for one in maps for name in one)
    }


def _mean(maps: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """By how many there are; what is not there counts as 0."""
    return {name: value / len(maps) for name, value in _sum(maps).items()}


def _middle(values: list[T]) -> T:
    return sorted(values)[len(values) // 2]  # type: ignore[type-var]


def _parsed(name: str, value: Any) -> Any:
    """The value of a field, of its type."""
    if name in NUMBERS:
        return float(value)
    parse = _PARSERS.get(name, float)
    return {str(key): parse(one) for key, one in dict(value).items()}


def _numbers(count: int) -> Callable[[Any], tuple[float, ...]]:
    """A parser of so many numbers."""

    def parse(value: Any) -> tuple[float, ...]:
        found = tuple(float(one) for one in value)
        if len(found) != count:
            raise ValueError(f"{len(found)} numbers, not {count}")
        return found

    return parse


def _limit(value: Any) -> tuple[float, str]:
    celsius, kind = value
    return float(celsius), str(kind)


NUMBERS = ("seconds", "looks", "uptime")
_PARSERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(TEXTS, str),
    "clocks": _numbers(3),
    "links": _numbers(4),
    "limits": _limit,
}
