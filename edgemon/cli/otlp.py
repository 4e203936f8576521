"""`edgemon otlp`: try the receiver of what is pushed."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from edgemon import catalog, cli, identity
from edgemon.alerts.flip import Flip, State
from edgemon.errors import ConfigError
from edgemon.metric import Reading
from edgemon.push import Otlp
from edgemon.sinks.otlp.answer import Answer
from edgemon.sinks.otlp.batch import Batch
from edgemon.store import Snapshot
from edgemon.sysfs import Root

if TYPE_CHECKING:
    from edgemon.sinks.otlp.client import Client

SAID = {"delivered": "taken", "partial": "taken in part", "refused": "refused", "retry": "not taken now"}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command."""
    it = cli.command(commands, "otlp", "Try the receiver of what is pushed.")
    verbs = it.add_subparsers(metavar="verb", required=True)
    text = (
        "Send one batch of each signal that is pushed, and say what the receiver answers: edgemon_build_info and the "
        "uptime, a span, and a log record of an alert EdgemonTest. The daemon need not run. Exit 1 when something was "
        "not taken."
    )
    cli.configured(cli.command(verbs, "test", text))
    return it


def run(chosen: argparse.Namespace) -> int:
    """Send one batch of each."""
    settings = cli.settings(chosen.config).otlp
    if not list(settings.pushed()):
        raise ConfigError(["otlp: names no endpoint, or nothing to push; see `edgemon config --example`"])
    client, bad = _client(settings), 0
    for batch in _batches(settings):
        offset = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        answer = _sent(client, batch, offset)
        bad += answer.outcome != "delivered"
        print(f"{batch.signal:<8} {client.ways[batch.signal].shown:<48} {_said(answer)}")
    client.close()
    return 1 if bad else 0


def ready(settings: Otlp) -> Iterator[tuple[str, str, str]]:
    """Signal, URL, and what is wrong with the way there: a request with nothing in it is sent."""
    if not list(settings.pushed()):
        return
    client = _client(settings)
    for signal, way in client.ways.items():
        answer = client.send(signal, b"")
        yield signal, way.shown, "" if answer.outcome == "delivered" else answer.detail
    client.close()


def _client(settings: Otlp) -> Client:
    from edgemon.sinks.otlp.client import Client  # noqa: PLC0415 - OpenTelemetry's messages, an extra

    return Client(settings)


def _sent(client: Client, batch: Batch, offset: int) -> Answer:
    from edgemon.sinks.otlp.stamp import restamp  # noqa: PLC0415

    return client.send(batch.signal, restamp(batch, offset))


def _batches(settings: Otlp) -> Iterator[Batch]:
    from edgemon.sinks.otlp.common import resource  # noqa: PLC0415
    from edgemon.sinks.otlp.metrics import Metrics  # noqa: PLC0415
    from edgemon.sinks.otlp.records import logs  # noqa: PLC0415
    from edgemon.sinks.otlp.trace import greeting  # noqa: PLC0415

    attributes = {**identity.attributes(Root()), **settings.resource}
    at, who = time.clock_gettime_ns(time.CLOCK_BOOTTIME), resource(attributes)
    metrics = Metrics("", at)
    metrics.follow(settings, attributes)
    made: dict[str, Callable[[], Iterable[Batch]]] = {
        "metrics": lambda: metrics.tell(_snapshot(at / 1e9)).batches,
        "traces": lambda: [greeting(who, "", at)],
        "logs": lambda: [logs(_flip(at / 1e9), at, {}, who, "")],
    }
    for signal in settings.pushed():
        yield from made[signal]()


def _snapshot(at: float) -> Snapshot:
    readings: list[Reading] = [identity.build(), catalog.UPTIME(at)]
    return Snapshot(1, at, {(one.metric, one.labels): one.value or 0.0 for one in readings})


def _flip(at: float) -> Flip:
    return Flip(
        labels={"alertname": "EdgemonTest", "severity": "info"},
        state=State.FIRING,
        at=at,
        annotations={"summary": "A test of what edgemon pushes.", "description": "Sent by `edgemon otlp test`."},
    )


def _said(answer: Answer) -> str:
    rejected = f" ({answer.rejected} rejected)" if answer.rejected else ""
    return SAID[answer.outcome] + rejected + (f": {answer.detail}" if answer.detail else "")
