"""Assertions on a JSON document, as in `outputs.0.data.3 >= 0.5` (stdlib only, Python >= 3.8).

A path is keys and indexes between dots; a key with other characters than letters, digits, _, - and $ is written in
double quotes. After it stands ==, !=, <, <=, > or >= with a JSON number, string, true, false or null, or one of
`present` and `absent`.
"""

import json
import operator
import re
from typing import Any, Callable, Dict, List, NamedTuple, Pattern

KEY = r'(?:[\w$-]+|"(?:[^"\\]|\\.)*")'
FORM = re.compile(r"\s*(%s(?:\.%s)*)\s*(?:(==|!=|<=|>=|<|>)\s*(.+?)|\s(present|absent))\s*" % (KEY, KEY), re.ASCII)
OPERATORS: Dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
NOTHING = object()


class Assertion(NamedTuple):
    """What must hold of the value at a path."""

    text: str
    path: List[str]
    verb: str
    value: Any

    def fails(self, document: Any) -> str:
        """Why it does not hold, or an empty string."""
        found = at(document, self.path)
        if self.verb in ("present", "absent"):
            return "" if (found is NOTHING) is (self.verb == "absent") else "%s does not hold" % self.text
        if found is NOTHING:
            return "%s: there is no such value" % self.text
        return "" if self._holds(found) else "%s: it is %s" % (self.text, json.dumps(found))

    def _holds(self, found: Any) -> bool:
        if self.verb in ("==", "!="):
            same = found == self.value and isinstance(found, bool) is isinstance(self.value, bool)
            return same is (self.verb == "==")
        return number(found) and OPERATORS[self.verb](found, self.value)


def parse(text: str) -> Assertion:
    """An assertion; ValueError says what is allowed."""
    match = FORM.fullmatch(text)
    if not match:
        raise ValueError("must be a path with ==, !=, <, <=, > or >= and a value, or with present or absent")
    if match[4]:
        return Assertion(text.strip(), keys(match[1]), match[4], None)
    try:
        value = json.loads(match[3])
    except ValueError:
        raise ValueError("must compare with a JSON value; write a string in double quotes") from None
    if isinstance(value, (dict, list)) or (match[2] in OPERATORS and not number(value)):
        raise ValueError("must compare with a %s" % ("number" if match[2] in OPERATORS else "single value"))
    return Assertion(text.strip(), keys(match[1]), match[2], value)


def keys(path: str) -> List[str]:
    """The keys of a path; ValueError when it is none."""
    if not re.fullmatch(r"%s(\.%s)*" % (KEY, KEY), path, re.ASCII):
        raise ValueError('must be keys between dots, such as outputs.0.data, others in quotes: "a key".0')
    try:
        return [json.loads(key) if key[0] == '"' else key for key in re.findall(KEY, path, re.ASCII)]
    except ValueError:
        raise ValueError("must have its quoted keys written as JSON strings") from None


def pattern(text: str) -> Pattern[str]:
    """A regular expression; ValueError when it is none."""
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError("must be a regular expression of Python's re: %s" % error) from None


def at(document: Any, path: List[str]) -> Any:
    """The value at a path, NOTHING where there is none."""
    for key in path:
        if isinstance(document, dict) and key in document:
            document = document[key]
        elif isinstance(document, list) and key.isdecimal() and len(key) < 10 and int(key) < len(document):
            document = document[int(key)]
        else:
            return NOTHING
    return document


def number(value: Any) -> bool:
    """Whether it is a number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
