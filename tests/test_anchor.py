"""Wall time for boot time: boots in 1970, steps, suspends, boots that never knew, and who vouches for it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from edgemon import pushed
from edgemon.almanac import Almanac, Anchor, Grade
from edgemon.clock import BUILT, FUTURE, SECOND, Clock, kernel, read
from edgemon.metric import Metric

NOW = 1_790_000_000 * SECOND
"""A wall time that is right, some months after BUILT."""
BOOT = "b-now"


class Machine:
    """A machine whose clocks, and whose time service, a test sets. `true` is what boot time must be added to."""

    def __init__(self, where: Path, boot: str = BOOT, wall: int = NOW, patience: float = 600.0) -> None:
        self.at, self.wall, self.synchronised = 100 * SECOND, wall, None if wall == NOW else False
        self.asked, self.true = 0, NOW - self.at
        self.almanac = Almanac(str(where / "clock.json"))
        self.clock = Clock(boot, self.almanac, patience, lambda: (self.at, self.wall), self._kernel)

    def _kernel(self) -> bool | None:
        self.asked += 1
        return self.synchronised

    def run(self, seconds: float) -> None:
        """Let time pass, looked at every 10 s."""
        for _ in range(int(seconds // 10)):
            self.at += 10 * SECOND
            self.wall += 10 * SECOND
            self.clock.look()

    def date(self, off: float = 0.0) -> None:
        """The receiver answers: whole seconds of the right time."""
        self.clock.heard(float((self.at + self.true) // SECOND) + off)

    def error(self, at: int | None = None) -> float | None:
        """By how many seconds a batch of that moment, or of now, would be wrong; None while it would not be sent."""
        found = self.clock.offset(BOOT, self.at if at is None else at)
        return None if found is None else (found[0] - self.true) / SECOND

    def grade(self) -> Grade:
        return self.clock.grade


def value(machine: Machine, metric: Metric, *labels: str) -> float | None:
    return next((value for one, names, value in machine.clock.readings() if one is metric and names == labels), None)


def test_a_device_that_boots_in_1970_waits_and_then_everything_has_its_time(tmp_path: Path) -> None:
    """Nothing is sent before NTP has set the clock; what was measured before is stamped exactly afterwards."""
    machine = Machine(tmp_path, wall=0)
    machine.run(3600)
    assert (machine.grade(), machine.error()) == (Grade.NONE, None)
    early = machine.at
    machine.run(60)
    machine.wall, machine.synchronised = machine.at + machine.true, True
    machine.run(10)
    assert (machine.grade(), machine.error(), machine.error(early)) == (Grade.NTP, 0, 0)
    assert (value(machine, pushed.CLOCK_STEPS), value(machine, pushed.CLOCK_STATE, "ntp")) == (1, 1)
    assert value(machine, pushed.CLOCK_STEP) == pytest.approx((machine.true) / SECOND)


def test_a_device_without_ntp_takes_the_time_of_the_receiver(tmp_path: Path) -> None:
    """To a second, whatever its own clock says; and one that agrees keeps its own, which is finer."""
    for wall, worst in ((0, 1.0), (NOW + 86400 * SECOND, 1.0), (NOW + SECOND // 2, 0.5)):
        machine = Machine(tmp_path / str(wall), wall=wall)
        machine.synchronised = None
        machine.run(100)
        assert machine.error() is None
        machine.date()
        assert (machine.grade(), abs(machine.error() or 0) <= worst) == (Grade.SERVER, True)


def test_a_device_that_nobody_tells_the_time_does_not_wait_for_ever(tmp_path: Path) -> None:
    """If its clock can be right at all: later than edgemon, and later than what was vouched for before."""
    machine = Machine(tmp_path, wall=NOW, patience=600.0)
    machine.synchronised = False
    machine.run(590)
    assert machine.error() is None
    machine.run(10)
    assert (machine.grade(), machine.error()) == (Grade.WALL, 0)
    for wall in (0, BUILT - 86400 * SECOND):
        machine = Machine(tmp_path / str(wall), wall=wall)
        machine.run(7200)
        assert machine.error() is None


def test_a_clock_that_cannot_be_right_is_not_believed_whoever_says_so(tmp_path: Path) -> None:
    """The kernel calls 1970 synchronised."""
    machine = Machine(tmp_path, wall=0)
    machine.synchronised = True
    machine.run(3600)
    assert machine.error() is None


def test_a_clock_behind_what_was_vouched_for_before_is_not_believed(tmp_path: Path) -> None:
    """An RTC that went back: a day before what NTP said in the boot before."""
    first = Machine(tmp_path, "b-before")
    first.synchronised = True
    first.run(10)
    second = Machine(tmp_path, wall=NOW - 86400 * SECOND)
    second.run(7200)
    assert second.error() is None


def test_a_step_of_a_clock_that_nobody_vouches_for_changes_nothing(tmp_path: Path) -> None:
    """Somebody sets the date to next year and NTP is off: what is pushed keeps its time, and the step is counted."""
    machine = Machine(tmp_path)
    machine.synchronised = True
    machine.run(10)
    for step in (365 * 86400, -500 * 86400):
        machine.wall, machine.synchronised = machine.wall + step * SECOND, False
        machine.run(600)
        assert (machine.grade(), machine.error()) == (Grade.NTP, 0)
    assert value(machine, pushed.CLOCK_STEPS) == 2
    assert value(machine, pushed.CLOCK_STEP) == 865 * 86400


def test_ntp_that_sets_a_clock_in_order_again_counts_from_then_on(tmp_path: Path) -> None:
    """What came before keeps the time it had, so that nothing is sent twice with two times."""
    machine = Machine(tmp_path)
    machine.synchronised = True
    machine.run(600)
    before = machine.at
    machine.wall += 3 * SECOND
    machine.run(600)
    assert (machine.error(before), machine.error()) == (0, 3)
    assert machine.error(before - 300 * SECOND) == 0


def test_ntp_that_vouches_only_a_while_after_it_stepped_is_heard(tmp_path: Path) -> None:
    """chrony steps first and clears STA_UNSYNC some polls later."""
    machine = Machine(tmp_path)
    machine.synchronised = True
    machine.run(10)
    machine.wall, machine.synchronised = machine.wall + 5 * SECOND, False
    machine.run(20)
    assert machine.error() == 0
    machine.synchronised = True
    machine.run(40)
    assert machine.error() == 5


def test_a_better_word_takes_the_place_of_a_lesser_one_for_all_that_waits(tmp_path: Path) -> None:
    """Wall clock, then the receiver, then NTP."""
    machine = Machine(tmp_path, wall=NOW + 86400 * SECOND, patience=0.0)
    machine.run(10)
    early = machine.at
    assert (machine.grade(), machine.error()) == (Grade.WALL, 86400)
    machine.date()
    assert (machine.grade(), abs(machine.error(early) or 0) <= 1) == (Grade.SERVER, True)
    machine.wall, machine.synchronised = machine.at + machine.true, True
    machine.run(30)
    assert (machine.grade(), abs(machine.error(early) or 0) <= 0.5) == (Grade.NTP, True)


def test_the_anchor_stays_what_it_is_while_the_receiver_answers(tmp_path: Path) -> None:
    """Its Date tells whole seconds, so it differs by one from answer to answer: no sample is shifted for that."""
    machine = Machine(tmp_path, wall=0)
    machine.date()
    first = machine.error()
    for number in range(100):
        machine.at += 7 * SECOND + number * 10_000_000
        machine.date((number % 3 - 1) * 0.4)
        assert machine.error() == first


def test_a_clock_that_runs_away_without_ntp_is_brought_back(tmp_path: Path) -> None:
    """An oscillator of 100 ppm is off by 8 s in a day; the receiver's time goes on."""
    machine = Machine(tmp_path, wall=0)
    machine.date()
    for _ in range(24 * 60):
        machine.at += 60 * SECOND
        machine.true += 6_000_000
        machine.date()
        assert abs(machine.error() or 0) < 3.5


def test_a_suspended_machine_goes_on_where_it_is(tmp_path: Path) -> None:
    """CLOCK_BOOTTIME has counted the nine hours, the wall clock too: no step, and the same anchor."""
    machine = Machine(tmp_path)
    machine.synchronised = True
    machine.run(100)
    machine.at += 9 * 3600 * SECOND
    machine.wall += 9 * 3600 * SECOND + SECOND // 5
    machine.run(10)
    assert (machine.error(), value(machine, pushed.CLOCK_STEPS)) == (0, 0)


def test_the_kernel_is_asked_seldom_and_not_at_all_while_all_is_well(tmp_path: Path) -> None:
    machine = Machine(tmp_path, wall=BUILT)
    machine.run(600)
    assert machine.asked == 20
    machine.wall, machine.synchronised = NOW, True
    machine.run(10)
    machine.run(3600)
    assert machine.asked <= 22


def test_nothing_is_sent_ahead_of_the_receivers_clock(tmp_path: Path) -> None:
    """NTP and the receiver disagree by ten minutes: batches wait for five, and the difference is told."""
    machine = Machine(tmp_path)
    machine.synchronised = True
    machine.run(10)
    machine.date(-600)
    offset = machine.clock.offset(BOOT, machine.at)
    assert offset
    assert machine.clock.ahead(machine.at, offset[0]) == pytest.approx(600 - FUTURE / SECOND, abs=1)
    assert value(machine, pushed.CLOCK_DIFFERENCE) == pytest.approx(600, abs=1)
    was = machine.at
    machine.run(310)
    assert machine.clock.ahead(was, offset[0]) == 0


def test_the_anchor_of_a_boot_outlives_the_process(tmp_path: Path) -> None:
    """The same stamps after a restart, without asking anybody."""
    for _ in range(2):
        machine = Machine(tmp_path)
        machine.synchronised = True
        machine.run(10)
        machine.wall += SECOND // 3
    again = Machine(tmp_path, wall=NOW + SECOND // 4)
    assert (again.grade(), again.error(), again.asked) == (Grade.NTP, 0, 0)


def test_boots_that_never_knew_are_placed_between_their_neighbours(tmp_path: Path) -> None:
    """Known, two that never were, now: each ended before the next began, none before the first, in their order."""
    known = Machine(tmp_path, "b-0")
    known.synchronised = True
    known.run(10)
    now = Machine(tmp_path)
    now.at += 3600 * SECOND
    now.wall, now.true = NOW + 3600 * SECOND * 5, NOW + 3600 * SECOND * 5 - now.at
    now.synchronised = True
    now.run(10)
    boots = [
        ("b-0", 100 * SECOND, 500 * SECOND),
        ("b-1", 30 * SECOND, 900 * SECOND),
        ("b-2", 40 * SECOND, 700 * SECOND),
        (BOOT, 20 * SECOND, now.at),
    ]
    now.clock.remember(boots)
    spans = []
    for boot, first, last in boots:
        found = now.clock.offset(boot, last)
        assert found
        assert found[1] is (boot in {"b-1", "b-2"})
        spans.append((first + found[0], last + found[0]))
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    again = Machine(tmp_path, wall=now.wall)
    assert [again.clock.offset(boot, 0) for boot, _, _ in boots] == [now.clock.offset(boot, 0) for boot, _, _ in boots]


def test_boots_are_placed_only_once_this_one_is(tmp_path: Path) -> None:
    machine = Machine(tmp_path, wall=0)
    machine.clock.remember([("b-1", 0, SECOND)])
    assert machine.clock.offset("b-1", 0) is None
    assert machine.clock.age("b-1", 0) is None
    assert machine.clock.age(BOOT, machine.at - 7 * SECOND) == 7


def test_boots_of_which_nothing_waits_are_forgotten(tmp_path: Path) -> None:
    for number in range(5):
        machine = Machine(tmp_path, f"b-{number}")
        machine.synchronised = True
        machine.run(10)
        machine.clock.remember([(f"b-{number - 1}", 0, 1)])
    assert [bool(machine.almanac.of(f"b-{number}")) for number in range(5)] == [False, False, False, True, True]


def test_a_file_that_is_cut_off_or_changed_anywhere_is_an_empty_one(tmp_path: Path) -> None:
    """Never another time."""
    path = tmp_path / "clock.json"
    written = Almanac(str(path))
    written.set("b", [Anchor(0, NOW, Grade.NTP)], NOW)
    written.save()
    whole = path.read_bytes()
    for at in range(len(whole)):
        for data in (whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]):
            path.write_bytes(data)
            one = Almanac(str(path))
            assert (one.of("b"), one.latest()) in {((), 0), ((Anchor(0, NOW, Grade.NTP),), NOW)}
            assert bool(one.of("b")) is (one.errors == 0)
    path.write_bytes(whole)
    assert Almanac(str(path)).of("b") == (Anchor(0, NOW, Grade.NTP),)


def test_a_directory_that_cannot_be_written_costs_only_the_memory_of_it(tmp_path: Path) -> None:
    now = [0.0]
    (tmp_path / "below").write_text("a file")
    one = Almanac(str(tmp_path / "below" / "clock.json"), lambda: now[0])
    one.set("b", [Anchor(0, NOW, Grade.NTP)])
    one.save()
    assert one.of("b")[0].offset == NOW
    assert one.errors
    (tmp_path / "below").unlink()
    now[0] = 60.0
    one.save()
    assert Almanac(str(tmp_path / "below" / "clock.json")).of("b") == one.of("b")


def test_the_real_clocks_are_read_together_and_the_real_kernel_answers() -> None:
    at, wall = read()
    again, later = read()
    assert again > at
    assert abs((later - again) - (wall - at)) < SECOND // 1000
    assert kernel() in {True, False, None}
