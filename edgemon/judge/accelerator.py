"""Causes in the accelerator and the way to it: gone, broken, badly linked, busy with others' work."""

from __future__ import annotations

from collections.abc import Iterator

from edgemon import hardware, inference
from edgemon.judge.case import SPEED, Case, Kind, Rule, Weight, Witness, at_then, source

WEAK, STRONG, PROOF = Weight.WEAK, Weight.STRONG, Weight.PROOF
SHARED = 0.2
"""Share of the time an accelerator worked before the run, from which on somebody else uses it."""


def lost(case: Case) -> Iterator[Witness]:
    """Accelerators that are no longer there or no longer well; of no matter for a model on the CPU."""
    if not case.accelerated or not case.now.looks:
        return
    for ident, then in case.then.states.items():
        if ident not in case.now.states:
            yield Witness(
                f"accelerator {ident}", "absent", at_then(then), source(hardware.ACCELERATOR_INFO, ident), PROOF
            )
    for ident, state in case.now.states.items():
        before = case.then.states.get(ident, "")
        if state in {"failed", "unready", "off"} and state != before and (state != "off" or case.kind is not Kind.SLOW):
            where = source(hardware.ACCELERATOR_STATE, ident, "", "", state)
            yield Witness(f"state of accelerator {ident}", state, at_then(before), where, STRONG)


def gave_up(case: Case) -> Iterator[Witness]:
    """That the probe does not get its accelerator."""
    if case.kind in {Kind.FAILED, Kind.FELL_BACK}:
        metric = inference.PROBE_OUTCOME if case.kind is Kind.FAILED else inference.PROBE_PLACEMENT
        yield Witness("the probe", case.verdict.text, "", case.series(metric))


def errors(case: Case) -> Iterator[Witness]:
    """Errors that accelerators counted meanwhile; corrected ones cost little."""
    for name, count in case.now.counters.items():
        kind, _, rest = name.partition(" ")
        which, _, ident = rest.partition(" ")
        if kind == "error" and count > 0 and case.accelerated:
            where = source(hardware.ACCELERATOR_ERRORS, ident, "", which)
            weight = WEAK if which == "corrected" or case.then.counters.get(name) else STRONG
            yield Witness(f"errors of {ident} ({which})", f"{count:+g}", "", where, weight)


def link(case: Case) -> Iterator[Witness]:
    """Fewer lanes or slower ones than at the baseline, or than both ends can do where nothing is known of then."""
    for ident, (lanes, most, speed, fastest) in case.now.links.items() if case.accelerated else ():
        then = case.then.links.get(ident)
        if lanes < (then[0] if then else most):
            text = at_then(f"{then[0]:g} lanes") if then else f"both ends can {most:g}"
            yield Witness(
                f"PCIe link of {ident}",
                f"{lanes:g} lanes",
                text,
                source(hardware.LINK_WIDTH, ident),
                STRONG if then else WEAK,
            )
        if speed < (then[2] if then else fastest):  # a GPU that idles between looks lowers its own
            text = at_then(f"{then[2] / 1e9:g} GT/s") if then else f"both ends can {fastest / 1e9:g}"
            yield Witness(
                f"PCIe link of {ident}", f"{speed / 1e9:g} GT/s", text, source(hardware.LINK_TRANSFERS, ident)
            )


def shared(case: Case) -> Iterator[Witness]:
    """Accelerators that were busy before the run began, more than at the baseline."""
    for ident, share in case.now.busy.items() if case.accelerated else ():
        then = case.then.busy.get(ident)
        if share >= SHARED and (then is None or share >= then + SHARED / 2):
            text = at_then(f"{then:.0%}") if then is not None else ""
            where = source(hardware.UTILIZATION, ident)
            yield Witness(
                f"use of {ident} before the run", f"{share:.0%}", text, where, WEAK if then is None else STRONG
            )


RULES = (
    Rule(
        "accelerator_lost",
        "the accelerator the model is meant for is gone, failed or not ready",
        "see the end of dmesg for its driver, then edgemon devices; reseat or power-cycle it",
        frozenset({Kind.FAILED, Kind.FELL_BACK, Kind.LATE, Kind.WRONG, Kind.SLOW}),
        lost,
        (gave_up,),
    ),
    Rule(
        "accelerator_errors",
        "the accelerator counts errors of its memory or its link",
        "see the end of dmesg and the vendor's tool; if they come back, replace the card, its cable or its memory",
        frozenset(set(Kind) - {Kind.CHANGED}),
        errors,
    ),
    Rule(
        "link_degraded",
        "the PCIe link of the accelerator has fewer or slower lanes than it could",
        "reseat card and cable, check the slot's generation (dtparam=pciex1_gen, BIOS); then: edgemon doctor",
        frozenset({Kind.SLOW, Kind.UNSURE, Kind.LATE, Kind.FAILED, Kind.FELL_BACK}),
        link,
    ),
    Rule(
        "accelerator_contention",
        "others use the accelerator while the probe runs",
        "see which processes have it open (fuser -v /dev/nvidia* /dev/hailo* /dev/apex*); probe when it is free",
        SPEED,
        shared,
    ),
)
