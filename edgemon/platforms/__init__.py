"""Platforms: what edgemon can read, one file each, and how to add one.

A platform file ends in `PLATFORM = Platform(name, detect, sensors)`; being in this package, or behind an entry point
of the group `edgemon.platforms`, is all it takes. A sensor is a generator function from a `Root` to readings: it names
its kernel file and raw unit, reads only through the root, and never raises for what is missing (the root answers None).
Several platforms may be present at once. An entry point replaces the built-in platform of the same name.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edgemon.metric import Reading
from edgemon.sysfs import Root

log = logging.getLogger("edgemon.platforms")


@dataclass(frozen=True, slots=True)
class Sensor:
    """One thing to read. `every` is the least time between two passes in seconds; 0 is every sweep."""

    name: str
    read: Callable[[Root], Iterable[Reading]]
    every: float = 0.0


@dataclass(frozen=True, slots=True)
class Platform:
    """A board, an accelerator or a kernel interface: whether it is here, and its sensors."""

    name: str
    detect: Callable[[Root], bool]
    sensors: tuple[Sensor, ...]


def discover(plugins: Sequence[tuple[str, str]] = ()) -> dict[str, Platform]:
    """Every platform installed, by name; `plugins` are names with `module:attribute` (`plugins.installed`).

    One that cannot be loaded is logged and left out; of two with one name the plugin is taken.
    """
    found: dict[str, Platform] = {}
    built_in = [(module.name, f"{__name__}.{module.name}:PLATFORM") for module in pkgutil.iter_modules(__path__)]
    for name, where in [*built_in, *plugins]:
        module, _, attribute = where.partition(":")
        try:
            platform = getattr(importlib.import_module(module), attribute)
        except Exception as error:  # noqa: BLE001 - seam: a broken plugin costs itself only
            log.warning("platform %s cannot be loaded: %s: %s", name, type(error).__name__, error)
            continue
        if isinstance(platform, Platform):
            found[platform.name] = platform
        else:
            log.warning("platform %s is not usable: PLATFORM must be a Platform, not %s", name, type(platform).__name__)
    return found
