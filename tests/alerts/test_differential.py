"""Random expressions over random series: the real Prometheus 3 and edgemon give the same, to the bit.

`EDGEMON_PROMQL_CASES=20000 EDGEMON_PROMQL_SEED=7 pytest tests/alerts/test_differential.py` for more, and others.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from edgemon.alerts.promql import select
from edgemon.alerts.promql.compile import compiled
from edgemon.alerts.promql.node import Expression
from edgemon.alerts.promql.parse import parse
from edgemon.alerts.promql.select import Source
from edgemon.alerts.promql.values import EvaluationError
from edgemon.errors import ExpressionError
from edgemon.store import Snapshot
from tests.alerts import series
from tests.alerts.grammar import INEXACT, Grammar
from tests.alerts.oracle import Answer, Oracle, oracle

pytestmark = pytest.mark.peer

CASES = int(os.environ.get("EDGEMON_PROMQL_CASES", "4000"))
SEED = int(os.environ.get("EDGEMON_PROMQL_SEED", "1"))
BLOCK = 500
"""Expressions over one set of series."""
DIGITS = 1e-12
"""What may be apart, relative to its value: what Go and C compute differently, and sums over subqueries.

Prometheus itself sums the series of most subqueries in the order of a Go map, which is another each time.
"""

CORNERS = [
    f"max_over_time(({inner})[45m:1m])"
    for inner in (
        '-{__name__=~"%s_(early|late)"}',
        'abs({__name__=~"%s_(early|late)"})',
        'rate({__name__=~"%s_(early|late)"}[2m])',
        'last_over_time({__name__=~"%s_(early|late)"}[2m])',
        'label_replace({__name__=~"%s_(early|late)"}, "__name__", "one", "host", ".*")',
        'max_over_time((-{__name__=~"%s_(early|late)"})[2m:30s])',
    )
]
"""Two series that are never there together, and after a function have the same labels."""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    with oracle(tmp_path_factory.mktemp("prometheus")) as one:
        yield one


def test_every_value_nan_label_and_error_is_that_of_prometheus(prometheus: Oracle) -> None:
    random, seen, wrong = Random(SEED), Counter[str](), []
    for block in range(math.ceil(CASES / BLOCK)):
        prefix = f"d{block}"
        lines = series.made(random, prefix)
        prometheus.write(lines)
        source, grammar = series.remembered(lines), Grammar(random, prefix)
        chosen = [grammar.expression() for _ in range(min(BLOCK, CASES - block * BLOCK))]
        for text in [*chosen, *(corner % prefix for corner in CORNERS)]:
            at = _moment(random)
            theirs, ours = prometheus.query(text, at), evaluated(text, source, at)
            seen[theirs[0] if theirs[0] != "vector" or theirs[1] else "empty"] += 1
            if difference(text, theirs, ours):
                wrong.append(f"{text} @ {at}\n  Prometheus: {theirs}\n  edgemon:    {ours}")
    print(dict(seen))
    assert not wrong, f"seed {SEED}: {len(wrong)} of {CASES} differ\n" + "\n".join(wrong[:10])
    assert seen["vector"] > CASES / 3
    assert seen["error"] > CASES / 100


def test_snapshots_as_they_come_give_what_prometheus_gives_of_the_same_scrapes(
    prometheus: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way of the daemon: only what expressions look back on is kept, and what a snapshot lacks has ended.

    Rows are not thinned out for long ranges, as Prometheus has every scrape. Series are added up in the order they
    first came, which here is not the one of Prometheus, so that the last digits of a sum are open.
    """
    monkeypatch.setattr(select, "TIERS", ((select.REACH, 1),))
    random, prefix, source, wrong = Random(SEED), "s", Source(), []
    lines = series.on_the_beat(series.made(random, prefix))
    grammar = Grammar(random, prefix)
    prometheus.write(lines)
    expressions = []
    for text in [grammar.expression() for _ in range(CASES // 20)]:
        with contextlib.suppress(ExpressionError):
            if "offset -" not in text:  # Prometheus has the future already
                expressions.append((text, compiled(text, parse(text), source)))
    for number, (at, snapshot) in enumerate(series.snapshots(lines)):
        source.take(Snapshot(at=at / 1000, series=snapshot))
        for text, expression in random.sample(expressions, len(expressions) // 10) if number > 60 else ():
            theirs, ours = prometheus.query(text, at), answered(expression, source, at)
            if difference(text, theirs, ours, DIGITS):
                wrong.append(f"{text} @ {at}\n  Prometheus: {theirs}\n  edgemon:    {ours}")
    assert not wrong, f"seed {SEED}: {len(wrong)} differ\n" + "\n".join(wrong[:10])


def _moment(random: Random) -> int:
    """On a beat of the samples, where it matters which end of a range is open, or beside it."""
    beat = random.randrange(10 * 60_000, series.SPAN + 200_000, series.STEP)
    return series.BASE + beat + random.choice([0, 0, 1, 7777])


def evaluated(text: str, source: Source, at: int) -> Answer:
    """What edgemon says of an expression."""
    try:
        expression = compiled(text, parse(text), source)
    except ExpressionError as error:
        return "refused", str(error)
    return answered(expression, source, at)


def answered(expression: Expression, source: Source, at: int) -> Answer:
    """What an expression gives, as Prometheus would say it."""
    try:
        vector = expression.evaluate(source, at / 1000, at / 1000)
    except EvaluationError as error:
        return "error", str(error)
    if expression.scalar:
        return "scalar", vector[0][1]
    return "vector", [(dict(labels), value) for labels, value in vector]


def difference(text: str, theirs: Answer, ours: Answer, digits: float = 0.0) -> bool:
    """Whether two answers differ; those of sort and sort_by_label also by their order."""
    if theirs[0] == "error" and "parse error" in theirs[1]:
        return ours[0] != "refused"
    if theirs[0] != ours[0]:
        return True
    if theirs[0] == "error":
        return bool(_words(theirs[1]) != _words(ours[1]))
    if text.startswith(INEXACT) or re.search(r"\^|atan2|\[\w+:", text):
        digits = DIGITS
    if theirs[0] == "scalar":
        return not same(theirs[1], ours[1], digits)
    if text.startswith("sort") and _order(text, theirs) != _order(text, ours):
        return True
    wanted, got = ({tuple(sorted(labels.items())): value for labels, value in one[1]} for one in (theirs, ours))
    return wanted.keys() != got.keys() or not all(same(wanted[key], got[key], digits) for key in wanted)


def _order(text: str, answer: Answer) -> list[object]:
    """What a sorted answer is sorted by; where labels are missing Prometheus puts them in any order."""
    if not text.startswith("sort_by_label"):
        return ["NaN" if math.isnan(value) else value for _, value in answer[1]]
    names = re.findall(r'"(\w+)"', text)[-2:]
    return (
        [labels for labels, _ in answer[1]] if all(name in labels for labels, _ in answer[1] for name in names) else []
    )


def _words(message: str) -> str:
    """An error without the series it names: which of several comes first is chance."""
    return message.partition(" {")[0]


def same(one: float, other: float, digits: float) -> bool:
    """The same bits (any NaN is NaN), or within so many digits."""
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    if one == other:
        return math.copysign(1, one) == math.copysign(1, other)
    return math.isfinite(one) and math.isfinite(other) and abs(one - other) <= digits * max(abs(one), abs(other))
