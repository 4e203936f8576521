"""The memory of starts: how many there were, what was before each, what is a crash loop, and how it ends."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemon import catalog
from edgemon.archive import Archive
from edgemon.starts import CALM, MOST, NAME, SPAN, Starts
from tests.running import running, until


class Device:
    """An archive, and clocks as a test sets them."""

    def __init__(self, state: str) -> None:
        self.archive = Archive(state)
        self.at, self.wall = 100.0, 1e9

    def start(self, boot: str = "a") -> Starts:
        """One more start."""
        return Starts(self.archive, boot, lambda: (self.at, self.wall))

    def crash(self, times: int, every: float = 5.0) -> Starts:
        """The last of so many starts, none of which ended as it was told to."""
        for _ in range(times):
            self.at += every
            last = self.start()
        return last


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    one = Device(str(tmp_path))
    yield one
    one.archive.close()


def counted(one: Starts) -> dict[str, float | None]:
    """Starts by what was before."""
    return {reading.labels[0]: reading.value for reading in one.readings() if reading.metric is catalog.RESTARTS}


def recent(one: Starts) -> float | None:
    """Starts within the last hour."""
    (value,) = [reading.value for reading in one.readings() if reading.metric is catalog.PROCESS_STARTS]
    return value


def test_what_was_before_a_start_is_counted(device: Device) -> None:
    first = device.start()
    assert counted(first) == {"stop": 0, "crash": 0, "boot": 0}
    first.ended()
    assert counted(device.start()) == {"stop": 1, "crash": 0, "boot": 0}
    assert counted(device.start()) == {"stop": 1, "crash": 1, "boot": 0}
    assert counted(device.start("another")) == {"stop": 1, "crash": 1, "boot": 1}


def test_starts_are_counted_for_an_hour_over_boots(device: Device) -> None:
    """Within a boot by the clock that nobody sets, over boots by the wall clock; one that makes no sense counts not."""
    assert [recent(device.start()) for _ in range(3)] == [1, 2, 3]
    device.wall = 5e9  # somebody sets the clock
    assert recent(device.start()) == 4
    device.at, device.wall = 10.0, 5e9 + 600  # a boot, ten minutes later
    assert recent(device.start("b")) == 2
    device.at, device.wall = 5.0, 1000.0  # another one, before the clock is right
    assert recent(device.start("c")) == 1


def test_a_daemon_that_is_killed_counts_its_starts(tmp_path: Path) -> None:
    for count in (1, 2):
        with running(tmp_path, probes={}) as daemon:
            until(lambda daemon=daemon, count=count: f"edgemon_process_starts {count}" in daemon.get("/metrics")[1])
            daemon.process.send_signal(signal.SIGKILL)
            daemon.process.wait()


def test_five_crashes_in_a_row_are_a_loop_and_an_ordinary_stop_ends_it(device: Device) -> None:
    assert not device.crash(MOST).safe  # the first start is after no crash
    last = device.crash(1)
    assert last.safe
    assert last.why().startswith("safe mode: 5 starts after crashes in 15 minutes; probes are off for 60 minutes")
    last.ended()
    assert not device.start().safe


def test_crashes_that_are_far_apart_are_no_loop(device: Device) -> None:
    assert not device.crash(20, SPAN / (MOST - 1) + 1).safe


def test_a_device_switched_on_and_off_is_in_no_loop(device: Device) -> None:
    """Power goes away without a stop, and time since boot begins anew."""
    assert not any(device.start(f"boot {n}").safe for n in range(20))


def test_after_an_hour_probes_are_tried_again_and_one_crash_is_enough_to_go_back(device: Device) -> None:
    last = device.crash(MOST + 1)
    device.at += CALM - 1
    assert not last.settled()
    device.at += 1
    assert last.settled()
    last.leave()
    assert not last.safe
    assert not last.settled()
    device.at += 60
    assert device.crash(1).safe


def test_a_run_that_lasts_makes_an_end_of_it(device: Device) -> None:
    last = device.crash(MOST)
    device.at += SPAN + 1
    last.settled()
    assert not device.crash(1).safe


@pytest.mark.parametrize("data", [[1], {"a": 1}, {"counts": [], "all": 1}, "x", 7, None])
def test_a_damaged_memory_is_none(device: Device, data: object) -> None:
    device.archive.remember(NAME, data)
    one = device.start()
    assert (one.safe, recent(one), counted(one)) == (False, 1, {"stop": 0, "crash": 0, "boot": 0})


def test_where_nothing_can_be_kept_there_is_no_safe_mode() -> None:
    starts = [Device("/proc/nowhere").crash(1) for _ in range(20)]
    assert not any(one.safe for one in starts)
    assert recent(starts[-1]) == 1
