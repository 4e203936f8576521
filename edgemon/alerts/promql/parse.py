"""From the text of an expression to its plain form, or to what of it this device cannot evaluate, and where.

promql-parser makes the syntax tree. Its import costs 1.8 MB, so that the daemon has it done by a child process:
`python -m edgemon.alerts.promql.parse` reads a JSON list of expressions and writes `{"plain": …}` or
`{"problems": […]}` for each. The plain form is described in `compile`.
"""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from edgemon.alerts.promql.aggregate import PARAMETRIC, REDUCERS
from edgemon.alerts.promql.binary import SETS
from edgemon.alerts.promql.complain import located, tree
from edgemon.alerts.promql.functions import PLAIN, SCALED
from edgemon.alerts.promql.node import back
from edgemon.alerts.promql.places import Named, named, place, tokens
from edgemon.alerts.promql.regex import PatternError, translate
from edgemon.alerts.promql.select import LOOKBACK, REACH
from edgemon.alerts.promql.special import SPECIAL
from edgemon.alerts.promql.values import NAME
from edgemon.alerts.promql.windows import FUNCTIONS
from edgemon.errors import ExpressionError
from edgemon.values import duration

KNOWN = frozenset({*PLAIN, *SCALED, *SPECIAL, *FUNCTIONS, *REDUCERS, *PARAMETRIC})
"""Every function and aggregation there is."""
NATIVE = "needs native histograms, which the device does not keep; use a classic one's _sum, _count and _bucket"
INSTEAD = {
    "holt_winters": "was removed from Prometheus 3; use predict_linear or avg_over_time",
    "double_exponential_smoothing": "is experimental in Prometheus; use predict_linear or avg_over_time",
    "info": "is experimental in Prometheus; use `* on(…) group_left(…) target_info`",
    "limitk": "is experimental in Prometheus; use topk",
    "limit_ratio": "is experimental in Prometheus; use topk",
    "mad_over_time": "is experimental in Prometheus; use stddev_over_time or quantile_over_time",
    "ts_of_last_over_time": "is experimental in Prometheus; use timestamp",
    "ts_of_max_over_time": "is experimental in Prometheus; use max_over_time",
    "ts_of_min_over_time": "is experimental in Prometheus; use min_over_time",
    **dict.fromkeys(
        ("histogram_avg", "histogram_count", "histogram_fraction", "histogram_stddev", "histogram_stdvar"), NATIVE
    ),
    "histogram_sum": NATIVE,
}
WORDS, DEPTH = 2000, 150
"""Most words and signs of an expression (promql-parser takes a second for 2000 of them, growing with the square), and
how deep it may be nested: its evaluation nests as deep."""
POINTS = 11_000
"""Most points of a subquery, Prometheus' bound for a range query."""
SIGNS = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}


def parse(text: str) -> dict[str, Any]:
    """The plain form, or ExpressionError with every problem."""
    if (count := len(tokens(text))) > WORDS:
        raise ExpressionError([f"1:1: the expression has {count} words and signs; at most {WORDS}"])
    reader = _Reader(text)
    reader.calls()
    if not reader.problems:
        try:
            found = tree(text)
        except ValueError as error:
            raise ExpressionError([located(text, str(error))]) from None
        plain = reader.node(found, 0)
        reader.result(plain)
    if reader.problems:
        raise ExpressionError(reader.problems)
    return plain


def _milliseconds(span: timedelta | None) -> int:
    return 0 if span is None else span // timedelta(milliseconds=1)


class _Reader:
    """Walks the syntax tree in the order of the text, so that each node finds its name there."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.problems: list[str] = []
        self._ahead: Iterator[Named] = iter(list(named(text)))
        self._here = self._depth = 0

    def refuse(self, problem: str) -> None:
        self.problems.append(f"{place(self.text, self._here)}: {problem}")

    def calls(self) -> None:
        """Refuse what is called and is not known."""
        for kind, name, at in named(self.text):
            if kind == "call" and name not in KNOWN and name.lower() not in {*REDUCERS, *PARAMETRIC}:
                self._here = at
                close = difflib.get_close_matches(name, KNOWN, 1)
                self.refuse(
                    f"{name} {INSTEAD[name]}"
                    if name in INSTEAD
                    else f"{name} is no function of the subset"
                    + (f"; did you mean {close[0]}?" if close else "; PROMQL.md lists those there are")
                )

    def result(self, plain: dict[str, Any]) -> None:
        """Refuse an expression that as a whole gives neither a vector nor a number."""
        self._here = 0
        if plain["op"] == "string":
            self.refuse("a string is no result; an expression gives a vector or a number")
        elif plain["op"] in {"matrix", "subquery"}:
            self.refuse("a range is no result; put it into a function such as rate or max_over_time")

    def _find(self, kind: str, name: str) -> None:
        for one in self._ahead:
            if one.kind == kind and one.name.lower() == name.lower():
                self._here = one.at
                return

    def node(self, node: Any, beyond: int) -> dict[str, Any]:
        """The plain form of a part; `beyond` is how many milliseconds the subqueries around it reach back."""
        if self._depth == DEPTH:
            raise ExpressionError([f"{place(self.text, self._here)}: nested deeper than {DEPTH} levels; split it up"])
        self._depth += 1
        plain: dict[str, Any] = getattr(self, f"_{type(node).__name__}")(node, beyond)
        self._depth -= 1
        return plain

    def _NumberLiteral(self, node: Any, _beyond: int) -> dict[str, Any]:  # noqa: N802 - named as the nodes are
        return {"op": "number", "value": node.val}

    def _StringLiteral(self, node: Any, _beyond: int) -> dict[str, Any]:  # noqa: N802
        return {"op": "string", "value": node.val}

    def _ParenExpr(self, node: Any, beyond: int) -> dict[str, Any]:  # noqa: N802
        return self.node(node.expr, beyond)

    def _UnaryExpr(self, node: Any, beyond: int) -> dict[str, Any]:  # noqa: N802
        return {"op": "negate", "expr": self.node(node.expr, beyond)}

    def _VectorSelector(self, node: Any, beyond: int) -> dict[str, Any]:  # noqa: N802
        plain = self._selected(node)
        self._reaches(back(plain, beyond) + LOOKBACK)
        return plain

    def _MatrixSelector(self, node: Any, beyond: int) -> dict[str, Any]:  # noqa: N802
        length = _milliseconds(node.range)
        plain = {**self._selected(node.vector_selector), "op": "matrix", "range": length}
        self._reaches(back(plain, beyond) + length)
        return plain

    def _SubqueryExpr(self, node: Any, beyond: int) -> dict[str, Any]:  # noqa: N802
        offset, length, step = _milliseconds(node.offset), _milliseconds(node.range), _milliseconds(node.step)
        outer = {"offset": offset, "at": self._pin(node.at)}
        expr = self.node(node.expr, back(outer, beyond) + length)
        if step and length / step > POINTS:
            self.refuse(f"the subquery has {length // step} points; at most {POINTS}: take a longer step")
        return {"op": "subquery", "expr": expr, "range": length, "step": step, **outer}

    def _selected(self, node: Any) -> dict[str, Any]:
        self._find("series", node.name or "")
        if node.matchers.or_matchers:
            self.refuse("`or` between matchers is no PromQL; use =~ or the operator or")
        matchers = [[NAME, "=", node.name]] if node.name else []
        for one in node.matchers.matchers:
            sign = SIGNS[str(one.op).rpartition(".")[2]]
            matchers.append([one.name, sign, self._pattern(one.value) if "~" in sign else one.value])
        return {
            "op": "selector", "matchers": matchers, "offset": _milliseconds(node.offset), "at": self._pin(node.at),
        }  # fmt: skip

    def _pattern(self, pattern: str) -> str:
        try:
            return translate(pattern)
        except PatternError as error:
            self.refuse(f"the pattern {pattern} {error}")
            return ""

    def _pin(self, at: Any) -> str | None:
        if at is None:
            return None
        if at.at is not None:
            self.refuse("@ with a fixed time is beyond what a device keeps; use offset, @ start() or @ end()")
        return "end"

    def _reaches(self, reach: int) -> None:
        if reach > REACH:
            kept = duration(REACH / 1000)
            self.refuse(f"looks back {duration(reach / 1000)}; the device keeps {kept}")

    def _Call(self, node: Any, beyond: int) -> dict[str, Any]:  # noqa: N802
        name = node.func.name
        self._find("call", name)
        here = self._here
        arguments = [self.node(one, beyond) for one in node.args]
        if name == "label_replace":
            self._here = here
            arguments[4]["value"] = self._pattern(arguments[4]["value"])
        return {"op": "call", "name": name, "args": arguments}

    def _AggregateExpr(self, node: Any, beyond: int) -> dict[str, Any]:  # noqa: N802
        name, modifier = str(node.op), node.modifier
        self._find("call", name)
        return {
            "op": "aggregate",
            "name": name,
            "names": sorted(modifier.labels) if modifier else [],
            "without": bool(modifier) and str(modifier.type).endswith("Without"),
            "param": None if node.param is None else self.node(node.param, beyond),
            "expr": self.node(node.expr, beyond),
        }

    def _BinaryExpr(self, node: Any, beyond: int) -> dict[str, Any]:  # noqa: N802
        sign, modifier = str(node.op), node.modifier
        left, right = self.node(node.lhs, beyond), self.node(node.rhs, beyond)
        matching = modifier and modifier.matching
        card = str(modifier.card).rpartition(".")[2] if modifier else ""
        if modifier and (modifier.fill_values.lhs is not None or modifier.fill_values.rhs is not None):
            self._here = next((one.at for one in tokens(self.text) if one.text.lower().startswith("fill")), self._here)
            self.refuse("fill is not in Prometheus 3.5; use `or` with vector(…)")
        return {
            "op": "binary",
            "sign": sign,
            "left": left,
            "right": right,
            "bool": bool(modifier and modifier.return_bool),
            "names": sorted(matching.labels) if matching else [],
            "on": bool(matching) and str(matching.type).endswith("Include"),
            "many": "" if sign in SETS else {"ManyToOne": "left", "OneToMany": "right"}.get(card, ""),
            "include": (modifier.group_labels or []) if modifier else [],
        }


def answer(text: str) -> dict[str, Any]:
    """The plain form or the problems, as the child says it."""
    try:
        return {"plain": parse(text)}
    except ExpressionError as error:
        return {"problems": error.problems}


if __name__ == "__main__":
    json.dump([answer(text) for text in json.load(sys.stdin)], sys.stdout)
