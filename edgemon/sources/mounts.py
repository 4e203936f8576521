"""/proc/self/mountinfo (proc_pid_mountinfo(5)): the file systems themselves, not the mounts of this process's own view.

Only where a device is mounted, since what lies on a network tells servers and users that are none of a capture's.
"""

from __future__ import annotations

import re

LONGEST = 4 << 20
LINE = re.compile(r"^\d+ \d+ \S+ \S+ (\S+) .* - (\S+) (\S+) (\S+)$", re.MULTILINE)


def seen() -> dict[str, list[str]]:
    """Type and options of what is seen at each mount point of a device: of the last that was mounted there."""
    with open("/proc/self/mountinfo", "rb") as file:
        return parsed(file.read(LONGEST).decode("utf-8", "surrogateescape"))


def parsed(text: str) -> dict[str, list[str]]:
    """The same of a text."""
    lines = [(_plain(point), kind, device, options) for point, kind, device, options in LINE.findall(text)]
    devices = {point for point, _, device, _ in lines if device.startswith("/dev/")}
    return {point: [kind, options] for point, kind, _, options in lines if point in devices}


def _plain(text: str) -> str:
    """A path without its octal escapes."""
    return re.sub(r"\\([0-7]{3})", lambda one: chr(int(one[1], 8)), text)
