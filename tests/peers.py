"""Programs we did not write, for tests that hold edgemon against them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest

CACHE = os.path.expanduser("~/.cache/edgemon-peers/root/usr/bin")


def peer(name: str) -> str:
    """The program's path; without it the test is skipped, or fails if EDGEMON_REQUIRE_PEERS=1."""
    found = shutil.which(name) or shutil.which(name, path=CACHE)
    if found:
        return found
    return absent(f"{name} is neither on PATH nor in {CACHE}; it comes with the Debian package of its project")


def venv(name: str, python: str, *requirements: str, dependencies: bool = False) -> str:
    """A Python with pinned packages of its own, kept in .venv/peers; skipped or failed where it cannot be had.

    It has these packages and no others, or with `dependencies` all that they need.
    """
    home = Path(__file__).parents[1] / ".venv" / "peers" / name
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_name(f"{name}.lock").open("w") as lock:  # tests of two processes may want it at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _venv(home, python, requirements, [] if dependencies else ["--no-deps"])


def _venv(home: Path, python: str, requirements: Sequence[str], options: Sequence[str]) -> str:
    mark, made = home / "installed", home / "bin" / "python"
    if mark.is_file() and mark.read_text() == " ".join(requirements):
        return str(made)
    pip = [str(made), "-m", "pip", "install", "--quiet", *options, *requirements]
    try:
        subprocess.run([python, "-m", "venv", "--clear", home], check=True, capture_output=True, timeout=120)
        subprocess.run(pip, check=True, capture_output=True, text=True, timeout=480)
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", "") or error).strip().splitlines()
        absent(f"{' '.join(requirements)} cannot be had: {said[-1] if said else error}")
    mark.write_text(" ".join(requirements))
    return str(made)


def absent(reason: str) -> NoReturn:
    """Skip the test for want of a peer, or fail it if EDGEMON_REQUIRE_PEERS=1."""
    if os.environ.get("EDGEMON_REQUIRE_PEERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
