"""The vocabulary of pushing: what was collected for OTLP, what became of it, and what the clock is worth."""

from __future__ import annotations

from edgemon.metric import Kind, Metric

COUNTER, GAUGE, UPDOWN = Kind.COUNTER, Kind.GAUGE, Kind.UPDOWN

POINTS = Metric(
    "edgemon.otlp.points",
    "{point}",
    COUNTER,
    "Data points, spans and log records made for OTLP, and found on disk at the start: what was sent, is buffered and "
    "was dropped add up to it.",
    ("signal",),
)
SENT = Metric("edgemon.otlp.sent_points", "{point}", COUNTER, "Points the receiver has taken.", ("signal",))
BUFFERED = Metric("edgemon.otlp.buffered_points", "{point}", UPDOWN, "Points that wait.", ("signal",))
DROPPED = Metric(
    "edgemon.otlp.dropped_points",
    "{point}",
    COUNTER,
    "Points given up: full (no room left), age, refused by the receiver whole or rejected one by one, too_old for it, "
    "failed (its own errors on this batch, while it takes others), damaged on disk.",
    ("signal", "reason"),
)
BYTES = Metric("edgemon.otlp.buffered", "By", UPDOWN, "Room taken by what waits.", ("place",))
LIMIT = Metric("edgemon.otlp.buffered.limit", "By", UPDOWN, "The most room it may take.", ("place",))
OLDEST = Metric(
    "edgemon.otlp.oldest.age", "s", GAUGE, "Age of the oldest batch that waits; absent while its time is not known."
)
STATE = Metric(
    "edgemon.otlp.buffer.state",
    "",
    GAUGE,
    "1 for where what waits is kept: disk, or memory while the disk is full, read-only or broken.",
    ("state",),
)
ERRORS = Metric("edgemon.otlp.buffer.errors", "{error}", COUNTER, "Reads and writes of the buffer that failed.")
DAMAGED = Metric(
    "edgemon.otlp.buffer.damaged",
    "{place}",
    COUNTER,
    "Places in the buffer's files that were not what was written: torn by a power cut, or changed by the flash.",
)
WRITTEN = Metric("edgemon.otlp.buffer.written", "By", COUNTER, "Bytes written to the buffer's files.")
REQUESTS = Metric(
    "edgemon.otlp.requests",
    "{request}",
    COUNTER,
    "Requests to the receiver by how they ended; an empty one before the first asks for its time.",
    ("outcome",),
)
LAST_SUCCESS = Metric(
    "edgemon.otlp.last_success.timestamp", "s", GAUGE, "When the receiver last took a batch, Unix time."
)
DURATION = Metric("edgemon.otlp.request.duration", "s", GAUGE, "Time the last request took.")
PAUSE = Metric(
    "edgemon.otlp.pause",
    "s",
    GAUGE,
    "Time the receiver is left alone after a failure; 0 when all is well.",
    ("signal",),
)
SERIES = Metric("edgemon.otlp.series", "{series}", GAUGE, "Series in the last push.")
OMITTED = Metric(
    "edgemon.otlp.series.omitted", "{series}", GAUGE, "Series left out of the last push: more than otlp.series allows."
)
MISSED = Metric(
    "edgemon.otlp.missed",
    "{item}",
    COUNTER,
    "Snapshots, probe rounds and alert flips that came too fast to be made ready to be sent, or could not be encoded.",
)
CLOCK_STATE = Metric(
    "edgemon.clock.state",
    "",
    GAUGE,
    "1 for what vouches for the time of what is pushed: ntp, server (the receiver's clock), wall (nothing but the "
    "machine's), or none, while it waits.",
    ("state",),
)
CLOCK_STEPS = Metric("edgemon.clock.steps", "{step}", COUNTER, "Times the wall clock was set by over half a second.")
CLOCK_STEP = Metric("edgemon.clock.step", "s", COUNTER, "By how much it was set, either way, all together.")
CLOCK_DIFFERENCE = Metric(
    "edgemon.clock.server_difference",
    "s",
    GAUGE,
    "The time pushed samples get less the receiver's, which tells whole seconds.",
)

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
