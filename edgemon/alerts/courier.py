"""A courier brings flips to one receiver: in order, again and again until they are taken, and no other waits for it."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from edgemon import alerting
from edgemon.alerts.flip import Flip
from edgemon.alerts.outbox import Outbox
from edgemon.alerts.receiver import Answer, Delivery, Receiver
from edgemon.lanes import Job, Lane
from edgemon.metric import Reading

log = logging.getLogger("edgemon.notify")

FIRST, LONGEST = 1.0, 300.0
"""Seconds of the first and of the longest pause between attempts; each is cut by up to half, by chance."""
TRIES = 20
"""Attempts at a flip that the receiver fails on while it does answer: an hour or so. One that is away is waited for."""
IDLE = 60.0
"""Seconds between two looks at the outbox when there is no news: it goes back to its disk when it is looked at."""


class Courier:
    """One receiver's lane and its pace, and how it has been doing. `active` gives the alerts that are kept alive."""

    interval = IDLE

    def __init__(
        self,
        receiver: Receiver,
        outbox: Outbox,
        active: Callable[[], Sequence[Flip]],
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.name = receiver.name
        self._receiver, self._outbox, self._active = receiver, outbox, active
        self._clock, self._chance = clock, chance
        self._outcomes: Counter[Delivery] = Counter()
        self._succeeded: float | None = None
        self._took: float | None = None
        self._failures = self._tries = 0
        self._size, self._said = receiver.batch, ""
        self._again, self._due = clock(), clock() + receiver.resend
        self._next, self._lock = clock(), threading.Lock()
        self._stopping = False
        self._lane = Lane(f"notifying {self.name}", clock)

    def start(self) -> None:
        """Begin with what waits."""
        self._lane.set([Job(self.name, IDLE, self._act, pace=self)])
        self._lane.start()

    def due(self) -> float:
        """When the next turn comes."""
        return self._next

    def begin(self, now: float) -> int:
        """Take the turn; none is ever missed, since they come as there is something to do."""
        self._next = now + LONGEST
        return 0

    def hurry(self) -> None:
        """There is something new."""
        self._plan(0.0)
        self._lane.wake()

    def end(self) -> None:
        """Begin nothing new."""
        self._stopping = True

    def stop(self, patience: float) -> bool:
        """End and wait so long for the attempt in hand; whether it ended. What waits is on disk."""
        self.end()
        return self._lane.stop(patience)

    def turn(self) -> float:
        """Deliver what is due; the seconds until there may be more to do."""
        if (left := self._again - self._clock()) > 0:
            return left
        while not self._stopping and (waiting := self._outbox.pending(self.name, self._size)):
            if not self._hand_over(waiting):
                return max(0.0, self._again - self._clock())
        return self._refresh() if self._receiver.resend else IDLE

    def readings(self) -> Iterator[Reading]:
        """How many were taken, and how that went."""
        for outcome in Delivery:
            yield alerting.NOTIFICATIONS(self._outcomes[outcome], self.name, outcome.value)
        yield alerting.LAST_SUCCESS(self._succeeded, self.name)
        yield alerting.DURATION(self._took, self.name)
        yield from self._lane.readings()

    def _plan(self, pause: float) -> None:
        """Have the next turn after so many seconds, or before: news that came during a turn is not put off by it."""
        with self._lock:
            self._next = min(self._next, self._clock() + pause)

    def _act(self) -> None:
        self._plan(self.turn())

    def _hand_over(self, waiting: Sequence[tuple[int, Flip]]) -> bool:
        """Deliver these, or give one up; False when the receiver is to be left alone for a while."""
        last, answer = waiting[-1][0], self._deliver([flip for _, flip in waiting])
        if answer.outcome is Delivery.SENT:
            self._outbox.passed(self.name, last)
        elif answer.outcome is not Delivery.UNREACHABLE and len(waiting) > 1:
            self._size = 1  # one of them is at fault; it shall not cost the others
            return True
        elif answer.outcome is Delivery.REFUSED or (answer.outcome is Delivery.FAILED and self._tries >= TRIES):
            self._outbox.drop(self.name, last, answer.outcome.value)
        else:
            self._rest(answer.wait)
            return False
        self._failures, self._tries, self._size = 0, 0, self._receiver.batch
        return True

    def _deliver(self, flips: Sequence[Flip]) -> Answer:
        began = self._clock()
        answer = self._receiver.deliver(flips)
        self._took = self._clock() - began
        self._outcomes[answer.outcome] += len(flips)
        if answer.outcome is Delivery.SENT:
            self._succeeded = time.time()
            self._say("")
        else:
            self._failures += 1
            self._tries += answer.outcome is Delivery.FAILED
            self._say(f"{answer.outcome.value}: {answer.detail}")
        return answer

    def _refresh(self) -> float:
        """Keep alive what fires, whenever that is due; seconds until it is again."""
        if (left := self._due - self._clock()) > 0:
            return left
        self._due = self._clock() + self._receiver.resend
        flips = self._active()
        for first in range(0, len(flips), self._receiver.batch):
            answer = self._deliver(flips[first : first + self._receiver.batch])
            if answer.outcome is Delivery.UNREACHABLE:
                self._rest(answer.wait)
                break
            self._failures = 0
        return max(self._again, self._due) - self._clock()

    def _rest(self, least: float) -> None:
        """Leave the receiver alone: twice as long each time, but at least as long as it asked for.

        One that must be told again and again is not left alone for longer than that.
        """
        pause = min(LONGEST, self._receiver.resend or LONGEST, FIRST * 2 ** min(self._failures - 1, 20))
        self._again = self._clock() + max(least, pause * (0.5 + 0.5 * self._chance()))

    def _say(self, trouble: str) -> None:
        """Log what changed: one line for a trouble however long it lasts, and one for its end."""
        if trouble == self._said:
            return
        if trouble:
            log.warning("%s %s", self.name, trouble)
        else:
            log.info("%s takes notifications again", self.name)
        self._said = trouble
