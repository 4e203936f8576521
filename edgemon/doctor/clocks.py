"""Clocks: governors that let the clock fall, and caps that somebody set."""

from __future__ import annotations

from collections.abc import Iterator

from edgemon import catalog, hardware
from edgemon.doctor import NOTE, OK, WARNING, Finding, Group, Patient, found, listed
from edgemon.inventory import Series

POLICIES = "/sys/devices/system/cpu/cpufreq"
HARDWARE_LED = ("intel_pstate", "amd-pstate-epp")
"""Drivers whose `powersave` lets the processor choose its clock (Documentation/admin-guide/pm/{intel,amd}-pstate)."""
FAST = "cpupower frequency-set -g performance, or at every boot cpufreq.default_governor=performance"
SAME = 0.999
"""Share of a limit from which on a clock counts as not capped: drivers round."""
LIMITS = f"{catalog.CPU_SPEED_LIMIT.prometheus} and {hardware.FREQUENCY_LIMIT.prometheus}"
CAPPED = (
    "find who capped it: a cooling device at work, a power profile (tlp, power-profiles-daemon, tuned), or a write to "
    "scaling_max_freq or max_freq"
)


def examine(patient: Patient) -> Iterator[Finding]:
    """Governors, then caps."""
    yield from governors(patient)
    yield from devfreq(patient)
    yield from caps(patient)


def governors(patient: Patient) -> Iterator[Finding]:
    """The CPU's, grouped: ondemand and the like are a warning only where the power mode asks for performance."""
    groups: dict[tuple[str, str], list[str]] = {}
    for one in patient.stock.of(catalog.CPU_GOVERNOR):
        policy, governor = one.labels["hw_id"], one.labels["governor"]
        driver = patient.root.fixed(f"{POLICIES}/{policy}/scaling_driver") or ""
        groups.setdefault((governor, driver), []).append(policy)
    for (governor, driver), policies in groups.items():
        evidence = found(patient.root, f"{POLICIES}/{policies[0]}/scaling_governor")
        yield governed(governor, driver, listed(policies), expected(patient), evidence)


def governed(governor: str, driver: str, policies: str, mode: str, evidence: str) -> Finding:
    """What one governor means for an inference."""
    name = f"CPU clock governor of {policies} is {governor}"
    led = driver in HARDWARE_LED
    if governor == "performance":
        return Finding(OK, name, evidence)
    if governor == "powersave" and driver and not led:
        return Finding(WARNING, f"{name}: it holds the clock at its lowest", evidence, FAST)
    if mode:
        return Finding(WARNING, f"{name}, though {mode}: the clock falls between inferences", evidence, FAST)
    follows = f"{name}{f' ({driver})' if led else ''}: the clock follows the load, so a rare inference starts slow"
    text = f"{name}: the clock is what a program or a person set" if governor == "userspace" else follows
    return Finding(NOTE, text, evidence, f"if the latency of single inferences matters: {FAST}")


def expected(patient: Patient) -> str:
    """Why performance is expected here; empty where nothing says so."""
    for one in patient.stock.of(hardware.POWER_MODE):
        mode = one.labels.get("mode", "")
        if mode.upper().startswith("MAXN") or (one.labels["hw_id"] == "jetson_clocks" and mode == "on"):
            return f"{one.labels['hw_id']} is {mode}"
    return ""


def devfreq(patient: Patient) -> Iterator[Finding]:
    """/sys/class/devfreq/*/governor: powersave holds a GPU, an NPU or the memory at its lowest clock."""
    for path in patient.root.glob("/sys/class/devfreq/*/governor"):
        if patient.root.fixed(path) == "powersave":
            what = f"clock governor of {path.split('/')[4]} is powersave: it holds the clock at its lowest"
            remedy = f"write performance, or what {path[:-8]}available_governors has, to {path}"
            yield Finding(WARNING, what, found(patient.root, path), remedy)


def caps(patient: Patient) -> Iterator[Finding]:
    """Clocks that may not reach what the hardware can, except where heat or power is the reason (group throttling)."""
    mode = next((one.labels.get("mode", "") for one in patient.stock.of(hardware.POWER_MODE)), "")
    held = {one.labels["hw_id"] for one in patient.stock.of(hardware.THROTTLED) if hot(one.labels["cause"], one.value)}
    free = []
    for metric in (catalog.CPU_SPEED_LIMIT, hardware.FREQUENCY_LIMIT):
        limits = {(one.labels["hw_id"], one.labels["hw_limit_type"]): one for one in patient.stock.of(metric)}
        for (ident, kind), most in limits.items():
            cap = limits.get((ident, "throttled"))
            if kind == "max" and cap and cap.value < most.value * SAME and ident not in held:
                yield capped(ident, cap, most, mode)
            elif kind == "max" and ident not in held:
                free.append(ident)
    if free:
        evidence = f"no lower limit of type throttled than of type max in {LIMITS}"
        yield Finding(OK, f"not capped below what the hardware can: {listed(free)}", evidence)


def capped(ident: str, cap: Series, most: Series, mode: str) -> Finding:
    """One clock; in a power mode that means to save it is as it was asked for."""
    what = f"{ident} may run at {cap.value / 1e6:.0f} of {most.value / 1e6:.0f} MHz"
    evidence = f"{cap}, {most}"
    if mode and not mode.upper().startswith("MAXN"):
        return Finding(NOTE, f"{what}, with power mode {mode}", evidence, "choose another power mode (nvpmodel -m)")
    return Finding(WARNING, what, evidence, CAPPED)


def hot(cause: str, value: float) -> bool:
    """Whether a throttling is not the work of software."""
    return value > 0 and cause != "software"


GROUP = Group("clocks", examine)
