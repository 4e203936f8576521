"""Regular expressions of Prometheus (RE2 as Go has it) in the syntax of Python's re, with the same matches.

Every construct is read and written anew, so that what the two spell alike and mean differently (`\\d`, `$`, `a++`,
`a{,3}`) cannot slip through. What RE2 does not know, and what Python cannot say, is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LAST = "\\U0010ffff"
CLASSES = {
    "d": "0-9",
    "w": "0-9A-Za-z_",
    "s": "\\t\\n\\f\\r ",
    "D": f"\\x00-/:-{LAST}",
    "W": f"\\x00-/:-@\\[-\\^`{{-{LAST}",
    "S": f"\\x00-\\x08\\x0b\\x0e-\\x1f!-{LAST}",
}
FOLDED = {"w": "(?-i:[0-9A-Za-z_\\u017f\\u212a])", "W": "(?-i:[^0-9A-Za-z_\\u017f\\u212a])"}
"""Under (?i), where the long s and the Kelvin sign are word characters, as s and k are."""
POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": "\\x00-\\x7f",
    "blank": "\\t ",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-\\~",
    "lower": "a-z",
    "print": " -\\~",
    "punct": "!-/:-@\\[-`{-\\~",
    "space": "\\t\\n\\v\\f\\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
SINGLE = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
ANCHORS = {"A": "(?:\\A)", "z": "(?:\\Z)", "b": "(?a:\\b)", "B": "(?a:\\B)"}
REPEAT = re.compile(r"[*+?]|\{(\d+)(?:,(\d*))?\}", re.ASCII)
GROUP = re.compile(r"\(\?(?:P?<(?P<name>[A-Za-z_]\w*)>|(?P<flags>[is]*(?:-[is]+)?)(?P<end>[:)]))", re.ASCII)
MOST = 1000
"""The largest repetition count of RE2."""


class PatternError(ValueError):
    """A pattern that is none, or that cannot be had on the device."""


@dataclass
class Level:
    """Inside one pair of parentheses: the flags in force, and how many flag groups are open in this branch."""

    folded: bool = False
    dotall: bool = True
    opened: int = 0


def translate(pattern: str, dotall: bool = True) -> str:
    """The pattern for `re.compile(...).fullmatch`, or PatternError; with `dotall` a dot takes a line's end as well."""
    text = _Translator(pattern, dotall).run()
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(f"cannot be used: {error}") from None
    return text


class _Translator:
    def __init__(self, pattern: str, dotall: bool) -> None:
        self.text, self.at, self.out = pattern, 0, ""
        self.levels = [Level(dotall=dotall)]
        self.repeatable = False

    def run(self) -> str:
        while self.at < len(self.text):
            self._one()
        if len(self.levels) > 1:
            raise PatternError("has a parenthesis that is not closed")
        return self.out + ")" * self.levels[0].opened

    def _one(self) -> None:
        character = self.text[self.at]
        found = REPEAT.match(self.text, self.at)
        if found:
            self._repeat(found)
        elif character == "(":
            self._open()
        elif character == "|":
            self._branch()
        elif character == ")":
            self._close()
        elif character == "[":
            self._emit("[" + self._class() + "]")
        elif character == "\\":
            self._escape()
        else:
            self.at += 1
            dot = "(?s:.)" if self.levels[-1].dotall else "[^\\n]"
            self._emit({".": dot, "^": "(?:\\A)", "$": "(?:\\Z)"}.get(character) or _literal(character))

    def _emit(self, text: str) -> None:
        self.out += text
        self.repeatable = True

    def _repeat(self, found: re.Match[str]) -> None:
        least, most = found[1], found[2]
        if not self.repeatable:
            raise PatternError(f"repeats nothing, or a repetition, with {found[0]}; put it in parentheses")
        if least and (int(least) > MOST or (most and not int(least) <= int(most) <= MOST)):
            raise PatternError(f"repeats by {found[0]}; the counts are 0 to {MOST}, the smaller first")
        self.at = found.end()
        lazy = self.text[self.at : self.at + 1] == "?"
        self.at += lazy
        self.out += found[0] + "?" * lazy
        self.repeatable = False

    def _open(self) -> None:
        here = self.levels[-1]
        if not self.text.startswith("(?", self.at):
            self.at += 1
            self._enter("(", Level(here.folded, here.dotall))
            return
        found = GROUP.match(self.text, self.at)
        if found is None:
            raise PatternError(f"has {self.text[self.at : self.at + 4]}, which RE2 or the device does not know")
        self.at = found.end()
        if found["name"]:
            self._enter(f"(?P<{found['name']}>", Level(here.folded, here.dotall))
            return
        on, _, off = found["flags"].partition("-")
        folded = (here.folded or "i" in on) and "i" not in off
        dotall = (here.dotall or "s" in on) and "s" not in off
        if found["end"] == ":":
            self._enter(_folding(folded), Level(folded, dotall))
        else:
            here.folded, here.dotall = folded, dotall
            here.opened += 1
            self.out += _folding(folded)
            self.repeatable = False

    def _enter(self, text: str, level: Level) -> None:
        self.out += text
        self.levels.append(level)
        self.repeatable = False

    def _branch(self) -> None:
        here = self.levels[-1]
        self.at += 1
        self.out += ")" * here.opened + "|"
        if here.opened:
            self.out += _folding(here.folded)
            here.opened = 1
        self.repeatable = False

    def _close(self) -> None:
        if len(self.levels) == 1:
            raise PatternError("closes a parenthesis that is not open")
        self.at += 1
        self._emit(")" * self.levels.pop().opened + ")")

    def _escape(self) -> None:
        letter = self.text[self.at + 1 : self.at + 2]
        if letter == "Q":
            end = self.text.find("\\E", self.at)
            quoted = self.text[self.at + 2 : end if end >= 0 else None]
            self.at = end + 2 if end >= 0 else len(self.text)
            for character in quoted:
                self._emit(_literal(character))
        elif letter in ANCHORS:
            self.at += 2
            self._emit(ANCHORS[letter])
        elif letter in CLASSES:
            self.at += 2
            self._emit(FOLDED.get(letter, f"[{CLASSES[letter]}]") if self.levels[-1].folded else f"[{CLASSES[letter]}]")
        else:
            self._emit(_literal(self._character()))

    def _character(self) -> str:
        """The one character that an escape stands for."""
        rest = self.text[self.at + 1 :]
        found = re.match(r"x\{([0-9A-Fa-f]{1,6})\}|x([0-9A-Fa-f]{2})|(0[0-7]{0,2}|[1-7][0-7]{1,2})", rest)
        if found:
            code = int(found[3], 8) if found[3] else int(found[1] or found[2], 16)
            if code <= 0x10FFFF:
                self.at += 1 + found.end()
                return chr(code)
        letter = rest[:1]
        if letter in SINGLE and letter:
            self.at += 2
            return SINGLE[letter]
        if letter and letter.isascii() and not letter.isalnum():
            self.at += 2
            return letter
        raise PatternError(f"has \\{letter}, which RE2 or the device does not know")

    def _class(self) -> str:
        """The inside of a bracket expression."""
        self.at += 1
        items, first = "", True
        if self.text[self.at : self.at + 1] == "^":
            self.at, items = self.at + 1, "^"
        while first or self.text[self.at : self.at + 1] != "]":
            if self.at >= len(self.text):
                raise PatternError("has a bracket that is not closed")
            items += self._item()
            first = False
        self.at += 1
        return items

    def _item(self) -> str:
        found = re.compile(r"\[:(\w+):\]").match(self.text, self.at)
        if found and found[1] in POSIX:
            self.at = found.end()
            return POSIX[found[1]]
        if self.text[self.at] == "\\" and self.text[self.at + 1 : self.at + 2] in CLASSES:
            self.at += 2
            if self.text[self.at - 1] == "W" and self.levels[-1].folded:
                raise PatternError("has \\W in brackets under (?i); put it outside")
            return CLASSES[self.text[self.at - 1]]
        low = self._member()
        dash = self.text[self.at : self.at + 1] == "-" and self.text[self.at + 1 : self.at + 2] not in {"]", ""}
        if not dash:
            return _literal(low)
        self.at += 1
        high = self._member()
        if high < low:
            raise PatternError(f"has the range {low}-{high}, whose end is before its start")
        return f"{_literal(low)}-{_literal(high)}"

    def _member(self) -> str:
        if self.text.startswith("[:", self.at):
            raise PatternError("has [: that starts no known class")
        if self.text[self.at] == "\\":
            return self._character()
        self.at += 1
        return self.text[self.at - 1]


def _folding(folded: bool) -> str:
    return "(?i:" if folded else "(?-i:"


def _literal(character: str) -> str:
    return character if character.isascii() and character.isalnum() else f"\\U{ord(character):08x}"
