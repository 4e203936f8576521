"""The sender: in order, at its pace, again and again where that helps and never where it does not."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

from edgemon import pushed
from edgemon.almanac import Almanac
from edgemon.buffer import Buffer
from edgemon.clock import Clock as Wall
from edgemon.forward import FIRST, LONGEST, SHARE, Forwarder
from edgemon.metric import Metric
from edgemon.sinks.otlp.answer import Answer
from edgemon.sinks.otlp.batch import FLIP, Batch
from edgemon.spool import Spool
from tests.spool import BOOT, SECOND, Clock, account, batch, number_of, spool

NOW = 1_790_000_000 * SECOND
SPREAD = Buffer().spread
GOOD = Answer("delivered")
AWAY = Answer("retry", detail="connection refused")


class Sender:
    """A forwarder whose clocks a test sets, and a receiver that answers what the test says.

    While it is `polite` it answers the empty request that comes first well, and without a Date.
    """

    def __init__(self, where: Path, answers: Callable[[Sender], Answer] = lambda _: GOOD, ntp: bool = True) -> None:
        self.time, self.answers, self.ntp, self.wall = Clock(), answers, ntp, NOW
        self.spool = spool(where / "spool", self.time)
        self.clock = Wall(BOOT, Almanac(str(where / "clock.json")), 600.0, self._clocks, lambda: self.ntp)
        self.sent: list[tuple[float, int]] = []
        self.asked: list[tuple[float, str]] = []
        self.batch: Batch | None = None
        self.polite = ntp
        self.chance = random.Random(3).random
        self.forwarder = Forwarder(self.spool, self.clock, self._send, self._stamp, self.time, self._chance)

    def _chance(self) -> float:
        return self.chance()

    def _clocks(self) -> tuple[int, int]:
        at = int(self.time.now * SECOND)
        return at, self.wall + at

    def _stamp(self, one: Batch, offset: int, estimated: bool) -> bytes:
        self.batch, self.stamped = one, (offset, estimated)
        return one.payload

    def _send(self, signal: str, body: bytes) -> Answer:
        if not body:
            self.batch = None
            if self.polite:
                return GOOD
        self.asked.append((self.time.now, signal))
        answer = self.answers(self)
        if body and answer.outcome in {"delivered", "partial"}:
            assert self.batch
            self.sent.append((self.time.now, number_of(self.batch)))
        return answer

    @property
    def number(self) -> int:
        """Of the batch in hand; -1 of a request without one."""
        return number_of(self.batch) if self.batch else -1

    def run(self, seconds: float) -> None:
        """Let the lane work for so long, each turn as late as it asks for."""
        end = self.time.now + seconds
        while self.time.now < end:
            pause = self.forwarder.turn()
            assert pause >= 0
            self.time.now += max(pause, 0.001)

    def numbers(self) -> list[int]:
        return [number for _, number in self.sent]

    def value(self, metric: Metric, *labels: str) -> float | None:
        return next(
            (value for one, names, value in self.forwarder.readings() if one is metric and names == labels), None
        )


def always(answer: Answer, _: Sender) -> Answer:
    return answer


def stored(one: Spool, *numbers: int) -> None:
    """Put batches on disk."""
    for number in numbers:
        one.put(batch(number))
    one.close()


def test_what_is_live_is_sent_at_once_and_the_backlog_after_it(tmp_path: Path) -> None:
    """Oldest first, each once; what comes while the backlog is sent goes before the rest of it."""
    sender = Sender(tmp_path)
    sender.spool.limits = sender.spool.limits.__class__(rate=1024)
    stored(sender.spool, *range(50))
    sender.forwarder.put(batch(100))
    sender.run(0.1)
    assert sender.numbers() == [100]
    while len(sender.sent) < 20:
        sender.run(0.05)
    sender.forwarder.put(batch(101))
    sender.run(60)
    numbers = sender.numbers()
    assert 20 <= numbers.index(101) <= 22
    assert [number for number in numbers if number < 100] == list(range(50))
    assert account(sender.spool)["buffered"] == 0


def test_the_backlog_keeps_its_rate(tmp_path: Path) -> None:
    """Bytes a second over any while, though the receiver would take more."""
    sender = Sender(tmp_path)
    sender.spool.limits = sender.spool.limits.__class__(rate=4096)
    for number in range(200):
        sender.spool.put(batch(number, 1000))
    sender.spool.close()
    sender.run(SPREAD + 200)
    times = [at for at, _ in sender.sent]
    assert len(times) == 200
    rate = 1016 * (len(times) - 1) / (times[-1] - times[0])
    assert 0.85 * 4096 <= rate <= 1.15 * 4096


def test_the_backlog_takes_a_share_of_the_processor_only(tmp_path: Path) -> None:
    """Where preparing a batch takes long, the pauses are as much longer."""
    sender = Sender(tmp_path)
    stored(sender.spool, *range(10))

    def work(_: Sender) -> Answer:
        sum(range(300_000))
        return GOOD

    sender.answers = work
    began = time.thread_time()
    sender.run(SPREAD + 60)
    spent = time.thread_time() - began
    times = [at for at, _ in sender.sent]
    assert len(times) == 10
    assert times[-1] - times[0] >= 0.8 * (spent * 9 / 10) / SHARE / 2


def test_a_receiver_that_is_away_is_asked_ever_more_seldom_and_never_in_step(tmp_path: Path) -> None:
    """Each pause by chance, up to three times the last; none longer than the longest. Two devices do not agree."""
    all_pauses = []
    for seed in (1, 2):
        sender = Sender(tmp_path / str(seed), lambda _: AWAY)
        sender.chance = random.Random(seed).random
        sender.forwarder.put(batch(0))
        sender.run(7200)
        times = [at for at, _ in sender.asked]
        pauses = [after - before for before, after in pairwise(times)]
        assert all(FIRST <= pause <= LONGEST + 0.1 for pause in pauses)
        assert all(after <= 3 * before + 0.1 for before, after in pairwise(pauses))
        assert 7200 / LONGEST <= len(times) <= 400
        all_pauses.append(pauses[:10])
    assert all(abs(one - other) > 0.001 for one, other in zip(*all_pauses, strict=True))


def test_the_backlog_waits_for_a_while_by_chance_when_the_receiver_is_back(tmp_path: Path) -> None:
    """A thousand devices that were cut off together do not pour out all they have at once."""
    starts = []
    for seed in range(20):
        sender = Sender(tmp_path / str(seed), lambda _: AWAY)
        sender.chance = random.Random(seed).random
        stored(sender.spool, 0, 1, 2)
        sender.forwarder.put(batch(9))
        sender.run(300)
        sender.answers = lambda _: GOOD
        sender.run(LONGEST + SPREAD + 10)
        live, first = sender.sent[0], sender.sent[1]
        assert (live[1], first[1]) == (9, 0)
        starts.append(first[0] - live[0])
    assert max(starts) <= SPREAD + 1
    assert max(starts) - min(starts) > SPREAD / 3


def test_retry_after_is_kept(tmp_path: Path) -> None:
    """At least as long, and not for ever."""
    for asked, least, most in ((60.0, 60, 70), (1e9, 3600, 3970)):
        sender = Sender(tmp_path / str(asked))
        busy = Answer("retry", wait=asked, detail="status 429")
        sender.answers = partial(always, busy)
        sender.forwarder.put(batch(0))
        sender.run(5000)
        times = [at for at, _ in sender.asked][:2]
        assert least <= times[1] - times[0] <= most


def test_what_a_receiver_rejects_or_refuses_is_not_sent_again(tmp_path: Path) -> None:
    """Counted by points, with the reason."""
    answers = {
        2: Answer("partial", rejected=2, detail="two of them"),
        3: Answer("refused", detail="status 400: no such label"),
        4: Answer("refused", detail="status 400: too old sample"),
        5: Answer("retry", detail="status 500: out of bounds"),
    }
    sender = Sender(tmp_path, lambda one: answers.get(one.number, GOOD))
    for number in range(1, 7):
        sender.forwarder.put(batch(number))
    sender.run(100)
    assert len(sender.asked) == 6
    found = account(sender.spool)
    assert (found["rejected"], found["refused"], found["too_old"]) == (2, 4, 5 + 6)
    assert found["sent"] == 2 + 1 + 7
    assert sender.value(pushed.REQUESTS, "delivered") == 1 + 2, "an empty one before them"


def test_a_batch_that_the_receiver_fails_on_is_given_up_once_others_are_taken(tmp_path: Path) -> None:
    """Live and stored; and not while it fails on all of them."""
    bad = Answer("retry", detail="status 500: panic", date=None)
    for where in ("live", "stored"):
        sender = Sender(tmp_path / where, lambda _: bad)
        for number in range(20):
            sender.forwarder.put(batch(number))
        if where == "stored":
            sender.spool.close()
        sender.run(3600)
        assert account(sender.spool)["dropped"] == 0
        sender.answers = lambda one: bad if one.number == 3 else GOOD
        sender.run(3600)
        assert sorted(sender.numbers()) == [number for number in range(20) if number != 3]
        assert account(sender.spool)["failed"] == 4


def test_a_receiver_that_cannot_be_reached_costs_no_batch(tmp_path: Path) -> None:
    """However often that is: half of all attempts fail, for hours, and all arrives."""
    chance = random.Random(7)
    sender = Sender(tmp_path, lambda _: GOOD if chance.random() < 0.5 else AWAY)
    for number in range(60):
        sender.forwarder.put(batch(number))
        sender.run(30)
    sender.run(3600)
    assert sender.numbers() == list(range(60))


def test_a_signal_whose_receiver_is_away_does_not_hold_up_the_others(tmp_path: Path) -> None:
    sender = Sender(tmp_path, lambda one: AWAY if one.batch and one.batch.signal == "logs" else GOOD)
    sender.forwarder.put(batch(0, grade=FLIP, signal="logs"))
    for number in range(1, 30):
        sender.forwarder.put(batch(number))
        sender.run(10)
    assert sender.numbers() == list(range(1, 30))
    assert (sender.value(pushed.PAUSE, "logs") or 0) >= FIRST
    assert sender.value(pushed.PAUSE, "metrics") == 0


def test_nothing_is_sent_before_the_time_is_known_but_the_receiver_is_asked_for_it(tmp_path: Path) -> None:
    """With an empty request; with the answer's Date everything goes out, at its time."""
    sender = Sender(tmp_path, lambda _: Answer("delivered"), ntp=False)
    sender.wall = 0
    sender.forwarder.put(batch(90))
    sender.run(3600)
    assert sender.sent == []
    assert 3600 / LONGEST <= len(sender.asked) <= 200
    sender.answers = lambda one: Answer("delivered", date=NOW // SECOND + one.time.now)
    sender.run(LONGEST + 10)
    assert sender.numbers() == [90]
    assert abs(sender.stamped[0] - NOW) <= SECOND
    assert sender.stamped[1] is False


def test_a_batch_that_may_have_arrived_is_sent_again_with_the_same_time(tmp_path: Path) -> None:
    """Its answer was lost, and NTP set the clock meanwhile: with another time it would be there twice."""
    sender = Sender(tmp_path, lambda _: Answer("retry", detail="timed out"))
    sender.forwarder.put(batch(99))
    sender.run(0.01)
    first = sender.stamped
    sender.wall += 7 * SECOND
    sender.run(60)
    sender.answers = lambda _: GOOD
    sender.run(LONGEST)
    assert sender.numbers() == [99]
    assert sender.stamped == first
    sender.forwarder.put(batch(200))
    sender.run(1)
    assert sender.stamped[0] == first[0] + 7 * SECOND


def test_nothing_is_sent_ahead_of_the_receivers_clock(tmp_path: Path) -> None:
    """Ten minutes ahead of it: each batch waits for five, the first one too, since the receiver is asked before."""
    sender = Sender(tmp_path, lambda one: Answer("delivered", date=NOW // SECOND + one.time.now - 600))
    sender.polite = False
    for number in range(100, 160):
        sender.forwarder.put(batch(number))
        sender.run(10)
    sender.run(1200)
    assert sender.numbers() == list(range(100, 160))
    for at, number in sender.sent:
        server = NOW // SECOND + at - 600
        assert (batch(number).end + NOW) / SECOND - server <= 301


def test_a_receiver_that_fails_on_an_empty_request_is_sent_to_all_the_same(tmp_path: Path) -> None:
    """One that cannot be reached is asked again; one that answers has been."""
    sender = Sender(tmp_path, lambda one: GOOD if one.batch else Answer("retry", detail="status 500: empty"))
    sender.polite = False
    sender.forwarder.put(batch(1))
    sender.run(60)
    assert sender.numbers() == [1]
    away = Sender(tmp_path / "away", lambda _: AWAY)
    away.polite = False
    away.forwarder.put(batch(1))
    away.run(600)
    away.answers = lambda _: GOOD
    away.run(LONGEST + 10)
    assert away.numbers() == [1]


def test_stamps_of_an_earlier_boot_without_a_clock_are_marked(tmp_path: Path) -> None:
    """And lie before this boot began."""
    sender = Sender(tmp_path)
    for number in range(3):
        sender.spool.put(batch(number, boot="another"))
    sender.spool.close()
    sender.run(SPREAD + 60)
    assert sender.numbers() == [0, 1, 2]
    assert sender.stamped[1] is True
    assert batch(2).end + sender.stamped[0] <= NOW


def test_a_batch_that_cannot_be_stamped_is_dropped_as_damaged(tmp_path: Path) -> None:
    sender = Sender(tmp_path)

    def stamp(one: Batch, _offset: int, _estimated: bool) -> bytes:
        sender.batch = one
        if number_of(one) == 1:
            raise ValueError("no such message")
        return one.payload

    sender.forwarder._restamp = stamp
    for number in range(3):
        sender.forwarder.put(batch(number))
    sender.run(10)
    assert sender.numbers() == [0, 2]
    assert account(sender.spool)["damaged"] == 2
