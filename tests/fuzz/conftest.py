from __future__ import annotations

import pytest

from tests.fuzz import COUNTS, SEED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many cases of each surface were tried."""
    if COUNTS:
        counted = ", ".join(f"{name} {number}" for name, number in sorted(COUNTS.items()))
        terminalreporter.write_line(f"fuzzed: {counted} (seed {SEED})")
