"""Header values that come from files, and keeping them out of everything that is said (stdlib only, Python >= 3.8).

The configuration and the request name a file; the value is read in the worker and goes onto the wire only. A server
may send it back in an error, a header or a name: whatever text of a server is repeated goes through `Secrets.hide`.
"""

import os
import re
from typing import Any, Dict, List, Set

LONGEST = 65536
VALUE = re.compile(r"[\x20-\x7e\x80-\xff]+")
HIDDEN = "(secret)"


class Secrets:
    """The headers to send, those from files included, and the strings nobody may see."""

    def __init__(self, headers: Dict[str, Dict[str, str]]) -> None:
        self.headers: Dict[str, str] = {}
        self._hidden: Set[str] = set()
        for name, given in headers.items():
            self.headers[name] = self._secret(name, given) if given.get("file") else given["value"]

    def hide(self, text: Any) -> str:
        """The text with every secret in it, and every long word of one, replaced."""
        said = str(text)
        for one in sorted(self._hidden, key=len, reverse=True):
            said = said.replace(one, HIDDEN)
        return said

    def _secret(self, name: str, given: Dict[str, str]) -> str:
        value = read(name, given["file"])
        words: List[str] = [word for word in value.split() if len(word) >= 6]
        self._hidden.update([value, *words])
        return given.get("prefix", "") + value


def read(name: str, path: str) -> str:
    """The one line in a file; ValueError names header and file, never what is in it."""
    if path.startswith("$"):
        raise ValueError("header %s: %s needs a systemd service with LoadCredential=" % (name, path))
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            raw = file.read(LONGEST + 1)
    except OSError as error:
        text = (error.strerror or "").lower()
        raise ValueError("header %s: %s cannot be read: %s" % (name, path, text)) from None
    value = raw.decode("latin-1").strip("\r\n\t ")
    if len(raw) > LONGEST or not VALUE.fullmatch(value):
        raise ValueError("header %s: %s must hold one line of printable text, up to 64 KiB" % (name, path))
    return value
