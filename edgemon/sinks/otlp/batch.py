"""What waits to be sent: one request of one signal, encoded, with what a queue must know without decoding it."""

from __future__ import annotations

from dataclasses import dataclass

SIGNALS = ("metrics", "traces", "logs")

FLIP, PROBE, TELEMETRY = range(3)  # retention classes: a lower one is kept longer


@dataclass(frozen=True, slots=True)
class Batch:
    """One OTLP export request, stamped in boot time."""

    signal: str  # "metrics", "traces" or "logs"
    grade: int  # retention class: FLIP, PROBE or TELEMETRY
    boot: str  # /proc/sys/kernel/random/boot_id of the boot the stamps belong to
    start: int  # CLOCK_BOOTTIME, nanoseconds, of the earliest point
    end: int  # CLOCK_BOOTTIME, nanoseconds, of the latest point
    points: int  # data points, spans or log records in it
    payload: bytes  # an Export{Metrics,Trace,Logs}ServiceRequest, uncompressed; every time is boot time of `boot`
