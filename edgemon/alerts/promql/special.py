"""Functions that are more than a function of each value: what they take and give differs from one to the next."""

from __future__ import annotations

import math
from collections.abc import Callable

from edgemon.alerts.promql import functions, relabel
from edgemon.alerts.promql.buckets import histogram_quantile
from edgemon.alerts.promql.node import Compiling, Moment, Node, Plain
from edgemon.alerts.promql.select import predicate
from edgemon.alerts.promql.values import NAME, NAN, NOWHERE, Labels, Vector, labelset, nameless, unique

Builder = Callable[[Compiling, Plain, int], Node]


def _absent(compiler: Compiling, plain: Plain, beyond: int) -> Node:
    argument = plain["args"][0]
    inner, labels = compiler.node(argument, beyond), _expected(argument)
    run = inner.run
    if inner.kind == "matrix":
        return Node("vector", lambda moment: [] if any(True for _ in run(moment)[0]) else [(labels, 1.0)])
    return Node("vector", lambda moment: [] if run(moment) else [(labels, 1.0)])


def _expected(plain: Plain) -> Labels:
    """The labels that the selector says what is absent would have.

    Those of its = matchers, unless another matcher of the same label follows; Prometheus' storage has by then put
    those last that only take series away.
    """
    matchers = plain["matchers"] if plain["op"] in {"selector", "matrix"} else ()
    needed = {name for name, sign, value in matchers if not predicate(sign, value)("")}

    def takes_away(name: str, sign: str, value: str) -> bool:
        return name not in needed or (sign in {"!=", "!~"} and predicate(sign, value)(""))

    found: dict[str, str] = {}
    seen: set[str] = set()
    for name, sign, value in sorted(matchers, key=lambda matcher: takes_away(*matcher)):
        if sign == "=" and name not in seen:
            found[name] = value
            seen.add(name)
        else:
            found[name] = ""
    return labelset({**found, NAME: ""})


def _scalar(compiler: Compiling, plain: Plain, beyond: int) -> Node:
    run = compiler.node(plain["args"][0], beyond).run

    def only(moment: Moment) -> float:
        vector: Vector = run(moment)
        return vector[0][1] if len(vector) == 1 else NAN

    return Node("scalar", only)


def _vector(compiler: Compiling, plain: Plain, beyond: int) -> Node:
    run = compiler.node(plain["args"][0], beyond).run
    return Node("vector", lambda moment: [(NOWHERE, run(moment))])


def _timestamp(compiler: Compiling, plain: Plain, beyond: int) -> Node:
    argument = plain["args"][0]
    if argument["op"] == "selector":
        pick = compiler.picked(argument, beyond)
        return Node(
            "vector",
            lambda moment: unique([(nameless(labels), _seconds(at, moment)) for labels, _, at in pick(moment)]),
        )
    run = compiler.node(argument, beyond).run
    return Node(
        "vector",
        lambda moment: unique([(nameless(labels), _seconds(moment.at, moment)) for labels, _ in run(moment)]),
    )


def _seconds(at: int, moment: Moment) -> float:
    return (at + moment.ahead) / 1000


def _dated(compiler: Compiling, plain: Plain, beyond: int) -> Node:
    part = functions.PARTS[plain["name"]]
    if not plain["args"]:
        return Node("vector", lambda moment: [(NOWHERE, functions.date(part, _seconds(moment.at, moment)))])
    run = compiler.node(plain["args"][0], beyond).run
    return Node(
        "vector",
        lambda moment: unique([(nameless(labels), functions.date(part, value)) for labels, value in run(moment)]),
    )


def _relabelled(compiler: Compiling, plain: Plain, beyond: int) -> Node:
    first, *texts = [compiler.node(one, beyond).run for one in plain["args"]]
    change = (relabel.replacing if plain["name"] == "label_replace" else relabel.joining)(*texts)
    mark = compiler.mark()

    def run(moment: Moment) -> Vector:
        return relabel.apply(lambda labels: moment.rename(mark, labels, change(labels)), first(moment))

    return Node("vector", run)


def _histogram(compiler: Compiling, plain: Plain, beyond: int) -> Node:
    share, vector = (compiler.node(one, beyond).run for one in plain["args"])
    return Node("vector", lambda moment: histogram_quantile(share(moment), vector(moment)))


def _sorted(compiler: Compiling, plain: Plain, beyond: int) -> Node:
    run, sign = compiler.node(plain["args"][0], beyond).run, -1.0 if plain["name"] == "sort_desc" else 1.0
    return Node("vector", lambda moment: sorted(run(moment), key=lambda item: (item[1] != item[1], sign * item[1])))


def _sorted_by_label(compiler: Compiling, plain: Plain, beyond: int) -> Node:
    run, *names = [compiler.node(one, beyond).run for one in plain["args"]]
    descending = plain["name"] == "sort_by_label_desc"
    return Node("vector", lambda moment: relabel.by_label(run(moment), names, descending))


def _time(_compiler: Compiling, _plain: Plain, _beyond: int) -> Node:
    return Node("scalar", lambda moment: _seconds(moment.at, moment))


SPECIAL: dict[str, Builder] = {
    "absent": _absent,
    "absent_over_time": _absent,
    "scalar": _scalar,
    "vector": _vector,
    "time": _time,
    "pi": lambda *_: Node("scalar", lambda _moment: math.pi),
    "timestamp": _timestamp,
    "label_replace": _relabelled,
    "label_join": _relabelled,
    "histogram_quantile": _histogram,
    "sort": _sorted,
    "sort_desc": _sorted,
    "sort_by_label": _sorted_by_label,
    "sort_by_label_desc": _sorted_by_label,
    **dict.fromkeys(functions.PARTS, _dated),
}
