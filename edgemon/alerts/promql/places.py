"""Where things stand in the text of an expression, which the syntax tree of promql-parser does not say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
      |(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`[^`]*`)
      |(?P<word>[a-zA-Z_:][a-zA-Z0-9_:]*)
      |(?P<number>\.?\d[\w.]*(?:(?<=[eE])[+-]\d+)?)
      |(?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)
LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right", "fill", "fill_left", "fill_right"}
WORDS = {*LISTS, "and", "or", "unless", "atan2", "bool", "offset", "inf", "nan"}
CLOSING = {"(": ")", "[": "]", "{": "}"}


class Token(NamedTuple):
    """A piece of the text that is no space: its kind, itself, and the index it starts at."""

    kind: str
    text: str
    at: int


def tokens(text: str) -> list[Token]:
    """The text in pieces."""
    found = TOKEN.finditer(text)
    return [Token(one.lastgroup or "", one[0], one.start()) for one in found if one.lastgroup != "space"]


def place(text: str, at: int) -> str:
    """`line:column`, both from 1."""
    before = text[:at]
    return f"{before.count(chr(10)) + 1}:{at - before.rfind(chr(10))}"


def plain_strings(text: str) -> str:
    """The text with strings in backquotes in double quotes: promql-parser 0.12 reads escapes in the former."""
    pieces, last = [], 0
    for one in tokens(text):
        if one.kind == "text" and one.text[0] == "`":
            inside = one.text[1:-1].replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            pieces += [text[last : one.at], f'"{inside}"']
            last = one.at + len(one.text)
    return "".join([*pieces, text[last:]])


def brackets(text: str) -> tuple[list[tuple[int, int]], int | None]:
    """Start and end of each part in brackets that may be an expression, inner ones first, with the word before it.

    And the place of the last bracket that is not closed.
    """
    parts: list[tuple[int, int]] = []
    stack: list[tuple[Token, Token | None]] = []
    all_of = tokens(text)
    for index, one in enumerate(all_of):
        if one.text in CLOSING and one.kind == "sign":
            stack.append((one, all_of[index - 1] if index and all_of[index - 1].kind == "word" else None))
        elif one.kind == "sign" and stack and one.text == CLOSING[stack[-1][0].text]:
            opening, word = stack.pop()
            if (opening.text != "[" or word) and (word is None or word.text.lower() not in LISTS):
                parts.append((word.at if word else opening.at, one.at + 1))
    return parts, stack[-1][0].at if stack else None


class Named(NamedTuple):
    """A function, aggregation or selector in the text: `call` or `series`, its name (empty for `{…}`), its index."""

    kind: str
    name: str
    at: int


def named(text: str) -> Iterator[Named]:
    """Functions, aggregations and selectors in the order they stand."""
    all_of = [*tokens(text), Token("sign", "", len(text))]
    index = 0
    while index < len(all_of) - 1:
        one, after = all_of[index], all_of[index + 1]
        word = one.text.lower()
        if one.text in {"{", "["} and one.kind == "sign":
            if one.text == "{" and not (index and _names(all_of[index - 1])):
                yield Named("series", "", one.at)
            index = _behind(all_of, index)
        elif (word in LISTS or one.text == "@") and after.text in {"(", "start", "end"}:
            index = _behind(all_of, index + 1 if after.text == "(" else index + 2)
        elif one.kind == "word" and (after.text == "(" or after.text.lower() in {"by", "without"}):
            if after.text == "(" and word in WORDS:
                index += 1
                continue
            yield Named("call", one.text, one.at)
            index += 1
        else:
            if _names(one):
                yield Named("series", one.text, one.at)
            index += 1


def _names(token: Token) -> bool:
    return token.kind == "word" and token.text.lower() not in WORDS


def _behind(all_of: list[Token], index: int) -> int:
    """The index after the bracket that closes the one at an index."""
    closing = CLOSING.get(all_of[index].text, "")
    while index < len(all_of) - 1 and all_of[index].text != closing:
        index += 1
    return index + 1
