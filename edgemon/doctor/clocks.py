"""Clocks: governors that let the clock fall, and caps that somebody set."""

from __future__ import annotations

from collections.abc import Iterator

from edgemon import catalog, hardware
from edgemon.doctor import NOTE, OK, WARNING, Finding, Group, Patient, found, listed

POLICIES = "/sys/devices/system/cpu/cpufreq"
HARDWARE_LED = ("intel_pstate", "amd-pstate-epp")
"""Drivers whose `powersave` lets the processor choose its clock (Documentation/admin-guide/pm/{intel,amd}-pstate)."""
FAST = "cpupower frequency-set -g performance, or at every boot cpufreq.default_governor=performance"
SAME = 0.999
"""Share of a limit from which on a clock counts as not capped: drivers round."""


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
    for metric in (catalog.CPU_SPEED_LIMIT, hardware.FREQUENCY_LIMIT):
        limits = {(one.labels["hw_id"], one.labels["hw_limit_type"]): one for one in patient.stock.of(metric)}
        for (ident, kind), cap in limits.items():
            most = limits.get((ident, "max"))
            if kind == "throttled" and most and cap.value < most.value * SAME and ident not in held:
                what = f"{ident} may run at {cap.value / 1e6:.0f} of {most.value / 1e6:.0f} MHz"
                mild = bool(mode) and not mode.upper().startswith("MAXN")
                text = f"{what}, with power mode {mode}" if mild else what
                remedy = "choose another power mode (nvpmodel -m)" if mode else CAPPED
                yield Finding(NOTE if mild else WARNING, text, f"{cap}, {most}", remedy)


CAPPED = (
    "find who capped it: a cooling device at work, a power profile (tlp, power-profiles-daemon, tuned), or a write to "
    "scaling_max_freq or max_freq"
)


def hot(cause: str, value: float) -> bool:
    """Whether a throttling is not the work of software."""
    return value > 0 and cause != "software"


GROUP = Group("clocks", examine)
