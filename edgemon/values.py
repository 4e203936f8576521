"""The kinds of values in a configuration: each knows its bounds, how a person writes it, what to say of a bad one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SIZES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@dataclass(frozen=True, slots=True)
class About:
    """What a field means, in one line for the example and the schema."""

    text: str


@dataclass(frozen=True, slots=True)
class Seconds:
    """A duration such as 30s, 1m30s, 500ms or 2h, within bounds; a bare number is refused as ambiguous."""

    least: float
    most: float

    def parse(self, value: object) -> float:
        """Seconds, or ValueError saying what is allowed."""
        allowed = f"must be a duration from {duration(self.least)} to {duration(self.most)}, such as 30s or 1m30s"
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf"):
            raise ValueError(f"{allowed}; write the unit: {value}s")
        text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
        parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
        if text != "0" and (not parts or "".join(number + unit for number, unit in parts) != text):
            raise ValueError(allowed)
        seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
        if not self.least <= seconds <= self.most:
            raise ValueError(allowed)
        return seconds


@dataclass(frozen=True, slots=True)
class Bytes:
    """A size such as 512MiB or 2GiB, within bounds; 0 means no limit, where there may be none."""

    least: int
    most: int
    none: bool = True

    def parse(self, value: object) -> int:
        """Bytes, or ValueError saying what is allowed."""
        match = re.fullmatch(r"(\d{1,15})\s*(KiB|MiB|GiB)", value) if isinstance(value, str) else None
        found = int(match[1]) * SIZES[match[2]] if match else 0
        none = self.none and (value == "0" or (type(value) is int and value == 0))
        if not none and not self.least <= found <= self.most:
            raise ValueError(
                f"must be a size from {size(self.least)} to {size(self.most)}, such as 512MiB"
                + (", or 0 for none" if self.none else "")
            )
        return found


@dataclass(frozen=True, slots=True)
class Range:
    """A number within bounds."""

    least: float
    most: float

    def parse(self, value: object) -> float:
        """The number, or ValueError saying what is allowed."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.least <= value <= self.most:
            raise ValueError(f"must be a number from {self.least:g} to {self.most:g}")
        return value


@dataclass(frozen=True, slots=True)
class Whole(Range):
    """A whole number within bounds."""

    def parse(self, value: object) -> int:
        """The number, or ValueError saying what is allowed."""
        if not isinstance(value, int) or isinstance(value, bool) or not self.least <= value <= self.most:
            raise ValueError(f"must be a whole number from {self.least:g} to {self.most:g}")
        return value


@dataclass(frozen=True, slots=True)
class Rate(Range):
    """A large number, which YAML takes for a string when it is written 26e12."""

    WRITTEN: ClassVar[str] = r"\d{1,15}(\.\d{1,15})?[eE]\+?\d{1,2}"

    def parse(self, value: object) -> float:
        """The number, or ValueError saying what is allowed."""
        if isinstance(value, str) and re.fullmatch(self.WRITTEN, value):
            value = float(value)
        try:
            return float(Range.parse(self, value))  # super() is blind in a slotted dataclass
        except ValueError as error:
            raise ValueError(f"{error}, such as 26e12") from None


@dataclass(frozen=True, slots=True)
class Sizes:
    """The shape of a tensor."""

    def parse(self, value: object) -> tuple[int, ...]:
        """The sizes, or ValueError saying what is allowed."""
        if not isinstance(value, (list, tuple)) or not value or not all(type(one) is int and one > 0 for one in value):
            raise ValueError("must be a list of sizes from 1, such as [1, 3, 96]")
        return tuple(value)


@dataclass(frozen=True, slots=True)
class Files:
    """Sets of files by name: one mapping, or a list of up to so many."""

    most: int

    def parse(self, value: object) -> tuple[dict[str, str], ...]:
        """The sets, or ValueError saying what is allowed."""
        sets = [value] if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else None
        if (
            sets is None
            or len(sets) > self.most
            or not all(isinstance(one, dict) and one and all(map(_is_file, one.items())) for one in sets)
        ):
            raise ValueError(
                f"must be absolute paths by input, such as {{image: /data/cat.npy}}, or a list of up to {self.most}"
            )
        return tuple(sets)


def _is_file(pair: tuple[object, object]) -> bool:
    return isinstance(pair[0], str) and isinstance(pair[1], str) and re.fullmatch(PATH.pattern, pair[1]) is not None


@dataclass(frozen=True, slots=True)
class Arguments:
    """A program and its arguments."""

    def parse(self, value: object) -> tuple[str, ...]:
        """The arguments, or ValueError saying what is allowed."""
        good = isinstance(value, (list, tuple)) and all(isinstance(one, str) and "\0" not in one for one in value)
        if not good or not value or not value[0].startswith("/"):  # type: ignore[index]
            raise ValueError(
                "must be a list of strings, an absolute path first, such as [/usr/bin/logger, -t, edgemon]"
            )
        return tuple(value)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Text:
    """A string that matches a pattern wholly."""

    pattern: str
    says: str

    def parse(self, value: object) -> str:
        """The string, or ValueError saying what is allowed."""
        if not isinstance(value, str) or not re.fullmatch(self.pattern, value):
            raise ValueError(f"must be {self.says}")
        return value


@dataclass(frozen=True, slots=True)
class Cores(Text):
    """A CPU by its number, or a range of them: 4, 4-7."""

    def parse(self, value: object) -> str:
        """The number or range as text, or ValueError saying what is allowed."""
        text = Text.parse(self, str(value) if type(value) is int else value)  # super() is blind in a slotted dataclass
        low, _, high = text.partition("-")
        if high and int(low) > int(high):
            raise ValueError(f"must be {self.says}, the lower one first")
        return text


@dataclass(frozen=True, slots=True)
class Each:
    """A list of values of one kind."""

    kind: Range | Text

    def parse(self, value: object) -> tuple[Any, ...]:
        """The values, or ValueError saying which is bad and what is allowed."""
        if not isinstance(value, (list, tuple)):
            says = f", each of it {self.kind.says}" if isinstance(self.kind, Text) else ""
            raise ValueError(f"must be a list{says}")  # noqa: TRY004 - what pydantic takes for a problem
        return tuple(self._one(one) for one in value)

    def _one(self, value: object) -> Any:
        try:
            return self.kind.parse(value)
        except ValueError as error:
            raise ValueError(f"has {json.dumps(value, default=str)[:60]}, which {error}") from None


def one_of(names: Sequence[str]) -> Text:
    """One of these words."""
    return Text("|".join(map(re.escape, names)), f"one of {', '.join(names)}")


@dataclass(frozen=True, slots=True)
class Address(Text):
    """host:port, the host numeric or a name, IPv6 in brackets."""

    def parse(self, value: object) -> str:
        """The address, or ValueError saying what is allowed."""
        text = Text.parse(self, value)  # super() is blind in a slotted dataclass
        if not 0 <= int(text.rsplit(":", 1)[1]) <= 65535:
            raise ValueError("must have a port from 0 to 65535 (0 picks a free one)")
        if any(not 0 < len(part) < 64 for part in text.rsplit(":", 1)[0].rstrip(".").split(".")):
            raise ValueError("must have a host whose parts between dots have 1 to 63 characters")
        return text


@dataclass(frozen=True, slots=True)
class Url(Text):
    """An http or https URL; its port is one."""

    def parse(self, value: object) -> str:
        """The URL, or ValueError saying what is allowed."""
        text = Text.parse(self, value)
        if (port := re.match(r"[^/]*//[^/]*:(\d+)(/|$)", text)) and not 0 < int(port[1]) <= 65535:
            raise ValueError("must have a port from 1 to 65535")
        return text


HOST_PORT = Address(
    r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.%]+\]):\d{1,5}", "host:port, such as 127.0.0.1:18787 or [::1]:18787"
)
NAME = Text(r"[a-z][a-z0-9_-]{0,62}", "a name of a-z, 0-9, _ and -, starting with a letter, up to 63 characters")
PATH = Text(r"/[^\0]*", "an absolute path")
RULES = Text(r"/[^\0]*|embedded:edgemon", "an absolute path, or embedded:edgemon for the rules that come with edgemon")
CORES = Cores(r"\d{1,4}(-\d{1,4})?", "the number of a CPU or a range such as 4-7")
PRECISION = Text(
    r"float(64|32|16|8e4m3fn|8e5m2|4e2m1)|bfloat16|u?int(4|8|16|32)",
    "float64, float32, float16, bfloat16, float8e4m3fn, float8e5m2, float4e2m1, or int or uint of 4, 8, 16 or 32",
)
LABEL = Text(r"[a-zA-Z_][a-zA-Z0-9_]*", "a label name of letters, digits and _, not starting with a digit")
URL = Url(
    r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(/[!-\"$-~]*)?",
    "an http or https URL without user, password or fragment, such as http://127.0.0.1:9093",
)
LEVEL = Text(r"debug|info|warning|error", "one of debug, info, warning, error")
FORMAT = Text(r"auto|text|json|journal", "one of auto, text, json, journal")
DAY = 86400.0


def duration(seconds: float) -> str:
    """Seconds as a person writes them: 500ms, 30s, 1m30s, 2h."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    parts, rest = [], seconds
    for unit in ("d", "h", "m"):
        count, rest = divmod(rest, UNITS[unit])
        parts += [f"{count:.0f}{unit}"] if count else []
    return "".join(parts + ([f"{rest:g}s"] if rest or not parts else []))


def size(value: int) -> str:
    """Bytes as a file would hold them, in the largest unit that is whole: 512KiB, 64MiB."""
    unit, factor = next(one for one in reversed(SIZES.items()) if value % one[1] == 0)
    return f"{value // factor}{unit}" if value else "0"


def written(value: object, marks: Sequence[object]) -> Any:
    """A value as a file would hold it: a duration and a size with its unit."""
    if any(isinstance(mark, Seconds) for mark in marks):
        return duration(float(str(value)))
    if any(isinstance(mark, Bytes) for mark in marks):
        return size(int(str(value)))
    return list(value) if isinstance(value, tuple) else value
