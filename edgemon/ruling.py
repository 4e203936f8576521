"""The rules side of the daemon: rule files followed, groups evaluated on their lane, flips announced."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from edgemon import config, identity, ruled, thresholds
from edgemon.alerts import api, rules
from edgemon.alerts.alert import Alert, State
from edgemon.alerts.engine import Engine, Evaluation
from edgemon.alerts.flip import Flip
from edgemon.alerts.memory import Memory, Moment
from edgemon.alerts.samples import Samples
from edgemon.errors import ConfigError
from edgemon.lanes import Job, Lane
from edgemon.metric import Reading
from edgemon.store import Snapshot, Store
from edgemon.sysfs import Root

log = logging.getLogger("edgemon.rules")

SELDOM = 60.0
"""Seconds between two writes that only say how long alerts have been pending."""
Announce = Callable[[Sequence[Flip]], None]


class Ruling:
    """Evaluates the rules of the configuration in force, after each sweep that their interval asks for.

    What flips is announced to each of `announce` in turn.
    """

    def __init__(self, store: Store, root: Root, state: str, *announce: Announce) -> None:
        self.lane = Lane("rules")
        self._store, self._announce = store, announce
        self.refresh: Announce | None = None
        """Is given what goes on firing, after each evaluation."""
        self._boot = identity.boot(root)
        self._memory = Memory(state)
        self.engine = Engine(Samples())
        self._lock = threading.Lock()
        self._saved = self._started = self._followed = False
        self._saved_at = 0.0
        self._accepted = True
        self.flipped: Announce = _nobody
        """Who else hears of flips, of each once: what fires on is not told again after a restart."""

    def follow(self, settings: config.Config) -> None:
        """Evaluate what a configuration says; rules that cannot be read leave those before in force."""
        numbers = thresholds.effective(settings.thresholds)
        self._store.put("edgemon.thresholds", [ruled.THRESHOLD(at, name) for name, at in numbers.items()])
        try:
            groups = rules.load(settings.rules.files)
            self._accepted = True
        except ConfigError as error:
            self._accepted = False
            for problem in [
                *error.problems,
                "the rules were not loaded" + ("; the old ones go on" if self._followed else ""),
            ]:
                log.error("%s", problem)
            return
        with self._lock:
            now = self._now()
            self.engine.external, self.engine.url = settings.notify.labels, settings.notify.external_url
            gone = self.engine.follow(groups, settings.rules.interval, now.at, now.wall)
            owed = self._restore(now) if not self._followed else []
            self._followed = True
            self._tell([*owed, *gone], now)
        self.lane.set([self._job(one) for one in self.engine.groups])
        count = sum(len(group.rules) for group in groups)
        if count:
            log.info("%d rules in %d groups", count, len(groups))

    def see(self, snapshot: Snapshot) -> None:
        """Take a snapshot into the past that rules look back on; the first lets evaluation begin."""
        with self._lock:
            if self.engine.groups:
                self.engine.samples.take(snapshot)
        if self.engine.groups and not self._started:
            self._started = True
            self.lane.start()

    def stop(self, patience: float) -> None:
        """Evaluate no more, and remember how long alerts have been pending."""
        if self.lane.stop(patience):
            with self._lock:
                if self._followed:  # else what is remembered waits for rules that can be read
                    self._save(self._now())
                self._memory.close()

    def alerts(self) -> bytes:
        """The answer of /api/v1/alerts."""
        with self._lock:
            return api.alerts(self.engine)

    def rules(self, query: str) -> tuple[int, bytes]:
        """The answer of /api/v1/rules."""
        from urllib.parse import parse_qs  # noqa: PLC0415 - for the few who ask

        with self._lock:
            return api.rules(self.engine, parse_qs(query))

    def readings(self) -> Iterator[Reading]:
        """How the rules do."""
        yield ruled.RULES_SUCCESS(float(self._accepted))
        yield from self.lane.readings()
        if self.engine.groups:
            yield from self.engine.readings()
            yield from self._memory.readings()

    def _job(self, one: Evaluation) -> Job:
        return Job(one.group.key, one.interval, lambda: self.evaluate(one), delay=0.0)

    def evaluate(self, one: Evaluation) -> None:
        """Evaluate a group on the newest snapshot."""
        with self._lock:
            if one not in self.engine.groups:
                return
            now = self._now()
            self.engine.samples.take(self._store.snapshot)
            before = self._pending()
            errors = {id(rule): rule.error for rule in one.rules}
            flipped = self.engine.evaluate(one, now.at, now.wall)
            for rule in one.rules:
                if rule.error and rule.error != errors[id(rule)]:
                    log.warning("rule %s of %s: %s", rule.rule.name, one.group.key, rule.error)
            changed = before != self._pending()
            self._tell(flipped, now)
            if not flipped and (changed or (before and now.at - self._saved_at >= SELDOM)):
                self._save(now)
            if self.refresh:
                self.refresh([self.engine.flip(alert) for alert in _firing(one)])

    def _tell(self, flipped: Sequence[Alert], now: Moment) -> None:
        """Remember, then announce; after a power cut between the two it is announced again, known by its identity."""
        if not flipped:
            return
        self._save(now, flipped)
        flips = [self.engine.flip(alert) for alert in flipped]
        for announce in self._announce:
            announce(flips)
        self.flipped([flip for alert, flip in zip(flipped, flips, strict=True) if not alert.told])
        for alert in flipped:
            alert.told = True
        self._save(now)

    def _pending(self) -> set[int]:
        return {id(alert) for _, _, machine in self.engine.machines() for alert in machine.active()}

    def _save(self, now: Moment, flipped: Sequence[Alert] = ()) -> None:
        found = [
            (_key(one, rule.rule), alert)
            for one, rule, machine in self.engine.machines()
            for alert in machine.alerts.values()
            if alert.state is not State.INACTIVE or not alert.told
        ]
        known = {id(alert) for _, alert in found}
        found += [("", alert) for alert in flipped if id(alert) not in known]
        self._memory.save(found, now)
        self._saved_at = now.at

    def _restore(self, now: Moment) -> list[Alert]:
        """Go on with the alerts of the last run; those to announce: what fires, and what was resolved unannounced.

        One whose rule is gone is resolved.
        """
        owed = []
        for key, alert in self._memory.load(now):
            machines = (one for group, rule, one in self.engine.machines() if key == _key(group, rule.rule))
            machine = next((one for one in machines if one.made(alert.labels)), None)
            if machine:
                machine.alerts[alert.labels] = alert
            elif alert.state is State.FIRING:
                alert.state, alert.resolved_at, alert.ended = State.INACTIVE, now.at, now.wall
            if alert.state is State.FIRING or (alert.state is State.INACTIVE and alert.began):
                owed.append(alert)
        return owed

    def _now(self) -> Moment:
        return Moment(self._boot, time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


def _firing(one: Evaluation) -> Iterator[Alert]:
    machines = (rule.machine for rule in one.rules if rule.machine)
    return (alert for machine in machines for alert in machine.active() if alert.state is State.FIRING)


def _nobody(_flips: Sequence[Flip]) -> None:
    return None


def _key(one: Evaluation, rule: rules.Rule) -> str:
    return f"{one.group.key};{rule.name}"
