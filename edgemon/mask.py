"""Masking: what tells one device or its owner from another is taken out of a capture, alike wherever it occurs.

Serial numbers, hardware addresses, UUIDs, host names and user names in paths. What replaces them has their form and a
number, so that two different ones stay different. It is a help, not a promise: the owner looks before sharing.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from edgemon.capture import Entry, laid

PRIVATE = re.compile(
    r"(?i)(?:\w*serial(?:[_ -]?(?:number|no))?|iserial|product_uuid|uuid|guid|\w+_guid|\w+_asset_tag|machine-id|"
    r"hostname|nodename|boot_id|wwid|eui|nguid|unique_id|uniq|cid|address|permaddr|psid|mac|mac_address)"
)
"""Names of files and keys whose whole value is private (sysfs, DMI, device tree, NVML, jtop)."""
LINE = re.compile(r"(?im)^[ \t]*([\w ()-]*(?:serial|uuid|uniq)[\w ()-]*?)[ \t]*[:=][ \t]*(\S[^\n]*?)[ \t]*$")
"""Lines such as `Serial Number: HLLWM2B` (hailortcli), `Serial : 10000000` (cpuinfo), `HID_UNIQ=` (uevent)."""
HARDWARE = re.compile(r"(?i)(?<![0-9a-f:-])(?:[0-9a-f]{2}([:-]))(?:[0-9a-f]{2}\1){4,18}[0-9a-f]{2}(?![0-9a-f:-])")
EMBEDDED = re.compile(r"(?<=\b(?:enx|wlx))[0-9a-f]{12}\b")
UUID = re.compile(r"(?i)\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b")
USER = re.compile(r"(?:(?<=/home/)|(?<=^/media/)|(?<=\s/media/)|(?<=\"/media/)|(?<=/run/media/))[^/\s\"]+")
USUAL = frozenset(
    {"localhost", "raspberrypi", "ubuntu", "debian", "linux", "jetson", "tegra-ubuntu", "rock-5b", "media"}
)
"""Host names that many devices have, and words that must not be taken out of everything."""


class Mask:
    """What was found so far, and what stands for it; one for all moments of a capture."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._known: dict[str, str] = {}
        self._hosts: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def learn(self, entries: Mapping[str, Entry], hosts: Iterable[str] = ()) -> None:
        """Find what is private, by the names of files and keys."""
        self._hosts.update(host for host in hosts if len(host) > 2 and host.lower() not in USUAL)
        for key, entry in entries.items():
            if key.startswith("call "):
                self._walk(_json(entry), "")
            elif PRIVATE.fullmatch(key.rpartition("/")[2]):
                self._private(_text(entry))
            else:
                self._lines(_text(entry))
        words = sorted({*self._known, *self._hosts}, key=len, reverse=True)
        known = "|".join(re.escape(word) for word in words if len(word) > 5 or word in self._hosts)
        self._pattern = re.compile(rf"(?i)(?<![0-9a-z])(?:{known})(?![0-9a-z])") if known else None

    def entry(self, key: str, entry: Entry) -> tuple[str, Entry]:
        """The entry without what is private, in its path too."""
        if key.startswith("call ") and not entry.failure:
            told = _json(entry)
            if key == "call os.uname()":  # where a host name stands that is too short or usual to be known elsewhere
                self._hosts.add(told[1])
                told[1] = self._stand(told[1])
            body = f"{laid(self._masked(told, ''))}\n".encode()
        elif PRIVATE.fullmatch(key.rpartition("/")[2]):
            body = self._whole(_text(entry)).encode("utf-8", "surrogateescape")
        else:
            body = self.text(_text(entry)).encode("utf-8", "surrogateescape")
        return self.text(key), Entry(body, self.text(entry.target), entry.failure)

    def text(self, text: str) -> str:
        """The text without what is private."""
        text = LINE.sub(lambda found: found[0].replace(found[2], self._whole(found[2])), text)
        if self._pattern:
            text = self._pattern.sub(lambda found: self._stand(found[0]), text)
        for kind, pattern in (("address", HARDWARE), ("address", EMBEDDED), ("uuid", UUID), ("user", USER)):
            text = pattern.sub(lambda found, kind=kind: self._stand(found[0], kind), text)  # type: ignore[misc]
        return text

    def _stand(self, word: str, kind: str = "serial") -> str:
        """What stands for a word; one that says nothing (all zeros) stays."""
        if kind == "user" and word in USUAL:
            return word
        if not word.strip("0fF:-. \t\n\0"):
            return word
        plain = word.lower()
        if plain not in self._known or not self._known[plain]:
            kind = "host" if word in self._hosts else kind
            self.counts[kind] += 1
            self._known[plain] = _shaped(word, kind, self.counts[kind])
        return self._known[plain]

    def _whole(self, text: str) -> str:
        """A value that is private as a whole, in its own form."""
        word = text.strip(" \t\n\0")
        return text.replace(word, self._stand(word)) if word else text

    def _private(self, text: str) -> None:
        word = text.strip(" \t\n\0")
        if any(one.isdigit() for one in word) and "\n" not in word:
            self._known.setdefault(word.lower(), "")

    def _lines(self, text: str) -> None:
        for _, value in LINE.findall(text):
            self._private(value)

    def _walk(self, value: Any, key: str) -> None:
        if isinstance(value, dict):
            for name, item in value.items():
                self._walk(item, name)
        elif isinstance(value, list):
            for item in value:
                self._walk(item, key)
        elif isinstance(value, str):
            self._private(value) if PRIVATE.fullmatch(key) else self._lines(value)

    def _masked(self, value: Any, key: str) -> Any:
        if isinstance(value, dict):
            return {self.text(name): self._masked(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self._masked(item, key) for item in value]
        if isinstance(value, str):
            return self._whole(value) if PRIVATE.fullmatch(key) else self.text(value)
        return 0 if PRIVATE.fullmatch(key) and isinstance(value, (int, float)) else value


def _shaped(word: str, kind: str, number: int) -> str:
    """A word of the same form: zeros for letters and digits, the number at its end."""
    if kind in {"host", "user"}:
        return f"{kind}{number}"
    digits = list(str(number))
    return "".join((digits.pop() if digits else "0") if one.isalnum() else one for one in reversed(word))[::-1]


def _text(entry: Entry) -> str:
    return entry.body.decode("utf-8", "surrogateescape")


def _json(entry: Entry) -> Any:
    return None if entry.failure else json.loads(entry.body)
