"""edgemon as a systemd service: the unit, what this device adds to it, and the steps that install it."""

from __future__ import annotations

import os

HERE = os.path.dirname(os.path.abspath(__file__))
NAME = "edgemon.service"
UNITS = "/etc/systemd/system"
DROPINS = f"{UNITS}/{NAME}.d"
PACKAGED = ("/usr/lib/systemd/system", "/lib/systemd/system")
STATE, SETTINGS, CREDENTIALS = "/var/lib/edgemon", "/etc/edgemon", "/etc/edgemon/credentials"
USER = "edgemon"
MARK = "# Written by `edgemon service install`, which writes it anew or removes it; a drop-in of your own is kept.\n"


def text(name: str) -> str:
    """A file of this package, such as edgemon.service."""
    with open(os.path.join(HERE, name)) as file:
        return file.read()
