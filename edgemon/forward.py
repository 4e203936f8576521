"""The sender: what is live first, then what has waited, at a pace that neither this device nor the receiver feels.

One batch a turn. A receiver that is away, asks for time or fails is left alone: for as long as it asks, and by
decorrelated jitter (each pause is drawn from a second to three times the last), so that a thousand devices do not come
back at once; each signal by itself, since each may have a receiver of its own. What is refused for good is dropped and
counted, and so is what is said to be too old or out of bounds even where that is called an error of the receiver's own
(Prometheus before 3). Where one batch fails again and again another is tried, so that it can show which is at fault.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgemon import pushed
from edgemon.almanac import Grade
from edgemon.clock import Clock
from edgemon.lanes import Job, Lane
from edgemon.metric import Reading
from edgemon.sinks.otlp.answer import Answer
from edgemon.sinks.otlp.batch import SIGNALS, Batch
from edgemon.spool import Spool
from edgemon.spool.waiting import Entry

log = logging.getLogger("edgemon.forward")

FIRST, LONGEST = 1.0, 120.0
"""Seconds of the shortest and of the longest pause that is ours to choose."""
PATIENCE = 3600.0
"""Seconds of the longest pause a receiver may ask for."""
SHARE = 0.05
"""Most of a CPU that sending the backlog takes."""
IDLE = 10.0
TRIES, STRIKES = 3, 3
"""Errors of the receiver's own at one batch before another is tried, and how often that must go well to blame it."""
PERMANENT = ("too old sample", "out of bounds", "out of order sample", "timestamp is too old", "too far in the future")
"""What receivers say of a sample whose time no repetition will mend."""
OUTCOMES = ("delivered", "partial", "refused", "retry")


Send = Callable[[str, bytes], Answer]
Restamp = Callable[[Batch, int, bool], bytes]


@dataclass(slots=True)
class Rest:
    """How long a signal's receiver is left alone: until `again`, after a last pause of so many seconds."""

    again: float
    pause: float = 0.0
    said: str = ""


class Turns:
    """The pace of a lane whose job says itself when it has something to do again."""

    interval = IDLE

    def __init__(self, name: str, job: Callable[[], float], now: Callable[[], float]) -> None:
        self._job, self._now, self._next, self._lock = job, now, now(), threading.Lock()
        self.lane = Lane(name, now)
        self.lane.set([Job(name, IDLE, self._act, pace=self)])

    def due(self) -> float:
        """When the next turn comes."""
        return self._next

    def begin(self, now: float) -> int:
        """Take the turn; none is ever missed."""
        self._next = now + IDLE
        return 0

    def hurry(self, pause: float = 0.0) -> None:
        """Have the next turn that soon, at most."""
        self._plan(pause)
        self.lane.wake()

    def _act(self) -> None:
        self._plan(self._job())

    def _plan(self, pause: float) -> None:
        with self._lock:
            self._next = min(self._next, self._now() + pause)


class Forwarder:
    """Sends what a spool holds. `send` makes the request, `restamp` gives a batch its wall time."""

    def __init__(
        self,
        spool: Spool,
        clock: Clock,
        send: Send,
        restamp: Restamp,
        now: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._spool, self._clock, self._send, self._restamp = spool, clock, send, restamp
        self._now, self._chance = now, chance
        self._outcomes: Counter[str] = Counter()
        self._rests = {signal: Rest(now()) for signal in SIGNALS}
        self._backlog = now() + spool.limits.spread * chance()
        self._aside: Entry | None = None
        self._succeeded: float | None = None
        self._took: float | None = None
        self._began, self._known = 0.0, False
        self.sending, self.keeping = Turns("pushing", self.turn, now), Turns("spooling", spool.keep, now)

    def start(self) -> None:
        """Begin with what waits."""
        self.sending.lane.start()
        self.keeping.lane.start()

    def anew(self) -> None:
        """The receiver may be another: what is known of how it did no longer counts."""
        self._rests, self._known = {signal: Rest(self._now()) for signal in SIGNALS}, False
        self.sending.hurry()

    def put(self, batch: Batch) -> None:
        """Take a batch, and send it as soon as may be."""
        soon = self._spool.put(batch)
        self.sending.hurry()
        self.keeping.hurry(soon)

    def stop(self, patience: float) -> None:
        """Begin nothing new, wait so long for the request in hand, and write what waits."""
        self.sending.lane.stop(patience)
        if self.keeping.lane.stop(patience):
            self._spool.close()

    def turn(self) -> float:
        """Send one batch, if one may be sent; the seconds until there may be more to do."""
        self._clock.look()
        self._began, now = time.thread_time(), self._now()
        ready = {signal for signal, rest in self._rests.items() if rest.again <= now}
        pauses = [rest.again - now for rest in self._rests.values() if rest.again > now]
        if ready and (self._clock.grade is Grade.NONE or not self._known):
            return self._knock(ready)
        for choose in (self._live, self._stored):
            found = choose(ready)
            if isinstance(found, Entry):
                return self._hand_over(found, choose == self._stored)
            pauses.append(found)
        return min(pauses)

    def readings(self) -> Iterator[Reading]:
        """How the requests went, what waits, and what the clock is worth."""
        for outcome in OUTCOMES:
            yield pushed.REQUESTS(self._outcomes[outcome], outcome)
        yield pushed.LAST_SUCCESS(self._succeeded)
        yield pushed.DURATION(self._took)
        for signal, rest in self._rests.items():
            yield pushed.PAUSE(rest.pause, signal)
        yield from self._spool.readings()
        yield from self._clock.readings()
        yield from self.sending.lane.readings()
        yield from self.keeping.lane.readings()

    def _live(self, ready: set[str]) -> Entry | float:
        """The next batch of what is live, or seconds until there may be one."""
        entry = self._spool.live(ready, self._aside) or self._spool.live(ready)
        return self._ready(entry) if entry else IDLE

    def _stored(self, ready: set[str]) -> Entry | float:
        """The next batch of the backlog, or seconds until there may be one."""
        if (left := self._backlog - self._now()) > 0:
            return min(left, IDLE)
        entry = self._spool.stored(ready, self._aside) or self._spool.stored(ready)
        return self._ready(entry) if entry else IDLE

    def _ready(self, entry: Entry) -> Entry | float:
        """The batch with its stamp, or seconds until it may be sent: never ahead of the receiver's clock."""
        batch = entry.batch
        if not entry.stamp or self._clock.grade < Grade.SERVER:
            entry.stamp = self._clock.offset(batch.boot, batch.end)
        if not entry.stamp:
            self._clock.remember(self._spool.boots())
            entry.stamp = self._clock.offset(batch.boot, batch.end)
        if not entry.stamp:
            return IDLE
        if (left := self._clock.ahead(batch.end, entry.stamp[0])) > 0:
            entry.stamp = None
            return min(left, IDLE)
        return entry

    def _knock(self, ready: set[str]) -> float:
        """Ask the receiver for its time with an empty request: before the first batch, and while none can be sent."""
        entry = self._spool.live(ready) or self._spool.stored(ready)
        if not entry:
            return IDLE
        answer = self._ask(entry.batch.signal, b"")
        self._known = answer.date is not None or answer.outcome != "retry" or answer.detail.startswith("status ")
        if self._clock.grade is Grade.NONE or not self._known:
            self._leave_alone(entry.batch.signal, answer)
        return 0.0

    def _hand_over(self, entry: Entry, stored: bool) -> float:
        """Send a batch and do what its answer says; seconds until the next turn."""
        try:
            body = self._restamp(entry.batch, *(entry.stamp or (0, False)))
        except ValueError as error:
            log.warning("a batch of %s is damaged, and dropped: %s", entry.batch.signal, error)
            self._spool.drop(entry, "damaged")
            return 0.0
        answer = self._ask(entry.batch.signal, body)
        self._heed(entry, answer)
        if stored:
            took = max(len(body) / self._spool.limits.rate, (time.thread_time() - self._began) * (1 / SHARE - 1))
            self._backlog = max(self._backlog, self._now() + took * (0.9 + 0.2 * self._chance()))
        return 0.0

    def _ask(self, signal: str, body: bytes) -> Answer:
        began = self._now()
        answer = self._send(signal, body)
        self._took = self._now() - began
        self._outcomes[answer.outcome] += 1
        self._clock.heard(answer.date)
        return answer

    def _heed(self, entry: Entry, answer: Answer) -> None:
        late = any(text in answer.detail for text in PERMANENT)
        if answer.outcome in {"delivered", "partial"}:
            self._succeeded = time.time()
            self._spool.sent(entry, answer.rejected)
        elif answer.outcome == "refused" or late:
            self._spool.drop(entry, "too_old" if late else "refused")
        else:
            entry.tries += answer.date is not None or answer.detail.startswith("status ")
            self._aside = entry if entry.tries >= TRIES else None
            self._leave_alone(entry.batch.signal, answer)
            return
        self._blame(entry)
        self._back(entry.batch.signal, answer.detail if answer.outcome != "delivered" else "")

    def _blame(self, good: Entry) -> None:
        """Another batch was taken while one was set aside: often enough, and that one is at fault."""
        bad, self._aside = self._aside, None
        if bad and bad is not good and bad.batch.signal == good.batch.signal:
            bad.strikes += 1
            if bad.strikes >= STRIKES:
                log.warning("a batch of %s is dropped: the receiver fails on it, and takes others", bad.batch.signal)
                self._spool.drop(bad, "failed")

    def _leave_alone(self, signal: str, answer: Answer) -> None:
        rest = self._rests[signal]
        rest.pause = min(LONGEST, FIRST + self._chance() * (3 * max(rest.pause, FIRST) - FIRST))
        asked = min(answer.wait or 0.0, PATIENCE)
        rest.again = self._now() + max(rest.pause, asked * (1 + 0.1 * self._chance()))
        if answer.detail != rest.said:
            log.warning("%s for %s wait, and are sent again: %s", signal, answer.by, answer.detail)
        rest.said = answer.detail

    def _back(self, signal: str, trouble: str) -> None:
        """The receiver answers for good; the backlog begins after a while of chance if it was away."""
        rest = self._rests[signal]
        if rest.pause:
            self._backlog = max(self._backlog, self._now() + self._spool.limits.spread * self._chance())
        if trouble and trouble != rest.said:
            log.warning("%s are dropped, all or some: %s", signal, trouble)
        elif rest.said and not trouble:
            log.info("%s are taken again", signal)
        rest.pause, rest.said = 0.0, trouble
