from __future__ import annotations

from pathlib import Path

import pytest

from edgemon.access import door
from tests.access import Keys


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are looked at more often than once a second, so that no test waits for that."""
    monkeypatch.setattr(door, "LOOK", 0.05)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """Keys and certificates of this test's own."""
    return Keys(tmp_path)
