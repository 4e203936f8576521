"""label_replace, label_join, and sorting by label."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cmp_to_key

from edgemon.alerts.promql.values import Labels, Vector, label, labelset, unique

REFERENCE = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)\})?", re.ASCII)
Change = Callable[[Labels], Labels]


def apply(change: Change, vector: Vector) -> Vector:
    """The vector with changed labels."""
    return unique([(change(labels), value) for labels, value in vector])


def replacing(target: str, replacement: str, source: str, pattern: str) -> Change:
    """label_replace: where the pattern matches the whole of the source label, the target is set."""
    match = re.compile(pattern).fullmatch

    def change(labels: Labels) -> Labels:
        found = match(label(labels, source))
        return labels if found is None else _set(labels, target, expand(replacement, found))

    return change


def joining(target: str, separator: str, *sources: str) -> Change:
    """label_join: the target is set to the joined values of the sources."""
    return lambda labels: _set(labels, target, separator.join(label(labels, source) for source in sources))


def _set(labels: Labels, name: str, value: str) -> Labels:
    return labelset({**dict(labels), name: value})


def expand(template: str, match: re.Match[str]) -> str:
    """`$1`, `${1}` and `$name` replaced as Go does: what names no group is empty, `$$` is a dollar."""

    def one(reference: re.Match[str]) -> str:
        if reference[1]:
            return "$"
        name = reference[2] or reference[3]
        if name is None:
            return reference[0]
        group = int(name) if name.isdigit() else name
        if isinstance(group, int):
            return (match[group] or "") if group <= match.re.groups else ""
        return (match[group] or "") if group in match.re.groupindex else ""

    return REFERENCE.sub(one, template)


def by_label(vector: Vector, names: Sequence[str], descending: bool) -> Vector:
    """Sorted by labels, numbers in them by their size."""

    def compare(one: tuple[Labels, float], other: tuple[Labels, float]) -> int:
        for name in names:
            left, right = label(one[0], name), label(other[0], name)
            if left != right:
                return -1 if _natural(left, right) else 1
        return -1 if one[0] < other[0] else 1

    return sorted(vector, key=cmp_to_key(compare), reverse=descending)


def _natural(left: str, right: str) -> bool:
    """Whether one text comes before another when runs of digits count as numbers."""
    lefts, rights = (re.findall(r"\d+|\D+", text, re.ASCII) for text in (left, right))
    for one, other in zip(lefts, rights, strict=False):
        if one == other:
            continue
        if one.isdigit() and other.isdigit() and int(one) != int(other):
            return int(one) < int(other)
        return one < other if not (one.isdigit() and other.isdigit()) else len(one) > len(other)
    return len(lefts) < len(rights)
