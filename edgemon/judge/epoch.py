"""Epochs: rounds in a row with one fingerprint. Where another begins, the old one is held against the new.

A changed fingerprint (an engine, a kernel, a power mode) makes the pinned baseline silent, since it is for another
device. What the change did is told all the same: the last rounds before it against the first after it. Within an
epoch the rounds of a while ago are a rolling baseline: it knows what is new, and cannot know what crept in slowly;
for that there is the pinned one, which only a person replaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from edgemon.judge.baseline import ROUNDS, Baseline, Round, fingerprint, processes
from edgemon.judge.compare import MANY, Change, change

T = TypeVar("T")
ENOUGH, RECENT, MOST = 3, 5, 20
"""Rounds that can be compared, rounds that are judged, and rounds they are compared with at most."""
MORE = (MANY, 15, 20, 25)
"""Rounds that are judged, one after the other, where the latest few are near a change and not clear."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """Rounds in a row that ran on the same thing, oldest first."""

    fingerprint: str
    rounds: tuple[Round, ...]

    @property
    def since(self) -> float:
        """Unix time of its first round, as far as rounds are remembered."""
        return self.rounds[0].at


@dataclass(frozen=True, slots=True)
class Turn:
    """Where the present epoch began, and the time of an inference in it over that in the one before."""

    before: str
    now: str
    since: float
    change: Change


def epochs(rounds: Iterable[Round]) -> list[Epoch]:
    """The epochs of a probe, oldest first."""
    return [Epoch(mark, tuple(group)) for mark, group in groupby(rounds, key=lambda one: one.fingerprint)]


def turn(rounds: Sequence[Round], effect: float) -> Turn | None:
    """The latest change of epoch; None without one, or while one of both has too few rounds to compare."""
    found = epochs(rounds)
    if len(found) < 2 or min(len(one.rounds) for one in found[-2:]) < ENOUGH:
        return None
    old, new = found[-2:]
    now, before = new.rounds[:MOST], old.rounds[-MOST:]
    values, old_values = ([one.value for one in some] for some in (now, before))
    moved = change(values, old_values, effect, (processes(now), processes(before)))
    return Turn(old.fingerprint, new.fingerprint, new.since, moved)


def rolling(probe: str, key: Mapping[str, str], rounds: Sequence[Round]) -> Baseline | None:
    """The rounds of this fingerprint before the latest few, as a baseline; None while there are too few."""
    mark = fingerprint(key)
    own = [one for one in rounds if one.fingerprint == mark][:-RECENT]
    own = spread(own, processes(own))
    if len(own) < ROUNDS:
        return None
    return gathered(probe, key, own)


def spread(rounds: Sequence[T], of: Sequence[float]) -> list[T]:
    """The latest rounds, up to MOST: of a worker that stays only the last few, so that they see many processes.

    `of` is the process of each; none where no two share one.
    """
    own: dict[float, list[T]] = {}
    for one, process in zip(rounds, of or range(len(rounds)), strict=True):
        own.setdefault(process, []).append(one)
    each = max(2, MOST // max(1, len(own)))
    return [one for some in own.values() for one in some[-each:]][-MOST:]


def gathered(probe: str, key: Mapping[str, str], rounds: Sequence[Round]) -> Baseline:
    """Rounds of one fingerprint as a baseline, with the reference kernels that all of them ran."""
    last = rounds[-1]
    same = sorted(name for name in last.references if all(alike(one, last, name) for one in rounds))
    return Baseline(
        probe=probe,
        fingerprint=last.fingerprint,
        key=key,
        rounds=tuple(one.value for one in rounds),
        at=last.at,
        references={name: tuple(one.references[name] for one in rounds) for name in same},
        kernels={name: last.kernels.get(name, "") for name in same},
        processes=processes(rounds),
    )


def alike(one: Round, other: Round, name: str) -> bool:
    """Whether both rounds ran the same reference kernel."""
    return name in one.references and one.kernels.get(name) == other.kernels.get(name)
