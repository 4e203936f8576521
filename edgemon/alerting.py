"""The vocabulary of alerts: what was announced, to whom, and whether it arrived. Part of the catalogue."""

from __future__ import annotations

from edgemon.metric import Kind, Metric

COUNTER, GAUGE, UPDOWN = Kind.COUNTER, Kind.GAUGE, Kind.UPDOWN

NOTIFICATIONS = Metric(
    "edgemon.notifications",
    "{notification}",
    COUNTER,
    "Notifications by how the attempt ended: sent, unreachable (no answer, or asked to come later), failed (an error "
    "of the receiver), refused (never tried again). What is sent again to keep an alert alive counts too.",
    ("notifier", "outcome"),
)
QUEUED = Metric("edgemon.notifications.queued", "{notification}", UPDOWN, "Notifications waiting.", ("notifier",))
DROPPED = Metric(
    "edgemon.notifications.dropped",
    "{notification}",
    COUNTER,
    "Notifications given up: refused by the receiver, failed too often, overflow of the queue, damaged on disk.",
    ("notifier", "reason"),
)
LAST_SUCCESS = Metric(
    "edgemon.notifications.last_success.timestamp",
    "s",
    GAUGE,
    "When the receiver last took a notification, Unix time.",
    ("notifier",),
)
DURATION = Metric("edgemon.notifications.duration", "s", GAUGE, "Time the last attempt took.", ("notifier",))
OUTBOX_STATE = Metric(
    "edgemon.notifications.outbox.state",
    "",
    GAUGE,
    "1 for where waiting notifications are kept: disk, or memory while the state directory cannot be written.",
    ("state",),
)
OUTBOX_ERRORS = Metric(
    "edgemon.notifications.outbox.errors", "{error}", COUNTER, "Reads and writes of the outbox that failed."
)

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
