"""Spoiling one file of a captured machine, and reading it all the same."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from edgemon.metric import Reading
from edgemon.platforms import Platform
from tests import devices


def unpacked(factory: pytest.TempPathFactory, names: Iterable[str]) -> dict[str, devices.Captured]:
    """Captured machines by name, each unpacked once."""
    folder = factory.mktemp("fuzz")
    return {device: devices.unpack(device, folder / device) for device in names}


def spoil(
    machine: devices.Captured, path: str, garbage: bytes, fate: str, platforms: Sequence[Platform]
) -> list[Reading]:
    """What platforms read when a file holds garbage (`write`), vanishes after it was listed (`vanish`), or fails.

    A failing read is named by its errno. The file is whole again afterwards.
    """
    failing = {path: getattr(errno, fate)} if fate.startswith("E") else {}
    root = devices.Captured(machine.path, {**machine.failures, **failing})
    file = Path(root.path, path.strip("/"))
    original = file.read_bytes()
    try:
        if fate == "vanish":
            for platform in platforms:
                devices.sweep(root, platform)
            file.unlink()
        elif fate == "write":
            file.write_bytes(garbage)
        for platform in platforms:
            platform.detect(root)
        return [reading for platform in platforms for reading in devices.sweep(root, platform)]
    finally:
        file.write_bytes(original)
