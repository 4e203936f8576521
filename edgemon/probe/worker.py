"""The worker: one Request on stdin, one Result on the descriptor named in argv, then it is gone.

Started by path with any Python >= 3.8, in which only the engine is installed: so the standard library only, and the
package is made importable without putting the daemon's site-packages in front of the engine's. The answer is lines of
JSON: each stage as it begins, then the result; a stage without a result is a crash, and says where.
"""

import sys

if sys.version_info < (3, 8):
    sys.exit("edgemon: the worker needs Python 3.8 or later, this is %d.%d" % sys.version_info[:2])

import gc
import importlib
import json
import os
import resource
import select
import time
import types
from typing import Any, Callable, Dict, List

HERE = os.path.dirname(os.path.abspath(__file__))
if sys.path and os.path.abspath(sys.path[0]) == HERE:
    del sys.path[0]
if "edgemon" not in sys.modules:
    package = types.ModuleType("edgemon")
    package.__path__ = [os.path.dirname(HERE)]
    sys.modules["edgemon"] = package

from edgemon.probe import golden  # noqa: E402 - the package above comes first
from edgemon.probe.inputs import alike  # noqa: E402
from edgemon.probe.result import BusyError, Ended, Outcome, Request  # noqa: E402

clock = time.perf_counter
LEAST = 0.25
"""Seconds of steady inferences, however many that takes: a shorter look sees one mood of the machine."""
MOST = 20000
"""From so many samples on they are thinned evenly, to no fewer than half: the answer stays below a megabyte."""


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
        measure(request, report, answer)
        answer["peak_memory"] = peak_memory()
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
    answer.setdefault("peak_memory", peak_memory())
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


def measure(request: Request, report: Report, answer: Dict[str, Any]) -> None:
    """Run the phases in order, filling `answer` as they end so that a failure keeps what was measured."""
    report.begin("import")
    began = clock()
    runtime = importlib.import_module("edgemon.runtimes.%s" % request.runtime).RUNTIME(request)
    runtime.start()
    answer["import_seconds"] = clock() - began
    getattr(runtime, "stages", _nothing)(report.begin)
    answer["facts"] = {"runtime_version": runtime.version()}
    if request.until == "import" and hasattr(runtime, "sees"):
        answer["facts"].update(runtime.sees())
    if request.until != "import":
        report.begin("load")
        try:
            answer["load_seconds"] = timed(runtime.load)
        finally:
            answer["phases"] = getattr(runtime, "phases", {})
        answer["facts"].update(runtime.facts())
    if request.until:
        answer["outcome"] = Outcome.OK.value
        return
    if hasattr(runtime, "run"):
        report.begin("run")
        answer.update(runtime.run())
        check(request, runtime, answer)
        return
    infer, rest = runtime.infer(), pacer(request.rate)
    report.begin("first")
    answer["first_seconds"] = timed(infer)
    report.begin("check")
    check(request, runtime, answer)
    report.begin("warmup")
    estimate = warm_up(infer, min(2.0, request.seconds), rest)
    report.begin("steady")
    steady(request, infer, estimate, answer, rest)
    report.begin("idle_start")
    getattr(runtime, "pause", _nothing)()
    time.sleep(request.idle)
    answer["idle_seconds"] = timed(infer)
    if request.profile and hasattr(runtime, "profile"):
        report.begin("profile")
        answer["facts"]["executed"] = runtime.profile()
    if request.faults and hasattr(runtime, "faults"):
        report.begin("faults")
        answer["facts"]["faults"] = runtime.faults()


def dissect(request: Request, facts: Dict[str, Any]) -> None:
    """Count what the model is made of, unless that is known; a runtime without a model file has nothing to count."""
    if request.until or facts.get("model_sha256", "") == request.counted or not os.path.isfile(request.model):
        return
    from edgemon import anatomy  # noqa: PLC0415 - 20 ms that a probe need not pay whose model is known

    try:
        facts["anatomy"] = anatomy.count(request.model, request.shapes)
    except (ValueError, MemoryError) as error:
        facts["anatomy"] = {"detail": str(error) or "out of memory"}


def timed(action: Callable[[], Any]) -> float:
    """Seconds the action takes."""
    began = clock()
    action()
    return clock() - began


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


def pacer(rate: float) -> Callable[[], Any]:
    """A callable to call before each inference: it returns 1 / rate seconds after it last did, at once for rate 0."""
    if not rate:
        return _nothing
    due = [clock()]

    def rest() -> None:
        time.sleep(max(0.0, due[0] - clock()))
        due[0] = clock() + 1 / rate

    return rest


def warm_up(infer: Callable[[], Any], cap: float, rest: Callable[[], Any]) -> float:
    """Run until a fast and a slow moving average agree within 4 % three times; give seconds per inference.

    The rule is androidx Microbenchmark's with faster averages, so that a slow model warms up within seconds.
    """
    rest()
    fast = slow = timed(infer)
    began, agreed = clock(), 0
    while agreed < 3 and clock() - began < cap:
        rest()
        sample = timed(infer)
        fast, slow = 0.4 * sample + 0.6 * fast, 0.1 * sample + 0.9 * slow
        agreed = agreed + 1 if abs(fast - slow) <= 0.04 * slow else 0
    return fast


def steady(
    request: Request, infer: Callable[[], Any], estimate: float, answer: Dict[str, Any], rest: Callable[[], Any]
) -> None:
    """Time inferences one by one, garbage collection off, each with the run delay that fell into it.

    Below 0.1 ms reading the run delay would disturb the caches the model lives in: then only the phase's sum is known.
    """
    each = estimate >= 0.0001
    read = run_delay if each else _nothing
    walls: List[float] = []
    waits: List[float] = []
    gc.collect()
    gc.disable()
    before, began = run_delay(), clock()
    least, most = began + min(LEAST, request.seconds), began + request.seconds
    while (len(walls) < request.samples or clock() < least) and (len(walls) < 3 or clock() < most):
        rest()
        waited = read()
        start = clock()
        infer()
        end = clock()
        walls.append(end - start)
        waits.append(read() - waited)
    took = clock() - began
    gc.enable()
    step = 1 + len(walls) // MOST
    answer["latencies"] = walls[::step]
    answer["corrected"] = [max(0.0, wall - wait) for wall, wait in zip(walls[::step], waits[::step])]
    answer["run_delay"] = (run_delay() - before) / took


def run_delay() -> float:
    """Seconds this thread was runnable but not running: /proc/self/schedstat, field 2 (sched-stats.rst)."""
    try:
        return int(os.pread(_SCHEDSTAT, 128, 0).split()[1]) * 1e-9
    except (OSError, IndexError):
        return 0.0


def peak_memory() -> int:
    """Peak resident bytes: VmHWM, since ru_maxrss is inherited from the parent over exec."""
    with open("/proc/self/status") as status:
        return next((int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM")), 0)


def _nothing(*_: Any) -> float:
    return 0.0


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError:
        pass  # a container may forbid it; the probe is no worse for it


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:
        return -1


_SCHEDSTAT = _open("/proc/thread-self/schedstat")

if __name__ == "__main__":
    main()
