"""Captures of real machines (`edgemon.capture`), one file each, and the root a sensor reads instead of this machine.

`<device>.prom` holds what edgemon makes of `<device>.capture`, one section a platform; `pytest --golden` rewrites the
sections tested.
"""

from __future__ import annotations

import copy
import errno
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from edgemon import catalog
from edgemon.capture import called, load
from edgemon.metric import Kind, Metric, Reading
from edgemon.platforms import Platform
from edgemon.sysfs import Root

HERE = Path(__file__).parent
BOUNDS: dict[Metric, tuple[float, float]] = {
    catalog.TEMPERATURE: (-55, 250),
    catalog.TEMPERATURE_LIMIT: (0, 250),
    catalog.FAN_SPEED: (0, 50_000),
    catalog.FAN_RATIO: (0, 1),
    catalog.VOLTAGE: (-1e3, 1e3),
    catalog.CURRENT: (-1e3, 1e3),
    catalog.POWER: (-1e5, 1e5),
    catalog.BATTERY_CHARGE: (0, 1),
    catalog.SUPPLY_ONLINE: (0, 1),
    catalog.DISK_WEAR: (0.1, 1.1),
    catalog.DISK_PRE_EOL: (1, 3),
    catalog.CPU_FREQUENCY: (1e6, 1e11),
    catalog.CPU_SPEED_LIMIT: (1e6, 1e11),
}
DEVICES = sorted(path.stem for path in HERE.glob("*.capture"))


class Entry(NamedTuple):
    """One `==` of a capture; the calls are together, as /calls.json."""

    path: str
    target: str
    failure: str
    body: str


class Captured(Root):
    """A captured machine in a directory, where tests can spoil it; reading one of `failures` fails with that errno."""

    def __init__(self, path: str, failures: dict[str, int] | None = None) -> None:
        super().__init__(path)
        self.failures = failures or {}

    def view(self) -> Captured:
        other = copy.copy(self)
        other.errors = Counter()
        return other

    def read(self, path: str) -> bytes:
        code = self.failures.get(path)
        if code is None:
            return super().read(path)
        raise OSError(code, os.strerror(code))

    def ask(self, name: str, kwargs: Mapping[str, object]) -> Any:
        return self._answer(called(name, kwargs).removeprefix("call "))

    def execute(self, command: tuple[str, ...], _timeout: float, /) -> str:
        text: str | None = self._answer(f"run {' '.join(command)}")
        if text is None:
            raise FileNotFoundError(errno.ENOENT, command[0])
        return text

    def _answer(self, key: str) -> Any:
        if not self.exists("/calls.json"):
            return None
        return json.loads(self.read("/calls.json")).get(key)


def entries(device: str) -> Iterator[Entry]:
    """The entries of a capture at its first moment."""
    moment = load(str(HERE / f"{device}.capture")).moments[0]
    calls: dict[str, Any] = {}
    for key, entry in moment.entries.items():
        if key.startswith("call "):
            calls[key.removeprefix("call ")] = json.loads(entry.body)
        elif key.startswith("run "):
            calls[key] = entry.body.decode()
        else:
            yield Entry(key, entry.target, entry.failure, entry.body.decode())
    if calls:
        yield Entry("/calls.json", "", "", json.dumps(calls))


def unpack(device: str, folder: Path) -> Captured:
    """Write a capture below a folder and give the root that reads it."""
    failures = {}
    for path, target, failure, body in entries(device):
        place = folder / path.strip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if target:
            place.symlink_to(target)
        elif path.endswith("/"):
            place.mkdir(exist_ok=True)
        else:
            place.write_text(body, "utf-8")
        if failure:
            failures[path] = getattr(errno, failure)
    return Captured(str(folder), failures)


def sweep(root: Root, platform: Platform) -> list[Reading]:
    """What every sensor of a platform reads, with its errors as readings."""
    readings: list[Reading] = []
    for sensor in platform.sensors:
        view = root.view()
        readings += sensor.read(view)
        readings += [catalog.SENSOR_ERRORS(n, platform.name, sensor.name, code) for code, n in view.errors.items()]
    return readings


def exposition(readings: list[Reading]) -> list[str]:
    """Sorted lines `name{label="value"} number` of the readings that have a value."""
    return sorted(line(reading) for reading in readings if reading.value is not None)


def line(reading: Reading) -> str:
    """One series as Prometheus writes it."""
    names = reading.metric.prometheus_labels
    pairs = [f'{name}="{value}"' for name, value in zip(names, reading.labels, strict=True) if value]
    return f"{reading.metric.prometheus}{{{','.join(pairs)}}} {float(reading.value or 0)!r}"


def sections(device: str) -> dict[str, list[str]]:
    """The golden lines of a device by platform."""
    found: dict[str, list[str]] = {}
    golden = HERE / f"{device}.prom"
    for text in golden.read_text("utf-8").splitlines() if golden.exists() else ():
        if text.startswith("# platform: "):
            found[text.removeprefix("# platform: ")] = []
        else:
            found[list(found)[-1]].append(text)
    return found


def rewrite(device: str, platform: str, lines: list[str]) -> None:
    """Replace one section of a golden file; a platform that reads nothing has none."""
    found = {name: old for name, old in {**sections(device), platform: lines}.items() if old}
    text = "".join(f"# platform: {name}\n" + "".join(f"{row}\n" for row in found[name]) for name in sorted(found))
    (HERE / f"{device}.prom").write_text(text, "utf-8")


def write(folder: Path, files: dict[str, str]) -> Captured:
    """A made-up machine, for what no capture shows."""
    for path, body in files.items():
        place = folder / path.strip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(body)
    return Captured(str(folder))


def values(readings: list[Reading], metric: Metric) -> dict[tuple[str, ...], float | None]:
    """The readings of one metric by their labels."""
    return {reading.labels: reading.value for reading in readings if reading.metric is metric}


def implausible(reading: Reading) -> bool:
    """Whether no hardware can mean the number; the bounds are the tests' own."""
    if reading.value is None:
        return False
    floor = 0.0 if reading.metric.kind is not Kind.GAUGE else -math.inf
    low, high = BOUNDS.get(reading.metric, (floor, 1e18))
    return not (math.isfinite(reading.value) and low <= reading.value <= high)
