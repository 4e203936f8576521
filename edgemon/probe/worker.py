"""The worker: one Request on stdin, one Result on the descriptor named in argv, then it is gone.

Started by path with any Python >= 3.8, in which only the engine is installed: so the standard library only, and the
package is made importable without putting the daemon's site-packages in front of the engine's. The answer is lines of
JSON: each stage as it begins, then the result; a stage without a result is a crash, and says where.
"""

import sys

if sys.version_info < (3, 8):
    sys.exit("edgemon: the worker needs Python 3.8 or later, this is %d.%d" % sys.version_info[:2])

import importlib
import json
import os
import resource
import select
import types
from typing import Any, Callable, Dict

HERE = os.path.dirname(os.path.abspath(__file__))
if sys.path and os.path.abspath(sys.path[0]) == HERE:
    del sys.path[0]
if "edgemon" not in sys.modules:
    package = types.ModuleType("edgemon")
    package.__path__ = [os.path.dirname(HERE)]
    sys.modules["edgemon"] = package

from edgemon.probe import golden, measure  # noqa: E402 - the package above comes first
from edgemon.probe.inputs import alike  # noqa: E402
from edgemon.probe.kernels import kernels  # noqa: E402
from edgemon.probe.measure import timed  # noqa: E402
from edgemon.probe.result import BusyError, Ended, Outcome, Request  # noqa: E402
from edgemon.probe.witness import Witness, peak_memory  # noqa: E402

BEFORE, PATIENCE = 1.0, 0.05
"""Seconds of the pause before the warm-up, and its share of the timeout, at most."""


class Report:
    """Lines of JSON on a descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.stage = ""

    def begin(self, stage: str) -> None:
        """Say which stage begins."""
        self.stage = stage
        self.write({"stage": stage})

    def write(self, value: Dict[str, Any]) -> None:
        """Write one line, whole."""
        data = json.dumps(value).encode() + b"\n"
        while data:
            data = data[os.write(self._fd, data) :]


def main() -> None:
    """Answer the request on stdin."""
    request = Request.from_json(json.load(sys.stdin))
    report = Report(int(sys.argv[1]))
    report.begin("start")
    step_back(request.memory)
    answer = {"probe": request.probe, "outcome": Outcome.FAILED.value}  # type: Dict[str, Any]
    try:
        phases(request, report, answer)
        answer["peak_memory"] = peak_memory() - answer.pop("held", 0)
        dissect(request, answer["facts"])  # when all is measured: it is no part of what the model costs
    except BusyError as error:
        answer["outcome"], answer["detail"] = Outcome.SKIPPED.value, str(error)
        report.stage = "device_busy"
    except MemoryError as error:
        answer["detail"] = "out of memory (limit %d MiB): %s" % (request.memory >> 20, error)
    except Exception as error:  # noqa: BLE001 - seam: whatever an engine raises is an answer
        answer["outcome"] = getattr(error, "outcome", Outcome.FAILED).value
        kind = (
            "" if type(error) in (ValueError, RuntimeError, ConnectionError, Ended) else "%s: " % type(error).__name__
        )
        answer["detail"] = (kind + " ".join(str(error).split()))[:1000] or type(error).__name__
    answer["stage"] = report.stage
    answer.setdefault("peak_memory", peak_memory() - answer.pop("held", 0))
    report.write({"result": answer})
    os._exit(0)  # an engine that crashes while it is torn down has still answered


def step_back(memory: int) -> None:
    """First to be killed, last to be scheduled, no core dump, bounded memory, and gone when the daemon is."""
    _write("/proc/self/oom_score_adj", "1000")
    os.nice(19)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    import ctypes  # noqa: PLC0415 - 5 ms that a failing start need not pay

    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL: linux/prctl.h
    reader = select.poll()
    reader.register(1, 0)
    if reader.poll(0):  # nobody reads what this prints: the daemon went before it could be noticed
        os._exit(1)


def phases(request: Request, report: Report, answer: Dict[str, Any]) -> None:
    """Run the phases in order, filling `answer` as they end so that a failure keeps what was measured."""
    runtime = ready(request, report, answer)
    if request.until:
        answer["outcome"] = Outcome.OK.value
    elif hasattr(runtime, "run"):
        report.begin("run")
        answer.update(runtime.run())
        check(request, runtime, answer)
    else:
        infer = runtime.infer()
        report.begin("first")
        answer["first_seconds"] = timed(infer)
        report.begin("check")
        check(request, runtime, answer)
        times(request, report, runtime, infer, answer)
        extras(request, report, runtime, answer["facts"])


def ready(request: Request, report: Report, answer: Dict[str, Any]) -> Any:
    """A runtime that has imported its engine and loaded the model, or as far as the request wants."""
    report.begin("import")
    began = measure.TOOLS.clock()
    runtime = importlib.import_module("edgemon.runtimes.%s" % request.runtime).RUNTIME(request)
    runtime.start()
    answer["import_seconds"] = measure.TOOLS.clock() - began
    getattr(runtime, "stages", _nothing)(report.begin)
    answer["facts"] = {"runtime_version": runtime.version()}
    if request.until == "import":
        answer["facts"].update(getattr(runtime, "sees", dict)())
        return runtime
    report.begin("load")
    try:
        answer["load_seconds"] = timed(runtime.load)
    finally:
        answer["phases"] = getattr(runtime, "phases", {})
    answer["facts"].update(runtime.facts())
    return runtime


def times(request: Request, report: Report, runtime: Any, infer: Callable[[], Any], answer: Dict[str, Any]) -> None:
    """A pause, the warm-up, the steady phase, the model alone where its energy is metered, a pause, an idle start."""
    report.begin("warmup")
    windows = answer.setdefault("windows", {})
    if request.idle:
        windows["idle_before"] = measure.pause(min(request.idle, BEFORE, PATIENCE * request.timeout))
    estimate, settled = measure.warm_up(infer, min(2.0, request.seconds), rest=measure.pacer(request.rate))
    report.begin("steady")
    steady(request, runtime, infer, estimate, answer)
    answer["witnesses"]["settled"] = float(settled)
    if request.energy:
        report.begin("energy")
        windows["energy"], answer["metered"] = measure.alone(infer, request.energy)
    report.begin("idle_start")
    getattr(runtime, "pause", _nothing)()
    if request.idle:
        windows["idle"] = measure.pause(request.idle)
    answer["idle_seconds"] = timed(infer)


def extras(request: Request, report: Report, runtime: Any, facts: Dict[str, Any]) -> None:
    """What is asked for now and then, after all that is timed."""
    if request.profile and hasattr(runtime, "profile"):
        report.begin("profile")
        facts["executed"] = runtime.profile()
    if request.faults and hasattr(runtime, "faults"):
        report.begin("faults")
        facts["faults"] = runtime.faults()


def dissect(request: Request, facts: Dict[str, Any]) -> None:
    """Count what the model is made of, unless that is known; a runtime without a model file has nothing to count."""
    if request.until or facts.get("model_sha256", "") == request.counted or not os.path.isfile(request.model):
        return
    from edgemon import anatomy  # noqa: PLC0415 - 20 ms that a probe need not pay whose model is known

    try:
        facts["anatomy"] = anatomy.count(request.model, request.shapes)
    except (ValueError, MemoryError) as error:
        facts["anatomy"] = {"detail": str(error) or "out of memory"}


def steady(request: Request, runtime: Any, infer: Callable[[], Any], estimate: float, answer: Dict[str, Any]) -> None:
    """Time inferences in turn with the reference kernels, and look at the machine before and after."""
    before = peak_memory()
    made = kernels(runtime, request.memory) if request.kernel_share else {}
    answer["held"] = peak_memory() - before
    phase, witness = measure.Steady(request, infer, estimate, made), Witness()
    phase.run()
    answer["witnesses"] = witness.tell()
    answer.update(phase.tell())
    answer["windows"]["steady"] = phase.window()
    answer["facts"].update(measure.facts(made, answer["kernels"]))


def check(request: Request, runtime: Any, answer: Dict[str, Any]) -> None:
    """Hold the outputs for every seed against the golden ones recorded from this very model."""
    outputs = [runtime.outputs(index) for index in range(len(request.seeds))]
    answer["outcome"] = Outcome.OK.value
    if request.record:
        answer["outputs"] = outputs
    if not golden.finite(outputs):
        answer["outcome"], answer["detail"] = Outcome.WRONG_OUTPUT.value, "the output holds NaN or infinity"
        return
    facts, top_k = answer["facts"], request.tolerance.top_k
    model, inputs = facts.get("model_sha256", ""), facts.get("inputs", "")
    if any(request.golden) and request.golden_digest == model and request.golden_inputs in {"", inputs}:
        answer["distance"] = golden.distance(outputs, request.golden, top_k)
        reason = golden.wrong(answer["distance"], request.tolerance)
        if reason:
            answer["outcome"], answer["detail"] = Outcome.WRONG_OUTPUT.value, reason
    if any(request.reference) and alike(inputs, request.reference_inputs):
        answer["reference"] = golden.between(outputs, request.reference, top_k)


def _nothing(*_: Any) -> None:
    return None


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError:
        pass  # a container may forbid it; the probe is no worse for it


if __name__ == "__main__":
    main()
