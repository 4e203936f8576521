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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from edgemon.metric import Reading
from edgemon.sysfs import Root

T = TypeVar("T")
log = logging.getLogger("edgemon.platforms")


@dataclass(frozen=True, slots=True)
class Sensor:
    """One thing to read. `every` is the least time between two passes in seconds; 0 is every sweep.

    `power` marks one that reads power or energy only, cheaply: it may be sampled between sweeps, at most every so many
    seconds (how often the hardware has a new value); 0 is not.
    """

    name: str
    read: Callable[[Root], Iterable[Reading]]
    every: float = 0.0
    power: float = 0.0


@dataclass(frozen=True, slots=True)
class Platform:
    """A board, an accelerator or a kernel interface: whether it is here, and its sensors.

    `remedies` say what the owner can do, by what is wrong: `<sensor> <state>`, an error that was counted, the state of
    a sensor, `<sensor> <source>` where it has a choice; `<hw.model> <state>` or the state of an accelerator. The first
    that is known, in this order, is shown. `warning` says what else is wrong here.
    """

    name: str
    detect: Callable[[Root], bool]
    sensors: tuple[Sensor, ...]
    remedies: Mapping[str, str] = field(default_factory=dict)
    warning: Callable[[], str] | None = None


def discover(plugins: Sequence[tuple[str, str]] = ()) -> dict[str, Platform]:
    """Every platform installed, by name; `plugins` are names with `module:attribute` (`plugins.installed`).

    One that cannot be loaded is logged and left out; of two with one name the plugin is taken.
    """
    found: dict[str, Platform] = {}
    built_in = [(module.name, f"{__name__}.{module.name}:PLATFORM") for module in pkgutil.iter_modules(__path__)]
    for name, where in [*built_in, *plugins]:
        platform = _guarded(f"platform {name} cannot be loaded", lambda where=where: _load(where))  # type: ignore[misc]
        if platform is not None:
            found[platform.name] = platform
    return found


def here(platform: Platform, root: Root) -> bool:
    """Whether the platform is on this machine; one that fails to say so is logged and taken as absent."""
    return bool(_guarded(f"platform {platform.name} cannot be detected", lambda: platform.detect(root)))


def _load(where: str) -> Platform:
    module, _, attribute = where.partition(":")
    try:
        platform = getattr(importlib.import_module(module), attribute)
    except SystemExit:
        raise ImportError(f"{module} exits when it is imported") from None
    if not isinstance(platform, Platform) or not all(isinstance(one, Sensor) for one in platform.sensors):
        raise TypeError(f"{where} must be a Platform of Sensors, not {platform!r:.100}")
    return platform


def _guarded(what: str, action: Callable[[], T]) -> T | None:
    """What the action gives; None, and a warning, when it fails."""
    try:
        return action()
    except Exception as error:  # noqa: BLE001 - seam: a broken plugin costs itself only
        log.warning("%s: %s: %s", what, type(error).__name__, error)
        return None
