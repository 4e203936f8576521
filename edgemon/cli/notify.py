"""`edgemon notify`: try whoever is told of alerts."""

from __future__ import annotations

import argparse
import time

from edgemon import cli
from edgemon.alerts.flip import Flip, State
from edgemon.alerts.notify import receivers
from edgemon.alerts.receiver import Answer, Delivery, Receiver
from edgemon.errors import ConfigError
from edgemon.sysfs import Root

ALERT = "EdgemonTest"
PAUSE = 1.0
"""Seconds between firing and resolved: Alertmanager takes no alert that ends as it begins."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command."""
    it = cli.command(commands, "notify", "Try whoever is told of alerts.")
    verbs = it.add_subparsers(metavar="verb", required=True)
    text = (
        f"Tell every receiver of an alert {ALERT} of severity info that fires and is resolved, and say who took it. "
        "The daemon need not run. Exit 1 when somebody did not take it."
    )
    cli.configured(cli.command(verbs, "test", text))
    return it


def run(chosen: argparse.Namespace) -> int:
    """Tell everybody."""
    settings = cli.settings(chosen.config).notify
    told = receivers(settings, Root())
    if not told:
        raise ConfigError(["notify: names nobody; see `edgemon config --example`"])
    began = time.time()
    fired = [_tell(one, _flip(State.FIRING, began)) for one in told]
    time.sleep(PAUSE)
    resolved = [_tell(one, _flip(State.RESOLVED, began)) for one in told]
    return 0 if all(fired + resolved) else 1


def _tell(receiver: Receiver, flip: Flip) -> bool:
    answer = receiver.deliver([flip])
    print(f"{receiver.name:<28} {flip.state.value:<9} {said(answer)}")
    return answer.outcome is Delivery.SENT


def said(answer: Answer) -> str:
    """An answer for a person."""
    return "taken" if answer.outcome is Delivery.SENT else f"{answer.outcome.value}: {answer.detail}"


def _flip(state: State, began: float) -> Flip:
    ends = time.time() if state is State.RESOLVED else 0.0
    return Flip(
        labels={"alertname": ALERT, "severity": "info"},
        state=state,
        starts_at=began,
        ends_at=ends,
        at=time.clock_gettime(time.CLOCK_BOOTTIME),
        annotations={"summary": "A test of edgemon's notifications.", "description": "Sent by `edgemon notify test`."},
    )
