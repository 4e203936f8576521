"""Causes of low speed in the hardware: heat, power, clocks, modes."""

from __future__ import annotations

from collections.abc import Iterator

from edgemon import catalog, hardware
from edgemon.conditions import ALLOWED, LIMIT, NOW, WORKER
from edgemon.judge.case import SPEED, Case, Examine, Kind, Rule, Weight, Witness, at_then, fixed_work, source

AGAINST, WEAK, STRONG, PROOF = Weight
NEAR = 5.0
"""K: so close to a limit a chip may throttle between two looks; so much warmer or cooler than then counts."""
LOWER = 0.95
"""A clock below this share of what it was is lower: drivers round, and boost steps are finer."""
DISKS = ("nvme", "drivetemp")


def flags(cause: str) -> Examine:
    """Throttle flags and counters of one cause; what was so at the baseline already is a weak witness."""

    def find(case: Case) -> Iterator[Witness]:
        for ident, share in case.now.active(cause).items():
            then = case.then.active(cause).get(ident, 0.0)
            where = source(hardware.THROTTLED, ident, "", cause)
            weight = _weight(case, ident, then > 0)
            yield Witness(
                f"{ident} slowed down ({cause})", f"{share:.0%} of looks", _then(case, f"{then:.0%}"), where, weight
            )
        for ident, count in case.now.grown(f"throttle {cause}").items():
            then = case.then.grown(f"throttle {cause}").get(ident, 0.0)
            metric = catalog.CPU_THROTTLES if ident == "cpu" else hardware.THROTTLE_EVENTS
            where = source(metric) if ident == "cpu" else source(metric, ident, "", cause)
            weight = _weight(case, ident, then > 0)
            yield Witness(f"throttlings of {ident} ({cause})", f"{count:+g}", _then(case, f"{then:+g}"), where, weight)

    return find


def _weight(case: Case, ident: str, before: bool) -> Weight:
    """Weak if it was so before, or if it is an accelerator the model does not run on."""
    elsewhere = ident in case.now.states and not case.accelerated
    return WEAK if before or elsewhere else STRONG


def _then(case: Case, text: str) -> str:
    return at_then(text) if case.then.looks else ""


def thermal(case: Case) -> Iterator[Witness]:
    """Flags and counters, what the worker counted, cooling devices at work, a temperature at its limit."""
    yield from flags("thermal")(case)
    counted = case.result.witnesses.get("throttles", 0.0)
    if counted and not case.now.grown("throttle thermal"):
        where = "/sys/devices/system/cpu/cpu*/thermal_throttle"
        yield Witness("throttlings of the CPU in the steady phase", f"{counted:+g}", "", where, STRONG)
    for ident in case.now.active("cooling"):
        before = ident in case.then.active("cooling")
        where = source(catalog.COOLING_LEVEL, ident)
        yield Witness(
            f"cooling device {ident}",
            "at work",
            _then(case, "at work" if before else "idle"),
            where,
            _weight(case, ident, before),
        )
    yield from at_limit(case)


def at_limit(case: Case) -> Iterator[Witness]:
    """The temperature that is closest to its limit, if it is close."""
    left = {
        ident: case.now.limits[ident][0] - heat
        for ident, heat in case.now.temperatures.items()
        if ident in case.now.limits and not ident.startswith(DISKS)
    }
    ident = min(left, key=lambda ident: left[ident], default="")
    if ident and left[ident] <= NEAR:
        limit, kind = case.now.limits[ident]
        now = f"{case.now.temperatures[ident]:.1f} °C"
        yield Witness(f"temperature of {ident}", now, f"limit {limit:g} °C, {kind}", source(catalog.TEMPERATURE, ident))


def warmer(case: Case) -> Iterator[Witness]:
    """The temperature that rose or fell most since the baseline, if that is much."""
    both = {
        ident: now - case.then.temperatures[ident]
        for ident, now in case.now.temperatures.items()
        if ident in case.then.temperatures
    }
    ident = max(both, key=lambda ident: both[ident], default="")
    if ident and abs(both[ident]) >= NEAR:
        now, then = case.now.temperatures[ident], case.then.temperatures[ident]
        where = source(catalog.TEMPERATURE, ident)
        weight = WEAK if now > then else AGAINST
        yield Witness(f"temperature of {ident}", f"{now:.1f} °C", at_then(f"{then:.1f} °C"), where, weight)


def slower_clock(case: Case) -> Iterator[Witness]:
    """Clocks that are lower than at the baseline; what the worker saw of its CPU is worth most."""
    for ident, value in case.now.clocks.items():
        then = case.then.clocks.get(ident)
        if then and value[NOW] < then[NOW] * LOWER and (case.accelerated or ident not in case.now.states):
            yield Witness(
                _clock(ident),
                _mhz(value[NOW]),
                at_then(_mhz(then[NOW])),
                _where(ident),
                STRONG if ident == WORKER else WEAK,
            )
    most = max((value[LIMIT] for ident, value in case.now.clocks.items() if ident.startswith("policy")), default=0.0)
    own = case.now.clocks.get(WORKER)
    if own and WORKER not in case.then.clocks and own[NOW] < most * LOWER:
        yield Witness(_clock(WORKER), _mhz(own[NOW]), f"limit {_mhz(most)}", _where(WORKER))


def lower(case: Case) -> Iterator[Witness]:
    """The same as support: one clock, and weak; or that the CPU's is as high as then, where the model runs on it."""
    for one in list(slower_clock(case))[:1]:
        yield Witness(one.what, one.now, one.then, one.source)
    own, then = case.now.clocks.get(WORKER), case.then.clocks.get(WORKER)
    if own and then and own[NOW] >= then[NOW] and not case.accelerated:
        yield Witness(_clock(WORKER), _mhz(own[NOW]), at_then(_mhz(then[NOW])), _where(WORKER), AGAINST)


def _clock(ident: str) -> str:
    return "clock of the CPU while the model ran" if ident == WORKER else f"clock of {ident}"


def _where(ident: str) -> str:
    if ident == WORKER:
        return "/sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq"
    return source(catalog.CPU_FREQUENCY) if ident.startswith("policy") else source(hardware.FREQUENCY, ident)


def _mhz(hertz: float) -> str:
    return f"{hertz / 1e6:.0f} MHz"


def software_cap(case: Case) -> Iterator[Witness]:
    """Flags that were not there at the baseline, and clocks that may no longer reach what they could."""
    flagged = set()
    for one in flags("software")(case):
        if one.weight is STRONG:
            flagged.add(one.source)
            yield one
    for ident, (_, most, allowed) in case.now.clocks.items():
        then = case.then.clocks.get(ident)
        held = 0 < allowed < most * LOWER and not any(
            case.now.active(cause) for cause in ("thermal", "power", "undervoltage", "hardware")
        )
        if held and not flagged and (then is None or then[ALLOWED] > allowed / LOWER):
            metric = catalog.CPU_SPEED_LIMIT if ident.startswith("policy") else hardware.FREQUENCY_LIMIT
            text = at_then(_mhz(then[ALLOWED])) if then else f"the hardware can {_mhz(most)}"
            yield Witness(
                f"highest clock allowed of {ident}",
                _mhz(allowed),
                text,
                source(metric, ident),
                STRONG if then else WEAK,
            )


def mode_changed(case: Case) -> Iterator[Witness]:
    """Another power mode than at the baseline."""
    for ident, mode in case.now.modes.items():
        then = case.then.modes.get(ident)
        if then and mode != then:
            weight = PROOF if case.kind is Kind.CHANGED else STRONG
            yield Witness(f"power mode of {ident}", mode, at_then(then), source(hardware.POWER_MODE, ident), weight)


def governor_changed(case: Case) -> Iterator[Witness]:
    """Another clock governor than at the baseline."""
    weight = PROOF if case.kind is Kind.CHANGED else STRONG
    differing = [ident for ident, name in case.now.governors.items() if case.then.governors.get(ident, name) != name]
    for ident in differing[:1]:
        more = f" and {len(differing) - 1} more" if differing[1:] else ""
        then = at_then(case.then.governors[ident])
        yield Witness(
            f"governor of {ident}{more}", case.now.governors[ident], then, source(catalog.CPU_GOVERNOR, ident), weight
        )
    old, new = (case.baseline.key if case.baseline else {}).get("governor"), case.key.get("governor")
    if not differing and old and new and old != new:
        where = "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor"
        yield Witness("clock governors", new, at_then(old), where, weight)


def battery(case: Case) -> Iterator[Witness]:
    """Mains that were there at the baseline and are not now."""
    for ident, state in case.now.supplies.items():
        then = case.then.supplies.get(ident, "")
        if state in {"offline", "discharging"} and then not in {"", state}:
            metric = catalog.SUPPLY_ONLINE if state == "offline" else catalog.SUPPLY_STATE
            yield Witness(f"supply {ident}", state, at_then(then), source(metric, ident))


DEVICE = (lower, fixed_work)

RULES = (
    Rule(
        "thermal_throttling",
        "a chip lowers its clock since it is too hot",
        "cool it: heat sink seated, fan turning, vents free, a cooler place; or a lower power mode; see edgemon doctor",
        SPEED,
        thermal,
        (warmer, *DEVICE),
    ),
    Rule(
        "power_throttling",
        "a chip lowers its clock since it draws as much power as it may",
        "raise the power limit or the power mode if the supply and the cooling allow it, or lower the load",
        SPEED,
        flags("power"),
        DEVICE,
    ),
    Rule(
        "undervoltage",
        "the supply's voltage falls under load, and the board lowers its clock so as not to fail",
        "use the supply the board asks for, a shorter or thicker cable, and a powered hub for USB devices",
        SPEED,
        flags("undervoltage"),
        DEVICE,
    ),
    Rule(
        "hardware_throttling",
        "a chip lowers its clock for a reason only its vendor's tool tells",
        "see the vendor's tool for the reason (nvidia-smi -q -d PERFORMANCE, dmesg); check supply and cooling",
        SPEED,
        flags("hardware"),
        DEVICE,
    ),
    Rule(
        "power_mode_changed",
        "the power mode is another than at the baseline",
        "set the mode back (nvpmodel -m), or if it was meant: edgemon baseline record {probe}",
        SPEED | {Kind.CHANGED},
        mode_changed,
        DEVICE,
    ),
    Rule(
        "governor_changed",
        "the clock governor is another than at the baseline",
        "set it back (cpupower frequency-set -g), or if it was meant: edgemon baseline accept {probe}",
        SPEED | {Kind.CHANGED},
        governor_changed,
        DEVICE,
    ),
    Rule(
        "software_cap",
        "somebody set a limit below what the hardware can",
        "find who set it: a power profile (tlp, tuned), locked clocks (nvidia-smi -rgc undoes them), scaling_max_freq",
        SPEED,
        software_cap,
        DEVICE,
    ),
    Rule(
        "clock_low",
        "the clock is lower than at the baseline, and nothing tells why",
        "see which limits and governors hold: edgemon doctor; compare with the time of the baseline",
        SPEED,
        slower_clock,
        (fixed_work,),
        (
            "thermal_throttling", "power_throttling", "undervoltage", "hardware_throttling", "power_mode_changed",
            "governor_changed", "software_cap",
        ),
    ),
    Rule(
        "on_battery",
        "the device runs from its battery, and may save power",
        "see whether mains are back; or record a baseline for the battery: edgemon baseline record {probe}",
        SPEED,
        battery,
        DEVICE,
    ),
)  # fmt: skip
