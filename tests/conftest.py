"""Fixtures every test may use."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgemon.platforms import Platform
from tests import devices

BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
"""By rule, so that no time zone database is needed; in 2026 the clock changes on 29 March and 25 October."""

# started in the background it is ignored, and Control-C would reach no child either
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="rewrite tests/devices/*.prom")


@pytest.fixture
def berlin() -> Iterator[None]:
    """Local time is that of Berlin."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", BERLIN)
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str], devices.Captured]:
    """A captured machine by name."""
    return lambda device: devices.unpack(device, tmp_path / device)


@pytest.fixture
def golden(request: pytest.FixtureRequest, machine: Callable[[str], devices.Captured]) -> Callable[..., None]:
    """Hold what a platform reads on a captured machine against its section of the golden file."""

    def check(device: str, platform: Platform) -> None:
        root = machine(device)
        lines = devices.exposition(devices.sweep(root, platform)) if platform.detect(root) else []
        if request.config.getoption("--golden"):
            devices.rewrite(device, platform.name, lines)
        assert lines == devices.sections(device).get(platform.name, [])

    return check
