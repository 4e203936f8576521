"""What is here: platforms present on a machine, runtimes that import, probes whose model loads."""

from __future__ import annotations

import math
import os
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import replace

from edgemon import config, platforms, runtimes
from edgemon.asking import cache, request
from edgemon.collect import Collector
from edgemon.metric import Reading
from edgemon.platforms import Platform, Sensor
from edgemon.probe import supervisor
from edgemon.probe.result import Outcome, Request, Result
from edgemon.sysfs import Root


def present(known: Mapping[str, Platform], root: Root, disabled: tuple[str, ...]) -> list[Platform]:
    """The platforms that are here, less what the configuration leaves out."""
    here = [one for one in known.values() if one.name not in disabled and platforms.here(one, root)]
    return [
        replace(one, sensors=tuple(sensor for sensor in one.sensors if f"{one.name}.{sensor.name}" not in disabled))
        for one in here
    ]


class Scout:
    """Looks again for platforms that came or went: a stick plugged in, a driver loaded late. `here` are those present.

    It looks as a sensor reads: what hangs in a driver is left behind after the timeout, and what is here stays.
    """

    def __init__(self, known: Mapping[str, Platform], root: Root, disabled: tuple[str, ...], timeout: float) -> None:
        self._known, self._disabled = known, disabled
        self.here = self._found = present(known, root, disabled)
        self._eye = Collector([Platform("edgemon", bool, (Sensor("platforms", self._find),))], root, timeout)

    def look(self) -> list[str]:
        """The names of the platforms that came or went since the last look, with a sign: `+coral`, `-hailo`."""
        for source in self._eye.sources:
            source.due = -math.inf
        self._eye.sweep()
        before, now = [one.name for one in self.here], [one.name for one in self._found]
        self.here = self._found
        return [f"+{name}" for name in now if name not in before] + [f"-{name}" for name in before if name not in now]

    def stop(self) -> None:
        """Look no more."""
        self._eye.stop()

    def _find(self, root: Root) -> Iterable[Reading]:
        self._found = present(self._known, root, self._disabled)
        return ()


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


def loads(name: str, probe: config.Probe, state: str) -> Result:
    """Load a probe's model in a worker, without running it; what the engine builds is kept below the state."""
    if probe.runtime not in engines():
        return Result(name, Outcome.FAILED, f"runtime {probe.runtime} is unknown; known: {', '.join(engines())}")
    if probe.python and not os.access(probe.python, os.X_OK):
        return Result(name, Outcome.FAILED, f"python {probe.python} cannot be executed")
    asked = replace(request(name, probe), until="load", cache=cache(state, name))
    return supervisor.run(asked, probe.python)
