"""Other processes: ONNX Runtime with its telemetry on, who holds an accelerator, other monitors.

ONNX Runtime writes a device id and phones home when it is loaded, from 1.29 on and not on Windows only (microsoft/
onnxruntime pull request 27379). Measured with 1.32: it keeps …/.onnxruntime/onnxruntime.db mapped where it can write;
1, y, yes, true and on in ORT_DISABLE_TELEMETRY keep it off, 0, 2, no and false do not; in CI all but 0 and false do.
/proc/*/environ is what a process was started with: whether a program sets the variable itself cannot be told from it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from edgemon.doctor import NOTE, OK, WARNING, Finding, Group, Patient, listed
from edgemon.sysfs import DENIED, Root

LIBRARY = re.compile(r".*/(libonnxruntime\.so|onnxruntime_pybind11_state).*")
STORE = re.compile(r".*/\.onnxruntime/onnxruntime\.db.*")
VERSION = re.compile(
    r"(?:libonnxruntime\.so\.|onnxruntime(?!_extensions|_genai|_tools)\w*-)(\d{1,3}\.\d{1,4}(?:\.\d{1,4})?)"
)
FIRST = (1, 29)
SWITCHES = ("ORT_DISABLE_TELEMETRY", "CI")
TRUE, FALSE = frozenset({"1", "y", "yes", "true", "on"}), frozenset({"", "0", "n", "no", "false", "off"})
OFF = "set ORT_DISABLE_TELEMETRY=1 in its environment before it starts (systemd: Environment=ORT_DISABLE_TELEMETRY=1)"

NODES = re.compile(
    r"/dev/(apex_\d+|hailo\d+|accel/accel\d+|nvidia\d+|nvhost-\S+|nvgpu/\S+|dri/renderD\d+|mali\d+|rknpu)"
)
ALONE = re.compile(r"/dev/apex_\d+")
"""Devices that belong to one process at a time."""
ALONE_REMEDY = "a probe on it fails meanwhile: stop that program, or probe while it is paused"
MONITORS = ("node_exporter", "telegraf", "netdata", "dcgm-exporter", "nvidia_gpu_exporter", "tegrastats", "jtop")


class Process(NamedTuple):
    """A process that may be looked into, and the files mapped into it."""

    pid: str
    name: str
    files: list[str]

    def first(self, pattern: re.Pattern[str]) -> str:
        """The first mapped file that matches, or nothing."""
        return next(filter(pattern.fullmatch, self.files), "")


def examine(patient: Patient) -> Iterator[Finding]:
    """One pass over /proc, then each question."""
    root = patient.root
    here, closed = processes(root)
    using = [one for one in here if one.first(LIBRARY)]
    for one in using:
        yield telemetry(root, one)
    if here and not using:
        evidence = f"/proc/*/maps of {len(here)} processes"
        yield Finding(OK, "no process that can be looked into has ONNX Runtime loaded", evidence)
    if closed:
        what = f"{len(closed)} processes cannot be looked into: their telemetry and devices are not known"
        remedy = "run edgemon doctor as root" if os.geteuid() else ""
        yield Finding(NOTE, what, f"/proc/*/maps: permission denied for {listed(closed)}", remedy)
    yield from holders(root, here)
    yield from monitors(root)


def processes(root: Root) -> tuple[list[Process], list[str]]:
    """Every process with files mapped, and the names of those that are closed to this user."""
    here, closed = [], []
    for path in root.glob("/proc/[0-9]*"):
        view, pid = root.view(), path.rpartition("/")[2]
        files, name = view.call("edgemon.sources.maps.mapped", pid=pid), root.text(f"{path}/comm") or "?"
        if files:
            here.append(Process(pid, name, files))
        elif DENIED.intersection(view.errors):
            closed.append(name)
    return here, closed


def telemetry(root: Root, one: Process) -> Finding:
    """What one process that has loaded ONNX Runtime does."""
    library, store, proc = one.first(LIBRARY), one.first(STORE), f"/proc/{one.pid}"
    number = version(root, one.pid, library)
    who = f"{one.name} ({one.pid}) with ONNX Runtime {number or 'of unknown version'}"
    if store:
        what = f"{who} has its telemetry on: it writes to flash and phones home"
        return Finding(WARNING, what, f"{proc}/maps: {store}", OFF)
    if number and tuple(map(int, number.split(".")[:2])) < FIRST:
        return Finding(OK, f"{who} has no telemetry yet", f"{proc}/maps: {library}")
    view = root.view()
    started = view.text(f"{proc}/environ")
    if started is None:
        return Finding(NOTE, f"{who}: whether its telemetry is on cannot be read", f"{proc}/environ: no access", OFF)
    environment = dict(part.split("=", 1) for part in started.split("\0") if "=" in part)
    switch, ci = (environment.get(key, "").lower() for key in SWITCHES)
    if switch in TRUE or ci not in FALSE:
        off = f"{SWITCHES[0]}={switch}" if switch in TRUE else f"{SWITCHES[1]}={ci}"
        return Finding(OK, f"{who} has its telemetry off", f"{proc}/environ: {off}")
    what = (
        f"{who} was started without ORT_DISABLE_TELEMETRY=1: its telemetry is on, unless the program sets that itself"
    )
    return Finding(WARNING, what, f"{proc}/environ: no {' and no '.join(SWITCHES)}; maps: {library}", OFF)


def version(root: Root, pid: str, library: str) -> str:
    """From the library's name (libonnxruntime.so.1.32.0), one beside it, or the wheel's metadata; or nothing."""
    folder, _, name = library.rpartition("/")
    beside, site = f"/proc/{pid}/root{folder}", f"/proc/{pid}/root{folder.removesuffix('/onnxruntime/capi')}"
    names = [name, *root.glob(f"{beside}/libonnxruntime.so.*"), *root.glob(f"{site}/onnxruntime*-*.dist-info")]
    found = (VERSION.match(one.rpartition("/")[2]) for one in names)
    return next((match[1] for match in found if match), "")


def holders(root: Root, here: list[Process]) -> Iterator[Finding]:
    """Who has an accelerator's device node open (/proc/*/fd)."""
    held: dict[str, set[str]] = {}
    for one in here:
        for path in root.glob(f"/proc/{one.pid}/fd/*"):
            if NODES.fullmatch(node := root.real(path)):
                held.setdefault(node, set()).add(f"{one.name} ({one.pid})")
    for node, names in sorted(held.items()):
        remedy = ALONE_REMEDY if ALONE.fullmatch(node) else ""
        yield Finding(NOTE, f"{node} is in use by {listed(sorted(names))}", f"/proc/*/fd: {node}", remedy)


def monitors(root: Root) -> Iterator[Finding]:
    """Another edgemon, and other exporters (/proc/*/cmdline); a script is known by what its interpreter runs."""
    found: dict[str, list[str]] = {}
    for path in root.glob("/proc/[0-9]*/cmdline"):
        names = [word.rpartition("/")[2] for word in (root.view().text(path) or "").split("\0")]
        name = next((word for word in names[:2] if word in MONITORS), "")
        if ("edgemon", "run") in pairwise(names):
            name = "edgemon run"
        if name:
            found.setdefault(name, []).append(path)
    for name, paths in found.items():
        what = f"{name} runs here"
        costs = f"{what}: it takes its share of CPU and of slow sensors"
        severity = OK if name == "edgemon run" and len(paths) == 1 else NOTE
        yield Finding(severity, what if severity is OK else costs, listed(paths))


GROUP = Group("other processes", examine)
