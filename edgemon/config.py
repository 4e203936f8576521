"""The configuration: plain frozen dataclasses, each field declared once with its default, its range and its meaning.

From these declarations come validation (`schema`, pydantic, every error at once), the JSON Schema, the commented
example and the README's table. The daemon itself never imports pydantic or PyYAML: a short-lived child reads the file
(`apart`), which saves 12 MB of resident memory and keeps a hostile file out of the daemon.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from edgemon.errors import ConfigError

DEFAULT_PATH = "/etc/edgemon/edgemon.yml"
DEFAULT_LISTEN = "127.0.0.1:18787"
EMBEDDED = "embedded:mobilenet"
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SIZES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@dataclass(frozen=True, slots=True)
class About:
    """What a field means, in one line for the example and the schema."""

    text: str


@dataclass(frozen=True, slots=True)
class Seconds:
    """A duration such as 30s, 1m30s, 500ms or 2h, within bounds; a bare number is refused as ambiguous."""

    least: float
    most: float

    def parse(self, value: object) -> float:
        """Seconds, or ValueError saying what is allowed."""
        allowed = f"must be a duration from {duration(self.least)} to {duration(self.most)}, such as 30s or 1m30s"
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf"):
            raise ValueError(f"{allowed}; write the unit: {value}s")
        text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
        parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
        if text != "0" and (not parts or "".join(number + unit for number, unit in parts) != text):
            raise ValueError(allowed)
        seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
        if not self.least <= seconds <= self.most:
            raise ValueError(allowed)
        return seconds


@dataclass(frozen=True, slots=True)
class Bytes:
    """A size such as 512MiB or 2GiB, within bounds; 0 means no limit."""

    least: int
    most: int

    def parse(self, value: object) -> int:
        """Bytes, or ValueError saying what is allowed."""
        match = re.fullmatch(r"(\d{1,15})\s*(KiB|MiB|GiB)", value) if isinstance(value, str) else None
        size = int(match[1]) * SIZES[match[2]] if match else 0
        none = value == "0" or (type(value) is int and value == 0)
        if not none and not self.least <= size <= self.most:
            raise ValueError(
                f"must be a size from {self.least >> 20}MiB to {self.most >> 30}GiB, such as 512MiB, or 0 for none"
            )
        return size


@dataclass(frozen=True, slots=True)
class Range:
    """A number within bounds."""

    least: float
    most: float

    def parse(self, value: object) -> float:
        """The number, or ValueError saying what is allowed."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.least <= value <= self.most:
            raise ValueError(f"must be a number from {self.least:g} to {self.most:g}")
        return value


@dataclass(frozen=True, slots=True)
class Whole(Range):
    """A whole number within bounds."""

    def parse(self, value: object) -> int:
        """The number, or ValueError saying what is allowed."""
        if not isinstance(value, int) or isinstance(value, bool) or not self.least <= value <= self.most:
            raise ValueError(f"must be a whole number from {self.least:g} to {self.most:g}")
        return value


@dataclass(frozen=True, slots=True)
class Sizes:
    """The shape of a tensor."""

    def parse(self, value: object) -> tuple[int, ...]:
        """The sizes, or ValueError saying what is allowed."""
        if not isinstance(value, (list, tuple)) or not value or not all(type(one) is int and one > 0 for one in value):
            raise ValueError("must be a list of sizes from 1, such as [1, 3, 96]")
        return tuple(value)


@dataclass(frozen=True, slots=True)
class Text:
    """A string that matches a pattern wholly."""

    pattern: str
    says: str

    def parse(self, value: object) -> str:
        """The string, or ValueError saying what is allowed."""
        if not isinstance(value, str) or not re.fullmatch(self.pattern, value):
            raise ValueError(f"must be {self.says}")
        return value


@dataclass(frozen=True, slots=True)
class Address(Text):
    """host:port, the host numeric or a name, IPv6 in brackets."""

    def parse(self, value: object) -> str:
        """The address, or ValueError saying what is allowed."""
        text = Text.parse(self, value)  # super() is blind in a slotted dataclass
        if not 0 <= int(text.rsplit(":", 1)[1]) <= 65535:
            raise ValueError("must have a port from 0 to 65535 (0 picks a free one)")
        if any(not 0 < len(part) < 64 for part in text.rsplit(":", 1)[0].rstrip(".").split(".")):
            raise ValueError("must have a host whose parts between dots have 1 to 63 characters")
        return text


HOST_PORT = Address(
    r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.%]+\]):\d{1,5}", "host:port, such as 127.0.0.1:18787 or [::1]:18787"
)
NAME = Text(r"[a-z][a-z0-9_-]{0,62}", "a name of a-z, 0-9, _ and -, starting with a letter, up to 63 characters")
PATH = Text(r"/[^\0]*", "an absolute path")
LEVEL = Text(r"debug|info|warning|error", "one of debug, info, warning, error")
DAY = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensors:
    """How the hardware is read."""

    interval: Annotated[float, Seconds(0.1, 3600), About("time between two sweeps")] = 10.0
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One model and how it is probed. A plain path instead of these settings is the model."""

    model: Annotated[str, About(f"path of the model file; {EMBEDDED} is the small network that edgemon carries")] = (
        EMBEDDED
    )
    runtime: Annotated[str, About("engine: onnx, or fake (simulated)")] = "onnx"
    python: Annotated[
        str, Text(r"|/[^\0]*", "an absolute path"), About("interpreter that has the engine; edgemon's own if empty")
    ] = ""
    interval: Annotated[float, Seconds(1, 7 * DAY), About("time between two runs")] = 60.0
    timeout: Annotated[
        float, Seconds(0.1, 3600), About("a run that takes longer is killed; no longer than the interval")
    ] = 30.0
    memory: Annotated[int, Bytes(32 << 20, 1 << 40), About("a run that needs more memory is killed; 0 is no limit")] = (
        2 << 30
    )
    providers: Annotated[tuple[str, ...], About("execution providers in order; the CPU's if empty")] = ()
    threads: Annotated[int, Whole(1, 256), About("threads of the engine")] = 1
    options: Annotated[
        Mapping[str, Any], About("engine options, such as {config: {session.intra_op.allow_spinning: 1}}")
    ] = field(default_factory=dict)
    shapes: Annotated[
        Mapping[str, Annotated[tuple[int, ...], Sizes()]],
        About("shapes of open inputs, such as {image: [1, 3, 224, 224]}"),
    ] = field(default_factory=dict)
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
    tolerance: Annotated[Tolerance, About("how far outputs may be from the golden ones")] = field(
        default_factory=Tolerance
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything; every key is optional."""

    listen: Annotated[str, HOST_PORT, About("address of the HTTP server")] = DEFAULT_LISTEN
    state_dir: Annotated[
        str,
        Text(r"|/[^\0]*", "an absolute path"),
        About(
            "where baselines and results are kept; if empty $STATE_DIRECTORY, else /var/lib/edgemon for root, "
            "~/.local/state/edgemon for others"
        ),
    ] = ""
    log_level: Annotated[str, LEVEL, About("debug, info, warning or error")] = "info"
    sensors: Annotated[Sensors, About("how the hardware is read")] = field(default_factory=Sensors)
    probes: Annotated[Mapping[str, Probe], NAME, About("models to probe, by name; {} for none")] = field(
        default_factory=lambda: {"default": Probe()}
    )

    def state(self) -> str:
        """The state directory in force: systemd's, the configured, or the customary one of this user."""
        if self.state_dir:
            return self.state_dir
        if os.environ.get("STATE_DIRECTORY"):
            return os.environ["STATE_DIRECTORY"].split(":")[0]
        if os.geteuid() == 0:
            return "/var/lib/edgemon"
        return os.path.join(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"), "edgemon")


def duration(seconds: float) -> str:
    """Seconds as a person writes them: 500ms, 30s, 1m30s, 2h."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    parts, rest = [], seconds
    for unit in ("d", "h", "m"):
        count, rest = divmod(rest, UNITS[unit])
        parts += [f"{count:.0f}{unit}"] if count else []
    return "".join(parts + ([f"{rest:g}s"] if rest or not parts else []))


def written(value: object, marks: Sequence[object]) -> Any:
    """A value as a file would hold it: a duration and a size with its unit."""
    if any(isinstance(mark, Seconds) for mark in marks):
        return duration(float(str(value)))
    if any(isinstance(mark, Bytes) for mark in marks):
        return f"{int(str(value)) >> 20}MiB"
    return list(value) if isinstance(value, tuple) else value


def apart(path: str | None) -> tuple[Config, list[tuple[str, str]]]:
    """Read and validate the file in a child process, and look for plugins; raise ConfigError with every problem."""
    command = [sys.executable, "-m", "edgemon.schema", *([path] if path else [])]
    try:
        child = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
        said = json.loads(child.stdout)
    except (subprocess.TimeoutExpired, OSError, ValueError) as error:
        raise ConfigError(
            [f"{path}: cannot be read: the child that reads it failed ({type(error).__name__}: {error})"]
        ) from None
    if "problems" in said:
        raise ConfigError(said["problems"])
    return rebuild(Config, said["config"]), [(name, where) for name, where in said["plugins"]]


def rebuild(kind: Any, data: Any) -> Any:
    """The dataclass from validated plain values."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return kind(**{key: rebuild(hints[key], value) for key, value in data.items()})
    if get_origin(kind) is Mapping:
        return {key: rebuild(get_args(kind)[1], value) for key, value in data.items()}
    return tuple(data) if get_origin(kind) is tuple else data
