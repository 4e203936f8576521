"""The functions of templates, as Prometheus (template/template.go) and its common library have them."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping

from edgemon.alerts import gofmt
from edgemon.alerts.gofmt import Value

LARGE, BINARY, SMALL = "kMGTPEZY", ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"), "munpfazy"


class TemplateError(ValueError):
    """A template that cannot be expanded."""


class MismatchError(TemplateError):
    """Values of the wrong types, which no label can make right."""


def number(value: Value) -> float:
    """A float of what may be a string."""
    if isinstance(value, (bool, Mapping)):
        raise MismatchError(f"can't convert {gofmt.kind(value)} to float")
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise TemplateError(f'strconv.ParseFloat: parsing "{value}": invalid syntax') from None
    return float(value)


def humanize(value: Value) -> str:
    """1234.5 as 1.234k."""
    size = number(value)
    if not size or not math.isfinite(size):
        return gofmt.significant(size)
    return scaled(size, LARGE, 1000.0) if abs(size) >= 1 else shrunk(size)


def humanize1024(value: Value) -> str:
    """2048 as 2ki."""
    size = number(value)
    return gofmt.significant(size) if abs(size) <= 1 or not math.isfinite(size) else scaled(size, BINARY, 1024.0)


def scaled(size: float, prefixes: str | tuple[str, ...], step: float) -> str:
    """Divided until it is below a step, with the prefix of that."""
    prefix = ""
    for one in prefixes:
        if abs(size) < step:
            break
        prefix, size = one, size / step
    return gofmt.significant(size) + prefix


def shrunk(size: float) -> str:
    """Multiplied until it is 1 at least, with the prefix of that."""
    prefix = ""
    for one in SMALL:
        if abs(size) >= 1:
            break
        prefix, size = one, size * 1000
    return gofmt.significant(size) + prefix


def humanize_duration(value: Value) -> str:
    """3725 as 1h 2m 5s."""
    seconds = number(value)
    if not math.isfinite(seconds):
        return gofmt.significant(seconds)
    if not seconds:
        return f"{gofmt.significant(seconds)}s"
    if abs(seconds) < 1:
        return f"{shrunk(seconds)}s"
    sign, seconds = "-" if seconds < 0 else "", abs(seconds)
    whole = int(seconds)
    parts = (whole // 86400, whole // 3600 % 24, whole // 60 % 60, whole % 60)
    first = next((index for index, part in enumerate(parts) if part), 3)
    if first == 3:
        return f"{sign}{gofmt.significant(seconds)}s"
    return sign + " ".join(f"{part}{unit}" for part, unit in list(zip(parts, "dhms", strict=True))[first:])


def humanize_percentage(value: Value) -> str:
    """0.123 as 12.3%."""
    return f"{gofmt.significant(number(value) * 100)}%"


def humanize_timestamp(value: Value) -> str:
    """Seconds since 1970 as 2026-01-02 03:04:05 +0000 UTC."""
    seconds = number(value)
    if not math.isfinite(seconds):
        return gofmt.significant(seconds)
    whole = int(seconds * 1e9) // 1_000_000
    try:
        text = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(whole // 1000))
    except (OverflowError, ValueError, OSError):
        raise TemplateError(f"{gofmt.plain(seconds)} cannot be represented as a timestamp") from None
    part = f".{whole % 1000:03d}".rstrip("0") if whole % 1000 else ""
    return f"{text}{part} +0000 UTC"


def title(value: Value) -> str:
    """Each word with a capital; Go takes a letter for the first of a word after what is no letter, digit or _ or '."""
    return re.sub(r"(?<![\w'])\w", lambda match: match[0].upper(), string(value))


def string(value: Value) -> str:
    """A string, or TemplateError."""
    if not isinstance(value, str):
        raise MismatchError(f"wrong type for value; expected string; got {gofmt.kind(value)}")
    return value


def printed(*values: Value) -> str:
    """Go's Sprint: a space between two of which neither is a string."""
    text, before = "", None
    for value in values:
        if before is not None and not isinstance(before, str) and not isinstance(value, str):
            text += " "
        text, before = text + gofmt.plain(value), value
    return text


def formatted(form: Value, *values: Value) -> str:
    """Go's Sprintf."""
    return gofmt.sprintf(string(form), values)


def comparable(left: Value, right: Value) -> None:
    """TemplateError for two of different types, which Go does not compare."""
    if gofmt.kind(left) != gofmt.kind(right):
        raise MismatchError("incompatible types for comparison")


def equal(left: Value, *rights: Value) -> bool:
    """Whether the first is any of the others."""
    for right in rights:
        comparable(left, right)
    return any(left == right for right in rights)


def unequal(left: Value, right: Value) -> bool:
    """Whether two differ."""
    comparable(left, right)
    return left != right


def less(left: Value, right: Value) -> bool:
    """Whether the first is less."""
    comparable(left, right)
    if isinstance(left, (bool, Mapping)):
        raise MismatchError("invalid type for comparison")
    return left < right  # type: ignore[operator]


def true(value: Value) -> bool:
    """What Go's if takes for true."""
    return bool(value)


def either(*values: Value) -> Value:
    """The first that is true, or the last."""
    return next((value for value in values if true(value)), values[-1])


def both(*values: Value) -> Value:
    """The first that is not true, or the last."""
    return next((value for value in values if not true(value)), values[-1])


def index(mapping: Value, name: Value) -> Value:
    """A label by its name."""
    if not isinstance(mapping, Mapping):
        raise MismatchError(f"can't index item of type {gofmt.kind(mapping)}")
    return str(mapping.get(string(name), ""))


def pattern(text: Value) -> re.Pattern[str]:
    """A pattern of Go's regexp."""
    from edgemon.alerts.promql.regex import PatternError, translate  # noqa: PLC0415 - for the few who match

    try:
        return re.compile(translate(string(text), dotall=False))
    except PatternError as error:
        raise MismatchError(f'the pattern "{text}" {error}') from None


def matches(form: Value, text: Value) -> bool:
    """Whether a pattern is found in a text."""
    return pattern(form).search(string(text)) is not None


def replaced(form: Value, replacement: Value, text: Value) -> str:
    """Every match replaced; one of nothing right behind another is none in Go."""
    from edgemon.alerts.promql.relabel import expand  # noqa: PLC0415

    whole, parts, end, last = string(text), "", 0, -1
    for found in pattern(form).finditer(whole):
        if found.end() > found.start() or found.start() != last:
            parts += whole[end : found.start()] + expand(string(replacement), found)
            end = last = found.end()
    return parts + whole[end:]


MANY = 100
# gt and ge are the opposites of le and lt, as in Go, so that NaN is greater than everything
FUNCTIONS: Mapping[str, tuple[Callable[..., Value], int, int]] = {
    "humanize": (humanize, 1, 1),
    "humanize1024": (humanize1024, 1, 1),
    "humanizeDuration": (humanize_duration, 1, 1),
    "humanizePercentage": (humanize_percentage, 1, 1),
    "humanizeTimestamp": (humanize_timestamp, 1, 1),
    "printf": (formatted, 1, MANY),
    "print": (printed, 0, MANY),
    "toUpper": (lambda value: string(value).upper(), 1, 1),
    "toLower": (lambda value: string(value).lower(), 1, 1),
    "title": (title, 1, 1),
    "match": (matches, 2, 2),
    "reReplaceAll": (replaced, 3, 3),
    "eq": (equal, 2, MANY),
    "ne": (unequal, 2, 2),
    "lt": (less, 2, 2),
    "le": (lambda left, right: less(left, right) or left == right, 2, 2),
    "gt": (lambda left, right: not (less(left, right) or left == right), 2, 2),
    "ge": (lambda left, right: not less(left, right), 2, 2),
    "and": (both, 1, MANY),
    "or": (either, 1, MANY),
    "index": (index, 2, 2),
    "not": (lambda value: not true(value), 1, 1),
}
"""Each function with the fewest and the most arguments it takes."""
