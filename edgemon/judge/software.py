"""Causes in the software: where the model runs, what it answers, and what is not what it was at the baseline."""

from __future__ import annotations

from collections.abc import Iterator

from edgemon import hardware, inference
from edgemon.judge.case import Case, Examine, Kind, Rule, Weight, Witness, at_then, source
from edgemon.judge.placement import SLACK, on, refused

STRONG, PROOF = Weight.STRONG, Weight.PROOF
SHOWN = 60
"""Characters of a value that are shown."""
BROKEN = frozenset({Kind.CHANGED, Kind.FAILED, Kind.FELL_BACK, Kind.WRONG, Kind.LATE})


def fell_back(case: Case) -> Iterator[Witness]:
    """What the engine itself recorded of where it runs the model, and why it refuses another place."""
    facts = case.result.facts
    asked, placement = (facts.get("requested") or [""])[0], facts.get("placement") or {}
    share, before = on(asked, placement), on(asked, case.baseline.placement if case.baseline else {})
    where = case.series(inference.PROBE_PLACEMENT, "assigned", asked)
    if placement and (share <= 0 or share < before - SLACK):
        then = at_then(f"{before:.0%}") if before else "requested first"
        yield Witness(f"share of the model on {asked}", f"{share:.0%}", then, where, PROOF)
    else:
        yield Witness(f"the model, meant for {asked}", case.verdict.text, "", where, PROOF)
    if facts.get("refused"):
        yield Witness("the engine's reason", refused(facts), "", where)


def wrong(case: Case) -> Iterator[Witness]:
    """The distance from the golden outputs."""
    if case.kind is Kind.WRONG:
        told = ", ".join(f"{name} {value:.3g}" for name, value in case.result.distance.items())
        where = case.series(inference.PROBE_DISTANCE)
        yield Witness("outputs", case.result.detail, told, where, PROOF)


def changed(*names: str) -> Examine:
    """Parts of the fingerprint that differ; of a probe that fails they need not be the reason."""

    def find(case: Case) -> Iterator[Witness]:
        old = case.baseline.key if case.baseline else {}
        loaded = bool(case.result.facts.get("model_sha256"))  # a worker that ended earlier knows only a part
        for name in names if loaded else ():
            now, then = case.key.get(name, ""), old.get(name, "")
            if old and now != then:
                weight = PROOF if case.kind is Kind.CHANGED else STRONG
                yield Witness(name, now[:SHOWN] or "none", at_then(then[:SHOWN] or "none"), _fingerprint(case), weight)

    return find


def _fingerprint(case: Case) -> str:
    return f"edgemon probe {case.result.probe} --json: key"


def driver_changed(case: Case) -> Iterator[Witness]:
    """Driver or firmware of an accelerator; of no matter for a model on the CPU."""
    for ident, version in case.now.drivers.items() if case.accelerated else ():
        then = case.then.drivers.get(ident, "")
        if then and then != version:
            weight = PROOF if case.kind is Kind.CHANGED else STRONG
            where = source(hardware.ACCELERATOR_INFO, ident)
            yield Witness(f"driver and firmware of {ident}", version, at_then(then), where, weight)
    yield from changed("driver")(case)


RULES = (
    Rule(
        "fallback_to_cpu",
        "nodes of the model run on the CPU that were to run on the accelerator",
        "see why the engine refuses it: driver, library versions, unsupported operators; edgemon doctor names engines",
        frozenset({Kind.FELL_BACK}),
        fell_back,
    ),
    Rule(
        "wrong_output",
        "the model answers something else than it did",
        "compare model file and engine with those of the baseline; if both are the same, suspect accelerator or memory",
        frozenset({Kind.WRONG}),
        wrong,
    ),
    Rule(
        "model_changed",
        "the model file is another than at the baseline",
        "if it was meant: edgemon baseline accept {probe}; if not, restore the model file",
        BROKEN,
        changed("model"),
    ),
    Rule(
        "runtime_changed",
        "the engine or its version is another than at the baseline",
        "if it was meant: edgemon baseline accept {probe}; if not, install the version of the baseline",
        BROKEN,
        changed("runtime"),
    ),
    Rule(
        "driver_changed",
        "driver or firmware of the accelerator are others than at the baseline",
        "compare with the driver's release notes; if it was meant: edgemon baseline record {probe}",
        BROKEN | {Kind.SLOW, Kind.UNSURE},
        driver_changed,
    ),
    Rule(
        "kernel_changed",
        "the kernel or the operating system is another than at the baseline",
        "if it was meant: edgemon baseline accept {probe}; if it got slower, boot the old kernel to compare",
        BROKEN,
        changed("kernel", "os"),
    ),
    Rule(
        "device_changed",
        "the board or its CPU is another than at the baseline",
        "record a baseline on this device: edgemon baseline record {probe}",
        BROKEN,
        changed("device", "cpu", "arch"),
    ),
    Rule(
        "configuration_changed",
        "threads, providers or options of the probe are others than at the baseline",
        "if it was meant: edgemon baseline accept {probe}; if not, see the probe's configuration",
        BROKEN,
        changed("providers", "options"),
    ),
)
