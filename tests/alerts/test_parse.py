"""What is refused, and where; what of an expression reaches the evaluator."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import edgemon
from edgemon.alerts.promql.load import apart, load
from edgemon.alerts.promql.parse import INSTEAD, KNOWN, parse
from edgemon.alerts.promql.places import plain_strings
from edgemon.alerts.promql.select import Source
from edgemon.errors import ExpressionError

MANUAL = Path(edgemon.__file__).parent / "alerts/PROMQL.md"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("rat(x[5m])", ["1:1: rat is no function of the subset; did you mean rate?"]),
        ("1 +\n  frobnicate(x)", ["2:3: frobnicate is no function of the subset; PROMQL.md lists those there are"]),
        ("limitk(2, x) and info(y)", [
            "1:1: limitk is experimental in Prometheus; use topk",
            "1:18: info is experimental in Prometheus; use `* on(…) group_left(…) target_info`",
        ]),
        ("ts_of_max_over_time(x[5m])", ["1:1: ts_of_max_over_time is experimental in Prometheus; use max_over_time"]),
        ("histogram_count(x)", [f"1:1: histogram_count {INSTEAD['histogram_count']}"]),
        ("sum(rate(x[5m])", ["1:4: ( is not closed"]),
        ("a and\nsum(rate(x))", ["2:5: expected type matrix in call to function 'rate', got vector"]),
        ("a > ", ["1:3: the expression cannot go on with >"]),
        ("a == on(x) group_left(y) b and ", ["1:28: the expression cannot go on with and"]),
        ("sum by (a b) (c)", ["1:5: the expression cannot go on with by"]),
        ("sum(a b)", ["1:7: the expression cannot go on with b"]),
        ("a b", ["1:3: the expression cannot go on with b"]),
        ("x{a=~'b++'}", ["1:1: the pattern b++ repeats nothing, or a repetition, with +; put it in parentheses"]),
        ('a + label_replace(x, "a", "$1", "b", "c)")', ["1:5: the pattern c) closes a parenthesis that is not open"]),
        ("x @ 17", ["1:1: @ with a fixed time is beyond what a device keeps; use offset, @ start() or @ end()"]),
        ("a + avg_over_time(x[2d])", ["1:19: looks back 2d; the device keeps 1d5m"]),
        ("x offset 2d", ["1:1: looks back 2d5m; the device keeps 1d5m"]),
        ("max_over_time(rate(x[12h])[13h:1m])", ["1:20: looks back 1d1h; the device keeps 1d5m"]),
        ("max_over_time(x[1d:1s])", ["1:15: the subquery has 86400 points; at most 11000: take a longer step"]),
        ("a + fill(0) b", ["1:5: fill is not in Prometheus 3.5; use `or` with vector(…)"]),
        ('x{a="b" or c="d"}', ["1:1: `or` between matchers is no PromQL; use =~ or the operator or"]),
        ("x[5m]", ["1:1: a range is no result; put it into a function such as rate or max_over_time"]),
        ('"x"', ["1:1: a string is no result; an expression gives a vector or a number"]),
        ("", ["1:1: no expression found in input"]),
        ("1 and 2", ["1:1: set operator 'and' not allowed in binary scalar expression"]),
    ],
)  # fmt: skip
def test_what_cannot_be_evaluated_is_refused_with_its_place_and_a_remedy(text: str, problems: list[str]) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert list(caught.value.problems) == problems


@pytest.mark.parametrize(
    "text",
    [
        "sum by (rate) (rate(rate[5m]))",
        "rate(sum_total[5m]) / on (sum, count) group_left (max) max(x) without (by_host)",
        "SUM(x) BY (a) AND avg(y)",
        "x{a=\"}\",b='(',c=`rate(`} # rate(",
        "{__name__=~'a|b'} unless {'node.cpu'}",
        "count_values('v', x) or topk without () (3, y)",
        "-x ^ 2 atan2 (time() - 5m)",
        "a:b:c offset -5m",
    ],
)
def test_names_are_found_where_they_stand_whatever_else_is_called_so(text: str) -> None:
    parse(text)


def test_strings_in_backquotes_are_taken_as_they_are() -> None:
    assert parse(r"x{a=~`\d+\.\d`}") == parse(r'x{a=~"\\d+\\.\\d"}')
    assert plain_strings('x{a=`q"\n`}') == 'x{a="q\\"\\n"}'


def test_a_parser_that_panics_is_a_refusal() -> None:
    with pytest.raises(ExpressionError, match="1:1: the parser gave up: cannot convert float seconds to Duration"):
        parse("x offset NaN")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("(" * 160 + "x" + ")" * 160, "nested deeper than 150 levels; split it up"),
        ("-" * 1900 + "x", "nested deeper than 150 levels; split it up"),
        ("+".join(["x"] * 900), "nested deeper than 150 levels; split it up"),
        ("(" * 1900, "( is not closed"),
        ("abs(" * 1000 + "x" + ")" * 1000, "the expression has 3001 words and signs; at most 2000"),
        ("x " * 1900, "invalid promql query"),
        ("(" * 900 + "x x" + ")" * 900, "the expression cannot go on with x"),
    ],
)
def test_the_monstrous_is_refused_and_costs_no_other_rule(text: str, says: str) -> None:
    bad, good = load([text, "+".join(["x"] * 149)], Source())
    assert isinstance(bad, ExpressionError)
    assert bad.problems[0].partition(": ")[2] == says
    assert not isinstance(good, ExpressionError)
    assert good.evaluate(Source(), 0.0) == []


def test_the_child_answers_for_every_expression() -> None:
    good, bad = load(["1 + 1", "rat(x)"], Source())
    assert not isinstance(good, ExpressionError)
    assert good.evaluate(Source(), 0.0) == [((), 2.0)]
    assert isinstance(bad, ExpressionError)
    assert apart([]) == []


def test_a_child_that_fails_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does where promql-parser is not installed."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ExpressionError, match="the child that parses expressions failed: exit status 1"):
        load(["x"], Source())


def test_the_manual_lists_the_functions_there_are() -> None:
    table = MANUAL.read_text().partition("## Functions")[2].partition("\n## ")[0]
    listed = set(re.findall(r"`(\w+)`", table))
    assert listed == KNOWN
    refused = MANUAL.read_text().partition("## Refused")[2].partition("\n## ")[0]
    assert set(INSTEAD) <= set(re.findall(r"`(\w+)`", refused))
