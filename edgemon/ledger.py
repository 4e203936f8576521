"""The ledger of re-benchmarks: which there have been, and what that leaves for the next. Pure; times come from outside.

Ages are counted on CLOCK_BOOTTIME, so that a step of the wall clock neither frees nor blocks anything; only how long
ago a re-benchmark of an earlier process was is asked of the wall clock, and one from the future is of now.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edgemon import rebenched
from edgemon.gates import Held
from edgemon.limits import Rebenchmark
from edgemon.metric import Reading
from edgemon.rebenchmark import ALERT, CALENDAR, WITHDRAWN, Report
from edgemon.recurrence import Recurrence
from edgemon.values import DAY, duration


@dataclass(frozen=True, slots=True)
class Moment:
    """Now: seconds of CLOCK_BOOTTIME, and Unix time."""

    boot: float
    wall: float


class Ledger:
    """What was done, and when, of all probes."""

    def __init__(self) -> None:
        self.settings = Rebenchmark()
        self.last: dict[str, Report] = {}
        """The last report of each probe."""
        self._ended: dict[str, float] = {}
        self._answers: dict[tuple[str, str], Report] = {}
        self._withdrawn: dict[tuple[str, str], float] = {}
        self._spent: deque[tuple[float, float]] = deque()
        self._kept: dict[str, float] = {}
        self._began: dict[str, float] = {}
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def remember(self, reports: Iterable[Report], now: Moment) -> None:
        """Take over what earlier processes did, oldest first."""
        for one in reports:
            self._enter(one, now.boot - max(0.0, now.wall - one.at))

    def book(self, report: Report, boot: float) -> None:
        """Enter one that has ended now."""
        self._counts[report.probe, report.trigger, report.outcome] += 1
        self._enter(report, boot)

    def _enter(self, report: Report, ended: float) -> None:
        name = report.probe
        self.last[name], self._ended[name] = report, ended
        for alert in report.alerts:
            self._answers[name, alert] = report
            self._withdrawn.pop((name, alert), None)
            if report.makes == WITHDRAWN:
                self._withdrawn[name, alert] = ended
        if report.trigger == ALERT:
            self._spent.append((ended, report.spent))
        else:
            self._kept[name] = report.at

    def held(self, name: str, seconds: float, boot: float) -> Held | None:
        """What keeps a re-benchmark of so many seconds, which an alert asks for, from beginning now."""
        left = self._ended.get(name, -self.settings.cool_down) + self.settings.cool_down - boot
        if name in self._ended and left > 0:
            return Held("cool_down", f"{duration(round(left))} left of {duration(self.settings.cool_down)}")
        used, most = self.used(boot), self.settings.budget
        if most and used and used + seconds > most:
            return Held("budget_day", f"{duration(round(used))} of {duration(most)} in 24 hours are used")
        return None

    def used(self, boot: float) -> float:
        """Seconds that those which alerts asked for have taken in the last 24 hours."""
        while self._spent and self._spent[0][0] <= boot - DAY:
            self._spent.popleft()
        return sum(seconds for _, seconds in self._spent)

    def answer(self, name: str, alert: str, began: float) -> Report | None:
        """The re-benchmark that an alert which began at a Unix time has had."""
        found = self._answers.get((name, alert))
        return found if found and found.at >= began else None

    def withdrawn(self, boot: float) -> list[tuple[str, str]]:
        """Probes and alerts whose withdrawal is in force: for the time of the cool-down."""
        return [key for key, at in self._withdrawn.items() if boot - at < self.settings.cool_down]

    def due(self, name: str, often: Recurrence, phase: float, now: Moment) -> bool:
        """Whether the calendar wants one now; never two within half its period, whatever the wall clock does."""
        if now.boot - self._began.get(name, -often.spacing) < often.spacing and name in self._began:
            return False
        return often.due(now.wall, self._kept.get(name), phase)

    def begin(self, name: str, trigger: str, boot: float) -> None:
        """One begins; that counts for the calendar however it ends."""
        if trigger == CALENDAR:
            self._began[name] = boot

    def readings(self, boot: float) -> Iterator[Reading]:
        """The last of each probe, how many there were, and what is left of the day's budget."""
        for one in self.last.values():
            yield from one.readings()
        for key, count in self._counts.items():
            yield rebenched.REBENCHMARKS(count, *key)
        if self.settings.budget:
            yield rebenched.REBENCHMARK_BUDGET(self.used(boot) / self.settings.budget)
