"""Programs we did not write, for tests that hold edgemon against them."""

from __future__ import annotations

import os
import shutil

import pytest

CACHE = os.path.expanduser("~/.cache/edgemon-peers/root/usr/bin")


def peer(name: str) -> str:
    """The program's path; without it the test is skipped, or fails if EDGEMON_REQUIRE_PEERS=1."""
    found = shutil.which(name) or shutil.which(name, path=CACHE)
    if found:
        return found
    reason = f"{name} is neither on PATH nor in {CACHE}; it comes with the Debian package of its project"
    if os.environ.get("EDGEMON_REQUIRE_PEERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
