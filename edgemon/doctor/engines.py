"""Engines: which import, in edgemon's Python and in those of the probes, and which accelerators they can use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from edgemon.doctor import NOTE, OK, PROBLEM, WARNING, Finding, Group, Patient, listed
from edgemon.inventory import Accelerator
from edgemon.probe.result import Outcome, Result
from edgemon.survey import engine, engines

OWN = "edgemon's Python"
MISSING = ("ModuleNotFoundError", "ImportError: No module")


class Use(NamedTuple):
    """What can use an accelerator: runtimes of edgemon, or providers as an engine names them; and how to get one."""

    runtimes: tuple[str, ...]
    providers: tuple[str, ...]
    remedy: str


CUDA = ("CUDAExecutionProvider", "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider")
USES = {
    ("nvidia", "gpu"): Use((), CUDA, "pip install onnxruntime-gpu; on a Jetson NVIDIA's wheel for its JetPack"),
    ("intel", "npu"): Use(
        ("openvino",), ("OpenVINOExecutionProvider",), "pip install openvino, and Intel's NPU driver"
    ),
    ("amd", "npu"): Use((), ("VitisAIExecutionProvider",), "install AMD's Ryzen AI software"),
    ("google", "tpu"): Use(("litert", "coral"), (), "pip install ai-edge-litert, and libedgetpu"),
    ("hailo", "npu"): Use(("hailo",), (), "install HailoRT with its Python (hailo_platform)"),
}


def examine(patient: Patient) -> Iterator[Finding]:
    """Every runtime in every Python that matters, then what can use the accelerators."""
    if not patient.root.live:
        return
    asked = {(name, "") for name in engines()} | {(one.runtime, one.python) for one in patient.probes.values()}
    asked = {(name, python) for name, python in asked if name in engines() and name not in {"fake", "command"}}
    results = {one: engine(*one) for one in sorted(asked)}
    yield from importable(patient, results)
    usable = {name for (name, _), result in results.items() if result.outcome is Outcome.OK}
    providers = {provider for result in results.values() for provider in result.facts.get("providers", ())}
    found = [one for one in patient.stock.known() if one.state != "unready"]
    yield from unused(found, usable, providers)
    if "CUDAExecutionProvider" in providers and not any(one.vendor.lower() == "nvidia" for one in found):
        what = (
            "onnxruntime has CUDAExecutionProvider, but no NVIDIA GPU was found: sessions that ask for it use the CPU"
        )
        yield Finding(
            NOTE, what, f"available providers: {listed(sorted(providers))}", "pip install onnxruntime instead"
        )


def importable(patient: Patient, results: dict[tuple[str, str], Result]) -> Iterator[Finding]:
    """A line for each that imports, breaks, or is missing though a probe wants it; one for all the others."""
    wanted = {(one.runtime, one.python): name for name, one in patient.probes.items()}
    absent = []
    for (name, python), result in results.items():
        where = f"{name} in {python or OWN}"
        evidence = f"imported in a worker: {result.detail or result.outcome.value}"
        if result.outcome is Outcome.OK:
            yield Finding(OK, f"{name} {result.facts.get('runtime_version', '')}{seen(result)}", f"{evidence}, {where}")
        elif (name, python) in wanted:
            what = f"probe {wanted[name, python]} needs {where}, which does not import"
            yield Finding(PROBLEM, what, evidence, "install the engine there, or set python: of the probe")
        elif result.detail.startswith(MISSING):
            absent.append(name)
        else:
            remedy = "install it again, for this Python and processor; see the evidence for what is missing"
            yield Finding(WARNING, f"{where} is installed but does not import", evidence, remedy)
    if absent:
        yield Finding(OK, f"not installed, and no probe wants it: {listed(absent, 9)}", "imported in a worker")


def seen(result: Result) -> str:
    """What a runtime says it sees, in a few words; see `edgemon.runtimes`."""
    providers, devices = result.facts.get("providers", ()), result.facts.get("devices", ())
    parts = [f"providers {listed(providers, 9)}"] * bool(providers) + [f"devices {listed(devices, 9)}"] * bool(devices)
    return f": {'; '.join(parts)}" if parts else ""


def unused(found: list[Accelerator], usable: set[str], providers: set[str]) -> Iterator[Finding]:
    """Accelerators for which nothing that imports is made."""
    for one in found:
        use = USES.get((one.vendor.lower(), one.type))
        if use and not usable.intersection(use.runtimes) and not providers.intersection(use.providers):
            what = f"no engine that was asked can use the {one.vendor} {one.type.upper()} {one.id}"
            have = listed(sorted(usable | providers), 9) or "none"
            yield Finding(WARNING, what, f"engines and providers: {have}", f"{use.remedy}, or set python: of a probe")


GROUP = Group("engines", examine)
