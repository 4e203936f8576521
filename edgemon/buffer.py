"""The settings of what waits for a receiver: how much, how long, and how soon it is safe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from edgemon.values import DAY, About, Bytes, Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffer:
    """What waits while the receiver is away. The oldest is given up first, probe results and alerts last."""

    disk: Annotated[
        int, Bytes(1 << 20, 1 << 40, none=False), About("most room on disk; 64MiB hold a week of 200 series")
    ] = 64 << 20
    memory: Annotated[
        int, Bytes(1 << 20, 1 << 30, none=False), About("most memory, where the disk is full, read-only or broken")
    ] = 4 << 20
    age: Annotated[
        float,
        Seconds(60, 365 * DAY),
        About("telemetry older than this is given up; what the receiver takes: out_of_order_time_window of Prometheus"),
    ] = 7.0 * DAY
    durability: Annotated[
        float,
        Seconds(0, 3600),
        About("most that a power cut costs: telemetry not sent for so long is written; 0 writes everything at once"),
    ] = 300.0
    rate: Annotated[
        int, Bytes(1 << 10, 1 << 30, none=False), About("bytes a second, uncompressed, at which the backlog is sent")
    ] = 512 << 10
    spread: Annotated[
        float,
        Seconds(0, 3600),
        About("the backlog begins after up to so long, by chance, so that a fleet that is back does not come at once"),
    ] = 30.0
    clock: Annotated[
        float,
        Seconds(0, DAY),
        About("how long to wait for a clock that is set, where neither NTP nor the receiver's tells the time"),
    ] = 600.0
