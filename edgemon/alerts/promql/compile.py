"""From the plain form of an expression, as `parse` gives it, to functions that evaluate it at a moment.

The plain form is JSON: parsing needs a library that the daemon does not carry, so that it happens in a child process.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edgemon.alerts.promql import aggregate, binary, functions
from edgemon.alerts.promql.node import Expression, Moment, Node, Plain, Ranges, Scalars, Vectors, back
from edgemon.alerts.promql.select import LOOKBACK, Selector, Source
from edgemon.alerts.promql.special import SPECIAL
from edgemon.alerts.promql.values import NAN, Labels, Vector, Window, nameless, unique
from edgemon.alerts.promql.windows import FUNCTIONS, Function, Span

STEP = 60_000
"""Milliseconds between the points of a subquery that names no step: Prometheus' default evaluation interval."""


def compiled(text: str, plain: Plain, source: Source) -> Expression:
    """Compile, and have the source keep what the expression looks back on."""
    compiler = Compiler(source)
    node = compiler.node(plain, 0)
    return Expression(text, node, compiler.reach)


@dataclass
class Compiler:
    """Compiles one expression; `beyond` is how many milliseconds the subqueries around a part reach back.

    `reach` is how many milliseconds it needs to be remembered; what is read from the snapshot needs none.
    """

    source: Source
    reach: int = 0
    marks: int = 0

    def node(self, plain: Plain, beyond: int) -> Node:
        """Compile a part."""
        made: Node = getattr(self, f"_{plain['op']}")(plain, beyond)
        return made

    def _number(self, plain: Plain, _beyond: int) -> Node:
        value = float(plain["value"])
        return Node("scalar", lambda _moment: value)

    def _string(self, plain: Plain, _beyond: int) -> Node:
        return Node("string", plain["value"])

    def _select(self, plain: Plain, reach: int, watch: bool = True) -> Selector:
        selector = Selector([(name, sign, value) for name, sign, value in plain["matchers"]], reach)
        if watch:
            self.reach = max(self.reach, reach)
            self.source.watch(selector)
        return selector

    def _selector(self, plain: Plain, beyond: int) -> Node:
        pick = self.picked(plain, beyond)
        return Node("vector", lambda moment: [(labels, value) for labels, value, _ in pick(moment)])

    def picked(self, plain: Plain, beyond: int) -> Callable[[Moment], Iterable[tuple[Labels, float, int]]]:
        """Labels, value and time of each sample of an instant selector."""
        offset, pinned = plain["offset"], plain["at"] is not None
        earlier = back(plain, beyond)
        selector = self._select(plain, earlier + LOOKBACK, watch=earlier > 0)  # the present is in the snapshot
        return lambda moment: moment.source.instant(selector, (moment.top if pinned else moment.at) - offset)

    def _matrix(self, plain: Plain, beyond: int) -> Node:
        offset, length, pinned = plain["offset"], plain["range"], plain["at"] is not None
        selector = self._select(plain, back(plain, beyond) + length)

        def run(moment: Moment) -> tuple[Iterable[Window], int, int]:
            end = (moment.top if pinned else moment.at) - offset
            return moment.source.windows(selector, end - length, end), end - length, end

        return Node("matrix", run)

    def _subquery(self, plain: Plain, beyond: int) -> Node:
        offset, length, step = plain["offset"], plain["range"], plain["step"] or STEP
        pinned = plain["at"] is not None
        inner = self.node(plain["expr"], back(plain, beyond) + length).run

        def run(moment: Moment) -> tuple[Iterable[Window], int, int]:
            end = (moment.top if pinned else moment.at) - offset
            first = ((end - length) // step + 1) * step
            seen = {} if moment.seen is None else moment.seen
            found: dict[Labels, Window] = {}
            for at in range(first, end + 1, step):
                for labels, value in inner(moment._replace(at=at, seen=seen)):
                    window = found.get(labels)
                    if window is None:
                        window = found[labels] = Window(labels, array("q"), array("d"))
                    window.times.append(at)
                    window.values.append(value)
            return found.values(), end - length, end

        return Node("matrix", run)

    def _negate(self, plain: Plain, beyond: int) -> Node:
        inner = self.node(plain["expr"], beyond)
        run = inner.run
        if inner.kind == "scalar":
            return Node("scalar", lambda moment: -run(moment))
        mark = self.mark()
        return Node(
            "vector",
            lambda moment: unique(
                [(moment.rename(mark, labels, nameless(labels)), -value) for labels, value in run(moment)]
            ),
        )

    def mark(self) -> int:
        """A number for a node that renames series."""
        self.marks += 1
        return self.marks

    def _binary(self, plain: Plain, beyond: int) -> Node:
        left, right = self.node(plain["left"], beyond), self.node(plain["right"], beyond)
        sign, boolean, first, second = plain["sign"], plain["bool"], left.run, right.run
        if left.kind == right.kind == "scalar":
            act = binary.scalars(sign)
            return Node("scalar", lambda moment: act(first(moment), second(moment)))
        if right.kind == "scalar":
            scaled = binary.with_scalar(sign, boolean, swapped=False)
            return Node("vector", lambda moment: scaled(first(moment), second(moment)))
        if left.kind == "scalar":
            scaled = binary.with_scalar(sign, boolean, swapped=True)
            return Node("vector", lambda moment: scaled(second(moment), first(moment)))
        matching = binary.Matching(tuple(plain["names"]), plain["on"], plain["many"], tuple(plain["include"]))
        join = binary.sets(sign, matching) if sign in binary.SETS else binary.vectors(sign, boolean, matching)
        return Node("vector", lambda moment: join(first(moment), second(moment)))

    def _aggregate(self, plain: Plain, beyond: int) -> Node:
        name, names, without = plain["name"], plain["names"], plain["without"]
        run = self.node(plain["expr"], beyond).run
        key = aggregate.grouping(names, without)
        if name in aggregate.REDUCERS:
            reduce = aggregate.REDUCERS[name]
            return Node(
                "vector",
                lambda moment: [
                    (labels, reduce(values)) for labels, values in aggregate.grouped(run(moment), key).items()
                ],
            )
        with_ = self.node(plain["param"], beyond).run
        if name == "quantile":
            return Node("vector", lambda moment: aggregate.quantiles(with_(moment), run(moment), key))
        if name == "count_values":
            return Node("vector", lambda moment: aggregate.count_values(with_, run(moment), names, without))
        return Node("vector", lambda moment: aggregate.ranked(with_(moment), run(moment), key, name == "topk"))

    def _call(self, plain: Plain, beyond: int) -> Node:
        name = plain["name"]
        if name in SPECIAL:
            return SPECIAL[name](self, plain, beyond)
        arguments = [self.node(one, beyond) for one in plain["args"]]
        if name in FUNCTIONS:
            return self._over(name, arguments)
        first, others = arguments[0].run, [one.run for one in arguments[1:]]
        if name in functions.PLAIN:
            act = functions.PLAIN[name]
            return Node(
                "vector", lambda moment: unique([(nameless(labels), act(value)) for labels, value in first(moment)])
            )
        return _scaled(name, first, others)

    def _over(self, name: str, arguments: list[Node]) -> Node:
        """A function of a range vector, and of a scalar before or after it."""
        function, ranges = FUNCTIONS[name], next(one.run for one in arguments if one.kind == "matrix")
        scalar = next((one.run for one in arguments if one.kind == "scalar"), lambda _moment: NAN)
        if name == "last_over_time":
            return Node("vector", lambda moment: unique(_applied(function, ranges, scalar, moment, None)))
        mark = self.mark()
        return Node("vector", lambda moment: unique(_applied(function, ranges, scalar, moment, mark)))


def _applied(function: Function, ranges: Ranges, scalar: Scalars, moment: Moment, mark: int | None) -> Vector:
    windows, start, end = ranges(moment)
    span, result = Span(start, end, moment.at, scalar(moment)), []
    for labels, times, values in windows:
        value = function(times, values, span)
        if value is not None:
            named = labels if mark is None else moment.rename(mark, labels, nameless(labels))
            result.append((named, value))
    return result


def _scaled(name: str, vector: Vectors, scalars: list[Scalars]) -> Node:
    act = functions.SCALED[name]

    def run(moment: Moment) -> Vector:
        numbers = [one(moment) for one in scalars]
        found = vector(moment)
        if name == "clamp" and numbers[1] < numbers[0]:
            return []
        return unique([(nameless(labels), act(value, *numbers)) for labels, value in found])

    return Node("vector", run)
