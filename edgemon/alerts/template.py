"""The templates of labels and annotations: the part of Go's text/template that alert rules use.

Text, `{{ … }}` with `$labels.x`, `$value`, `.Labels.x`, `.Value`, `$externalLabels.x`, literals, the functions of
`human`, pipes, and if / else if / else / end. Anything else is refused when the rule is loaded, with its place.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from edgemon.alerts.expansion import Branches, Give, Part, RefusedError, Template
from edgemon.alerts.gofmt import Value
from edgemon.alerts.human import FUNCTIONS

ACTION = re.compile(
    r"\{\{(?P<left>-(?=\s))?(?P<inside>(?:\"(?:\\.|[^\"\\\n])*\"|`[^`]*`|(?!\}\}).)*?)(?P<right>(?<=\s)-)?\}\}",
    re.DOTALL,
)
TOKEN = re.compile(
    r"""(?P<space>\s+)
      |(?P<string>"(?:\\.|[^"\\\n])*"|`[^`]*`)
      |(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      |(?P<data>\$?[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*|(?:\.[A-Za-z_]\w*)+|\$|\.)
      |(?P<sign>:=|[|()=,])""",
    re.VERBOSE,
)
WORDS = {"range", "with", "template", "block", "define", "break", "continue", "nil"}
FOREIGN = {
    "query": "query asks the fleet's Prometheus; put it into the expression",
    "first": "first is for query, which the device does not have",
    "value": "value is for query, which the device does not have",
    "label": "label is for query, which the device does not have",
}


ROOTS: Mapping[str, Give] = {
    "$labels": lambda scope: scope.labels,
    ".Labels": lambda scope: scope.labels,
    "$value": lambda scope: scope.value,
    ".Value": lambda scope: scope.value,
    "$externalLabels": lambda scope: scope.external,
    ".ExternalLabels": lambda scope: scope.external,
    "$externalURL": lambda scope: scope.url,
    ".ExternalURL": lambda scope: scope.url,
}


def parse(text: str) -> Template:
    """The template, or RefusedError."""
    if "{{" not in text:
        return Template(text, [text])
    template = Template(text, _Parser(text).run())
    template.check()
    return template


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.parts: list[Part] = []
        self.stack: list[tuple[Branches, list[Part], int]] = []
        self.tokens: list[_Token] = []
        self.index = 0

    def refuse(self, problem: str, at: int) -> RefusedError:
        before = self.text[:at]
        return RefusedError(f"{before.count(chr(10)) + 1}:{at - before.rfind(chr(10))}: {problem}")

    def run(self) -> Sequence[Part]:
        last, trim = 0, False
        for action in ACTION.finditer(self.text):
            self._text(self.text[last : action.start()], trim, bool(action["left"]), last)
            self._action(action["inside"], action.start("inside"))
            last, trim = action.end(), bool(action["right"])
        self._text(self.text[last:], trim, False, last)
        if self.stack:
            raise self.refuse("this if has no end", self.stack[-1][2])
        return self.parts

    def _text(self, text: str, left: bool, right: bool, at: int) -> None:
        if (stray := text.find("{{")) >= 0:
            raise self.refuse("{{ is not closed", at + stray)
        text = text.lstrip() if left else text
        text = text.rstrip() if right else text
        if text:
            self.parts.append(text)

    def _action(self, inside: str, at: int) -> None:
        if inside.strip().startswith("/*"):
            if not inside.strip().endswith("*/"):
                raise self.refuse("the comment is not closed", at)
            return
        self.tokens, self.index = self._tokens(inside, at), 0
        word = self.tokens[0].text if self.tokens else ""
        if word in {"if", "else", "end"}:
            self.index = 1
            getattr(self, f"_{word}")(self.tokens[0].at)
        elif not self.tokens:
            raise self.refuse("missing value for command", at)
        else:
            self.parts.append(self._pipeline())
        if self.index < len(self.tokens):
            one = self.tokens[self.index]
            raise self.refuse(f"unexpected {one.text}", one.at)

    def _if(self, at: int) -> None:
        branches = Branches()
        self.stack.append((branches, self.parts, at))
        self._arm(branches, self._pipeline())

    def _else(self, at: int) -> None:
        if not self.stack or self.stack[-1][0].arms[-1][0] is None:
            raise self.refuse("this else belongs to no if", at)
        if self._peek() == "if":
            self.index += 1
            self._arm(self.stack[-1][0], self._pipeline())
        else:
            self._arm(self.stack[-1][0], None)

    def _arm(self, branches: Branches, test: Give | None) -> None:
        self.parts = []
        branches.arms.append((test, self.parts))

    def _end(self, at: int) -> None:
        if not self.stack:
            raise self.refuse("this end belongs to no if", at)
        branches, self.parts, _ = self.stack.pop()
        self.parts.append(branches)

    def _tokens(self, inside: str, at: int) -> list[_Token]:
        found, place = [], 0
        while place < len(inside):
            match = TOKEN.match(inside, place)
            if match is None:
                raise self.refuse(f"{inside[place]} is not for templates here", at + place)
            if match.lastgroup != "space":
                found.append(_Token(match.lastgroup or "", match[0], at + place))
            place = match.end()
        return found

    def _peek(self) -> str:
        return self.tokens[self.index].text if self.index < len(self.tokens) else ""

    def _pipeline(self) -> Give:
        """Commands, each given the result of the one before as its last argument."""
        give = self._command(None)
        while self._peek() == "|":
            self.index += 1
            give = self._command(give)
        return give

    def _command(self, piped: Give | None) -> Give:
        if self.index >= len(self.tokens):
            raise self.refuse("missing value for command", self.tokens[-1].at)
        one = self.tokens[self.index]
        if one.kind == "data" and one.text[0] not in "$." and one.text not in {"true", "false"}:
            self._known(one)
            self.index += 1
            arguments = []
            while self._peek() not in {"", "|", ")"}:
                arguments.append(self._operand())
            return self._call(one, [*arguments, *([piped] if piped else [])])
        if piped:
            raise self.refuse(f"{one.text} cannot be piped into; it is no function", one.at)
        give = self._operand()
        if self._peek() not in {"", "|", ")"}:
            raise self.refuse(f"{one.text} takes no arguments; it is no function", one.at)
        return give

    def _call(self, name: _Token, arguments: Sequence[Give]) -> Give:
        function, fewest, most = FUNCTIONS[name.text]
        if not fewest <= len(arguments) <= most:
            raise self.refuse(f"wrong number of args for {name.text}: want {fewest} got {len(arguments)}", name.at)
        return lambda scope: function(*[give(scope) for give in arguments])

    def _known(self, name: _Token) -> None:
        if name.text not in FUNCTIONS:
            close = difflib.get_close_matches(name.text, FUNCTIONS, 1)
            hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(sorted(FUNCTIONS))}"
            what = (
                FOREIGN.get(name.text)
                or f"{name.text} is not for templates here{hint if name.text not in WORDS else ''}"
            )
            raise self.refuse(what, name.at)

    def _operand(self) -> Give:
        if self.index >= len(self.tokens):
            raise self.refuse("missing value for command", self.tokens[-1].at)
        one = self.tokens[self.index]
        self.index += 1
        if one.text == "(":
            give = self._pipeline()
            if self._peek() != ")":
                raise self.refuse("( is not closed", one.at)
            self.index += 1
            return give
        if one.kind == "data" and one.text[0] not in "$." and one.text not in {"true", "false"}:
            self._known(one)
            return self._call(one, [])
        if one.kind == "data":
            return self._data(one)
        if one.kind not in {"string", "number"}:
            raise self.refuse(f"unexpected {one.text}", one.at)
        value = self._literal(one)
        return lambda _scope: value

    def _literal(self, one: _Token) -> Value:
        if one.kind == "number":
            return float(one.text) if re.search(r"[.eE]", one.text) else int(one.text)
        if one.text[0] == "`":
            return one.text[1:-1]
        try:
            text: str = json.loads(one.text, strict=False)
        except ValueError:
            raise self.refuse(f"{one.text} has an escape that is not for templates here", one.at) from None
        return text

    def _data(self, one: _Token) -> Give:
        if one.text in {"true", "false"}:
            return lambda _scope: one.text == "true"
        root, *names = one.text[1:].split(".")
        give = ROOTS.get(one.text[0] + root)
        if give is None or len(names) > 1:
            raise self.refuse(
                f"{one.text} is not here; there are $labels.NAME, $value and $externalLabels.NAME", one.at
            )
        if not names:
            return give
        if "abels" not in root:
            raise self.refuse(f"{one.text[0]}{root} has no fields", one.at)
        return lambda scope: str(give(scope).get(names[0], ""))  # type: ignore[union-attr]
