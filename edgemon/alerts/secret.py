"""Secrets: read from their file each time, so that a new one needs no reload; never kept, never shown."""

from __future__ import annotations

import os
import stat

from edgemon.endpoint import place
from edgemon.errors import SetupError

LARGEST = 4096


def secret(where: str) -> bytes:
    """What a file holds, `${CREDENTIALS_DIRECTORY}/NAME` included; SetupError, which names only the place."""
    path = place(where)
    if not path.startswith("/"):
        raise SetupError(f"secret {path} needs a systemd service with LoadCredential=")
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(LARGEST + 1).strip()
    except OSError as error:
        raise SetupError(f"secret {path} cannot be read: {(error.strerror or '').lower()}") from None
    if mode & stat.S_IRWXO:
        raise SetupError(f"secret {path} is open to every user; take that away: chmod o-rwx {path}")
    if not raw or len(raw) > LARGEST or b"\n" in raw:
        raise SetupError(f"secret {path} must be one line of 1 to {LARGEST} bytes")
    return raw


def printable(where: str) -> bytes:
    """A secret that can stand in an HTTP header."""
    raw = secret(where)
    if not all(0x21 <= one <= 0x7E for one in raw):
        raise SetupError(f"secret {where} must be printable ASCII without spaces, to be a token")
    return raw
