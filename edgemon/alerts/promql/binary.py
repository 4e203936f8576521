"""Operators between vectors and scalars: arithmetic, comparison, set operations, and the matching of series."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgemon.alerts.promql.values import (
    NAME,
    RESERVED,
    EvaluationError,
    Labels,
    Vector,
    braced,
    divide,
    label,
    modulo,
    nameless,
    power,
    unique,
)

ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": divide,
    "%": modulo,
    "^": power,
    "atan2": math.atan2,
}
COMPARISON: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
SETS = ("and", "or", "unless")


@dataclass(frozen=True, slots=True)
class Matching:
    """How series of two vectors find each other; `many` is the side that may have several to one: "", left, right."""

    names: tuple[str, ...] = ()
    on: bool = False
    many: str = ""
    include: tuple[str, ...] = ()

    def key(self) -> Callable[[Labels], Labels]:
        """From labels to what must be equal."""
        chosen, on = frozenset(self.names if self.on else (*self.names, NAME)), self.on
        known: dict[Labels, Labels] = {}

        def of(labels: Labels) -> Labels:
            found = known.get(labels)
            if found is None:
                if len(known) > 10_000:
                    known.clear()
                found = known[labels] = tuple([pair for pair in labels if (pair[0] in chosen) is on])
            return found

        return of


def scalars(sign: str) -> Callable[[float, float], float]:
    """The operator between two numbers; comparisons give 1 or 0."""
    if sign in ARITHMETIC:
        return ARITHMETIC[sign]
    compare = COMPARISON[sign]
    return lambda left, right: float(compare(left, right))


def with_scalar(sign: str, boolean: bool, swapped: bool) -> Callable[[Vector, float], Vector]:
    """The operator between a vector and a number; `swapped` when the number stands to the left."""
    if sign in COMPARISON and not boolean:
        return _filtered(COMPARISON[sign], swapped)
    act = scalars(sign)
    if swapped:
        return lambda vector, number: unique([(nameless(labels), act(number, value)) for labels, value in vector])
    return lambda vector, number: unique([(nameless(labels), act(value, number)) for labels, value in vector])


def _filtered(compare: Callable[[float, float], bool], swapped: bool) -> Callable[[Vector, float], Vector]:
    if swapped:
        return lambda vector, number: [item for item in vector if compare(number, item[1])]
    return lambda vector, number: [item for item in vector if compare(item[1], number)]


def sets(sign: str, matching: Matching) -> Callable[[Vector, Vector], Vector]:
    """The set operators."""
    key = matching.key()

    def both(left: Vector, right: Vector) -> Vector:
        there = {key(labels) for labels, _ in right}
        return [item for item in left if key(item[0]) in there]

    def either(left: Vector, right: Vector) -> Vector:
        there = {key(labels) for labels, _ in left}
        return unique(left + [item for item in right if key(item[0]) not in there])

    def only(left: Vector, right: Vector) -> Vector:
        there = {key(labels) for labels, _ in right}
        return [item for item in left if key(item[0]) not in there]

    return {"and": both, "or": either, "unless": only}[sign]


def vectors(sign: str, boolean: bool, matching: Matching) -> Callable[[Vector, Vector], Vector]:
    """Arithmetic or comparison between two vectors, one to one or many to one."""
    key, flipped = matching.key(), matching.many == "right"
    act = ARITHMETIC.get(sign)
    compare = COMPARISON.get(sign)
    rename = _renaming(sign, boolean, matching)

    def value(left: float, right: float) -> float | None:
        if act:
            return act(left, right)
        holds = compare is not None and compare(left, right)
        return float(holds) if boolean else left if holds else None

    def run(left: Vector, right: Vector) -> Vector:
        if not left or not right:
            return []
        many, one = (right, left) if flipped else (left, right)
        ones = _ones(one, key, "left" if flipped else "right")
        taken: set[tuple[Labels, Labels]] = set()
        result: Vector = []
        for labels, first in many:
            match = key(labels)
            found = ones.get(match)
            if found is None:
                continue
            number = value(found[1], first) if flipped else value(first, found[1])
            if number is None:
                continue
            named = rename(labels, found[0])
            _once(taken, match, named, matching)
            result.append((named, number))
        return unique(result)

    return run


def _ones(vector: Vector, key: Callable[[Labels], Labels], side: str) -> dict[Labels, tuple[Labels, float]]:
    """The side that may have one series a group, by group."""
    ones: dict[Labels, tuple[Labels, float]] = {}
    for item in vector:
        match = key(item[0])
        if match in ones:
            raise EvaluationError(
                f"found duplicate series for the match group {braced(match)} on the {side} hand-side of the "
                f"operation: [{braced(item[0])}, {braced(ones[match][0])}];many-to-many matching not allowed: "
                "matching labels must be unique on one side"
            )
        ones[match] = item
    return ones


def _once(taken: set[tuple[Labels, Labels]], match: Labels, named: Labels, matching: Matching) -> None:
    """Refuse a second result for a group, or for a label set within it."""
    entry = (match, named if matching.many else match)
    if entry in taken:
        raise EvaluationError(
            "multiple matches for labels: "
            + (
                "grouping labels must ensure unique matches"
                if matching.many
                else "many-to-one matching must be explicit (group_left/group_right)"
            )
        )
    taken.add(entry)


def _renaming(sign: str, boolean: bool, matching: Matching) -> Callable[[Labels, Labels], Labels]:
    """From the labels of the many and of the one to those of the result."""
    drop = RESERVED if sign in ARITHMETIC else frozenset[str]()
    names = frozenset(matching.names)
    known: dict[tuple[Labels, Labels], Labels] = {}

    def rename(many: Labels, one: Labels) -> Labels:
        found = known.get((many, one))
        if found is None:
            if len(known) > 10_000:
                known.clear()
            kept = {key: value for key, value in many if key not in drop}
            if not matching.many:
                kept = {key: value for key, value in kept.items() if (key in names) is matching.on}
            found = known[many, one] = _included(kept, one, matching.include, boolean)
        return found

    return rename


def _included(kept: dict[str, str], one: Labels, include: Sequence[str], boolean: bool) -> Labels:
    for name in include:
        kept[name] = label(one, name)
    labels = tuple(sorted((name, value) for name, value in kept.items() if value))
    return nameless(labels) if boolean else labels
