"""The worker: a Request on the socket that is its stdin, a Result on the same, and so on until nobody asks any more.

Started by path with any Python >= 3.8, in which only the engine is installed: so the standard library only, and the
package is made importable without putting the daemon's site-packages in front of the engine's. What is said are lines
of JSON: each stage as it begins, then the result; a stage without a result is a crash, and says where. Import, load and
first inference belong to the first round; who asks again asks for the same model, and the cold start is told no more.
"""

import sys

if sys.version_info < (3, 8):
    sys.exit("edgemon: the worker needs Python 3.8 or later, this is %d.%d" % sys.version_info[:2])

import contextlib
import importlib
import json
import os
import types
from typing import Any, Callable, Dict, Iterator

HERE = os.path.dirname(os.path.abspath(__file__))
if sys.path and os.path.abspath(sys.path[0]) == HERE:
    del sys.path[0]
if "edgemon" not in sys.modules:
    package = types.ModuleType("edgemon")
    package.__path__ = [os.path.dirname(HERE)]
    sys.modules["edgemon"] = package

from edgemon.probe import golden, measure  # noqa: E402 - the package above comes first
from edgemon.probe.confine import LOCAL, no_network  # noqa: E402
from edgemon.probe.inputs import alike  # noqa: E402
from edgemon.probe.kernels import kernels  # noqa: E402
from edgemon.probe.measure import timed  # noqa: E402
from edgemon.probe.priority import step_back, told  # noqa: E402
from edgemon.probe.result import BusyError, Ended, Outcome, Request  # noqa: E402
from edgemon.probe.witness import Witness, peak_memory, restart_peak  # noqa: E402

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


class Output:
    """Where stdout and stderr go: between two rounds to nowhere, since nobody reads what is printed then."""

    def __init__(self) -> None:
        self._kept, self._nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)

    def open(self, heard: bool) -> None:
        """To the daemon, or to nowhere."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for fd in (1, 2):
            os.dup2(self._kept if heard else self._nowhere, fd)


class Served:
    """What stays of a model from round to round."""

    def __init__(self) -> None:
        self.rounds = 0
        self.runtime: Any = None
        self.infer: Callable[[], Any] = _nothing
        self.facts: Dict[str, Any] = {}


def main() -> None:
    """Answer every request on stdin."""
    channel = os.dup(0)  # closed on exec, as stdin is not: what an engine starts must not hold it
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    report, output, served = Report(channel), Output(), Served()
    with os.fdopen(channel, "rb", closefd=False) as requests:
        for line in requests:
            request = Request.from_json(json.loads(line))
            report.begin("start")
            output.open(True)
            result = answer(request, report, served)
            output.open(False)
            report.write({"result": result})
    os._exit(0)  # an engine that crashes while it is torn down has still answered


def answer(request: Request, report: Report, served: Served) -> Dict[str, Any]:
    """One round: whatever happens in it, an answer."""
    said = {"probe": request.probe, "outcome": Outcome.FAILED.value}  # type: Dict[str, Any]
    known = not served.rounds or restart_peak()
    try:
        if not served.rounds:
            step_back(request)
        phases(request, report, served, said)
        said["peak_memory"] = peak_memory() - said.pop("held", 0)
        dissect(request, said["facts"])  # when all is measured: it is no part of what the model costs
    except BusyError as error:
        said["outcome"], said["detail"] = Outcome.SKIPPED.value, str(error)
        report.stage = "device_busy"
    except MemoryError as error:
        said["outcome"] = Outcome.FAILED.value  # it may have been ok as far as it got
        said["detail"] = "out of memory (limit %d MiB): %s" % (request.memory >> 20, error)
    except Exception as error:  # noqa: BLE001 - seam: whatever an engine raises is an answer
        said["outcome"] = getattr(error, "outcome", Outcome.FAILED).value
        kind = (
            "" if type(error) in (ValueError, RuntimeError, ConnectionError, Ended) else "%s: " % type(error).__name__
        )
        said["detail"] = (kind + " ".join(str(error).split()))[:1000] or type(error).__name__
    said["stage"] = report.stage
    said.setdefault("peak_memory", peak_memory() - said.pop("held", 0))
    if not known:
        said["peak_memory"] = None
    return said


def phases(request: Request, report: Report, served: Served, answer: Dict[str, Any]) -> None:
    """Run the phases in order, filling `answer` as they end so that a failure keeps what was measured."""
    if not served.rounds:
        ready(request, report, served, answer)
    served.rounds += 1
    answer["facts"] = dict(served.facts)
    if served.rounds > 1:
        answer["facts"]["resident"] = served.rounds
    if request.until:
        answer["outcome"] = Outcome.OK.value
    elif hasattr(served.runtime, "run"):
        report.begin("run")
        answer.update(served.runtime.run())
        check(request, served.runtime, answer)
    else:
        measured(request, report, served, answer)


def measured(request: Request, report: Report, served: Served, answer: Dict[str, Any]) -> None:
    """Inferences that are timed from here, the first only in the first round."""
    runtime = served.runtime
    if served.rounds == 1:
        served.infer = runtime.infer()
        report.begin("first")
        with window(answer, "first"):
            answer["first_seconds"] = timed(served.infer)
    report.begin("check")
    check(request, runtime, answer)
    times(request, report, runtime, served.infer, answer)
    extras(request, report, runtime, answer["facts"])


def ready(request: Request, report: Report, served: Served, answer: Dict[str, Any]) -> None:
    """Import the engine and load the model, or as far as the request wants."""
    report.begin("import")
    confined = {"confined": no_network()} if request.runtime in LOCAL else {}
    began = measure.TOOLS.clock()
    with window(answer, "import"):
        served.runtime = runtime = importlib.import_module("edgemon.runtimes.%s" % request.runtime).RUNTIME(request)
        runtime.start()
    answer["import_seconds"] = measure.TOOLS.clock() - began
    getattr(runtime, "stages", _nothing)(report.begin)
    served.facts = answer["facts"] = {"runtime_version": runtime.version(), **confined}
    if request.until == "import":
        served.facts.update(getattr(runtime, "sees", dict)())
        return
    report.begin("load")
    try:
        with window(answer, "load"):
            answer["load_seconds"] = timed(runtime.load)
    finally:
        answer["phases"] = getattr(runtime, "phases", {})
    served.facts.update(runtime.facts())
    served.facts["options"] = {**served.facts.get("options", {}), **told(request)}


def times(request: Request, report: Report, runtime: Any, infer: Callable[[], Any], answer: Dict[str, Any]) -> None:
    """A pause, the warm-up, the steady phase, the model alone where its energy is metered, a pause, an idle start."""
    report.begin("warmup")
    windows = answer.setdefault("windows", {})
    if request.idle:
        windows["idle_before"] = measure.pause(min(request.idle, BEFORE, PATIENCE * request.timeout))
    with window(answer, "warmup"):
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
    with window(answer, "idle_start"):
        answer["idle_seconds"] = timed(infer)


@contextlib.contextmanager
def window(answer: Dict[str, Any], name: str) -> Iterator[None]:
    """Note begin and end on CLOCK_BOOTTIME, also of what fails."""
    began = measure.TOOLS.boottime()
    try:
        yield
    finally:
        answer.setdefault("windows", {})[name] = [began, measure.TOOLS.boottime()]


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


if __name__ == "__main__":
    main()
