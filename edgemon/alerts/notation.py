"""promtool's notation of series: `name{label="value"}`, and samples such as `1 2 _ 4+2x10 stale`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from edgemon.alerts.promql.values import NAME, STALE, Labels, labelset

NUMBER = r"(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[iI][nN][fF]|[nN][aA][nN])"
ITEM = re.compile(
    rf"(?:(?P<gap>_)|(?P<start>[+-]?{NUMBER})(?P<step>[+-]{NUMBER})?)(?:x(?P<times>\d+))?|(?P<stale>stale)"
)
TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`[^`]*`)|(?P<word>[a-zA-Z_:][a-zA-Z0-9_:]*)|(?P<sign>[{},=]))"""
)
MOST = 11_000_000
"""Samples of one series."""


def metric(text: str) -> Labels:
    """The labels of a series, its name among them; ValueError when it is none."""
    pieces, place = [], 0
    while text[place:].strip():
        match = TOKEN.match(text, place)
        if not match:
            raise ValueError(f"{place + 1}: unexpected {text[place:].strip()[0]}")
        pieces.append((match.lastgroup or "", match[match.lastgroup or ""]))
        place = match.end()
    pairs: dict[str, str] = {}
    index = 0
    if pieces and pieces[0][0] == "word":
        pairs[NAME], index = pieces[0][1], 1
    if index == len(pieces) and pairs:
        return labelset(pairs)
    if index == len(pieces) or pieces[index][1] != "{" or pieces[-1] != ("sign", "}"):
        raise ValueError('must be a series, such as up{job="node"}')
    for part in _split(pieces[index + 1 : -1]):
        if len(part) == 1 and part[0][0] == "string" and NAME not in pairs:
            pairs[NAME] = _unquoted(part[0][1])
        elif len(part) == 3 and part[1][1] == "=" and part[2][0] == "string" and part[0][0] != "sign":
            pairs[_unquoted(part[0][1])] = _unquoted(part[2][1])
        else:
            raise ValueError(f"unexpected {''.join(text for _, text in part)}")
    return labelset(pairs)


def _split(pieces: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    part: list[tuple[str, str]] = []
    for kind, text in pieces:
        if (kind, text) == ("sign", ","):
            yield part
            part = []
        else:
            part.append((kind, text))
    if part:
        yield part


def _unquoted(text: str) -> str:
    if text[0] not in "\"'`":
        return text
    inside = text[1:-1]
    if text[0] == "`":
        return inside
    if text[0] == "'":
        inside = inside.replace("\\'", "'").replace('"', '\\"')
    found: str = json.loads(f'"{inside}"', strict=False)
    return found


def values(text: str) -> list[float | None]:
    """The samples, None where there is none; ValueError says what is wrong."""
    found: list[float | None] = []
    for item in text.split():
        match = ITEM.fullmatch(item)
        if "{{" in item:
            raise ValueError(f"{item}: native histograms are not kept by the device")
        if not match:
            raise ValueError(f"{item} is no sample; write 1, 1+2x3, 1x3, _, _x3 or stale")
        times = int(match["times"] or 0)
        if len(found) + times > MOST:
            raise ValueError(f"{item} makes too many samples")
        if match["stale"]:
            found.append(STALE)
        elif match["gap"]:
            found += [None] * (times if match["times"] else 1)
        else:
            found += _series(float(match["start"]), float(match["step"] or "0"), times)
    return found


def _series(start: float, step: float, times: int) -> Iterator[float]:
    """Added up one by one, as promtool does, which is not the same as multiplying."""
    for _ in range(times + 1):
        yield start
        start += step
