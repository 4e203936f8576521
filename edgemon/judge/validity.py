"""How far one run can be trusted, and why not further: valid, limited or invalid.

A limited run still counts as a round: its model and its reference kernels were disturbed alike. Its absolute numbers
are to be read with the reasons. An invalid one says nothing and becomes no round.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from edgemon.judge.baseline import Baseline, shared, telling
from edgemon.judge.statistics import median, spread
from edgemon.probe.result import Result

CONTENDED = 0.10
"""Share of the time taken by other tasks, or by the hypervisor, from which on a run is contended."""
OFF = 0.10
"""How far a reference kernel may be from its baseline; androidx' ThrottleDetector draws the line there too."""
CLOCK = 0.05
UNSTEADY = 0.10
"""Robust coefficient of variation; pyperf calls 10 % unstable."""
FEW, LEAST = 6, 3
"""Inferences that bound a median with 95 %, and those that are worth a median at all."""
COARSE, BLIND = 0.01, 0.1
"""The time that reading the clock takes, as a share of an inference."""
SLEPT = 0.1
"""Seconds the machine slept in the middle of a run."""


class Grade(str, Enum):
    """From best to worst."""

    VALID = "valid"
    LIMITED = "limited"
    INVALID = "invalid"


REASONS = (
    "throttled", "clock_changed", "contended", "stolen", "few_samples", "reference_off", "unsettled", "unsteady",
    "coarse_timer", "suspended",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Validity:
    """The grade, and each reason with what was seen."""

    grade: Grade
    reasons: Mapping[str, str] = field(default_factory=dict)


def validity(result: Result, baseline: Baseline | None = None) -> Validity | None:
    """The grade of a run that measured; None for one that did not. The baseline tells whether a reference is off."""
    if not result.latencies:
        return None
    reasons = dict([*_machine(result), *_samples(result), *_references(result, baseline)])
    bad = not usable(result) or len(result.latencies) < LEAST
    return Validity(Grade.INVALID if bad else Grade.LIMITED if reasons else Grade.VALID, reasons)


def usable(result: Result) -> bool:
    """Whether a run says anything: the machine did not sleep, and the clock is finer than the model."""
    slept, timer = result.witnesses.get("suspended", 0.0), result.witnesses.get("timer", 0.0)
    return slept < SLEPT and timer <= BLIND * _middle(result)


def _machine(result: Result) -> Iterator[tuple[str, str]]:
    seen = result.witnesses
    if seen.get("suspended", 0.0) >= SLEPT:
        yield "suspended", f"the machine slept for {seen['suspended']:.1f} s"
    if seen.get("throttles"):
        yield "throttled", f"the CPU was throttled {seen['throttles']:.0f} times"
    begin, end = seen.get("clock_begin", 0.0), seen.get("clock_end", 0.0)
    if begin and end and abs(end / begin - 1) > CLOCK:
        yield "clock_changed", f"the CPU's clock went from {begin / 1e6:.0f} to {end / 1e6:.0f} MHz"
    if (result.run_delay or 0.0) > CONTENDED:
        yield "contended", f"other tasks had the CPU for {result.run_delay:.0%} of the steady phase"
    if seen.get("steal", 0.0) > CONTENDED:
        yield "stolen", f"the hypervisor took {seen['steal']:.0%} of the CPUs' time"


def _samples(result: Result) -> Iterator[tuple[str, str]]:
    values = result.corrected or result.latencies
    if len(values) < FEW:
        yield "few_samples", f"{len(values)} inferences; {FEW} bound the median"
    elif spread(values) > UNSTEADY:
        yield "unsteady", f"inferences differ by {spread(values):.0%}"
    if result.witnesses.get("settled") == 0.0:
        yield "unsettled", "the warm-up found no steady pace"
    timer = result.witnesses.get("timer", 0.0)
    if timer > COARSE * _middle(result):
        yield "coarse_timer", f"reading the clock takes {timer * 1e9:.0f} ns"


def _references(result: Result, baseline: Baseline | None) -> Iterator[tuple[str, str]]:
    names = shared(telling(result), result.facts.get("kernels", {}), baseline) if baseline else ()
    changes = {name: result.kernels[name] / median(baseline.references[name]) for name in names if baseline}
    off = {name: change for name, change in changes.items() if not 1 / (1 + OFF) <= change <= 1 + OFF}
    if off:
        yield "reference_off", ", ".join(f"{name} {change - 1:+.0%}" for name, change in off.items())


def _middle(result: Result) -> float:
    return median(result.corrected or result.latencies or [0.0])
