"""What a probe is asked and what it answers; shared by the daemon and the worker (stdlib only, Python >= 3.8)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, Dict, List, Optional

from edgemon.probe import shapes


class Outcome(str, Enum):
    """How one run of a probe ended."""

    OK = "ok"
    WRONG_OUTPUT = "wrong_output"
    FAILED = "failed"
    CRASHED = "crashed"
    TIMEOUT = "timeout"
    SKIPPED = "skipped"


class Ended(Exception):  # noqa: N818 - it is no error of the worker's
    """Raised by a runtime that knows how the run ended, where that is not `failed`."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome


@dataclass(frozen=True)
class Tolerance:
    """How far an output may be from the golden one: largest absolute difference relative to the golden range,
    least cosine similarity, whether the largest element must stay the largest, and the least share of the `top_k`
    largest elements that must still be among them."""

    max_abs: float = 0.05
    cosine: float = 0.99
    top1: bool = False
    top_k: int = 5
    agreement: float = 0.0


class BusyError(RuntimeError):
    """The accelerator is another's: no failure, the run is skipped."""


@dataclass(frozen=True)
class Request:
    """One run, as told to the worker. Times in seconds, memory in bytes (0: no limit).

    `inputs` holds sets of files by input name, used instead of `seeds`, which then only count them. `golden` holds one
    list of tensors per set, recorded from the model with `golden_digest` and, unless empty, from `golden_inputs`;
    `reference` the same of another model, recorded from `reference_inputs`; `record` asks for the outputs;
    `profile` for where the time goes, measured apart after all else; `cache` is a directory for engines built once;
    `until` ends the run well after the stage import or load; the model with the digest `counted` is not counted again.
    `kernel_share` is the largest share of the steady phase that the reference kernels may take, 0 for none. `energy` is
    how long the model runs alone for its energy to be metered, 0 for not at all. `rate` is the most inferences a second
    (0: no limit). `endpoint` holds the settings of a served model, files of secrets by their paths; `faults` asks for
    the deliberately faulty requests. `scheduling` is normal, nice or idle; `cpus` are numbers and ranges of those to
    run on, all if empty. `fresh` wants a worker process that has answered no round before, and answers no other.
    """

    probe: str
    runtime: str
    model: str = ""
    seeds: List[int] = field(default_factory=lambda: [0])
    shapes: Dict[str, List[int]] = field(default_factory=dict)
    providers: List[str] = field(default_factory=list)
    threads: int = 1
    options: Dict[str, Any] = field(default_factory=dict)
    samples: int = 100
    seconds: float = 2.0
    idle: float = 1.0
    kernel_share: float = 0.2
    energy: float = 0.0
    timeout: float = 30.0
    memory: int = 0
    golden: List[List[Dict[str, Any]]] = field(default_factory=list)
    golden_digest: str = ""
    golden_inputs: str = ""
    reference: List[List[Dict[str, Any]]] = field(default_factory=list)
    reference_inputs: str = ""
    inputs: List[Dict[str, str]] = field(default_factory=list)
    cache: str = ""
    profile: bool = False
    tolerance: Tolerance = field(default_factory=Tolerance)
    record: bool = False
    until: str = ""
    counted: str = ""
    rate: float = 0.0
    endpoint: Dict[str, Any] = field(default_factory=dict)
    faults: bool = False
    scheduling: str = "nice"
    cpus: List[str] = field(default_factory=list)
    fresh: bool = False

    def to_json(self) -> Dict[str, Any]:
        """The request as plain values."""
        return asdict(self)

    @staticmethod
    def from_json(data: Dict[str, Any]) -> Request:
        """The inverse of `to_json`."""
        return Request(**{**data, "tolerance": Tolerance(**data["tolerance"])})


@dataclass(frozen=True)
class Result:
    """One answer. Times in seconds; a phase that was not reached is None.

    `latencies` are the steady inferences in order, evenly thinned from 20000 on; `corrected` the same less the time the
    scheduler kept the worker waiting; `run_delay` that time over the steady phase, summed over all threads and so above
    1 for a pool that starves. `kernels` are the medians, corrected likewise, of the kernels that alternated with the
    model: compute and memory. `facts` say what really ran (`edgemon.runtimes`), and kernels (what each was), roof
    (MAC/s of the compute kernel where it counts them), joules (of one inference: gross, net, error; idle in watts),
    anatomy (what the model is made of: `anatomy.count`, or why it was not counted as detail), resident (rounds that
    a worker which stayed has answered; import, load and first belong to the first, and are None in the others).
    `witnesses` are what else was seen of the steady phase, each absent when it cannot be read: steal (share of the
    CPUs' busy time that the hypervisor took), clock_begin and clock_end (Hz, mean of the CPUs allowed), throttles (CPU
    throttling events that fell into it), timer (seconds that reading the clock takes), suspended (seconds the machine
    slept), settled (1 if the warm-up found a steady pace, else 0).
    `windows` are begin and end on CLOCK_BOOTTIME of import, load, first, idle_before (a pause before the warm-up),
    warmup, steady, energy (the model alone, `metered` times), idle (the pause before the idle start) and idle_start, as
    far as the run came and had them; `slices` are the parts of
    steady in which only the model ran, `inferences` times.
    `conditions` are what the daemon saw of the device meanwhile (`edgemon.conditions`); the worker leaves them empty.
    `distance` compares the outputs with the golden ones, `reference` with those of another model. `phases` are further
    times by name, such as connect and tls of an endpoint. `at` is Unix time, `boottime` CLOCK_BOOTTIME; `started` is
    the Unix time at which the worker process was started: rounds of one process have it in common.
    """

    probe: str
    outcome: Outcome
    detail: str = ""
    stage: str = ""
    at: float = 0.0
    boottime: float = 0.0
    started: float = 0.0
    import_seconds: Optional[float] = None
    load_seconds: Optional[float] = None
    first_seconds: Optional[float] = None
    idle_seconds: Optional[float] = None
    latencies: List[float] = field(default_factory=list)
    corrected: List[float] = field(default_factory=list)
    run_delay: Optional[float] = None
    kernels: Dict[str, float] = field(default_factory=dict)
    witnesses: Dict[str, float] = field(default_factory=dict)
    windows: Dict[str, List[float]] = field(default_factory=dict)
    slices: List[List[float]] = field(default_factory=list)
    inferences: int = 0
    metered: int = 0
    peak_memory: Optional[int] = None
    cpu_seconds: Optional[float] = None
    wall_seconds: Optional[float] = None
    facts: Dict[str, Any] = field(default_factory=dict)
    distance: Dict[str, float] = field(default_factory=dict)
    phases: Dict[str, float] = field(default_factory=dict)
    reference: Dict[str, float] = field(default_factory=dict)
    outputs: List[List[Dict[str, Any]]] = field(default_factory=list)
    conditions: Dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> Dict[str, Any]:
        """The result as plain values."""
        return {**asdict(self), "outcome": self.outcome.value}

    @staticmethod
    def from_json(data: Dict[str, Any]) -> Result:
        """The inverse of `to_json`; raises TypeError or ValueError for anything else."""
        result = Result(**{**data, "outcome": Outcome(data.get("outcome"))})
        for name, check in _FIELDS.items():
            if not check(getattr(result, name)):
                raise TypeError("%s is not what it has to be" % name)
        found = shapes.wrong(result.facts)
        if found:
            raise TypeError("facts are not what they have to be: %s" % ", ".join(found))
        return result


_FIELDS: Dict[str, shapes.Check] = {
    **dict.fromkeys(["probe", "detail", "stage"], shapes.text),
    **dict.fromkeys(["at", "boottime", "started"], shapes.amount),
    **dict.fromkeys(["import_seconds", "load_seconds", "first_seconds", "idle_seconds"], shapes.maybe(shapes.amount)),
    **dict.fromkeys(["run_delay", "peak_memory", "cpu_seconds", "wall_seconds"], shapes.maybe(shapes.amount)),
    **dict.fromkeys(["latencies", "corrected"], shapes.each(shapes.amount)),
    **dict.fromkeys(["kernels", "phases"], shapes.by_name(shapes.amount)),
    **dict.fromkeys(["distance", "reference", "witnesses"], shapes.by_name(shapes.measure)),
    **dict.fromkeys(["inferences", "metered"], shapes.whole),
    "windows": shapes.by_name(shapes.span),
    "slices": shapes.each(shapes.span),
    "outputs": shapes.each(shapes.each(lambda value: isinstance(value, dict))),
    "conditions": lambda value: isinstance(value, dict) and shapes.plain(value),
    "facts": lambda value: isinstance(value, dict),
}
