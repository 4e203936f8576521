"""The rooms of the house: imports point down only, broad excepts stand at their seams, files stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgemon

HOME = Path(edgemon.__file__).parent
LAYERS = (
    (
        "errors",
        "digest",
        "database",
        "__init__",
        "plugins",
        "logs",
        "sdnotify",
        "windows",
        "recurrence",
        "probe",
        "judge",
        "anatomy",
        "sketch",
        "thresholds",
        "protobuf",
        "access",
    ),
    ("metric", "wire", "document", "manager", "web"),
    (
        "hardware",
        "inference",
        "alerting",
        "ruled",
        "rebenched",
        "serving",
        "promises",
        "pushed",
        "values",
        "sysfs",
        "probe.result",
        "probe.target",
        "probe.assertion",
        "capture",
    ),
    ("catalog", "limits", "endpoint", "buffer"),
    ("receivers", "push"),
    ("config",),
    ("otel", "systemd"),
    ("sources", "kernel"),
    ("fitting", "probe.link", "probe.secret", "probe.golden", "probe.inputs"),
    ("platforms", "schema", "probe.tensors", "probe.exchange", "probe.messages", "identity", "bus"),
    (
        "probe.witness",
        "probe.kernels",
        "probe.graphs",
        "probe.measure",
        "probe.priority",
        "probe.confine",
        "probe.process",
    ),
    ("probe.served", "probe.watch", "probe.rest", "probe.rpc"),
    ("runtimes", "probe.worker", "probe.supervisor", "models"),
    ("judge.statistics", "judge.placement", "store", "lanes", "energy", "peaks"),
    ("conditions",),
    ("collect", "judge.baseline", "replay", "gates", "budget", "cadence", "look", "alerts"),
    ("asking", "judge.validity", "judge.compare", "judge.joules"),
    ("judge.epoch", "judge.contrast", "exchange"),
    ("judge.verdict", "archive", "events", "efficiency"),
    ("judge.case",),
    ("judge.accelerator", "judge.contention", "judge.software", "judge.speed"),
    ("judge.diagnosis",),
    ("access.stream", "access.bucket", "access.password", "access.expiry"),
    ("access.web",),
    ("access.tls", "access.fields", "access.connection"),
    ("access.webfile", "access.door"),
    ("finding", "mask", "schedule", "watch", "residence", "presence", "starts", "upkeep"),
    ("report", "rebenchmark"),
    ("prober", "ledger"),
    ("rebenching",),
    ("history",),
    ("survey", "sinks", "record", "inventory", "probing", "ruling"),
    ("spool",),
    ("almanac",),
    ("clock",),
    ("forward",),
    ("dispatch",),
    ("overview", "pushing", "status"),
    ("daemon", "doctor"),
    ("cli", "__main__"),
)
SEAMS = {
    "platforms/__init__.py": 1,
    "collect.py": 1,
    "probe/worker.py": 1,
    "probe/kernels.py": 1,
    "sinks/http.py": 1,
    "lanes.py": 1,
    "sources/jtop.py": 1,
    "alerts/promql/complain.py": 1,
}
SIBLINGS = ("platforms", "runtimes", "sinks")


def files() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(HOME.rglob("*.py")):
        yield str(path.relative_to(HOME)), ast.parse(path.read_text())


def room(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def floor(name: str) -> int:
    """The layer of the longest entry that names the module or a package it is in."""
    best = max(
        (len(one), level) for level, names in enumerate(LAYERS) for one in names if f"{name}.".startswith(f"{one}.")
    )
    return best[1]


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("edgemon"):
            base = (node.module or "").removeprefix("edgemon").strip(".")
            for alias in node.names:
                whole = f"{base}.{alias.name}".strip(".")
                is_module = (HOME / whole.replace(".", "/")).is_dir() or (
                    HOME / f"{whole.replace('.', '/')}.py"
                ).exists()
                yield whole if is_module else base or "__init__"


def upward(file: str, tree: ast.Module) -> list[str]:
    here = room(file)
    level = floor(here)
    return [name for name in imported(tree) if name != here and not name.startswith(f"{here}.") and floor(name) > level]


@pytest.mark.parametrize(("file", "tree"), list(files()), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_point_down_only(file: str, tree: ast.Module) -> None:
    assert not upward(file, tree)


def test_a_planted_upward_import_is_found() -> None:
    assert upward("metric.py", ast.parse("from edgemon.daemon import Daemon")) == ["daemon"]


@pytest.mark.parametrize("package", SIBLINGS)
def test_siblings_never_import_each_other(package: str) -> None:
    for file, tree in files():
        if file.startswith(f"{package}/") and not file.endswith("__init__.py"):
            own = ".".join(room(file).split(".")[:2])
            names = {name for name in imported(tree) if not f"{name}.".startswith(f"{own}.")}
            others = [name for name in names if name.startswith(f"{package}.")]
            allowed = {"sinks.prometheus"} if file == "sinks/pages.py" else set()  # the page /metrics is the exposition
            assert not set(others) - allowed, file


def test_broad_excepts_stand_at_the_seams_only() -> None:
    found: dict[str, int] = {}
    for file, tree in files():
        for node in ast.walk(tree):
            kind = node.type if isinstance(node, ast.ExceptHandler) else ast.Name("no")
            if kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"}):
                found[file] = found.get(file, 0) + 1
    assert found == SEAMS


def test_no_file_is_longer_than_300_lines() -> None:
    long = {str(path): n for path in HOME.rglob("*.py") if (n := len(path.read_text().splitlines())) > 300}
    assert not long


def test_functions_are_short() -> None:
    lengths = sorted(
        (node.end_lineno or 0) - node.lineno + 1
        for _, tree in files()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    )
    assert lengths[len(lengths) // 2] < 10
    assert lengths[int(len(lengths) * 0.9)] <= 28


def test_the_daemon_loads_no_engine_and_nothing_heavy() -> None:
    """What `edgemon run` imports stays within the memory budget: no engine, pydantic, YAML, asyncio, ssl or OpenSSL."""
    code = "import edgemon.cli, edgemon.cli.run, edgemon.daemon, sys; edgemon.cli.parser(); print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    heavy = {
        "onnxruntime",
        "numpy",
        "pydantic",
        "yaml",
        "asyncio",
        "ssl",
        "_hashlib",
        "email",
        "importlib.metadata",
        "ctypes",
    }
    assert not loaded & heavy
