"""The vocabulary of probes: what an inference took, where it ran, and the verdict on it. Part of the catalogue."""

from __future__ import annotations

from edgemon.metric import Kind, Metric

COUNTER, GAUGE, UPDOWN, INFO = Kind.COUNTER, Kind.GAUGE, Kind.UPDOWN, Kind.INFO
HISTOGRAM = Kind.HISTOGRAM

PROBE_INFO = Metric(
    "edgemon.probe.info",
    "",
    INFO,
    "What the last run of a probe measured; simulated is true for the fake runtime and in a replay.",
    ("probe", "runtime", "runtime_version", "model", "model_digest", "fingerprint", "simulated"),
)
PROBE_OUTCOME = Metric(
    "edgemon.probe.outcome",
    "",
    GAUGE,
    "1 for how the last run ended: ok, wrong_output, failed, crashed, timeout, skipped.",
    ("probe", "outcome"),
)
PROBE_RUNS = Metric("edgemon.probe.runs", "{run}", COUNTER, "Runs by how they ended.", ("probe", "outcome"))
PROBE_SKIPPED = Metric(
    "edgemon.probe.skipped",
    "{run}",
    COUNTER,
    "Runs left out, by reason: hot, throttled, memory, load, pressure, battery, window, boot (gates), budget_time, "
    "budget_cpu, budget_energy, gap (too many calls by events), busy (another edgemon probes), stopping.",
    ("probe", "reason"),
)
PROBE_TRIGGERED = Metric(
    "edgemon.probe.triggered",
    "{run}",
    COUNTER,
    "Runs an event called for: start, reload, model, power_mode, throttling_began, throttling_ended, runtime.",
    ("probe", "trigger"),
)
PROBE_BUDGET = Metric(
    "edgemon.probe.budget",
    "1",
    GAUGE,
    "Share of an hour's budget that the last hour has used: time, cpu, energy; without probe that of all together.",
    ("probe", "resource"),
)
PROBE_INTERVAL = Metric(
    "edgemon.probe.interval", "s", GAUGE, "Time between two runs now: shorter in doubt, longer when calm.", ("probe",)
)
PROBE_NEXT = Metric(
    "edgemon.probe.next_run.timestamp", "s", GAUGE, "When it is to run next, or waits to be let through.", ("probe",)
)
PROBE_LAST_RUN = Metric("edgemon.probe.last_run.timestamp", "s", GAUGE, "When it last ran, Unix time.", ("probe",))
PROBE_LAST_SUCCESS = Metric(
    "edgemon.probe.last_success.timestamp", "s", GAUGE, "When it last ended ok, Unix time.", ("probe",)
)
PROBE_DURATION = Metric(
    "edgemon.probe.duration",
    "s",
    GAUGE,
    "Time by phase: import (engine), load (cold start), first (first inference), idle_start (first after a pause), "
    "steady (median inference); of an endpoint also dns, connect, tls (first connection), ttfb "
    "(median to the first byte of an answer).",
    ("probe", "phase"),
)
PROBE_LATENCY = Metric(
    "edgemon.probe.latency",
    "s",
    GAUGE,
    "Steady inference time by percentile; a percentile is absent when the run has too few inferences for it.",
    ("probe", "percentile"),
)
PROBE_LATENCY_BOUND = Metric(
    "edgemon.probe.latency.bound",
    "s",
    GAUGE,
    "Between low and high lies the percentile with 95 % confidence, whatever the distribution; a bound is absent when "
    "the run has too few inferences for it.",
    ("probe", "percentile", "bound"),
)
PROBE_INFERENCE = Metric(
    "edgemon.probe.inference.duration",
    "s",
    HISTOGRAM,
    "Steady inference times since edgemon started; of a very quick model evenly thinned.",
    ("probe",),
)
PROBE_SAMPLES = Metric("edgemon.probe.samples", "{inference}", GAUGE, "Inferences behind the latencies.", ("probe",))
PROBE_RUN_DELAY = Metric(
    "edgemon.probe.run_delay",
    "1",
    GAUGE,
    "Time in which threads of the worker were runnable but other tasks had the CPU, over the steady phase's.",
    ("probe",),
)
PROBE_STEAL = Metric(
    "edgemon.probe.steal",
    "1",
    GAUGE,
    "Share of the CPUs' busy time that the hypervisor took during the steady phase.",
    ("probe",),
)
PROBE_KERNEL = Metric(
    "edgemon.probe.kernel.duration",
    "s",
    GAUGE,
    "Median time of fixed work that alternates with the model: compute (arithmetic), memory (a copy), less run delay.",
    ("probe", "kernel"),
)
PROBE_KERNEL_SLOWDOWN = Metric(
    "edgemon.probe.kernel.slowdown",
    "1",
    GAUGE,
    "Time of the fixed work in the recent rounds over the baseline's: the device's own slowdown.",
    ("probe", "kernel"),
)
PROBE_VALIDITY = Metric(
    "edgemon.probe.validity",
    "",
    GAUGE,
    "1 for how far the last run can be trusted: valid, limited (its absolute numbers are disturbed), invalid.",
    ("probe", "grade"),
)
PROBE_DOUBT = Metric(
    "edgemon.probe.validity.reason",
    "",
    GAUGE,
    "1 for each reason why the last run is not valid: throttled, clock_changed, contended, stolen, few_samples, "
    "reference_off, unsettled, unsteady, coarse_timer, suspended.",
    ("probe", "reason"),
)
PROBE_MEMORY = Metric("edgemon.probe.memory.peak", "By", GAUGE, "Peak resident memory of the worker.", ("probe",))
PROBE_PLACEMENT = Metric(
    "edgemon.probe.placement",
    "1",
    GAUGE,
    "Share of the model on each execution provider or device, as the engine records it: stage assigned counts nodes, "
    "executed is time, profiled in a session of its own when edgemon starts.",
    ("probe", "stage", "provider"),
)
PROBE_DISTANCE = Metric(
    "edgemon.probe.output.distance",
    "",
    GAUGE,
    "Distance of the outputs from the golden ones: bits (share of tensors that are not bit-identical), max_abs, cosine "
    "(1 - similarity), top1 (share of tensors whose largest element moved), topk (of the largest).",
    ("probe", "measure"),
)
PROBE_REFERENCE = Metric(
    "edgemon.probe.reference.distance",
    "",
    GAUGE,
    "The same distances from the outputs in the baseline of another probe, of another variant of the model say; absent "
    "while that has none, or none for the same inputs.",
    ("probe", "reference", "measure"),
)
PROBE_VERDICT = Metric(
    "edgemon.probe.verdict",
    "",
    GAUGE,
    "1 for the verdict: ok, improved, undecided, degraded, failing.",
    ("probe", "state"),
)
PROBE_CAUSE = Metric(
    "edgemon.probe.cause",
    "",
    GAUGE,
    "1 for each cause of a verdict that is not ok, by strength: certain, likely, possible (CAUSES.md); without one "
    "for what the verdict rests on.",
    ("probe", "cause", "strength"),
)
PROBE_SLOWDOWN = Metric(
    "edgemon.probe.slowdown",
    "1",
    GAUGE,
    "Steady inference time of the recent rounds over the baseline's; 1 is unchanged, 1.1 is 10 % slower. The pinned "
    "baseline is the one a person recorded, the rolling one the probe's own rounds of a while ago.",
    ("probe", "baseline"),
)
PROBE_RELATIVE = Metric(
    "edgemon.probe.slowdown.relative",
    "1",
    GAUGE,
    "The slowdown less the device's own: of the model's time over that of the compute reference kernel.",
    ("probe",),
)
PROBE_ENERGY = Metric(
    "edgemon.probe.energy",
    "J",
    GAUGE,
    "Energy of one inference, as last metered: gross is all that the device used, net what it used above idle.",
    ("probe", "kind"),
)
PROBE_ENERGY_ERROR = Metric(
    "edgemon.probe.energy.error",
    "J",
    GAUGE,
    "Most that the net energy of an inference can be off, the accuracy of the sensor aside.",
    ("probe",),
)
PROBE_IDLE_POWER = Metric(
    "edgemon.probe.idle.power", "W", GAUGE, "Power of the device in the pauses of the run that metered.", ("probe",)
)
# J would become per_J in Prometheus (its translation knows units of time only behind a slash): thus in the name
PROBE_PER_JOULE = Metric(
    "edgemon.probe.efficiency.per_joule", "{inference}/{joule}", GAUGE, "Inferences per joule above idle.", ("probe",)
)
PROBE_OPERATIONS_PER_JOULE = Metric(
    "edgemon.probe.operation.efficiency.per_joule",
    "{operation}/{joule}",
    GAUGE,
    "Operations (2 a MAC) per joule of the device (gross) or above idle (net); 1e12 is 1 TOPS/W.",
    ("probe", "kind"),
)
PROBE_BASELINE_ENERGY = Metric(
    "edgemon.probe.baseline.energy", "J", GAUGE, "Net energy of an inference in the baseline.", ("probe",)
)
PROBE_EPOCH_AT = Metric(
    "edgemon.probe.epoch.timestamp", "s", GAUGE, "When the fingerprint last changed, Unix time.", ("probe",)
)
PROBE_EPOCH_CHANGE = Metric(
    "edgemon.probe.epoch.change",
    "1",
    GAUGE,
    "Steady inference time since the fingerprint last changed over that before; 1.1 is 10 % slower.",
    ("probe",),
)
PROBE_EPOCH_BOUND = Metric(
    "edgemon.probe.epoch.change.bound",
    "1",
    GAUGE,
    "Between low and high lies that change with 95 % confidence.",
    ("probe", "bound"),
)
PROBE_BASELINE = Metric(
    "edgemon.probe.baseline.duration", "s", GAUGE, "Median inference time of the baseline.", ("probe",)
)
PROBE_BASELINE_AT = Metric(
    "edgemon.probe.baseline.timestamp", "s", GAUGE, "When the baseline was recorded, Unix time.", ("probe",)
)
PROBE_MACS = Metric(
    "edgemon.probe.macs",
    "{operation}",
    GAUGE,
    "Dense multiply-accumulates of one inference, of the nodes that could be counted: edgemon.probe.macs.coverage.",
    ("probe",),
)
PROBE_COVERAGE = Metric(
    "edgemon.probe.macs.coverage", "1", GAUGE, "Share of the model's computing nodes whose MACs are known.", ("probe",)
)
PROBE_PARAMETERS = Metric(
    "edgemon.probe.parameters", "{parameter}", GAUGE, "Stored parameters of the model, scales and shapes left out.",
    ("probe",),
)  # fmt: skip
PROBE_PARAMETER_SIZE = Metric(
    "edgemon.probe.parameters.size", "By", GAUGE, "Bytes of the model's parameters by type.", ("probe", "dtype")
)
PROBE_PRECISION = Metric(
    "edgemon.probe.precision", "1", GAUGE, "Share of the MACs by the type they are computed in.", ("probe", "precision")
)
PROBE_RATE = Metric(
    "edgemon.probe.operation.rate",
    "{operation}/s",
    GAUGE,
    "Operations a second of the median inference, 2 a MAC as data sheets count; absent below 95 % coverage.",
    ("probe",),
)
PROBE_UTILIZATION = Metric(
    "edgemon.probe.mac.utilization",
    "1",
    GAUGE,
    "Time the MACs would take at the peak over the time they took: of datasheet, config (peak: of the probe) or roof "
    "(the reference kernel of the same run). The denominator is edgemon.probe.peak.rate.",
    ("probe", "of", "device", "precision"),
)
PROBE_PEAK = Metric(
    "edgemon.probe.peak.rate",
    "{operation}/s",
    GAUGE,
    "Operations a second that the device could do, dense, 2 a MAC, for the precisions of the model.",
    ("probe", "of", "device", "precision"),
)
PROBE_PEAK_POWER = Metric(
    "edgemon.probe.peak.power",
    "W",
    GAUGE,
    "Power that the data sheet gives with the peak, of the module or the chip; absent where it gives none.",
    ("probe", "of", "device", "precision"),
)
PROBE_CPU = Metric(
    "edgemon.probe.cpu.time", "s", COUNTER, "CPU time the probe's workers used: its own cost.", ("probe",)
)
PROBE_WALL = Metric("edgemon.probe.wall.time", "s", COUNTER, "Time the probe's workers ran.", ("probe",))

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
