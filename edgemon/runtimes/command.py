"""Any program that runs inferences and prints how long each took: the way out for what has no runtime of its own.

`options`: `command`, a list of program and arguments, where `{model}` stands for the probe's model; `unit` of plain
numbers (s, ms, us; default s); `pattern`, a regular expression whose first group is the number, for programs that print
it in a sentence. No shell is involved. On standard output each line is one of

    0.0123                                   one inference, in `unit`
    {"latency": 0.0123}                      the same, always in seconds
    {"load": 1.5}                            seconds until the model was ready
    {"version": "1.2"}                       of the engine
    {"requested": ["NPU"], "placement": {"NPU": 0.9, "CPU": 0.1}}
    {"output": {"name": "scores", "shape": [1, 10], "values": [0.1, ...]}}   for the golden comparison

and whatever else is passed over. The first inference counts as such, the others are steady. A program may end by
itself, with status 0, or go on for ever: it is stopped when there are `samples` inferences and `seconds` have passed,
or at the deadline, four fifths of the probe's timeout.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import select
import shutil
import struct
import subprocess
import time
from typing import Any, Dict, List, Optional

from edgemon.probe import golden
from edgemon.probe.inputs import digest, unknown
from edgemon.probe.result import Request

OPTIONS = ["command", "unit", "pattern"]
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
LEAST = 3
LONGEST = 1 << 20
NUMBER = r"^\s*([0-9.]+(?:[eE][-+]?[0-9]+)?)\s*$"


class Command:
    """One run of the program."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._said: Dict[str, Any] = {}
        self._outputs: List[Dict[str, Any]] = []
        self._latencies: List[float] = []
        self._last = ""
        self._born = time.monotonic()
        self._since = math.inf

    def start(self) -> None:
        """Nothing to import."""

    def version(self) -> str:
        """What the program says of itself while it runs."""
        return str(self._said.get("version", "-"))

    def load(self) -> None:
        """Check what is asked for, and that the program is there."""
        options = self._request.options
        unknown("options", options, OPTIONS)
        command = options.get("command")
        if not isinstance(command, list) or not command or not all(isinstance(part, str) for part in command):
            raise ValueError("options.command must be a list of program and arguments, such as [/opt/bench, '{model}']")
        unit = options.get("unit", "s")
        if unit not in UNITS:
            raise ValueError("options.unit must be one of %s, not %s" % (", ".join(UNITS), unit))
        self._unit, self._pattern = UNITS[unit], compiled(options.get("pattern") or NUMBER)
        program = shutil.which(command[0])
        if program is None:
            raise ValueError("%s is no program that can be run" % command[0])
        model = self._request.model
        self._command = [program, *(part.replace("{model}", model) for part in command[1:])]
        self._digest = digest(program, *([model] if any("{model}" in part for part in command) else []))

    def run(self) -> Dict[str, Any]:
        """Run the program to its end or until there is enough, and give what it printed."""
        request = self._request
        deadline = self._born + request.timeout * 0.8
        with subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as program:
            try:
                ended = self._listen(program, deadline)
            finally:
                stop(program)
        if ended and program.returncode:
            raise RuntimeError("%s ended with status %d: %s" % (self._shown(), program.returncode, self._last))
        if len(self._latencies) < LEAST + 1:
            text = "%s printed %d latencies, %d are needed; its last line: %s"
            raise RuntimeError(text % (self._shown(), len(self._latencies), LEAST + 1, self._last or "none"))
        load = self._said.get("load")
        return {
            "import_seconds": None,
            "load_seconds": float(load) if isinstance(load, (int, float)) else None,
            "first_seconds": self._latencies[0],
            "latencies": self._latencies[1:],
            "facts": {"runtime_version": self.version(), **self.facts()},
        }

    def outputs(self, index: int) -> List[Dict[str, Any]]:
        """What the program printed as outputs; it has inputs of its own, so there is one set."""
        return self._outputs if index == 0 else []

    def facts(self) -> Dict[str, Any]:
        """What really runs, as far as the program says."""
        requested, placement = self._said.get("requested"), self._said.get("placement")
        return {
            "runtime": "command",
            "model_sha256": self._digest,
            "requested": list(requested) if isinstance(requested, list) else list(self._request.providers),
            "registered": [],
            "placement": dict(placement) if isinstance(placement, dict) else {},
            "options": dict(self._request.options),
        }

    def _shown(self) -> str:
        return " ".join(self._command)[:300]

    def _listen(self, program: Any, deadline: float) -> bool:
        """Read lines until the program ends (true), or there is enough, or time is up (false)."""
        output, rest = program.stdout.fileno(), b""
        os.set_blocking(output, False)
        while time.monotonic() < deadline:
            if len(self._latencies) > self._request.samples and time.monotonic() - self._since > self._request.seconds:
                return False
            if not select.select([output], [], [], 0.05)[0]:
                continue
            data = os.read(output, 65536)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines if data else [*lines, rest]:
                self._hear(line.decode("utf-8", "replace").strip())
            if not data:
                program.wait(max(0.1, deadline - time.monotonic()))
                return True
            rest = rest[-LONGEST:]
        return False

    def _hear(self, line: str) -> None:
        if not line:
            return
        self._last = line[:300]
        if line.startswith("{"):
            with contextlib.suppress(ValueError, TypeError, KeyError):
                self._note(json.loads(line))
            return
        found = self._pattern.search(line)
        with contextlib.suppress(ValueError):
            self._add(float(found.group(1)) * self._unit if found else None)

    def _note(self, said: Dict[str, Any]) -> None:
        self._add(said.pop("latency", None))
        output = said.pop("output", None)
        if output:
            values = [float(value) for value in output["values"]][: golden.LONGEST]
            shape = [int(size) for size in output["shape"]]
            raw = struct.pack("%dd" % len(values), *values)
            self._outputs.append(golden.tensor(str(output["name"]), "float64", shape, raw, values))
        self._said.update(said)

    def _add(self, seconds: Optional[float]) -> None:
        if isinstance(seconds, (int, float)) and math.isfinite(seconds) and seconds > 0:
            self._since = min(self._since, time.monotonic())
            self._latencies.append(float(seconds))


def compiled(pattern: str) -> Any:
    """The pattern, which must be a regular expression with a group."""
    try:
        made = re.compile(pattern)
    except re.error as error:
        raise ValueError("options.pattern is no regular expression: %s" % error) from None
    if made.groups < 1:
        raise ValueError("options.pattern needs a group around the number, such as 'took ([0-9.]+) ms'")
    return made


def stop(program: Any) -> None:
    """End the program: asked first, then killed."""
    if program.poll() is None:
        program.terminate()
        try:
            program.wait(1.0)
        except subprocess.TimeoutExpired:
            program.kill()


RUNTIME = Command
