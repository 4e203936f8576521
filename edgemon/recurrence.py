"""Recurrences: `daily`, `weekly, 02:00-05:00`, `monthly, Sat,Sun 03:00-04:00`, in local time as a clock shows it.

Each device has an appointment of its own in every day, week (from Monday) or month, at a minute of the window that
follows from its phase, so that a fleet does not do the same at once. One that was off then, or had something against
it, does it while the window is next open. Moments come as Unix times from outside; a clock that nobody has set yet,
as a board without one boots in 1970, makes nothing due.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Callable
from dataclasses import dataclass

from edgemon.windows import DAY, SPREAD, Window, window

DAYS = {"daily": 1, "weekly": 7, "monthly": 28}
"""Days between two, at least."""
SAYS = "daily, weekly or monthly, alone or with a time: weekly, 02:00-05:00 or monthly, Sat,Sun 03:00-04:00"
"""What a recurrence looks like, for messages."""
SET = 1_700_000_000.0
"""A clock that shows an earlier time than this, of 2023, was never set."""
SECONDS = 86400.0
Local = Callable[[float], time.struct_time]


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Once in each `period`, while the `window` is open."""

    period: str
    window: Window

    @property
    def spacing(self) -> float:
        """Seconds between two of them, at least: an appointment can be caught up on shortly before the next one, and in
        autumn its hour comes twice."""
        return DAYS[self.period] * SECONDS / 2

    def due(self, now: float, last: float | None, phase: float, local: Local = time.localtime) -> bool:
        """Whether it is time, by when it was `last` done; one from the future says nothing, nor does none."""
        if now < SET or not self.window.open(local(now), phase):
            return False
        if last is None or last > now + SECONDS:
            return True
        return now - last >= self.spacing and last < self.appointed(now, phase, local)

    def appointed(self, now: float, phase: float, local: Local = time.localtime) -> float:
        """The Unix time of the last appointment of a device with this phase, 0 to 1."""
        moment = local(now)
        found = (self._in(_first(self.period, moment, back), phase) for back in range(9))
        return next(at for at in found if at is not None and at <= now)

    def _in(self, first: tuple[int, int, int], phase: float) -> float | None:
        """The appointment in the period that begins on a date; None when the window is never open in it."""
        year, month, day = first
        count = calendar.monthrange(year, month)[1] if self.period == "monthly" else DAYS[self.period]
        weekday = calendar.weekday(year, month, 1) + day - 1
        opens = [day + one for one in range(count) if (weekday + one) % 7 in self.window.days]
        if not opens:
            return None
        place, part = divmod(min(phase, 0.999999) * len(opens), 1)
        length = self.window.end - self.window.start
        minute = self.window.start + int(part * (length - min(SPREAD, length / 2)))
        return time.mktime((year, month, opens[int(place)], 0, minute, 0, 0, 0, -1))


def recurrence(text: object) -> Recurrence:
    """The recurrence a text describes, or ValueError saying what is allowed."""
    period, _, rest = text.partition(",") if isinstance(text, str) else ("", "", "")
    if period.strip() not in DAYS or (not rest.strip() and "," in str(text)):
        raise ValueError(f"must be {SAYS}")
    return Recurrence(period.strip(), window(rest) if rest else Window(frozenset(range(7)), 0, DAY))


def _first(period: str, moment: time.struct_time, back: int) -> tuple[int, int, int]:
    """Year, month and day on which the period of a moment began, or one so many periods before; the day may be < 1."""
    if period == "monthly":
        months = moment.tm_year * 12 + moment.tm_mon - 1 - back
        return months // 12, months % 12 + 1, 1
    day = moment.tm_mday - (moment.tm_wday if period == "weekly" else 0)
    return moment.tm_year, moment.tm_mon, day - back * DAYS[period]
