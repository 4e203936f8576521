"""Cadence: when the turns of one probe come. Pure; `now` is always seconds on a clock that never goes back.

As a rule turns lie on a grid. Its phase comes from the device's identity, so that a fleet that is switched on at once
does not probe in step, and the probes of one device are spread evenly over their interval. While something looks wrong
turns come closer, for a bounded number of runs in an hour; while all has been well for long they may come farther
apart; an event calls for one out of turn. Every turn is off its place by up to a tenth of the interval, which never
adds up.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable

from edgemon.config import Probe
from edgemon.limits import Triggers

HOUR = 3600.0
JITTER = 0.1
LOOK = 10.0
"""Seconds after which a probe that waits is looked at again, if its interval is not shorter."""
SETTLED = 20
"""Runs without a doubt before the interval begins to grow."""
GROWTH = 1.25


class Cadence:
    """The turns of one probe: a `lanes.Pace`. `phase` is its place in the interval, 0 to 1."""

    def __init__(self, probe: Probe, triggers: Triggers, phase: float, now: float, chance: Callable[[], float]) -> None:
        self._probe, self.triggers, self._chance = probe, triggers, chance
        self.phase, self._anchor = phase, now + phase * probe.interval
        self.interval = probe.interval
        self.trigger = ""
        """What called for the turn in hand, if anything did."""
        self.waiting = False
        self._lock = threading.Lock()
        self._slot = self._due = self._anchor
        self._look = self._began = -math.inf
        self._called, self._call_due = "", math.inf
        self._calls: deque[float] = deque()
        self._close: deque[float] = deque()
        self._doubt, self._calm = 0, 0

    def due(self) -> float:
        """When the next turn comes."""
        with self._lock:
            return max(min(self._due, self._call_due), self._look)

    def begin(self, now: float) -> int:
        """Take the turn; how many were left out before it because the lane was busy."""
        with self._lock:
            passed = max(0, int((now - self._slot) // self.interval)) if not self.waiting else 0
            self._slot += passed * self.interval
            self.trigger, self._called, self._call_due = self._called, "", math.inf  # any turn answers a call
            if self.trigger:
                self._calls.append(now)
            self._look = now + min(self._probe.interval, LOOK)  # for a turn that comes to no end at all
            return passed

    def call(self, now: float, event: str, delay: float = 0.0) -> bool:
        """Ask for a turn soon, because of an event; False when there have been too many calls in the last hour."""
        with self._lock:
            while self._calls and self._calls[0] <= now - HOUR:
                self._calls.popleft()
            if not self._called and len(self._calls) >= self.triggers.per_hour:
                return False
            if not self._called:
                self._called, self._call_due = event, max(now + delay, self._began + self.triggers.gap)
            return True

    def hold(self, now: float, pause: float = LOOK) -> int:
        """Put the turn in hand off, to look again after the pause; how many turns are lost since the last look."""
        with self._lock:
            left = max(0, math.floor((now - self._slot) / self.interval + JITTER) + 1)
            self._slot += left * self.interval
            left, self.waiting = max(left, int(not self.waiting)), True
            if self.trigger:
                self._calls.pop()
                self._called, self._call_due = self.trigger, now
            self._look = now + min(self._probe.interval, pause)
            return left

    def ran(self, now: float, began: float, spacing: float = 0.0) -> None:
        """Plan the next turn after a run; `spacing` is the least time between two that the budget allows."""
        with self._lock:
            self._began, self._look, self.waiting = began, -math.inf, False
            self._call_due = max(self._call_due, began + self.triggers.gap)
            self.interval = max(self._wanted(now), spacing)
            self._slot = began + self.interval if self.interval != self._probe.interval else self._grid(began)
            self._due = self._slot + self.interval * JITTER * (2 * self._chance() - 1)

    def judge(self, doubtful: bool, anew: bool, well: bool) -> None:
        """Note the verdict on a run: whether it is doubtful, is so for a new reason, or says that all is well."""
        with self._lock:
            if doubtful and anew:
                self._doubt = self._probe.suspicious_rounds
            elif well:
                self._doubt = 0
            self._calm = self._calm + 1 if well else 0

    def _grid(self, began: float) -> float:
        """The first place on the grid that is half an interval away."""
        every = self._probe.interval
        return self._anchor + math.ceil((began + every / 2 - self._anchor) / every) * every

    def _wanted(self, now: float) -> float:
        """The interval by how the probe has been doing."""
        every, rounds = self._probe.interval, self._probe.suspicious_rounds
        while self._close and self._close[0] <= now - HOUR:
            self._close.popleft()
        if self._doubt > 0 and len(self._close) < rounds:
            self._doubt -= 1
            self._close.append(now)
            return self._probe.suspicious_interval or min(every, max(every / 4, self.triggers.gap))
        longest = max(every, self._probe.calm_interval)
        steps = min(self._calm - SETTLED, 99)
        return min(longest, every * GROWTH**steps) if steps > 0 else every
