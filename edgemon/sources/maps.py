"""/proc/PID/maps, whole: that of a program with CUDA is far longer than what Root reads of a file."""

from __future__ import annotations

LONGEST = 16 << 20


def mapped(pid: str) -> list[str]:
    """The files mapped into a process, each once, in order; OSError where it is closed to this user or gone."""
    with open(f"/proc/{int(pid)}/maps", "rb") as file:
        lines = file.read(LONGEST).decode("utf-8", "backslashreplace").splitlines()
    found = (line.split(maxsplit=5) for line in lines)
    return list(dict.fromkeys(parts[5] for parts in found if len(parts) == 6 and parts[5].startswith("/")))
