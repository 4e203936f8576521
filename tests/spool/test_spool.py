"""The spool: nothing written while all is sent, one write every few minutes while not, and an account that adds up."""

from __future__ import annotations

import itertools
import random
import threading
from pathlib import Path

import pytest

from edgemon import pushed
from edgemon.sinks.otlp.batch import FLIP, PROBE, TELEMETRY
from edgemon.spool import Spool
from edgemon.spool.shelf import Block
from edgemon.spool.waiting import Entry
from tests.spool import BOOT, Clock, account, batch, drain, files, number_of, reading, spool

MIB = 1 << 20


def fill(one: Spool, clock: Clock, numbers: range, size: int = 400, **how: object) -> None:
    """A batch every 10 s, and the lane's work between them."""
    for number in numbers:
        one.put(batch(number, size, **how))  # type: ignore[arg-type]
        one.keep()
        clock.now += 10


def test_nothing_is_written_while_everything_is_sent(tmp_path: Path) -> None:
    """For a day."""
    clock = Clock()
    one = spool(tmp_path, clock)
    for number in range(8640):
        fill(one, clock, range(number, number + 1), 40, grade=number % 3)
        assert list(drain(one)) == [number]
    assert (files(tmp_path), reading(one, pushed.WRITTEN)) == ([], 0)
    assert account(one)["sent"] == account(one)["collected"] > 8640


def test_what_is_not_sent_is_written_in_one_frame_every_five_minutes(tmp_path: Path) -> None:
    clock, sizes = Clock(), []
    one = spool(tmp_path, clock)
    for number in range(361):
        fill(one, clock, range(number, number + 1))
        sizes.append(reading(one, pushed.WRITTEN))
    assert len(set(sizes)) - 1 == 11
    again = spool(tmp_path, clock)
    waiting = list(drain(again))
    assert waiting == list(range(len(waiting)))
    assert len(waiting) >= 361 - 31


def test_durability_says_what_a_power_cut_costs(tmp_path: Path) -> None:
    """At most so many seconds of batches, and none where it is 0; of alerts and probe results less."""
    for durability, lost in ((300.0, 31), (60.0, 7), (0.0, 0)):
        for grade, least in ((TELEMETRY, lost), (PROBE, min(7, lost)), (FLIP, min(1, lost))):
            where, clock = tmp_path / f"{durability}-{grade}", Clock()
            fill(spool(where, clock, durability=durability), clock, range(100), grade=grade)
            kept = len(list(drain(spool(where, clock))))
            assert 100 - least <= kept <= 100


def test_live_comes_before_the_backlog_and_each_in_order(tmp_path: Path) -> None:
    """Alerts before probe results before telemetry, in both."""
    clock = Clock()
    one = spool(tmp_path, clock)
    for number in range(30):
        one.put(batch(number, grade=2 - number % 3))
    one.close()
    again = spool(tmp_path, clock)
    for number in range(30, 36):
        again.put(batch(number, grade=2 - number % 3))
    expected = [*range(32, 36, 3), *range(31, 36, 3), *range(30, 36, 3)]
    expected += [*range(2, 30, 3), *range(1, 30, 3), *range(0, 30, 3)]
    assert list(drain(again)) == expected
    assert files(tmp_path) == []


def test_what_is_found_at_the_start_is_collected_and_buffered(tmp_path: Path) -> None:
    """So that the account begins with what it has to account for."""
    clock = Clock()
    one = spool(tmp_path, clock)
    fill(one, clock, range(50))
    one.close()
    before = account(one)
    again = spool(tmp_path, clock)
    assert account(again) == {**before, "sent": 0, "dropped": 0}
    assert before["buffered"] == before["collected"]


def test_a_batch_sent_while_it_is_being_written_is_not_sent_again(tmp_path: Path) -> None:
    """It was taken out of memory by the sender, and written as part of a frame meanwhile."""
    clock = Clock()
    one = spool(tmp_path, clock)
    fill(one, clock, range(5))
    taken = one.live()
    assert taken
    clock.now += 300
    one.keep()
    assert one.live() is None
    one.sent(taken)
    one.sent(taken)
    assert sorted(drain(one)) == [1, 2, 3, 4]
    assert account(one)["buffered"] == 0
    assert files(tmp_path) == []


def test_points_that_are_rejected_and_batches_that_are_refused_are_told_apart(tmp_path: Path) -> None:
    one = spool(tmp_path)
    for number in (3, 4, 5):  # 4, 5 and 6 points
        one.put(batch(number))
    for act in (take, partly, refuse):
        entry = one.live()
        assert entry
        act(one, entry)
    one.put(batch(1))
    entry = one.live()
    assert entry
    one.sent(entry, 99)
    found = account(one)
    assert (found["sent"], found["rejected"], found["refused"], found["buffered"]) == (4 + 4, 1 + 2, 6, 0)


def test_one_signal_does_not_hold_up_another(tmp_path: Path) -> None:
    """In memory and in the same frame on disk; nor does a batch that is to be skipped."""
    one = spool(tmp_path)
    for number in range(6):
        one.put(batch(number, signal=("metrics", "logs")[number % 2]))
    assert [number_of(entry.batch) for entry in [one.live({"logs"})] if entry] == [1]
    one.close()
    again = spool(tmp_path)
    first = again.stored({"logs"})
    assert first
    assert number_of(first.batch) == 1
    second = again.stored({"logs"}, first)
    assert second
    assert number_of(second.batch) == 3
    assert again.stored({"traces"}) is None
    again.sent(second)
    assert sorted(drain(again)) == [0, 1, 2, 4, 5]


def test_a_batch_to_skip_that_is_the_last_of_its_block_does_not_hide_the_next_block(tmp_path: Path) -> None:
    one = spool(tmp_path)
    one.put(batch(0))
    one._write(one._waiting.pending(TELEMETRY))
    one.put(batch(1))
    one.close()
    again = spool(tmp_path)
    first = again.stored()
    assert first
    second = again.stored(skip=first)
    assert second
    assert (number_of(first.batch), number_of(second.batch)) == (0, 1)


def test_the_disk_is_bounded_and_the_oldest_telemetry_goes_first(tmp_path: Path) -> None:
    """Alerts and probe results of the beginning are all there in the end."""
    clock = Clock()
    one = spool(tmp_path, clock, disk=MIB)
    for number in range(0, 3000, 3):
        fill(one, clock, range(number, number + 1), 4000 + number)
        if number < 300:
            fill(one, clock, range(number + 1, number + 2), grade=PROBE)
            fill(one, clock, range(number + 2, number + 3), grade=FLIP)
        assert sum(file.stat().st_size for file in files(tmp_path)) <= MIB
    found = account(one)
    assert found["dropped"] == found["full"] > 0
    kept = list(drain(one))
    assert [number for number in kept if number < 300 and number % 3] != []
    assert {number for number in kept if number % 3} == {number for number in range(300) if number % 3}
    telemetry = sorted(number for number in kept if number % 3 == 0)
    assert telemetry == list(range(telemetry[0], 3000, 3))
    assert account(one)["buffered"] == 0


def test_a_disk_full_of_alerts_takes_no_telemetry(tmp_path: Path) -> None:
    """Which is kept in memory, as far as that goes; the alerts stay."""
    clock = Clock()
    one = spool(tmp_path, clock, disk=MIB, memory=MIB)
    fill(one, clock, range(400), 4000, grade=FLIP)
    alerts = account(one)["buffered"]
    assert account(one)["full"] > 0
    fill(one, clock, range(400, 900), 4000)
    assert account(one)["buffered"] > alerts
    kept = list(drain(one))
    assert {399, 899} <= set(kept)
    assert account(one)["buffered"] == 0


def test_what_is_too_old_is_given_up(tmp_path: Path) -> None:
    """Telemetry after the configured time, alerts after four times that; what cannot be dated waits."""
    clock = Clock()
    clock.now = 0.0
    one = spool(tmp_path, clock, age=3600.0)
    fill(one, clock, range(30), grade=TELEMETRY)
    fill(one, clock, range(30, 60), grade=FLIP)
    one.close()
    for hours, kept in ((0.5, 60), (2, 30), (3.5, 30), (5, 0)):
        clock.now = hours * 3600 + 600
        again = spool(tmp_path, clock, age=3600.0)
        again.keep()
        clock.now += 60
        again.keep()
        found = account(again)
        assert found.get("age", 0) == found["dropped"]
        assert sum(one.frame.batches for one in again._waiting.blocks()) == kept
    undated = Spool(str(tmp_path / "b"), one.limits, lambda _boot, _end: None, clock)
    undated.put(batch(1))
    clock.now += 10**9
    undated.keep()
    assert account(undated)["buffered"] == 2


def test_many_batches_at_once_are_written_before_they_are_much(tmp_path: Path) -> None:
    clock = Clock()
    one = spool(tmp_path, clock)
    for number in range(100):
        one.put(batch(number, 30_000))
        one.keep()
        assert (reading(one, pushed.BYTES, "memory") or 0) < 2 * MIB
    one.close()
    assert list(drain(spool(tmp_path, clock))) == list(range(100))


def test_it_says_when_it_wants_to_write(tmp_path: Path) -> None:
    """Alerts in a second, the others by durability, at once when there is much; and seldom when nothing waits."""
    clock = Clock()
    one = spool(tmp_path, clock, durability=90.0, memory=2 * MIB)
    assert one.keep() == 60
    assert [one.put(batch(0, grade=grade)) for grade in (FLIP, PROBE, TELEMETRY)] == [1, 60, 90]
    clock.now += 1
    assert one.keep() == 59
    assert [one.put(batch(number, 400_000)) for number in range(3)] == [90, 90, 0]
    assert spool(tmp_path / "each", clock, durability=0.0).keep() == 60


def test_what_is_sent_while_it_is_brought_back_to_disk_is_not_left_there(tmp_path: Path) -> None:
    """A block of memory, when the disk can be used again."""
    clock = Clock()
    one = spool(tmp_path, clock, durability=0.0)
    one._failed(OSError(5, "Input/output error"))
    one.put(batch(1))
    one.keep()
    put = one._shelf.put

    def slowly(block: Block, body: bytes) -> None:
        assert list(drain(one)) == [1]
        put(block, body)

    one._shelf.put = slowly  # type: ignore[method-assign]
    clock.now += 60
    one.keep()
    assert (one.state, files(tmp_path)) == ("disk", [])


def test_a_batch_without_points_is_none(tmp_path: Path) -> None:
    one = spool(tmp_path)
    one.put(batch(0).__class__("metrics", TELEMETRY, BOOT, 0, 0, 0, b""))
    assert one.live() is None


@pytest.mark.parametrize("seed", range(4))
def test_the_account_adds_up_whatever_happens(tmp_path: Path, seed: int) -> None:
    """A thousand acts by chance: put, sent, refused, kept, disk gone and back, restarts, damage."""
    chance, clock, numbers = random.Random(seed), Clock(), itertools.count()
    one, entry = spool(tmp_path, clock, disk=MIB, memory=MIB, age=4000.0), None
    for _ in range(1000):
        act = chance.randrange(16)
        if act < 6:
            one.put(
                batch(
                    next(numbers),
                    chance.choice([40, 400, 20_000]),
                    chance.randrange(3),
                    chance.choice(["metrics", "logs"]),
                )
            )
        elif act < 9:
            entry = chance.choice([one.live, one.stored])()
        elif act < 11 and entry:
            chance.choice((take, partly, refuse))(one, entry)
        elif act == 11:
            one._failed(OSError(5, "Input/output error"))
        elif act == 12 and chance.random() < 0.2:
            one.close()
            one, entry = spool(tmp_path, clock, disk=MIB, memory=MIB, age=4000.0), None
        elif act == 13 and files(tmp_path) and chance.random() < 0.1:
            hurt(chance.choice(files(tmp_path)), chance)
        else:
            clock.now += chance.choice([1, 10, 100])
            one.keep()
        account(one)
        assert one._shelf.size <= MIB
    for _ in drain(one):
        account(one)
    assert account(one)["buffered"] == 0


def take(one: Spool, entry: Entry) -> None:
    one.sent(entry)


def partly(one: Spool, entry: Entry) -> None:
    one.sent(entry, 1)


def refuse(one: Spool, entry: Entry) -> None:
    one.drop(entry, "refused")


def hurt(file: Path, chance: random.Random) -> None:
    """Change a few bytes of a file, or cut it off."""
    data = bytearray(file.read_bytes())
    for _ in range(3):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data[: chance.randrange(len(data))] if chance.random() < 0.3 else data)


def test_two_lanes_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """One puts, one writes, one sends, all at once."""
    one, sent, done = spool(tmp_path, durability=0.0), list[int](), threading.Event()

    def put() -> None:
        for number in range(600):
            one.put(batch(number, 40, grade=number % 3))
        done.set()

    def keep() -> None:
        while not done.is_set():
            one.keep()

    threads = [threading.Thread(target=act) for act in (put, keep)]
    for thread in threads:
        thread.start()
    while not done.is_set():
        sent += drain(one)
    for thread in threads:
        thread.join(60)
    one.close()
    sent += drain(one)
    assert sorted(sent) == list(range(600))
    assert account(one)["buffered"] == 0
    assert files(tmp_path) == []
