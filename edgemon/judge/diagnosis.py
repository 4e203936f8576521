"""Diagnosis: why a probe is not ok, as causes ranked by how certain they are, each with its witnesses and a next step.

A cause is named only where a witness speaks for it. Witnesses add up: a proof makes it certain, a strong one likely, a
weak one possible, and more of them more; each that speaks against it makes it one step less so, and is shown. Of equal
certainty the order of `RULES` holds: what is closer to the root comes first. Where nothing at least likely explains
what is not ok, that is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from edgemon import inference
from edgemon.judge import accelerator, contention, software, speed
from edgemon.judge.case import Case, Kind, Rule, Weight, Witness
from edgemon.judge.validity import OFF
from edgemon.judge.verdict import State


class Strength(str, Enum):
    """How certain a cause is, the most certain first."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a probe may not be ok. `witnesses` speak for it, `against` against it; `step` is what to do next."""

    name: str
    strength: Strength
    meaning: str
    witnesses: tuple[Witness, ...]
    against: tuple[Witness, ...]
    step: str

    def __str__(self) -> str:
        but = f", but {'; '.join(str(one) for one in self.against)}" if self.against else ""
        return f"{self.strength.value} {self.name}: {'; '.join(str(one) for one in self.witnesses)}{but}"

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        both = [(one, "for") for one in self.witnesses] + [(one, "against") for one in self.against]
        witnesses = [
            {"what": one.what, "now": one.now, "then": one.then, "source": one.source, "speaks": side}
            for one, side in both
        ]
        names = {"name": self.name, "strength": self.strength.value, "meaning": self.meaning}
        return {**names, "witnesses": witnesses, "next": self.step}


def slower_device(case: Case) -> Iterator[Witness]:
    """That fixed work is slower, too; and what else differs."""
    sure = case.verdict.cause in {"device_slow", "memory_slow"}
    for name, slow in case.verdict.references.items():
        if slow >= 1 + OFF:
            where = case.series(inference.PROBE_KERNEL_SLOWDOWN, name)
            what, then = f"time of fixed work ({name} kernel)", "against the baseline"
            yield Witness(what, f"{slow - 1:+.0%}", then, where, Weight.PROOF if sure else Weight.STRONG)
    yield from (one for one in speed.warmer(case) if one.weight > 0)


def slower_engine(case: Case) -> Iterator[Witness]:
    """That the model is slower than fixed work on the same device explains."""
    share, sure = case.verdict.relative, case.verdict.cause == "slower"
    if share is not None and share >= 1 + OFF / 2 and case.referenced:
        where = case.series(inference.PROBE_RELATIVE)
        what, then = "time of the model over that of fixed work", "against the baseline"
        yield Witness(what, f"{share - 1:+.0%}", then, where, Weight.PROOF if sure else Weight.STRONG)


def not_known(case: Case) -> Iterator[Witness]:
    """That something is not ok."""
    where = case.series(inference.PROBE_VERDICT, case.verdict.state.value)
    yield Witness(case.verdict.cause.replace("_", " "), case.verdict.text, "", where)


EXPLAINING: tuple[Rule, ...] = (*accelerator.RULES, *software.RULES, *speed.RULES, *contention.RULES)
_NAMES = tuple(rule.name for rule in EXPLAINING)
RULES: tuple[Rule, ...] = (
    *EXPLAINING,
    Rule(
        "device_slow_unexplained",
        "the device is slower at work that never changes, and nothing that edgemon reads tells why",
        "edgemon doctor; look at what edgemon cannot read: a cooler that came off, a module in another slot",
        frozenset({Kind.SLOW}),
        slower_device,
        unless=_NAMES,
    ),
    Rule(
        "engine_slow_unexplained",
        "the model is slower while the device is not, though model, engine and driver are the same",
        "compare edgemon probe {probe} --json with a good device's, and the libraries below the engine",
        frozenset({Kind.SLOW}),
        slower_engine,
        unless=_NAMES,
    ),
    Rule(
        "unexplained",
        "nothing that edgemon reads tells why",
        "run it by hand: edgemon probe {probe}; then edgemon doctor, and the end of dmesg",
        frozenset(set(Kind)),
        not_known,
        unless=(*_NAMES, "device_slow_unexplained", "engine_slow_unexplained"),
    ),
)
"""Every cause there is, those closer to the root first."""
CAUSES = tuple(rule.name for rule in RULES)


def diagnose(case: Case) -> tuple[Cause, ...]:
    """Ranked causes of what is not ok; none where all is, or where too little is known for a verdict."""
    found: dict[str, Cause] = {}
    for rule in RULES if case.kind else ():
        likely = {name for name, one in found.items() if one.strength is not Strength.POSSIBLE}
        if case.kind in rule.kinds and not likely.intersection(rule.unless):
            cause = _weigh(rule, case)
            if cause:
                found[rule.name] = cause
    order = list(Strength)
    return tuple(sorted(found.values(), key=lambda one: order.index(one.strength)))


def _weigh(rule: Rule, case: Case) -> Cause | None:
    """The cause, if a witness speaks for it; support counts beside those only."""
    found = list(rule.find(case))
    core = max((one.weight for one in found), default=Weight.AGAINST)
    if core <= 0:
        return None
    witnesses = _distinct([*found, *(one for find in rule.support for one in find(case))])
    points = sum(one.weight for one in witnesses if one.weight > 0)
    against = sum(one.weight is Weight.AGAINST for one in witnesses)
    level = (0 if points >= 3 and core > Weight.WEAK else 1 if points >= 2 else 2) + against
    return Cause(
        rule.name,
        list(Strength)[min(level, 2)],
        rule.meaning,
        tuple(one for one in witnesses if one.weight > 0),
        tuple(one for one in witnesses if one.weight < 0),
        _step(rule, case),
    )


def _step(rule: Rule, case: Case) -> str:
    """What to do next; of what nothing explains, and of an endpoint, the stage it failed in says more."""
    failed_there = case.served and case.verdict.state is State.FAILING
    own = case.verdict.advice if failed_there or rule.name == "unexplained" else ""
    return own or rule.step.format(probe=case.result.probe)


def _distinct(witnesses: Sequence[Witness]) -> list[Witness]:
    """Each series once: what is said first stands."""
    return list({(one.what, one.source): one for one in reversed(witnesses)}.values())[::-1]


def summary(causes: Sequence[Cause]) -> str:
    """One line for an alert: `certain a: witnesses; then the names of the others`. Empty where there is no cause."""
    if not causes:
        return ""
    others = ", ".join(f"{one.strength.value} {one.name}" for one in causes[1:])
    return f"{causes[0]}" + (f". Also {others}" if others else "")
