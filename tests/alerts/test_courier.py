"""A courier: in order, once, however long the receiver is away, and nothing is lost that is not counted."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemon import alerting
from edgemon.alerts.courier import IDLE, LONGEST, TRIES, Courier
from edgemon.alerts.flip import Flip
from edgemon.alerts.outbox import Outbox
from edgemon.alerts.receiver import Answer, Delivery
from tests.alerts.flips import flip, key
from tests.running import until

SENT, UNREACHABLE, FAILED, REFUSED = Delivery.SENT, Delivery.UNREACHABLE, Delivery.FAILED, Delivery.REFUSED


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Scripted:
    """A receiver that answers as told; SENT when nothing is."""

    def __init__(self, batch: int = 1, resend: float = 0.0) -> None:
        self.name, self.batch, self.resend = "webhook/scripted", batch, resend
        self.answer: Any = lambda _flips: Answer(SENT)
        self.asked: list[list[tuple[str, float, str]]] = []
        self.taken: list[tuple[str, float, str]] = []

    def deliver(self, flips: Sequence[Flip]) -> Answer:
        answer: Answer = self.answer(flips)
        self.asked.append([key(one) for one in flips])
        self.taken += self.asked[-1] if answer.outcome is SENT else []
        return answer

    def check(self) -> Answer:
        return Answer(SENT)


class Post:
    """A courier with its outbox, on a clock that is set by hand."""

    def __init__(self, where: Path, receiver: Scripted, active: Sequence[Flip] = ()) -> None:
        self.clock, self.receiver = Clock(), receiver
        self.box = Outbox(str(where), self.clock)
        self.box.follow([receiver.name])
        self.courier = Courier(receiver, self.box, lambda: active, self.clock, lambda: 1.0)

    def run(self, seconds: float) -> None:
        """Let time pass, a turn whenever the courier wants one."""
        end = self.clock.now + seconds
        while self.clock.now <= end:
            self.clock.now += max(0.001, min(self.courier.turn(), end - self.clock.now + 0.001))

    def values(self, metric: Any) -> dict[tuple[str, ...], float | None]:
        return {
            one.labels: one.value for one in [*self.courier.readings(), *self.box.readings()] if one.metric is metric
        }


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    made = Post(tmp_path, Scripted())
    yield made
    made.box.close()


def test_an_hour_offline_and_back_delivers_every_flip_once_and_in_order(post: Post) -> None:
    flips = [flip(f"Alert{n % 3}", "resolved" if n // 3 % 2 else "firing", 1e9 + n // 6 * 100) for n in range(60)]
    post.receiver.answer = lambda _: Answer(UNREACHABLE, "no route to host")
    for one in flips:
        post.box.put(one)
        post.run(60)
    attempts = len(post.receiver.asked)
    assert 3600 / LONGEST <= attempts <= 3600 / LONGEST + 10
    assert post.box.queued == {"webhook/scripted": 60}
    post.receiver.answer = lambda _: Answer(SENT)
    post.run(LONGEST)
    assert post.receiver.taken == [key(one) for one in flips]
    assert not post.box.dropped


def test_pauses_double_up_to_five_minutes_and_end_with_a_success(post: Post) -> None:
    post.box.put(flip())
    post.receiver.answer = lambda _: Answer(UNREACHABLE)
    pauses = []
    for _ in range(11):
        pauses.append(post.courier.turn())
        post.clock.now += pauses[-1]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    post.receiver.answer = lambda _: Answer(SENT)
    assert post.courier.turn() == IDLE
    post.box.put(flip("Other"))
    post.receiver.answer = lambda _: Answer(UNREACHABLE)
    assert post.courier.turn() == 1


def test_one_that_is_told_again_and_again_is_never_left_alone_for_longer(tmp_path: Path) -> None:
    """An Alertmanager that is back hears what fires within `resend`, not within five minutes."""
    post = Post(tmp_path, Scripted(resend=60.0), [flip()])
    post.receiver.answer = lambda _: Answer(UNREACHABLE)
    post.run(3600)
    post.receiver.answer = lambda _: Answer(SENT)
    post.run(60.1)
    assert post.receiver.taken == [key(flip())]
    post.box.close()


def test_chance_cuts_a_pause_by_up_to_half(post: Post) -> None:
    post.box.put(flip())
    post.receiver.answer = lambda _: Answer(UNREACHABLE)
    post.courier._chance = lambda: 0.0
    assert post.courier.turn() == 0.5


def test_retry_after_is_a_least_pause(post: Post) -> None:
    post.box.put(flip())
    post.receiver.answer = lambda _: Answer(UNREACHABLE, "status 429", 30.0)
    assert post.courier.turn() == 30.0
    post.run(29)
    assert len(post.receiver.asked) == 1


def test_what_is_refused_is_dropped_counted_and_logged_once(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "edgemon")
    post.receiver.answer = lambda _: Answer(REFUSED, "status 404")
    for name in "ABC":
        post.box.put(flip(name))
    post.run(1)
    assert post.values(alerting.DROPPED)["webhook/scripted", "refused"] == 3
    assert [record.message for record in caplog.records] == ["webhook/scripted refused: status 404"]
    post.receiver.answer = lambda _: Answer(SENT)
    post.box.put(flip("D"))
    post.run(1)
    assert caplog.records[-1].message == "webhook/scripted takes notifications again"


def test_one_bad_flip_in_a_batch_costs_itself_only(tmp_path: Path) -> None:
    post = Post(tmp_path, Scripted(batch=10))
    post.receiver.answer = lambda flips: Answer(REFUSED if "Bad" in [one.alertname for one in flips] else SENT)
    for name in ("A", "B", "Bad", "C", "D"):
        post.box.put(flip(name))
    post.run(1)
    assert [name for name, _, _ in post.receiver.taken] == ["A", "B", "C", "D"]
    assert post.box.dropped == {("webhook/scripted", "refused"): 1}
    post.box.close()


def test_a_flip_the_receiver_fails_on_is_given_up_after_an_hour_or_so(post: Post) -> None:
    """It does not stand in the way of all others for ever; a receiver that is away is waited for."""
    post.receiver.answer = lambda flips: Answer(FAILED if flips[0].alertname == "Poison" else SENT)
    post.box.put(flip("Poison"))
    post.box.put(flip("Good"))
    post.run(1800)
    assert post.receiver.taken == []
    post.run(3600)
    assert post.receiver.taken == [key(flip("Good"))]
    assert post.box.dropped == {("webhook/scripted", "failed"): 1}
    assert len(post.receiver.asked) == TRIES + 1


def test_having_been_away_for_long_does_not_count_against_a_flip_that_fails_once(post: Post) -> None:
    post.receiver.answer = lambda _: Answer(UNREACHABLE)
    post.box.put(flip())
    post.run(30_000)
    answers = iter([Answer(FAILED), Answer(SENT)])
    post.receiver.answer = lambda _: next(answers)
    post.run(2 * LONGEST)
    assert post.receiver.taken == [key(flip())]


def test_what_fires_is_sent_again_and_again_from_the_present_state(tmp_path: Path) -> None:
    """Not from the queue: a receiver that was away gets what is, not what was."""
    active = [flip("A"), flip("B")]
    post = Post(tmp_path, Scripted(batch=1, resend=60.0), active)
    post.run(185)
    assert post.receiver.taken == [key(flip("A")), key(flip("B"))] * 3
    post.receiver.answer = lambda _: Answer(UNREACHABLE)
    post.run(600)
    del active[0]
    post.receiver.answer, post.receiver.taken = (lambda _: Answer(SENT)), []
    post.run(LONGEST + 1)
    assert set(post.receiver.taken) == {key(flip("B"))}
    assert post.box.queued == {"webhook/scripted": 0}
    post.box.close()


def test_the_metrics_say_how_it_went(post: Post) -> None:
    name = post.receiver.name
    assert post.values(alerting.LAST_SUCCESS) == {(name,): None}
    post.box.put(flip("A"))
    post.box.put(flip("B"))
    answers = iter([Answer(SENT), Answer(UNREACHABLE)])
    post.receiver.answer = lambda _: next(answers)
    post.courier.turn()
    assert post.values(alerting.NOTIFICATIONS) == {
        (name, "sent"): 1, (name, "unreachable"): 1, (name, "failed"): 0, (name, "refused"): 0,
    }  # fmt: skip
    assert post.values(alerting.QUEUED) == {(name,): 1}
    assert (post.values(alerting.LAST_SUCCESS)[name,] or 0) > 1e9


def test_news_wakes_the_thread_and_a_hanging_receiver_holds_up_no_other(tmp_path: Path) -> None:
    """Two couriers on the real clock: one hangs in its receiver, the other delivers what is put meanwhile."""
    box, over = Outbox(str(tmp_path)), threading.Event()
    stuck, well = Scripted(), Scripted()
    stuck.name = "webhook/stuck"
    stuck.answer = lambda _: Answer(SENT) if over.wait(60) else Answer(FAILED)
    box.follow([stuck.name, well.name])
    couriers = [Courier(one, box, list) for one in (stuck, well)]
    for one in couriers:
        one.start()
    for n in range(20):
        box.put(flip(starts_at=1.0 + n))
        for one in couriers:
            one.hurry()
        until(lambda n=n: len(well.taken) == n + 1)
    assert stuck.taken == []
    over.set()
    until(lambda: len(stuck.taken) == 20)
    assert stuck.taken == well.taken
    assert all(one.stop(5.0) for one in couriers)
    box.close()


class Killed(BaseException):
    """The process ends here."""


outages = st.lists(
    st.sampled_from(["sent", "sent", "sent", "unreachable", "failed", "refused", "taken, then killed", "killed"]),
    max_size=40,
)
happenings = st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.floats(0, 400)), min_size=1, max_size=25)


@settings(max_examples=60, deadline=None)
@given(happenings, outages, st.sampled_from([1, 5]))
def test_whatever_fails_and_whenever_it_is_killed_order_is_kept_and_nothing_is_lost_uncounted(
    happened: list[tuple[int, bool, float]], plan: list[str], batch: int
) -> None:
    """A receiver that remembers identities has each flip exactly once, but for those counted as dropped."""
    fate, receiver, lost = iter(plan), Scripted(batch=batch), Counter[str]()

    def answer(flips: Sequence[Flip]) -> Answer:
        word = next(fate, "sent")
        if word == "killed":
            raise Killed
        if word == "taken, then killed":
            receiver.taken += [key(one) for one in flips]
            raise Killed
        return Answer(Delivery(word))

    receiver.answer = answer
    put: list[Flip] = []
    with tempfile.TemporaryDirectory() as where:
        post = Post(Path(where), receiver)
        for alert, resolved, pause in [*happened, (0, False, 40_000.0)]:
            one = flip(f"Alert{alert}", "resolved" if resolved else "firing", 1e9 + len(put))
            put += [one] if pause < 40_000 else []
            post.box.put(put[-1])
            end = post.clock.now + pause
            while post.clock.now < end:
                try:
                    post.run(end - post.clock.now)
                except Killed:
                    lost.update(reason for (_, reason), n in post.box.dropped.items() for _ in range(n))
                    post.box._database.close()
                    now = post.clock.now
                    post = Post(Path(where), receiver)
                    post.clock.now = now
        lost.update(reason for (_, reason), n in post.box.dropped.items() for _ in range(n))
        post.box.close()
    once = list(dict.fromkeys(receiver.taken))
    missing = [one for one in put if key(one) not in once]
    assert len(missing) <= sum(lost.values())  # of what was taken before a kill a repetition may be refused
    by_alert: dict[str, list[float]] = defaultdict(list)
    for name, at, _ in once:
        by_alert[name].append(at)
    assert all(order == sorted(order) for order in by_alert.values())
