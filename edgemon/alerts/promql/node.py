"""When an expression is evaluated, and what its compiled parts are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from edgemon.alerts.promql.select import Source
from edgemon.alerts.promql.values import NOWHERE, SAME, EvaluationError, Labels, Vector, Window

Plain = Mapping[str, Any]


class Moment(NamedTuple):
    """When an expression is evaluated: `at` and the query's own `top` in milliseconds of CLOCK_BOOTTIME.

    `ahead` is how much the wall clock is ahead of it. `seen` is set within subqueries: which series each label set
    came from, as one label set from two series is an error there even at different times.
    """

    source: Source
    at: int
    top: int
    ahead: int = 0
    seen: dict[tuple[int, Labels], Labels] | None = None

    def rename(self, node: int, before: Labels, after: Labels) -> Labels:
        """Note that a node renames a series."""
        if self.seen is not None and self.seen.setdefault((node, after), before) != before:
            raise EvaluationError(SAME)
        return after


Scalars = Callable[[Moment], float]
Vectors = Callable[[Moment], Vector]
Ranges = Callable[[Moment], tuple[Iterable[Window], int, int]]
"""Windows, and the start (excluded) and the end (included) of the range in milliseconds."""


class Node(NamedTuple):
    """A compiled part: what it gives (scalar, vector, matrix, string), and the function that gives it."""

    kind: str
    run: Any


@dataclass(frozen=True)
class Expression:
    """A compiled expression; `reach` is how many milliseconds it looks back, 0 if only at the present."""

    text: str
    node: Node
    reach: int

    @property
    def scalar(self) -> bool:
        """Whether it gives a number, not a vector."""
        return self.node.kind == "scalar"

    def evaluate(self, source: Source, at: float, wall: float | None = None) -> Vector:
        """The vector (a number has no labels) at a time in seconds of CLOCK_BOOTTIME; EvaluationError if there is none.

        `wall` is the time since 1970 at that moment, which only time(), timestamp() and the date functions see.
        """
        stamp = round(at * 1000)
        ahead = 0 if wall is None else round(wall * 1000) - stamp
        found = self.node.run(Moment(source, stamp, stamp, ahead))
        return [(NOWHERE, found)] if self.scalar else found


class Compiling(Protocol):
    """What the builders of single functions need of the compiler."""

    def node(self, plain: Plain, beyond: int) -> Node:
        """Compile a part."""

    def picked(self, plain: Plain, beyond: int) -> Callable[[Moment], Iterable[tuple[Labels, float, int]]]:
        """Labels, value and time of each sample of an instant selector."""

    def mark(self) -> int:
        """A number for a node that renames series."""


def back(plain: Plain, beyond: int) -> int:
    """How many milliseconds before the evaluation a selector or subquery is evaluated at the earliest."""
    offset: int = plain["offset"]
    return max(0, offset + (0 if plain["at"] else beyond))
