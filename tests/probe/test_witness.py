"""What the worker sees of the machine while it measures: from files it is given, and from this kernel."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from edgemon.probe.witness import RunDelay, Witness, longest, timer, total


class Machine:
    """CPUs and /proc/stat in a directory; only the CPUs this process may use are looked at."""

    def __init__(self, where: Path) -> None:
        self.cpus, self.stat = where / "cpu", where / "stat"
        self.allowed = sorted(os.sched_getaffinity(0))

    def cpu(self, name: str, *values: int) -> None:
        for cpu, value in zip(self.allowed, values, strict=False):
            path = self.cpus / f"cpu{cpu}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{value}\n")

    def ticks(self, *columns: int) -> None:
        self.stat.write_text(f"cpu  {' '.join(map(str, columns))}\ncpu0 1 2 3\n")

    def witness(self) -> Witness:
        return Witness(str(self.cpus), str(self.stat))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_what_cannot_be_read_is_absent(machine: Machine) -> None:
    assert set(machine.witness().tell()) == {"timer", "suspended"}


def test_steal_is_the_hypervisors_share_of_the_time_in_which_there_was_something_to_run(machine: Machine) -> None:
    machine.ticks(100, 10, 50, 9000, 5, 1, 1, 10, 0, 0)
    witness = machine.witness()
    machine.ticks(160, 20, 60, 9900, 6, 1, 1, 30, 0, 0)
    assert witness.tell()["steal"] == pytest.approx(20 / 100)


def test_a_machine_that_did_nothing_has_no_share_to_tell(machine: Machine) -> None:
    machine.ticks(1, 1, 1, 1, 1, 1, 1, 1)
    assert "steal" not in machine.witness().tell()


def test_the_clock_is_that_of_the_fastest_cpu_before_and_after(machine: Machine) -> None:
    machine.cpu("cpufreq/scaling_cur_freq", 600000, 1800000)
    witness = machine.witness()
    fastest = 1800000 if len(machine.allowed) > 1 else 600000
    machine.cpu("cpufreq/scaling_cur_freq", 600000, 1000000)
    told = witness.tell()
    assert told["clock_begin"] == fastest * 1e3
    assert told["clock_end"] == (1000000 if len(machine.allowed) > 1 else 600000) * 1e3


def test_throttling_events_are_counted_from_the_beginning_of_the_phase(machine: Machine) -> None:
    machine.cpu("thermal_throttle/core_throttle_count", 5)
    machine.cpu("thermal_throttle/package_throttle_count", 100)
    witness = machine.witness()
    assert witness.tell()["throttles"] == 0
    machine.cpu("thermal_throttle/core_throttle_count", 7)
    assert witness.tell()["throttles"] == 2


def test_reading_the_clock_takes_some_time() -> None:
    assert 0 < timer() < 0.001


def test_every_thread_is_asked_and_one_that_ended_costs_nothing() -> None:
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    thread.start()
    delay = RunDelay()
    before = delay.read()
    assert len(before) == len(os.listdir("/proc/self/task"))
    go.set()
    thread.join()
    after = delay.read()
    assert len(after) == len(before)
    assert longest(before, after) <= total(before, after)
    delay.close()
    assert delay.read() == []


def test_without_schedstat_there_is_no_delay(tmp_path: Path) -> None:
    delay = RunDelay(str(tmp_path / "task"))
    assert (delay.read(), longest([], []), total([], [])) == ([], 0.0, 0.0)


def test_delays_are_in_seconds_and_never_negative() -> None:
    assert longest([0, 5], [2_000_000_000, 1]) == 2.0
    assert total([0, 0], [2_000_000_000, 1_000_000_000]) == 3.0
    assert total([5, 5], [0, 0]) == 0.0
