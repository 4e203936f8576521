"""The settings that keep probes from doing harm: what they may cost, when they wait, what calls for one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from edgemon import recurrence as recurring
from edgemon.recurrence import recurrence
from edgemon.values import DAY, About, Bytes, Each, Range, Seconds, Text, Whole, one_of
from edgemon.windows import SAYS, window

REASONS = ("hot", "throttled", "memory", "load", "pressure", "battery", "window", "boot")
"""What a gate can hold a probe for, in the order in which they are looked at."""
EVENTS = ("start", "reload", "model", "power_mode", "throttling_began", "throttling_ended", "runtime")


@dataclass(frozen=True, slots=True)
class Window(Text):
    """A calendar window."""

    def parse(self, value: object) -> str:
        """The window, or ValueError saying what is allowed."""
        if not isinstance(value, str):
            raise ValueError(f"must be {self.says}")  # noqa: TRY004 - what pydantic takes for a problem
        window(value)
        return value


@dataclass(frozen=True, slots=True)
class Recurrence(Text):
    """How often, and when."""

    def parse(self, value: object) -> str:
        """The recurrence, or ValueError saying what is allowed."""
        text = Text.parse(self, value)  # super() is blind in a slotted dataclass
        if text not in {"", NEVER}:
            recurrence(text)
        return text


NEVER = "never"
OFTEN = f"({'|'.join(recurring.DAYS)})(,.*)?"
OFTEN_OR_NOT = Recurrence(f"|{OFTEN}", f"{recurring.SAYS}, or empty")
OFTEN_OR_NEVER = Recurrence(f"|{NEVER}|{OFTEN}", f"{recurring.SAYS}, or never, or empty")
Windows = Annotated[tuple[str, ...], Each(Window(".*", SAYS))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What may be spent in any hour; 0 is no limit."""

    time: Annotated[float, Range(0, 1), About("share of the time that probes run; 0.05 is 3 minutes of an hour")] = 0.0
    cpu: Annotated[float, Range(0, 1e6), About("CPU seconds in an hour; 180 are 5 % of one core")] = 0.0
    energy: Annotated[
        float,
        Range(0, 1e9),
        About("joules in an hour, of the whole device while probes run"),
    ] = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Total(Budget):
    """What all probes together may spend in any hour; 0 is no limit."""

    time: Annotated[float, Range(0, 1), About("share of the time that probes run; 0.05 is 3 minutes of an hour")] = 0.05
    cpu: Annotated[float, Range(0, 1e6), About("CPU seconds in an hour; 180 are 5 % of one core")] = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """When probes wait. A gate whose sensor this device does not have is open."""

    temperature: Annotated[
        float, Range(0, 200), About("hottest sensor in °C at which probes wait; 0 leaves it to the next setting")
    ] = 0.0
    trip_points: Annotated[
        bool, About("whether probes wait when a sensor reaches its own trip point, at which the device is slowed down")
    ] = True
    throttled: Annotated[bool, About("whether probes wait while the device is throttled by heat, power or voltage")] = (
        True
    )
    memory: Annotated[int, Bytes(1 << 20, 1 << 40), About("probes wait while less memory is available; 0 never")] = (
        128 << 20
    )
    load: Annotated[
        float, Range(0, 1000), About("probes wait while the load average of a minute, per CPU, is higher; 0 never")
    ] = 0.0
    cpu_pressure: Annotated[
        float, Range(0, 1), About("probes wait while tasks wait for a CPU this share of the time (PSI); 0 never")
    ] = 0.0
    memory_pressure: Annotated[float, Range(0, 1), About("the same for memory: reclaiming, swapping")] = 0.2
    io_pressure: Annotated[float, Range(0, 1), About("the same for disks and flash")] = 0.0
    battery: Annotated[
        float, Range(0, 1), About("on battery, probes wait while less charge than this is left; 1 waits for the mains")
    ] = 0.2
    boot: Annotated[float, Seconds(0, 86400), About("probes wait so long after the device has booted")] = 60.0
    only: Annotated[Windows, About("local times in which probes run, such as [02:00-05:00]; [] is always")] = ()
    never: Annotated[Windows, About("local times in which they do not, such as [Mon-Fri 08:00-18:00]")] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggers:
    """What calls for a probe out of turn."""

    events: Annotated[tuple[str, ...], Each(one_of(EVENTS)), About("events that call for a probe")] = EVENTS
    gap: Annotated[float, Seconds(0, 3600), About("least time from the start of a probe to one that is called")] = 10.0
    per_hour: Annotated[int, Whole(0, 3600), About("most calls of one probe in an hour; more are not heeded")] = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebenchmark:
    """Longer runs of a probe: by the calendar, and when a rule labelled `action: rebenchmark` fires."""

    calendar: Annotated[
        str, OFTEN_OR_NOT, About("how often each probe is re-benchmarked, such as weekly, 02:00-05:00; empty is never")
    ] = ""
    rounds: Annotated[int, Whole(3, 50), About("runs of the probe that make one")] = 10
    cool_down: Annotated[
        float, Seconds(0, 7 * DAY), About("least time from one of a probe to the next one that an alert asks for")
    ] = 3600.0
    budget: Annotated[
        float, Seconds(0, DAY), About("time that those which alerts ask for may take in any 24 hours; 0 is no limit")
    ] = 600.0
