r"""Captures: what edgemon read from a machine, as one text file, and the root that answers from it.

Lines that start with `# ` at the top say what it is: `# device:`, `# evidence:` (recorded, rebuilt, partly, synthetic)
and `# source:`, where the facts come from. Then each entry starts with `== `:

    == /sys/class/thermal/thermal_zone0/type          a file; its contents are the lines up to the next entry
    cpu-thermal
    == /proc/device-tree/compatible \x                a file whose contents have escapes: \x00 is a byte, in hex
    nvidia,p3768\x00nvidia,tegra234\x00
    == /sys/class/hwmon/hwmon0 -> ../../devices/x     a symbolic link
    == /sys/class/thermal/thermal_zone2/temp !EAGAIN  a file that is listed but whose reading fails
    == /sys/block/sda/                                an empty directory
    == call psutil.disk_partitions(all=False)         the answer of a library, as JSON
    []
    == run vcgencmd get_throttled                     what a program prints; !EACCES if it could not be run
    throttled=0x0
    == @30s                                           a later moment, seconds after the first: what follows replaces
                                                      what is above; !ENOENT takes it away, with all that is below it
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from edgemon.errors import CaptureError

LARGEST = 64 << 20
WIDTH = 110
HEAD = re.compile(
    r"(?P<key>/.*?|call [\w.]+\(.*?\)|run \S.*?)(?: -> (?P<target>\S.*)| !(?P<failure>E[A-Z0-9]+)|(?P<escaped> \\x))?"
)
MOMENT = re.compile(r"@(\d{1,7}(?:\.\d{1,3})?)s")
UNSAFE = re.compile(rb"[^\t\n\x20-\x5b\x5d-\x7e]|^=(?== )", re.MULTILINE)
ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


class Entry(NamedTuple):
    """What is at a path, or what a call or a program answers: contents, a link's target, or the errno of a failure."""

    body: bytes = b""
    target: str = ""
    failure: str = ""

    def contents(self) -> bytes:
        """The contents, or the OSError they stand for."""
        if self.failure:
            code = getattr(errno, self.failure)
            raise OSError(code, os.strerror(code))
        return self.body

    def answer(self, where: str) -> Any:
        """What a call answered; CaptureError when it is not JSON."""
        try:
            return json.loads(self.contents())
        except ValueError as error:
            raise CaptureError(f"{where}: the answer of a call must be JSON: {error}") from None


class Moment(NamedTuple):
    """What changed `at` so many seconds after the first moment, by path, `call …` or `run …`."""

    at: float
    entries: dict[str, Entry]


@dataclass(frozen=True, slots=True)
class Capture:
    """A machine at one or several moments; `source` tells where the facts come from."""

    source: str
    moments: tuple[Moment, ...]


def called(name: str, kwargs: Mapping[str, object]) -> str:
    """How a capture names a call."""
    return f"call {name}({', '.join(f'{key}={value!r}' for key, value in kwargs.items())})"


def laid(value: object, indent: str = "") -> str:
    """JSON that a person can read: what fits on a line stays on it."""
    line, deeper = json.dumps(value, ensure_ascii=False), f"{indent} "
    if len(indent) + len(line) <= WIDTH or not isinstance(value, (dict, list)):
        return line
    if isinstance(value, list):
        return "[\n" + ",\n".join(f"{deeper}{laid(one, deeper)}" for one in value) + f"\n{indent}]"
    pairs = (f"{deeper}{json.dumps(key, ensure_ascii=False)}: {laid(one, deeper)}" for key, one in value.items())
    return "{\n" + ",\n".join(pairs) + f"\n{indent}}}"


def load(path: str) -> Capture:
    """A capture file; CaptureError when it is none."""
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise CaptureError(f"{path}: a capture has at most {LARGEST >> 20} MiB")
        return parse(data.decode("utf-8"), path)
    except UnicodeDecodeError as error:
        raise CaptureError(
            f"{path}: not UTF-8 at byte {error.start}; other bytes are written as \\x00, see `== `"
        ) from None
    except OSError as error:
        raise CaptureError(f"{path}: {(error.strerror or str(error)).lower()}") from None


def parse(text: str, name: str = "capture") -> Capture:
    """The text of a capture; CaptureError names the line that is wrong."""
    source, _, rest = f"\n{text.removesuffix(chr(10))}".partition("\n== ")
    if not rest or any(line and not line.startswith("#") for line in source.split("\n")):
        raise CaptureError(f"{name}: is no capture: lines that start with #, then entries that start with ==")
    moments, number = [Moment(0.0, {})], source.count("\n") + 1
    for block in rest.split("\n== "):
        head, _, body = block.partition("\n")
        where = f"{name}:{number}"
        if later := MOMENT.fullmatch(head):
            moments.append(_moment(float(later[1]), moments[-1].at, body, where))
        elif match := HEAD.fullmatch(head):
            _add(moments[-1].entries, match, body, where)
        else:
            raise CaptureError(f"{where}: == {head:.80} is no path, call, run, or later moment such as @30s")
        number += block.count("\n") + 1
    return Capture(source.strip("\n"), tuple(moments))


def _moment(at: float, before: float, body: str, where: str) -> Moment:
    if at <= before:
        raise CaptureError(f"{where}: @{at:g}s must be later than the moment before it, {before:g} s")
    if body.strip():
        raise CaptureError(f"{where}: a moment has no contents of its own; entries that start with == follow it")
    return Moment(at, {})


def _add(entries: dict[str, Entry], match: re.Match[str], body: str, where: str) -> None:
    key, failure = match["key"], match["failure"] or ""
    if key in entries:
        raise CaptureError(f"{where}: {key} is there twice in one moment")
    if key.startswith("/") and {"", ".", ".."} & set(key.strip("/").split("/")) and key != "/":
        raise CaptureError(f"{where}: {key} must be a path without // and ..")
    if failure and not isinstance(getattr(errno, failure, None), int):
        raise CaptureError(f"{where}: {failure} is no errno; see errno(3)")
    raw = f"{body}\n".encode() if body else b""
    if match["escaped"]:
        raw = ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), raw)
    entries[key] = Entry(raw, match["target"] or "", failure)
    if key.startswith("call ") and not failure:
        entries[key].answer(where)


def render(capture: Capture) -> str:
    """The text of a capture; parsing it gives the capture again."""
    lines = [capture.source] if capture.source else []
    for moment in capture.moments:
        lines += [f"== @{moment.at:g}s"] if moment.at else []
        for key, entry in moment.entries.items():
            lines += _written(key, entry)
    return "\n".join(lines) + "\n"


def _written(key: str, entry: Entry) -> Iterator[str]:
    body = entry.body.removesuffix(b"\n")
    plain = _plain(body)
    mark = f" -> {entry.target}" if entry.target else f" !{entry.failure}" if entry.failure else "" if plain else " \\x"
    yield f"== {key}{mark}"
    if body:
        yield (body if plain else UNSAFE.sub(lambda found: b"\\x%02x" % ord(found[0]), body)).decode()


def _plain(body: bytes) -> bool:
    """Whether the lines can stand as they are."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return False
    return "\n== " not in f"\n{text}" and all(one.isprintable() or one in "\t\n" for one in text)
