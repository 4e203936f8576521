"""The small language of assertions on JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemon.probe.assertion import at, keys, parse

DOCUMENT = {"a": {"b": [1, 2.5, {"c": "x"}]}, "t": True, "n": None, "with space": {"": 3}, "$id-1": -1}
TRUE = [
    "a.b.0 == 1", "a.b.1 >= 2.5", "a.b.1 < 3e0", "a.b.2.c == \"x\"", "a.b.2.c != \"y\"", "t == true", "n == null",
    "n present", "a.b.3 absent", "a.x absent", "\"with space\".\"\" == 3", "$id-1 > -2", "a present", " t!=1 ",
    "a.b.0 != true",
]  # fmt: skip
FALSE = [
    "a.b.0 > 1",
    "t == 1",
    "a.b.2.c > 0",
    "n absent",
    "a.b.3 present",
    "a.b.-1 == 1",
    "a == 1",
    "a.b.00000000001 == 1",
]
BAD = [
    "",
    "a",
    "a =",
    "a == ",
    "a == x",
    "a == [1]",
    'a > "x"',
    "a > true",
    "a..b == 1",
    ".a == 1",
    "a is 1",
    "apresent",
]


@pytest.mark.parametrize("text", TRUE)
def test_what_holds_has_no_reason(text: str) -> None:
    assert parse(text).fails(DOCUMENT) == ""


@pytest.mark.parametrize("text", FALSE)
def test_what_does_not_hold_says_so_with_the_assertion(text: str) -> None:
    assert parse(text).fails(DOCUMENT).startswith(text)


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_assertion_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must "):
        parse(text)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(PLAIN, st.data())
def test_every_value_is_found_under_its_own_path(document: Any, data: st.DataObject) -> None:
    path, here = [], document
    while isinstance(here, (dict, list)) and here:
        key = data.draw(st.sampled_from(list(here) if isinstance(here, dict) else range(len(here))))
        path.append(str(key) if isinstance(here, list) else json.dumps(key))
        here = here[key]
    if path:
        assert at(document, keys(".".join(path))) is here
