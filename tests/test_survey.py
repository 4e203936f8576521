"""Looking again: an accelerator that is plugged in, or whose driver is loaded late, is found without a restart."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemon import hardware
from edgemon.capture import parse
from edgemon.collect import Source
from edgemon.daemon import LOOK, Daemon
from edgemon.metric import State
from edgemon.platforms import Platform, discover
from edgemon.replay import Replay
from edgemon.survey import Scout
from edgemon.sysfs import REMEMBER, Root
from tests.test_daemon import configure
from tests.test_replay import Clock

STICK = """# source: made up: a Coral USB accelerator is plugged in, gets its firmware, and is pulled
== /proc/uptime
100.00 100.00
== @100s
== /sys/bus/usb/devices/1-1/idVendor
1a6e
== /sys/bus/usb/devices/1-1/idProduct
089a
== @200s
== /sys/bus/usb/devices/1-1/idVendor
18d1
== /sys/bus/usb/devices/1-1/idProduct
9302
== @300s
== /sys/bus/usb/devices/1-1 !ENOENT
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[tuple[Daemon, Clock]]:
    """A daemon on a machine over time, whose lanes a test moves."""
    clock = Clock()
    made = Daemon(configure(tmp_path, probes={}), Replay(parse(STICK), clock=clock))
    made._make(str(tmp_path))
    made._plan()
    yield made, clock
    made._cleanup.close()
    assert made._collector
    made._collector.stop()
    made._scout.stop()


def sweep(daemon: Daemon) -> dict[str, Source]:
    """Look and sweep once; the sources by name."""
    daemon._look()
    assert daemon._collector
    daemon._collector.sweep()
    daemon._store.commit()
    return {one.name: one for one in daemon._collector.sources}


def sticks(daemon: Daemon) -> set[str]:
    """The states of the accelerator in the snapshot."""
    series = daemon._store.snapshot.series
    return {labels[3] for (metric, labels), on in series.items() if metric is hardware.ACCELERATOR_STATE and on}


def test_a_stick_plugged_in_later_is_read_and_gone_when_it_is_pulled(
    daemon: tuple[Daemon, Clock], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "edgemon")
    made, clock = daemon
    before = sweep(made)
    assert not [name for name in before if name.startswith("coral.")]
    clock.now = 100 + LOOK
    found = sweep(made)
    assert [name for name in found if name.startswith("coral.")]
    assert sticks(made) == {"unready"}
    assert all(found[name] is one for name, one in before.items())
    assert "coral" in {row.name for row in made.overview().platforms}
    clock.now = 300 + LOOK
    after = sweep(made)
    assert after == before
    assert sticks(made) == set()
    assert [one.message for one in caplog.records if "changed" in one.message] == [
        "platforms changed: +coral", "platforms changed: -coral",
    ]  # fmt: skip


def test_while_nothing_changes_nothing_is_exchanged(daemon: tuple[Daemon, Clock]) -> None:
    made, clock = daemon
    before = sweep(made)
    clock.now = 99.0
    assert all(sweep(made)[name] is one for name, one in before.items())


def test_a_reload_meanwhile_wins(daemon: tuple[Daemon, Clock]) -> None:
    """What the old configuration finds after it was replaced is not read."""
    made, _ = daemon
    sweep(made)
    old = made._collector
    made._plan()
    assert made._collector is not old
    assert [one.name for one in made._scout.here] == sorted({one.platform for one in made._collector.sources})  # type: ignore[union-attr]


def test_a_platform_whose_driver_hangs_costs_one_timeout_and_no_platform() -> None:
    release, calls = threading.Event(), [0]

    def detect(_root: Root) -> bool:
        calls[0] += 1
        return calls[0] == 1 or not release.wait(30)

    scout = Scout({"slow": Platform("slow", detect, ())}, Root(), (), 0.05)
    assert [one.name for one in scout.here] == ["slow"]
    for _ in range(3):
        assert scout.look() == []
    assert calls[0] == 2
    assert scout._eye.sources[0].state is State.TIMEOUT
    release.set()
    scout.stop()


def test_looking_reads_the_machine_afresh() -> None:
    """Names and listings are remembered for less than the time between two looks."""
    assert REMEMBER < LOOK
    assert len(Scout(discover(), Root(), (), 1.0).here) > 0
