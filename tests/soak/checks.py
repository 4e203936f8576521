"""What must hold, whatever happens: checked in every scrape, after every round, and when all is calm."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

from edgemon.sinks.otlp.batch import SIGNALS
from edgemon.spool.ledger import REASONS
from tests.soak.device import Device, Series, ViolationError

PATIENCE = 90.0
"""Seconds within which it must be well again; for a machine with much else to do."""
MEMORY = 60.0
"""MiB of the daemon's own memory that it must stay below, libfaketime's and a busy disk's pages among it."""
FILES = 24
"""Descriptors more than at its start that are no leak: clients, the receiver, files in use."""
FAILURES, PROBING = "edgemon_lane_failures_total{", 'lane="probing"'
"""Jobs that fail cost samples; a probe that cannot even read its own files, for want of descriptors, costs its turn."""
NEVER = ("age", "too_old", "damaged")
"""Reasons for which nothing is to be dropped here."""


class Checks:
    """Holds a device to account."""

    def __init__(self, device: Device) -> None:
        self.device, self.scrapes, self.memory, self.files = device, 0, 0.0, 0
        self.dropped: dict[str, float] = {}
        self.lost, self._last, self._life = 0.0, Series(), device.receiver.life

    def scrape(self) -> Series:
        """A scrape in which every point is accounted for."""
        found = self.device.scrape()
        life = self.device.receiver.life
        for signal in SIGNALS if "edgemon_otlp_points_total" in "".join(found) else ():
            account = {name: of(found, f"{name}_points", signal) for name in ("sent", "buffered", "dropped")}
            collected = of(found, "points", signal)
            if collected != sum(account.values()):
                raise ViolationError(f"{signal}: {collected:g} were collected, and there are {account}")
            if account["sent"] > life.taken[signal]:
                raise ViolationError(f"{signal}: {account['sent']:g} sent, and the receiver took {life.taken[signal]}")
        if failed := [
            name for name, value in found.items() if value and name.startswith(FAILURES) and PROBING not in name
        ]:
            raise ViolationError(f"a job failed: {failed[0]}")
        self._remember(found)
        self.memory = max(self.memory, self.device.resident())
        if self.memory > MEMORY:
            raise ViolationError(f"it takes {self.memory:.1f} MiB, more than {MEMORY:g}")
        if self.device.receiver.wrong:
            raise ViolationError(f"the receiver says: {self.device.receiver.wrong[0]}")
        return found

    def _remember(self, found: Series) -> None:
        """The last scrape of a life is what is known of its end: what it has dropped, and what a kill has cost."""
        if not found:
            return
        if self._life is not self.device.receiver.life:
            self._life = self.device.receiver.life
            self.note(self._last)
            waited, come_back = (
                sum(of(one, name, signal) for signal in SIGNALS)
                for one, name in ((self._last, "buffered_points"), (found, "points"))
            )
            self.lost += max(0.0, waited - come_back)
        self.scrapes, self._last = self.scrapes + 1, found

    def until(self, what: str, condition: Callable[[Series], object], patience: float = PATIENCE) -> Series:
        """The first scrape of which the condition is true; a Violation where it does not become so."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if (found := self.scrape()) and condition(found):
                return found
            time.sleep(0.05)
        raise ViolationError(f"not within {patience:g} s: {what}")

    def well(self) -> None:
        """A fault is over: it is healthy, all lanes move, the configuration is in force."""
        first = self.until("an answer", lambda found: True)
        for lane in ("sensing", "rules", "encoding"):
            self.until(f"a turn of lane {lane}", partial(_moved, f'edgemon_lane_runs_total{{lane="{lane}"}}', first))
        self.configured()
        if (said := self.device.get("/healthz")) != (200, "ok\n"):
            raise ViolationError(f"/healthz says {said}")

    def configured(self) -> None:
        """The configuration is in force: read again where it met another fault and was refused, or after many kills."""
        asked = time.monotonic()

        def done(now: Series) -> bool:
            nonlocal asked
            good = now["edgemon_config_reload_successful"] == 1 and now["edgemon_safe_mode"] == 0
            if not good and time.monotonic() - asked > 2:
                asked = time.monotonic()
                self.device.reload()
            return good

        self.until("the configuration", done)

    def calm(self) -> None:
        """Nothing happens any more: what waits is sent, descriptors are given back."""
        taken = dict(self.device.receiver.life.taken)
        self.device.reload()
        self.until(
            "what was taken is sent", lambda now: all(of(now, "sent_points", one) >= taken.get(one, 0) for one in taken)
        )
        self.until("nothing waits", lambda now: sum(of(now, "buffered_points", one) for one in SIGNALS) < 1000)
        self.until("descriptors", lambda now: self.device.descriptors() <= self.device.files + FILES)
        self.files = max(self.files, self.device.descriptors() - self.device.files)

    def account(self) -> None:
        """Nothing new comes: all that was collected is sent or dropped, and the receiver says the same of each."""
        otlp = {**self.device.settings()["otlp"], "interval": "1h"}
        self.device.reload(probes={}, rules={}, otlp=otlp, thresholds={"over": 1})
        self.until("nothing new", lambda now: 'edgemon_threshold{name="over"}' in now)
        try:
            found = self.until("all is told by the receiver as well", lambda now: not list(self._differences(now)))
        except ViolationError as error:
            raise ViolationError(f"{error}: {', '.join(self._differences(self._last))}") from None
        self.note(found)

    def _differences(self, found: Series) -> Iterator[str]:
        """Where the daemon and the receiver do not say the same."""
        life = self.device.receiver.life
        for one in SIGNALS:
            sent, taken, unsure = of(found, "sent_points", one), life.taken[one], life.unsure(one)
            if not taken - unsure <= sent <= taken:
                yield f"{one}: {sent:g} sent, the receiver took {taken}, {unsure} of them with a lost answer"
            if waiting := of(found, "buffered_points", one):
                yield f"{one}: {waiting:g} wait"
            for reason, count in (("rejected", life.rejected[one]), ("refused", life.refused[one])):
                if (dropped := drop(found, one, reason)) != count:
                    yield f"{one}: {dropped:g} dropped as {reason}, the receiver says {count}"

    def note(self, found: Series) -> None:
        """Keep what a life has dropped, and why."""
        for reason in REASONS:
            count = sum(drop(found, one, reason) for one in SIGNALS)
            self.dropped[reason] = self.dropped.get(reason, 0) + count
            if count and reason in NEVER:
                raise ViolationError(f"{count:g} points were dropped as {reason}")


def _moved(name: str, first: Series, now: Series) -> bool:
    return now[name] > first[name]


def of(found: Series, name: str, signal: str) -> float:
    """A series of a signal, over all reasons."""
    return sum(
        value for one, value in found.items()
        if one.startswith((f"edgemon_otlp_{name}{{", f"edgemon_otlp_{name}_total{{")) and f'signal="{signal}"' in one
    )  # fmt: skip


def drop(found: Series, signal: str, reason: str) -> float:
    """What was dropped of a signal for a reason."""
    return found.get(f'edgemon_otlp_dropped_points_total{{signal="{signal}",reason="{reason}"}}', 0.0)
