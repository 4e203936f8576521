"""The loop from alert to probe: whose alert or calendar asks for a re-benchmark gets one, round by round.

Each round is a turn on the probing lane, so that no two probes run at once and others have theirs in between. Flips
come in through an inbox; everything else happens on the lane's thread. What holds an ordinary run holds a round, but
for heat where heat is the cause; what an alert asks for also waits for the cool-down and the day's budget, and is
forgotten when the alert is resolved before.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edgemon import config, rebenched
from edgemon.alerts.flip import Flip, State
from edgemon.archive import Archive
from edgemon.finding import Finding
from edgemon.gates import Held
from edgemon.judge.baseline import Round, round_of
from edgemon.judge.validity import usable
from edgemon.ledger import Ledger, Moment
from edgemon.limits import NEVER
from edgemon.metric import Reading
from edgemon.probe.result import Outcome
from edgemon.rebenchmark import ALERT, CALENDAR, CONFIRMED, KIND, PENDING, WITHDRAWN, Report, report
from edgemon.recurrence import recurrence
from edgemon.schedule import DOUBTFUL, HEAT, Plan

log = logging.getLogger("edgemon.rebenchmark")

ACTION, VALUE = "action", "rebenchmark"
"""The label of a rule whose alert asks for a re-benchmark."""
THERMAL = frozenset({"thermal", "thermal_throttling"})
"""Values of an alert's label `cause`, and causes of a verdict, that mean heat."""
IDLE, AGAIN = 60.0, 10.0
"""Seconds to the next look at the calendar, and at what holds a round."""
LIMIT = 7200.0
"""Seconds after which one that was held up again and again ends with the rounds it has."""
PAST = 100
RUNNING, QUEUED = Held("running", ""), Held("queue", "another one runs")


class Doer(Protocol):
    """Who runs probes."""

    def plans(self) -> Mapping[str, Plan]:
        """The plans of all probes."""

    def found(self, name: str) -> Finding | None:
        """What the last run of a probe found."""

    def hindered(self, name: str, despite: Sequence[str]) -> Held | None:
        """What would hold a run of a probe now."""

    def round(self, name: str) -> Finding | None:
        """Run a probe now; None when there is no such probe any more."""


@dataclass(slots=True)
class Claim:
    """An alert that fires and asks for a re-benchmark of a probe; `key` is its fingerprint."""

    name: str
    alert: str
    key: str
    heat: bool
    state: str = PENDING


@dataclass(slots=True)
class Run:
    """The re-benchmark in hand; `alerts` are those that have asked for it so far, `hot` whether heat holds no round."""

    name: str
    probe: config.Probe
    trigger: str
    began: float
    before: Sequence[Round]
    alerts: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    hot: bool = False


def moment() -> Moment:
    """Now."""
    return Moment(time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


class Rebenching:
    """A `lanes.Pace` and what its turns do."""

    interval = AGAIN

    def __init__(
        self,
        doer: Doer,
        archive: Archive,
        clock: Callable[[], float] = time.monotonic,
        moment: Callable[[], Moment] = moment,
    ) -> None:
        self.ledger = Ledger()
        self._doer, self._archive, self._clock, self._moment = doer, archive, clock, moment
        self._inbox: deque[Flip] = deque()
        self._claims: list[Claim] = []
        self._calendar: list[str] = []
        self._run: Run | None = None
        self.waits: dict[str, Held] = {}
        """What each probe that is to be re-benchmarked waits for."""
        self._next = clock()
        self.ledger.remember(reports(archive), moment())

    def due(self) -> float:
        """When the next turn comes."""
        return self._next

    def begin(self, now: float) -> int:
        """Take the turn; none is ever missed."""
        self._next = now + IDLE
        return 0

    def heed(self, flips: Iterable[Flip]) -> bool:
        """Take note of flips, from any thread; whether any of them matters here."""
        mine = [one for one in flips if asked(one.labels) is not None]
        self._inbox.extend(mine)
        self._next = self._clock() if mine else self._next
        return bool(mine)

    def turn(self) -> None:
        """One round of the re-benchmark in hand, or the first of the next that may begin."""
        plans, now = self._doer.plans(), self._moment()
        while self._inbox:
            self._take(self._inbox.popleft(), plans)
        self._claims = [one for one in self._claims if one.name in plans]
        self._look_up(plans, now)
        if self._run and (self._run.name not in plans or plans[self._run.name].probe != self._run.probe):
            self._run = None
        run = self._run = self._run or self._first(plans, now)
        if run:
            self._go_on(run, plans[run.name], now)
        self._name_waits(plans)

    def readings(self) -> Iterator[Reading]:
        """What was found, what is asked for, and what that makes of the alerts."""
        boot = self._moment().boot
        yield from self.ledger.readings(boot)
        for name, held in self.waits.items():
            yield rebenched.REBENCHMARK_WAITING(1.0, name, held.reason)
        states = {(one.name, one.alert, one.state) for one in self._claims if one.state != WITHDRAWN}
        states |= {(*key, WITHDRAWN) for key in self.ledger.withdrawn(boot)}
        for key in sorted(states):
            yield rebenched.REBENCHMARK_ALERT(1.0, *key)

    def _take(self, flip: Flip, plans: Mapping[str, Plan]) -> None:
        """A flip of an alert whose rule asks."""
        self._claims = [one for one in self._claims if one.key != flip.fingerprint]
        if flip.state is State.RESOLVED:
            return
        label, heat = asked(flip.labels), flip.labels.get("cause") in THERMAL
        if label and label not in plans:
            log.warning("alert %s asks for a re-benchmark of %s, which is no probe here", flip.alertname, label)
        for name in sorted(plans, key=self._well) if not label else [label] if label in plans else []:
            known = self.ledger.answer(name, flip.alertname, flip.starts_at)
            self._claims.append(Claim(name, flip.alertname, flip.fingerprint, heat, known.makes if known else PENDING))

    def _well(self, name: str) -> bool:
        found = self._doer.found(name)
        return found is None or found.verdict.state not in DOUBTFUL

    def _pending(self, name: str = "") -> list[Claim]:
        return [one for one in self._claims if one.state == PENDING and name in {one.name, ""}]

    def _look_up(self, plans: Mapping[str, Plan], now: Moment) -> None:
        """See whom the calendar wants."""
        wanted = []
        for name, plan in plans.items():
            often = plan.probe.rebenchmark or self.ledger.settings.calendar
            if often not in {"", NEVER} and self.ledger.due(name, recurrence(often), plan.cadence.phase, now):
                wanted.append(name)
        self._calendar = wanted

    def _first(self, plans: Mapping[str, Plan], now: Moment) -> Run | None:
        """The first that may begin; what holds the others is noted."""
        self.waits = {}
        for name in dict.fromkeys([*(one.name for one in self._pending()), *self._calendar]):
            trigger = CALENDAR if name in self._calendar else ALERT
            seconds = plans[name].expected().time * self.ledger.settings.rounds
            held = self.ledger.held(name, seconds, now.boot) if trigger == ALERT else None
            held = held or self._doer.hindered(name, HEAT if self._hot(name) else ())
            if held is None:
                return self._begun(name, plans[name], trigger, now)
            self.waits[name] = held
            self._soon()
        return None

    def _soon(self) -> None:
        """Look again in a while, unless there is reason to before."""
        self._next = min(self._next, self._clock() + AGAIN)

    def _begun(self, name: str, plan: Plan, trigger: str, now: Moment) -> Run:
        before = [
            round_of(one, mark)
            for mark, one in self._archive.results(name, PAST)
            if one.outcome is Outcome.OK and usable(one)
        ]
        self.ledger.begin(name, trigger, now.boot)
        asked = ", ".join(sorted({one.alert for one in self._pending(name)})) or "the calendar"
        log.info("re-benchmark of %s begins: %d runs, asked for by %s", name, self.ledger.settings.rounds, asked)
        return Run(name, plan.probe, trigger, now.boot, before)

    def _hot(self, name: str) -> bool:
        """Whether an alert asks since it is hot: its label says so, or the foremost cause of the probe's verdict."""
        pending, found = self._pending(name), self._doer.found(name)
        cause = found.causes[0].name if found and found.causes else ""
        return any(one.heat for one in pending) or bool(pending and cause in THERMAL)

    def _go_on(self, run: Run, plan: Plan, now: Moment) -> None:
        """The next round, unless something holds it; after the last one, the verdict."""
        run.alerts += [one.alert for one in self._pending(run.name) if one.alert not in run.alerts]
        run.hot = run.hot or self._hot(run.name)
        held = self._doer.hindered(run.name, HEAT if run.hot else ())
        finding = None if held else self._doer.round(run.name)
        if finding and finding.result.outcome is not Outcome.SKIPPED:
            run.findings.append(finding)
            failed = finding.result.outcome is not Outcome.OK
            if failed or len(run.findings) >= self.ledger.settings.rounds:
                self._end(run, plan, ended=True)
            self._next = self._clock()
            return
        self.waits[run.name] = held or RUNNING
        self._soon()
        if now.boot - run.began > LIMIT:
            self._end(run, plan, ended=False)

    def _end(self, run: Run, plan: Plan, ended: bool) -> None:
        """Pass the verdict, and confirm or withdraw the alerts that asked."""
        self._run = None
        if not run.findings:
            return
        now = self._moment()
        asked = (run.trigger, run.alerts)
        made = report(run.findings, run.before, plan.probe.effect, asked, now.wall, ended)
        self.ledger.book(made, now.boot)
        self._archive.note(KIND, made.probe, made.at, made.to_json())
        for one in self._pending(run.name):
            one.state = made.makes
        log.log(logging.WARNING if made.makes == CONFIRMED else logging.INFO, "re-benchmark of %s: %s", run.name, made)

    def _name_waits(self, plans: Mapping[str, Plan]) -> None:
        """What each that is asked for waits for, now that the turn is over."""
        wanted = {*self._calendar, *(one.name for one in self._pending())} & set(plans)
        if self._run:
            self.waits = dict.fromkeys(wanted, QUEUED) | {self._run.name: self.waits.get(self._run.name, RUNNING)}
        self.waits = {name: held for name, held in self.waits.items() if self._run or name in wanted}


def asked(labels: Mapping[str, str]) -> str | None:
    """The probe that an alert or a rule with these labels asks for, empty for every one; None when it asks for none."""
    return labels.get("probe", "") if labels.get(ACTION) == VALUE else None


def reports(archive: Archive, probe: str = "") -> list[Report]:
    """All re-benchmarks that the archive knows, oldest first; a damaged one is left out."""
    found = []
    for _, _, data in archive.notes(KIND, probe):
        try:
            found.append(Report.from_json(data))
        except (TypeError, ValueError, KeyError):
            log.warning("a re-benchmark is damaged and left out")
    return found
