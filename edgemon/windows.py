"""Calendar windows: `02:00-05:00`, `Mon-Fri 08:00-18:00`, `Sat,Sun`, in local time as a clock on the wall shows it.

A window over midnight belongs to the day it begins on. It is open by what the wall clock says, so daylight saving needs
no rule: an hour that the clock leaves out in spring is in no window, one that it repeats in autumn is in it twice.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = 24 * 60
SPREAD = 10
"""Minutes over which a fleet begins in a window."""
SPAN = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
SAYS = "a time such as 02:00-05:00, Mon-Fri 08:00-18:00 or Sat,Sun"
"""What a window looks like, for messages."""


@dataclass(frozen=True, slots=True)
class Window:
    """Minutes `start` to before `end` of each of `days` (0 is Monday); an end beyond 24 h is in the next day."""

    days: frozenset[int]
    start: int
    end: int

    def open(self, moment: time.struct_time, phase: float = 0.0) -> bool:
        """Whether the window is open at a local time, for a device that begins up to ten minutes late by its phase."""
        minute, day = moment.tm_hour * 60 + moment.tm_min, moment.tm_wday
        start = self.start + int(phase * min(SPREAD, (self.end - self.start) / 2))
        today = day in self.days and start <= minute < self.end
        return today or ((day - 1) % 7 in self.days and start <= minute + DAY < self.end)


def window(text: object) -> Window:
    """The window a text describes, or ValueError saying what is allowed."""
    words = text.split() if isinstance(text, str) else []
    span = SPAN.fullmatch(words[-1]) if words else None
    days = " ".join(words[: -1 if span else None])
    if not words or len(words) > 2 or (len(words) == 2 and not span):
        raise ValueError(f"must be {SAYS}")
    start, end = _minutes(span) if span else (0, DAY)
    return Window(_days(days) if days else frozenset(range(7)), start, end)


def _minutes(span: re.Match[str]) -> tuple[int, int]:
    hours, minutes, to_hours, to_minutes = map(int, span.groups())
    start, end = hours * 60 + minutes, to_hours * 60 + to_minutes
    if max(minutes, to_minutes) > 59 or start >= DAY or end > DAY or start == end:
        raise ValueError("must have two different times from 00:00 to 24:00")
    return start, end if end > start else end + DAY


def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.lower().split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if first not in DAYS or last not in DAYS:
            raise ValueError(f"must be {SAYS}")
        begin = DAYS.index(first)
        found.update((begin + n) % 7 for n in range((DAYS.index(last) - begin) % 7 + 1))
    return frozenset(found)
