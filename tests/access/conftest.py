from __future__ import annotations

from pathlib import Path

import pytest

from tests.access import Keys


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """Keys and certificates of this test's own."""
    return Keys(tmp_path)
