"""What is here: platforms present on a machine, runtimes that import, probes whose model loads."""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Mapping
from dataclasses import replace

from edgemon import config, platforms, runtimes
from edgemon.platforms import Platform
from edgemon.probe import supervisor
from edgemon.probe.result import Outcome, Request, Result
from edgemon.prober import request
from edgemon.sysfs import Root


def present(known: Mapping[str, Platform], root: Root, disabled: tuple[str, ...]) -> list[Platform]:
    """The platforms that are here, less what the configuration leaves out."""
    here = [one for one in known.values() if one.name not in disabled and platforms.here(one, root)]
    return [
        replace(one, sensors=tuple(sensor for sensor in one.sensors if f"{one.name}.{sensor.name}" not in disabled))
        for one in here
    ]


def unknown(known: Mapping[str, Platform], disabled: tuple[str, ...]) -> list[str]:
    """What is disabled but does not exist, most likely a misspelling."""
    names = set(known) | {f"{one.name}.{sensor.name}" for one in known.values() for sensor in one.sensors}
    return [name for name in disabled if name not in names]


def engines() -> list[str]:
    """The runtimes edgemon knows."""
    return [module.name for module in pkgutil.iter_modules(runtimes.__path__)]


def engine(name: str, python: str = "") -> Result:
    """Import an engine in a worker; its version is in the facts."""
    return supervisor.run(Request(name, name, until="import"), python)


def loads(name: str, probe: config.Probe) -> Result:
    """Load a probe's model in a worker, without running it."""
    if probe.runtime not in engines():
        return Result(name, Outcome.FAILED, f"runtime {probe.runtime} is unknown; known: {', '.join(engines())}")
    if probe.python and not os.access(probe.python, os.X_OK):
        return Result(name, Outcome.FAILED, f"python {probe.python} cannot be executed")
    return supervisor.run(replace(request(name, probe), until="load"), probe.python)
