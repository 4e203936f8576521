"""promql-parser, and where in a text is what it complains of, which it does not say."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import promql_parser

from edgemon.alerts.promql.places import brackets, place, plain_strings, tokens

VAGUE = "invalid promql query"
"""What promql-parser says of most texts that are no PromQL."""


def located(text: str, message: str) -> str:
    """What the parser says, with the smallest part in brackets that it says it of."""
    parts, open_at = brackets(text)
    if open_at is not None:
        return f"{place(text, open_at)}: {text[open_at]} is not closed"
    for start, end in [*parts[: _tries(text)], (0, len(text))]:
        if _complaint(text[start:end]) == message:
            break
    if message != VAGUE:
        return f"{place(text, start + _indent(text[start:]))}: {message}"
    at, word = _stumble(text, start, end)
    return f"{place(text, at)}: the expression cannot go on with {word}" if word else f"{place(text, at)}: {message}"


def _tries(text: str) -> int:
    """How many parts of a text are tried to find out where it is wrong: fewer of a long one, to be done in a second."""
    return max(1, min(200, 1_000_000 // (len(tokens(text)) + 1) ** 2))


def _complaint(text: str) -> str:
    """What the parser says of a text, or nothing."""
    try:
        tree(text)
    except ValueError as error:
        return str(error)
    return ""


def tree(text: str) -> Any:
    """The syntax tree, or ValueError."""
    try:
        return promql_parser.parse(plain_strings(text))
    except ValueError:
        raise
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError(f"the parser gave up: {error}") from None


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())


def _stumble(text: str, start: int, end: int) -> tuple[int, str]:
    """Where a part stops being an expression, and the word there: after the longest beginning that is one."""
    part = text[start:end]
    inner = re.match(r"\w*\(", part)
    for skip in (inner.end() if inner else 0, 0):
        pieces = tokens(part[skip : -1 if skip else None])
        for before, one in [*reversed([*pairwise(pieces)])][: _tries(text)]:
            if not _complaint(part[skip : skip + before.at + len(before.text)]):
                return start + skip + one.at, one.text
    return start + _indent(part), ""
