"""RE2's patterns in Python: the real Prometheus decides what matches; what differs is refused."""

from __future__ import annotations

import os
import re
from pathlib import Path
from random import Random

import pytest

from edgemon.alerts.promql.regex import PatternError, translate
from tests.alerts import series
from tests.alerts.oracle import Line, oracle

CASES = int(os.environ.get("EDGEMON_PROMQL_CASES", "4000")) // 4
SEED = int(os.environ.get("EDGEMON_PROMQL_SEED", "1"))
PIECES = (
    *("a", "b", "ab", "1", "-", ".", "(a|b)", "[ab]", "[^a]", "[a-c1-3]", "[]a-]", "[[:alpha:]_]", "[[:digit:]]"),
    *(r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", r"[\d_]", r"[^\w]", r"\b", r"\B", "^", "$", r"\A", r"\z", r"\.", r"\-"),
    *(
        r"\x61",
        r"\x{e9}",
        r"\141",
        r"\Qa.b\E",
        "(?i)A",
        "(?i:AB)",
        "(?-s:.)",
        "(?:a|)",
        "(?P<n>b)",
        "|",
        "\u00e9",
        "{",
        "}",
    ),
    *("a{2}", "a{,2}", "b{1,2}", r"\n", "(", ")", "[", "*", "+", "?", "+?", "*?", "++", "a**", "(?=a)", "(?!b)", r"\1"),
    *(r"\pL", r"\Z", "[b-a]", "{1001}", "(?i)"),
)
VALUES = (
    *(
        "a",
        "b",
        "A",
        "B",
        "ab",
        "aB",
        "aa",
        "ba",
        "bb",
        "aab",
        "1",
        "12",
        "a1",
        "-",
        ".",
        "a.b",
        "axb",
        "_",
        " ",
        "a b",
    ),
    *(
        "\u00e9",
        "\u00c9",
        "\u00e9a",
        "\n",
        "a\n",
        "a\nb",
        "\t",
        "a{2}",
        "{",
        "}",
        "a{,2}",
        "\u0663",
        "a-b",
        "c",
        "abc",
        "]",
    ),
    *("abc", "]", "_", " ", "a b", "\u017f", "\u212a", "k", "Q"),
)


@pytest.mark.peer
def test_patterns_match_what_they_match_in_prometheus(tmp_path: Path) -> None:
    """Or are refused, which happens to what Prometheus refuses, and to few others.

    Left out are flags that change within a pattern: there Prometheus 3.5's matchers differ from its own label_replace.
    """
    at, random, refused, wrong = series.BASE, Random(SEED), 0, []
    with oracle(tmp_path) as prometheus:
        prometheus.write([Line({"__name__": "patterns", "v": value}, [(at, 1.0)]) for value in VALUES])
        for _ in range(CASES):
            pattern = "".join(random.choice(PIECES) for _ in range(random.randint(1, 4)))
            escaped = pattern.replace("\\", "\\\\")
            kind, result = prometheus.query(f'patterns{{v=~"{escaped}"}}', at)
            theirs = {labels["v"] for labels, _ in result} if kind == "vector" else None
            ours = matched(pattern)
            refused += ours is None and theirs is not None
            if ours is not None and ours != theirs:
                wrong.append(f"{pattern!r}: Prometheus {theirs}, edgemon {ours}")
    assert not wrong, f"seed {SEED}: {len(wrong)} of {CASES} differ\n" + "\n".join(wrong[:10])
    assert refused < CASES / 20


def matched(pattern: str) -> set[str] | None:
    """The values that a pattern matches, or None where it is refused."""
    try:
        match = re.compile(translate(pattern)).fullmatch
    except PatternError:
        return None
    return {value for value in VALUES if match(value)}


@pytest.mark.parametrize(
    ("pattern", "values"),
    [
        ("(?i)a|b", {"a", "A", "b", "B"}),
        ("a|(?i)b", {"a", "b", "B"}),
        ("((?i)a)|b", {"a", "A", "b"}),
        ("(?i)(?-i:A)|B", {"A", "b", "B"}),
        ("(?i)a(?-i)b", {"ab"}),
        ("(?i)a(?-i)B|b", {"aB", "b"}),
        ("(?-s)a.b", {"aab", "a.b", "axb", "a-b", "a b"}),
        ("a(?-s:.)b|a\n", {"aab", "a.b", "axb", "a-b", "a b", "a\n"}),
    ],
)
def test_flags_hold_to_the_end_of_their_group_alternatives_included(pattern: str, values: set[str]) -> None:
    assert matched(pattern) == values


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("a++", "repeats nothing, or a repetition, with +; put it in parentheses"),
        ("*a", "repeats nothing, or a repetition, with *; put it in parentheses"),
        ("(?=a)b", "has (?=a, which RE2 or the device does not know"),
        (r"(a)\1", r"has \1, which RE2 or the device does not know"),
        (r"\pL", r"has \p, which RE2 or the device does not know"),
        ("(a", "has a parenthesis that is not closed"),
        ("a)", "closes a parenthesis that is not open"),
        ("[a", "has a bracket that is not closed"),
        ("[b-a]", "has the range b-a, whose end is before its start"),
        ("a{2,1}", "repeats by {2,1}; the counts are 0 to 1000, the smaller first"),
        ("a{1001}", "repeats by {1001}; the counts are 0 to 1000, the smaller first"),
        ("[[:word]", "has [: that starts no known class"),
    ],
)
def test_what_re2_does_not_know_is_refused_with_the_reason(pattern: str, says: str) -> None:
    with pytest.raises(PatternError) as caught:
        translate(pattern)
    assert str(caught.value) == says
