"""Falling back: work that was to run on an accelerator and does not, by whatever record the engine keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CPUS = ("CPUExecutionProvider", "CPU", "XNNPACK")
"""Names by which engines call the CPU."""
OPEN = ("AUTO", "DEFAULT", "MAX_PERFORMANCE", "MAX_EFFICIENCY", "MIN_OVERALL_POWER")
"""Requests that leave the device to the engine: only a baseline tells what it chose when all was well."""
SLACK = 0.01


def is_cpu(device: str) -> bool:
    """Whether a device's name means the CPU."""
    return device in CPUS or device.startswith("CPU.")


def fallback(facts: Mapping[str, Any], before: Mapping[str, float]) -> tuple[str, dict[str, str]] | None:
    """What is no longer where it was asked to be, in words, with the evidence; None if nothing is.

    `before` is the placement of the baseline. An accelerator with no share at all is a fall-back with or without one.
    """
    target = next(iter(facts.get("requested") or ()), "CPU")
    placement, executed = facts.get("placement") or {}, facts.get("executed") or {}
    if is_cpu(target):
        return None
    evidence = {
        **({"placement": shares(placement)} if placement else {}),
        **({"executed": shares(executed)} if executed else {}),
        **({"refused": refused(facts)} if facts.get("refused") else {}),
    }
    then = on(target, before)
    if target in OPEN and not then:
        return None
    name = "an accelerator" if target in OPEN else target
    if placement and ((now := on(target, placement)) <= 0 or now < then - SLACK):
        return f"{now:.0%} of the graph is on {name}" + (f", it was {then:.0%}" if then else ""), evidence
    if executed and on(target, executed) <= 0:
        return f"nothing is executed on {name}, but on {', '.join(executed)}", evidence
    registered = facts.get("registered") or ()
    if not placement and not executed and registered and all(is_cpu(device) for device in registered):
        return f"{name} is not registered, only {', '.join(registered)}", evidence
    return None


def on(target: str, placement: Mapping[str, float | None]) -> float:
    """The share on a device, or on one of several of its kind (`GPU.0` is a GPU); 1 for a share that is not known.

    What the placement does not name is whatever is not the CPU: `NPU` was asked for and an execution provider ran.
    """
    of_it = {device: share for device, share in placement.items() if device.split(".")[0] == target}
    found = of_it or {device: share for device, share in placement.items() if not is_cpu(device)}
    return sum(1.0 if share is None else share for share in found.values())


def refused(facts: Mapping[str, Any]) -> str:
    """Why devices that were asked for are not there, in words."""
    return "; ".join(f"{device}: {why}" for device, why in (facts.get("refused") or {}).items())


def shares(placement: Mapping[str, float | None]) -> str:
    """A placement in words."""
    return ", ".join(device if share is None else f"{device} {share:.0%}" for device, share in placement.items())
