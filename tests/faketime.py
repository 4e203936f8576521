"""A wall clock that a test sets while a daemon runs: libfaketime, told by a file; the clock since boot stays true."""

from __future__ import annotations

import os
from pathlib import Path

from tests.peers import absent

SLEEP = "import select, time; time.sleep = lambda seconds: select.select([], [], [], seconds)\n"
"""libfaketime 0.9.10 refuses clock_nanosleep(2) to a moment of the true monotonic clock, which is Python's sleep: to be
put into a sitecustomize.py."""
PLACES = ("/usr/lib", "/usr/local/lib", os.path.expanduser("~/.cache/edgemon-peers/root/usr/lib"))


def found() -> str:
    """The library, or nothing."""
    paths = [path for one in PLACES for path in sorted(Path(one).glob("*/faketime/libfaketimeMT.so.1"))]
    return str(paths[0]) if paths else ""


def library() -> str:
    """The library; without it the test is skipped, or fails if EDGEMON_REQUIRE_PEERS=1."""
    return found() or absent("libfaketime is not here; it comes with the Debian package faketime")


def environment(library: str, stamp: Path) -> dict[str, str]:
    """What makes a process take its wall clock's offset, such as +3600, from a file."""
    file = {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(stamp)}
    return {**file, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}


def set_by(stamp: Path, offset: str, where: Path, python: str) -> dict[str, str]:
    """The environment of a Python whose clock a file sets, read at every look; `where` is put on its path."""
    stamp.write_text(offset)
    (where / "sitecustomize.py").write_text(SLEEP)
    return {"PYTHONPATH": f"{python}:{where}", "FAKETIME_NO_CACHE": "1", **environment(library(), stamp)}
