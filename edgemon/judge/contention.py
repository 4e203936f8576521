"""Causes of low speed in what else goes on: others on the CPU, the hypervisor, memory, disk, a start."""

from __future__ import annotations

from collections.abc import Iterator

from edgemon import catalog, inference
from edgemon.judge.case import SPEED, Case, Examine, Kind, Rule, Weight, Witness, at_then, source
from edgemon.judge.validity import CLOCK, CONTENDED, OFF

AGAINST, WEAK, STRONG, PROOF = Weight
STARTED = 120.0
"""Seconds after boot in which services still start."""
SCARCE = 0.10
"""Share of memory available below which reclaim and swap slow everything down."""
CONTENDING = {"cpu some": 0.30, "memory some": 0.05, "memory full": 0.01, "io some": 0.30, "io full": 0.15}
"""Shares of the run's time that tasks waited (PSI): a probe at idle priority waits for the CPU on a busy device, and
an inference that runs waits for neither memory nor disk."""


def taken(name: str, share: float, what: str, where: str, case: Case) -> Iterator[Witness]:
    """A share of the time that others had: weak if they had about as much at the baseline."""
    then = case.then.taken.get(name)
    if share > CONTENDED:
        more = share > (then or 0.0) + CONTENDED
        proof = case.verdict.cause == {"run_delay": "contention"}.get(name, name)
        text = at_then(f"{then:.0%}") if then is not None else f"limit {CONTENDED:.0%}"
        yield Witness(what, f"{share:.0%}", text, where, (PROOF if proof else STRONG) if more else WEAK)


def contended(case: Case) -> Iterator[Witness]:
    """The scheduler's own count of how long the worker's threads were kept waiting."""
    where = case.series(inference.PROBE_RUN_DELAY)
    yield from taken("run_delay", case.run_delay, "time others kept the probe from the CPU", where, case)


def stolen(case: Case) -> Iterator[Witness]:
    """The steal column of /proc/stat."""
    yield from taken("steal", case.steal, "CPU time the hypervisor took", case.series(inference.PROBE_STEAL), case)


def waited(resource: str, weight: Weight) -> Examine:
    """Pressure above what a run has on a quiet device, and above the baseline's."""

    def find(case: Case) -> Iterator[Witness]:
        for scope in ("some", "full"):
            limit = CONTENDING.get(f"{resource} {scope}", 1.0)
            share, then = (one.rate(f"pressure {resource} {scope}") for one in (case.now, case.then))
            if share is not None and share >= limit and share > 1.5 * (then or 0.0):
                who = "all tasks" if scope == "full" else "some task"
                text = at_then(f"{then:.0%}") if then is not None else f"limit {limit:.0%}"
                where = source(catalog.PRESSURE_TIME, resource, scope)
                yield Witness(f"time {who} waited for {resource}", f"{share:.0%}", text, where, weight)
                return

    return find


def scarce(case: Case) -> Iterator[Witness]:
    """Memory available: a weak witness, unless there was plenty at the baseline."""
    share, then = case.now.memory.get("available"), case.then.memory.get("available")
    if share is not None and share < SCARCE:
        text = at_then(f"{then:.0%}") if then is not None else f"limit {SCARCE:.0%}"
        yield Witness("memory available", f"{share:.0%}", text, source(catalog.MEMORY_AVAILABLE))


def exhausted(case: Case) -> Iterator[Witness]:
    """A worker that was killed for its memory, or got none."""
    detail = case.result.detail
    if case.kind is Kind.FAILED and any(
        word in detail for word in ("want of memory", "out of memory", "MiB of memory")
    ):
        yield Witness("the probe", detail, "", case.series(inference.PROBE_OUTCOME), STRONG)


def memory(case: Case) -> Iterator[Witness]:
    """Pressure, what is left, and what the worker died of."""
    yield from exhausted(case)
    yield from waited("memory", STRONG)(case)
    yield from scarce(case)


def bandwidth(case: Case) -> Iterator[Witness]:
    """Copies are slower, more than arithmetic is."""
    slow = case.verdict.references
    copy, compute = slow.get("memory", 1.0), slow.get("compute", 1.0)
    if copy >= 1 + OFF and copy >= compute * (1 + OFF / 2):
        weight = STRONG if case.verdict.cause == "memory_slow" else WEAK
        where = case.series(inference.PROBE_KERNEL_SLOWDOWN, "memory")
        yield Witness(
            "time of a copy in memory (memory kernel)", f"{copy - 1:+.0%}", "against the baseline", where, weight
        )


def compute_well(case: Case) -> Iterator[Witness]:
    """That arithmetic is as fast as then, which leaves the memory."""
    compute = case.verdict.references.get("compute")
    if compute is not None and compute < 1 + OFF / 2:
        where = case.series(inference.PROBE_KERNEL_SLOWDOWN, "compute")
        yield Witness("time of fixed work (compute kernel)", f"{compute - 1:+.0%}", "against the baseline", where)


def little_delay(case: Case) -> Iterator[Witness]:
    """That the scheduler did not keep the worker waiting."""
    if case.rounds and case.run_delay < CONTENDED / 5:
        where = case.series(inference.PROBE_RUN_DELAY)
        yield Witness(
            "time others kept the probe from the CPU",
            f"{case.run_delay:.1%}",
            f"limit {CONTENDED:.0%}",
            where,
            AGAINST,
        )


def cold(case: Case) -> Iterator[Witness]:
    """A run that had not found its pace, a clock that still rose, a device that has just started."""
    told = case.result.witnesses
    if told.get("settled") == 0.0:
        yield Witness("warm-up", "found no steady pace", "", case.series(inference.PROBE_DOUBT))
    begin, end = told.get("clock_begin", 0.0), told.get("clock_end", 0.0)
    if begin and end > begin * (1 + CLOCK):
        yield Witness(
            "clock of the CPU while the model ran",
            f"rose to {end / 1e6:.0f} MHz",
            f"{begin / 1e6:.0f} MHz at its begin",
            "/sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq",
        )
    if 0 < case.now.uptime < STARTED:
        yield Witness("uptime", f"{case.now.uptime:.0f} s", "", source(catalog.UPTIME))


def _all(*finds: Examine) -> Examine:
    return lambda case: [one for find in finds for one in find(case)]


RULES = (
    Rule(
        "cpu_contention",
        "other tasks take the CPU from the probe",
        "see what runs (top, systemd-cgtop), give the probe a core of its own or probe when the device is calmer",
        SPEED,
        _all(contended, waited("cpu", WEAK)),
        (little_delay,),
    ),
    Rule(
        "steal",
        "the hypervisor gives the CPU to other guests",
        "see the host's load, or reserve CPUs for this guest",
        SPEED,
        stolen,
    ),
    Rule(
        "memory_pressure",
        "memory is short: pages are reclaimed, swapped or read again while the model runs, or it gets none at all",
        "stop what is not needed, use smaller models, fewer sessions, a smaller arena; see edgemon doctor and dmesg",
        SPEED | {Kind.FAILED},
        memory,
    ),
    Rule(
        "io_pressure",
        "tasks wait for the disk, the probe's model or engine among them",
        "move what writes much to another disk or a faster one; see iotop, and edgemon doctor for the disk's health",
        SPEED,
        waited("io", STRONG),
    ),
    Rule(
        "memory_bandwidth",
        "memory answers more slowly than at the baseline, while arithmetic does not: others use it, or its clock fell",
        "see what else moves much memory (cameras, video, other models); compare its clock with the baseline's",
        frozenset({Kind.SLOW, Kind.UNSURE}),
        bandwidth,
        (compute_well,),
    ),
    Rule(
        "cold_start",
        "the run began before clocks, caches or the system's own services had settled",
        "wait for more rounds; if it lasts, choose the governor performance, or a longer idle: and seconds:",
        frozenset({Kind.SLOW, Kind.UNSURE}),
        cold,
        unless=("cpu_contention", "steal", "memory_pressure"),
    ),
)
