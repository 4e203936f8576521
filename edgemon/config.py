"""The configuration: plain frozen dataclasses, each field declared once with its default, its range and its meaning.

From these declarations come validation (`schema`, pydantic, every error at once), the JSON Schema, the commented
example and the README's table. The daemon itself never imports pydantic or PyYAML: a short-lived child reads the file
(`apart`), which saves 12 MB of resident memory and keeps a hostile file out of the daemon.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from edgemon.endpoint import RUNTIMES, Endpoint
from edgemon.errors import ConfigError
from edgemon.limits import OFTEN_OR_NEVER, REASONS, Budget, Gates, Rebenchmark, Total, Triggers, Windows
from edgemon.push import Otlp
from edgemon.receivers import Notify
from edgemon.values import (
    CORES,
    DAY,
    FORMAT,
    HOST_PORT,
    LEVEL,
    NAME,
    PATH,
    PRECISION,
    RULES,
    About,
    Bytes,
    Each,
    Files,
    Range,
    Rate,
    Seconds,
    Sizes,
    Text,
    Whole,
    one_of,
)

DEFAULT_PATH = "/etc/edgemon/edgemon.yml"
DEFAULT_LISTEN = "127.0.0.1:18787"
EMBEDDED = "embedded:mobilenet"
WORKERS = ("auto", "resident", "ephemeral")
SCHEDULING = ("normal", "nice", "idle")
TRANSIENT = (*RUNTIMES, "command")
"""Runtimes that keep no model in the worker, so that it has nothing to stay for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensors:
    """How the hardware is read."""

    interval: Annotated[float, Seconds(0.1, 3600), About("time between two sweeps")] = 10.0
    power: Annotated[
        float,
        Seconds(0.1, 3600),
        About("time between two samples of power, from which energy is counted; a probe that runs samples every 100ms"),
    ] = 1.0
    timeout: Annotated[float, Seconds(0.05, 60), About("a sensor that takes longer is abandoned until it returns")] = (
        1.0
    )
    disable: Annotated[tuple[str, ...], About("platforms or sensors to leave out, such as linux.network")] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far outputs may be from the golden ones."""

    max_abs: Annotated[float, Range(0, 1e6), About("largest difference, relative to the largest golden value")] = 0.05
    cosine: Annotated[float, Range(-1, 1), About("least cosine similarity")] = 0.99
    top1: Annotated[bool, About("whether the largest element must stay the largest")] = False
    top_k: Annotated[int, Whole(1, 16), About("largest elements that are compared by their places")] = 5
    agreement: Annotated[
        float, Range(0, 1), About("least share of the top_k largest elements that must stay among them; 0 is any")
    ] = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One model and how it is probed. A plain path instead of these settings is the model."""

    model: Annotated[str, About(f"path of the model file, or URL of the served model; {EMBEDDED} is edgemon's own")] = (
        EMBEDDED
    )
    runtime: Annotated[
        str,
        About("engine: onnx, litert, openvino, hailo, command (any program), http, openinference, or fake (simulated)"),
    ] = "onnx"
    python: Annotated[
        str, Text(r"|/[^\0]*", "an absolute path"), About("interpreter that has the engine; edgemon's own if empty")
    ] = ""
    interval: Annotated[float, Seconds(1, 7 * DAY), About("time between two runs")] = 60.0
    suspicious_interval: Annotated[
        float, Seconds(0, 7 * DAY), About("shorter one while something looks wrong; 0 is a quarter of the interval")
    ] = 0.0
    suspicious_rounds: Annotated[int, Whole(0, 1000), About("most runs at that interval in an hour")] = 10
    calm_interval: Annotated[
        float, Seconds(0, 30 * DAY), About("longer one that is approached while all stays ok; 0 is the interval itself")
    ] = 0.0
    priority: Annotated[int, Whole(-10, 10), About("of probes due at once the highest runs first")] = 0
    budget: Annotated[Budget, About("what this probe may cost beside the budget of all")] = field(
        default_factory=Budget
    )
    despite: Annotated[
        tuple[str, ...],
        Each(one_of(REASONS)),
        About(f"gates that do not hold this probe: {', '.join(REASONS)}"),
    ] = ()
    only: Annotated[Windows, About("local times in which this probe runs, such as [02:00-05:00]; [] is always")] = ()
    never: Annotated[Windows, About("local times in which it does not, such as [Mon-Fri 08:00-18:00]")] = ()
    rebenchmark: Annotated[
        str, OFTEN_OR_NEVER, About("how often it is re-benchmarked, where not as rebenchmark.calendar says; or never")
    ] = ""
    timeout: Annotated[
        float, Seconds(0.1, 3600), About("a run that takes longer is killed; no longer than the interval")
    ] = 30.0
    memory: Annotated[int, Bytes(32 << 20, 1 << 40), About("a run that needs more memory is killed; 0 is no limit")] = (
        2 << 30
    )
    worker: Annotated[
        str,
        one_of(WORKERS),
        About(
            "resident keeps engine and model loaded from run to run, ephemeral starts anew each time; auto keeps those "
            "on a CPU for an interval up to 3m, in a tenth of the memory available"
        ),
    ] = "auto"
    recycle: Annotated[
        int,
        Whole(1, 100_000),
        About("runs after which a resident worker starts anew, as it does after an hour; verdicts need many processes"),
    ] = 10
    scheduling: Annotated[
        str,
        one_of(SCHEDULING),
        About("nice is behind production for CPU and disk, idle takes what nobody wants, normal competes"),
    ] = "nice"
    cpus: Annotated[tuple[str, ...], Each(CORES), About("CPUs to run on, such as [0, 4-7]; [] is any")] = ()
    providers: Annotated[tuple[str, ...], About("execution providers or devices in order; the CPU's if empty")] = ()
    threads: Annotated[int, Whole(1, 256), About("threads of the engine")] = 1
    options: Annotated[
        Mapping[str, Any],
        About("options of the engine, which the top of its file in edgemon/runtimes lists, such as {spinning: true}"),
    ] = field(default_factory=dict)
    shapes: Annotated[
        Mapping[str, Annotated[tuple[int, ...], Sizes()]],
        About("shapes of open inputs, such as {image: [1, 3, 224, 224]}"),
    ] = field(default_factory=dict)
    inputs: Annotated[
        tuple[Mapping[str, str], ...],
        Files(16),
        About("what to feed: .npy or raw files by input, such as {image: /data/cat.npy}, or a list; seeded if empty"),
    ] = ()
    samples: Annotated[
        int,
        Whole(3, 10000),
        About("steady inferences of one run, at least; a quarter of a second of them for quick models"),
    ] = 100
    seconds: Annotated[float, Seconds(0.1, 600), About("time for the steady inferences of one run, at most")] = 2.0
    idle: Annotated[float, Seconds(0, 60), About("pause before the idle-start inference")] = 1.0
    effect: Annotated[
        float, Range(0.005, 10), About("smallest change of the inference time worth a verdict; 0.05 is 5 %")
    ] = 0.05
    deadline: Annotated[
        float,
        Seconds(0, 600),
        About("time within which production needs an answer: the share that is later is told; 0 is none"),
    ] = 0.0
    peak: Annotated[
        Mapping[str, Annotated[float, Rate(1e6, 1e18)]],
        PRECISION,
        About("operations a second the device can do, 2 a MAC, such as {int8: 26e12}; its data sheet's if empty"),
    ] = field(default_factory=dict)
    endpoint: Annotated[Endpoint, About("how a served model is asked")] = field(default_factory=Endpoint)
    tolerance: Annotated[Tolerance, About("how far outputs may be from the golden ones")] = field(
        default_factory=Tolerance
    )
    compare_with: Annotated[
        str,
        Text(rf"|{NAME.pattern}", "the name of a probe"),
        About("a probe of another variant of the model: the distance to its golden outputs is told"),
    ] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The alert rules."""

    files: Annotated[
        tuple[str, ...],
        Each(RULES),
        About("Prometheus rule files, such as [embedded:edgemon, /etc/edgemon/rules/*.yml]; none if empty"),
    ] = ()
    interval: Annotated[float, Seconds(1, 3600), About("time between two evaluations of a group that does not say")] = (
        15.0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything; every key is optional."""

    listen: Annotated[str, HOST_PORT, About("address of the HTTP server")] = DEFAULT_LISTEN
    web_config: Annotated[
        str,
        Text(rf"|{PATH.pattern}", PATH.says),
        About("file with its TLS, passwords and limits, as Prometheus' exporters have it (--web.config.file)"),
    ] = ""
    state_dir: Annotated[
        str,
        Text(r"|/[^\0]*", "an absolute path"),
        About(
            "where baselines and results are kept; if empty $STATE_DIRECTORY, else /var/lib/edgemon for root, "
            "~/.local/state/edgemon for others"
        ),
    ] = ""
    log_level: Annotated[str, LEVEL, About("debug, info, warning or error")] = "info"
    log_format: Annotated[
        str, FORMAT, About("text, json, or journal with its fields; auto is journal under systemd, else text")
    ] = "auto"
    sensors: Annotated[Sensors, About("how the hardware is read")] = field(default_factory=Sensors)
    budget: Annotated[Total, About("what all probes together may cost")] = field(default_factory=Total)
    gates: Annotated[Gates, About("when probes wait")] = field(default_factory=Gates)
    triggers: Annotated[Triggers, About("what calls for a probe out of turn")] = field(default_factory=Triggers)
    rebenchmark: Annotated[
        Rebenchmark, About("longer runs, by the calendar and for alerts; a text instead of settings is the calendar")
    ] = field(default_factory=Rebenchmark)
    probes: Annotated[Mapping[str, Probe], NAME, About("models to probe, by name; {} for none")] = field(
        default_factory=lambda: {"default": Probe()}
    )
    notify: Annotated[Notify, About("who is told of alerts")] = field(default_factory=Notify)
    otlp: Annotated[Otlp, About("OpenTelemetry push; a setting left out is taken from the environment")] = field(
        default_factory=Otlp
    )
    rules: Annotated[Rules, About("alert rules, evaluated on the device")] = field(default_factory=Rules)
    thresholds: Annotated[
        Mapping[str, Annotated[float, Range(-1e18, 1e18)]],
        NAME,
        About(
            "numbers for rules: edgemon_threshold{name=…}, so that one rule file fits all devices; those of the "
            "shipped rules are listed in alerts/README.md, others are yours, for your own rules"
        ),
    ] = field(default_factory=dict)

    def state(self) -> str:
        """The state directory in force: systemd's, the configured, or the customary one of this user."""
        if self.state_dir:
            return self.state_dir
        if os.environ.get("STATE_DIRECTORY"):
            return os.environ["STATE_DIRECTORY"].split(":")[0]
        if os.geteuid() == 0:
            return "/var/lib/edgemon"
        return os.path.join(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"), "edgemon")


def apart(path: str | None) -> tuple[Config, list[tuple[str, str]]]:
    """Read and validate the file in a child process, and look for plugins; raise ConfigError with every problem."""
    said = ask("edgemon.schema", path)
    if "problems" in said:
        raise ConfigError(said["problems"])
    return rebuild(Config, said["config"]), [(name, where) for name, where in said["plugins"]]


def ask(module: str, path: str | None) -> Any:
    """What a module says of a file, run as a child that answers in JSON; ConfigError when it does not."""
    command = [sys.executable, "-m", module, *([path] if path else [])]
    try:
        child = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
        return json.loads(child.stdout)
    except subprocess.TimeoutExpired:
        why = "took more than 30 s"
    except (OSError, ValueError) as error:
        why = f"{type(error).__name__}: {error}"
    raise ConfigError([f"{path}: cannot be read: the child that reads it failed ({why})"])


def rebuild(kind: Any, data: Any) -> Any:
    """The dataclass from validated plain values."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return kind(**{key: rebuild(hints[key], value) for key, value in data.items()})
    if get_origin(kind) is Mapping:
        return {key: rebuild(get_args(kind)[1], value) for key, value in data.items()}
    return tuple(data) if get_origin(kind) is tuple else data
