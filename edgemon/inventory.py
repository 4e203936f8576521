"""What a device has, read once for a person who waits: sensors, accelerators, board, and what to do about the rest."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from edgemon import bus, hardware
from edgemon.collect import boottime, take
from edgemon.metric import Metric, Reading, State, Sweep
from edgemon.platforms import Platform, Sensor
from edgemon.sources import jtop
from edgemon.sysfs import DENIED, Root

PATIENCE = 10.0
"""Seconds a sensor may take when somebody waits for it; the slowest, Hailo's programs, have 8 s of their own."""
REMEDIES = {
    State.DENIED: "run as root, or give the daemon's user the group that may read it",
    State.TIMEOUT: "the kernel, a driver or a program hangs: see the end of dmesg",
    State.ERROR: "the kernel or the driver refuses: see the errors and the end of dmesg",
}


class Series(NamedTuple):
    """A reading by the names of its labels, and the sensor it is of."""

    labels: dict[str, str]
    value: float
    text: str

    def __str__(self) -> str:
        return f"{self.text} {self.value:g}"


class Accelerator(NamedTuple):
    """An accelerator that was found. `state` is empty where nobody says; `remedy` where nothing needs doing."""

    type: str
    id: str
    name: str
    vendor: str
    model: str
    driver: str
    firmware: str
    state: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """One pass over every sensor of every platform that is here."""

    root: Root
    sweeps: tuple[tuple[Platform, tuple[Sweep, ...]], ...]

    def of(self, metric: Metric) -> list[Series]:
        """The readings of one metric that have a value."""
        readings = (one for _, taken in self.sweeps for sweep in taken for one in sweep.readings)
        return [series(one) for one in readings if one.metric is metric and one.value is not None]

    def named(self, platform: str, sensor: str) -> Sweep | None:
        """How one sensor went; None where its platform is not here."""
        found = (sweep for one, taken in self.sweeps if one.name == platform for sweep in taken)
        return next((sweep for sweep in found if sweep.source == sensor), None)

    def platform(self, name: str) -> Platform | None:
        """A platform that is here."""
        return next((one for one, _ in self.sweeps if one.name == name), None)

    def accelerators(self) -> list[Accelerator]:
        """What platforms found, then what is on a bus without driver."""
        return [*self.known(), *(_unclaimed(one) for one in bus.unclaimed(self.root))]

    def known(self) -> Iterator[Accelerator]:
        """What platforms found."""
        states = {
            one.labels["hw_id"]: one.labels["state"] for one in self.of(hardware.ACCELERATOR_STATE) if one.value == 1
        }
        for platform, taken in self.sweeps:
            for metric, labels, _ in (reading for sweep in taken for reading in sweep.readings):
                if metric is hardware.ACCELERATOR_INFO:
                    ident, name, kind, vendor, model, driver, firmware = labels
                    state = states.get(ident, "")
                    keys = (f"{model} {state}", state)
                    fix = next((platform.remedies[key] for key in keys if key in platform.remedies), "")
                    yield Accelerator(kind, ident, name, vendor, model, driver, firmware, state, fix)


def series(reading: Reading) -> Series:
    """A reading as Prometheus writes it."""
    pairs = zip(reading.metric.prometheus_labels, reading.labels, strict=True)
    labels = {name: value for name, value in pairs if value}
    inside = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return Series(labels, float(reading.value or 0), f"{reading.metric.prometheus}{{{inside}}}")


def take_stock(here: Iterable[Platform], root: Root) -> Inventory:
    """Every sensor of the platforms read once; one that hangs is left behind."""
    found = list(here)
    if root.live and any(one.name == "jetson" for one in found):
        jtop.settle()  # a client that connects in the background has nothing to say at first
    return Inventory(root, tuple((one, tuple(timely(sensor, root) for sensor in one.sensors)) for one in found))


def timely(sensor: Sensor, root: Root, timeout: float = PATIENCE) -> Sweep:
    """One pass of a sensor, or `timeout`."""
    done: queue.SimpleQueue[Sweep] = queue.SimpleQueue()
    threading.Thread(target=lambda: done.put(take(sensor.name, sensor, root)), daemon=True).start()
    try:
        return done.get(timeout=timeout)
    except queue.Empty:
        return Sweep(sensor.name, boottime(), (), State.TIMEOUT, timeout, {"ETIMEDOUT": 1})


def source(sweep: Sweep) -> str:
    """Where a sensor's values came from, where it has a choice."""
    return next((labels[2] for metric, labels, _ in sweep.readings if metric is hardware.SENSOR_SOURCE), "")


def remedy(platform: Platform, sweep: Sweep) -> str:
    """What the owner can do about what keeps a sensor from reading all it could; empty where nothing needs doing."""
    state = State.DENIED if DENIED.intersection(sweep.errors) and sweep.state is State.OK else sweep.state
    keys = [f"{sweep.source} {state.value}", *sweep.errors, state.value, f"{sweep.source} {source(sweep)}"]
    return next((platform.remedies[key] for key in keys if key in platform.remedies), REMEDIES.get(state, ""))


def _unclaimed(one: bus.Unclaimed) -> Accelerator:
    state = "other driver" if one.driver else "no driver"
    return Accelerator(one.kind.kind, one.ident, one.kind.name, "", one.pci, one.driver, "", state, one.kind.remedy)
