"""A re-benchmark: many rounds of one probe in a row, and one verdict on all of them.

Whether an alert is confirmed or withdrawn follows from that verdict alone. It is held against the pinned baseline, or
where there is none against the probe's own rounds from before it began; it never becomes one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from edgemon import rebenched
from edgemon.finding import Finding
from edgemon.judge.baseline import Round, round_of
from edgemon.judge.epoch import rolling
from edgemon.judge.statistics import median
from edgemon.judge.validity import usable
from edgemon.judge.verdict import State, Verdict, compared
from edgemon.metric import Reading
from edgemon.probe.result import Outcome

KIND = "rebenchmark"
"""What the archive's notes of re-benchmarks are called."""
ALERT, CALENDAR = "alert", "calendar"
ABANDONED = "abandoned"
PENDING, CONFIRMED, WITHDRAWN, UNDECIDED = "pending", "confirmed", "withdrawn", "undecided"
SAYS = {
    State.DEGRADED.value: CONFIRMED, State.FAILING.value: CONFIRMED,
    State.OK.value: WITHDRAWN, State.IMPROVED.value: WITHDRAWN,
}  # fmt: skip
"""What a verdict makes of the alert that asked; any other leaves it undecided."""
OWN = "its own rounds before; none is pinned"


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a re-benchmark. Times in seconds, `at` Unix time of its end, `spent` what its runs took together.

    `alerts` are the names of those that asked, `outcome` is the state of the verdict or abandoned, `slowdown` with its
    95 % bounds is against the `baseline`: pinned, rolling, or none.
    """

    probe: str
    trigger: str
    at: float
    outcome: str
    cause: str
    text: str
    alerts: tuple[str, ...] = ()
    rounds: int = 0
    spent: float = 0.0
    duration: float | None = None
    baseline: str = ""
    slowdown: float | None = None
    low: float | None = None
    high: float | None = None
    causes: tuple[str, ...] = ()
    fingerprint: str = ""

    @property
    def makes(self) -> str:
        """What it makes of the alerts that asked: confirmed, withdrawn or undecided."""
        return SAYS.get(self.outcome, UNDECIDED)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "makes": self.makes if self.alerts else None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Report:
        """The inverse of `to_json`; TypeError or ValueError when it is none."""
        known = {one.name for one in fields(cls)}
        lists = {name: tuple(map(str, data[name])) for name in ("alerts", "causes")}
        found = cls(**{**{name: value for name, value in data.items() if name in known}, **lists})
        if not all(isinstance(one, (int, float)) for one in (found.at, found.spent, found.rounds)):
            raise ValueError("times and rounds must be numbers")
        return found

    def __str__(self) -> str:
        """In one line, for a person."""
        head = f"{self.duration * 1000:.3f} ms (median of {self.rounds} runs), " if self.duration else ""
        why = f"; {', '.join(self.causes)}" if self.causes else ""
        made = f"; {self.makes}: {', '.join(self.alerts)}" if self.alerts else ""
        return f"{self.outcome}: {head}{self.text}{why}{made}"

    def readings(self) -> Iterator[Reading]:
        """The verdict with its numbers."""
        for state in State:
            yield rebenched.REBENCHMARK_VERDICT(float(state.value == self.outcome), self.probe, state.value)
        yield rebenched.REBENCHMARK_AT(self.at, self.probe)
        yield rebenched.REBENCHMARK_ROUNDS(self.rounds, self.probe)
        yield rebenched.REBENCHMARK_DURATION(self.duration, self.probe)
        if self.baseline:
            yield rebenched.REBENCHMARK_SLOWDOWN(self.slowdown, self.probe, self.baseline)
            for bound, value in (("low", self.low), ("high", self.high)):
                yield rebenched.REBENCHMARK_BOUND(value, self.probe, bound)


def report(
    findings: Sequence[Finding],
    before: Sequence[Round],
    effect: float,
    asked: tuple[str, Sequence[str]],
    at: float,
    ended: bool = True,
) -> Report:
    """What came of these rounds, of which there is one at least; `before` are the probe's rounds from before.

    `asked` are what triggered it and the names of the alerts; one that did not end by itself is abandoned unless what
    there is of it is certain.
    """
    last = findings[-1]
    verdict, baseline = judged(findings, before, effect)
    outcome = verdict.state.value if ended or verdict.state.value in SAYS else ABANDONED
    rounds = [one for one in findings if one.result.outcome is Outcome.OK and one.result.latencies]
    low, high = (verdict.low, verdict.high) if _bounded(verdict) else (None, None)
    wrong = SAYS.get(outcome) != WITHDRAWN
    return Report(
        last.result.probe, asked[0], at, outcome, verdict.cause, _text(verdict), tuple(asked[1]), len(findings),
        sum(one.result.wall_seconds or 0.0 for one in findings),
        median([median(one.result.corrected or one.result.latencies) for one in rounds]) if rounds else None,
        baseline if verdict.slowdown else "", verdict.slowdown, low, high,
        tuple(one.name for one in last.causes[:3]) if wrong else (), last.fingerprint,
    )  # fmt: skip


def judged(findings: Sequence[Finding], before: Sequence[Round], effect: float) -> tuple[Verdict, str]:
    """The verdict on all rounds together, and what they are held against: pinned, rolling, or nothing."""
    last = findings[-1]
    if last.result.outcome is not Outcome.OK or last.verdict.cause in {"changed", "fallback"}:
        return last.verdict, ""
    rounds = [
        round_of(one.result, one.fingerprint)
        for one in findings
        if one.fingerprint == last.fingerprint and one.result.outcome is Outcome.OK and usable(one.result)
    ]
    if last.baseline:
        return compared(rounds, last.baseline, effect), "pinned"
    own = rolling(last.result.probe, last.key, before)
    if own:
        return compared(rounds, own, effect, OWN), "rolling"
    advice = f"record one while all is well: edgemon baseline record {last.result.probe}"
    return Verdict(State.UNDECIDED, "no_baseline", "nothing to compare with yet", advice=advice), ""


def _text(verdict: Verdict) -> str:
    """The verdict in words, with the bounds of its number where it has one."""
    if not _bounded(verdict):
        return verdict.text
    bounds, than = f"[{(verdict.low or 1) - 1:+.1%}, {(verdict.high or 1) - 1:+.1%}]", "than the baseline"
    return verdict.text.replace(than, f"{than} {bounds}", 1)


def _bounded(verdict: Verdict) -> bool:
    return bool(verdict.low and verdict.high and verdict.high < math.inf)
