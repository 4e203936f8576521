"""How inferences are timed: an adaptive warm-up, then slices of the model that alternate with the reference kernels.

Standard library only, Python >= 3.8. Model and kernels are timed the same way: wall time less the time the scheduler
kept the thread waiting. A run is one round of the statistics, and a round compares the model with what the device did
to fixed work in the same second.
"""

import gc
import math
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from edgemon.probe.kernels import Kernel
from edgemon.probe.result import Request
from edgemon.probe.witness import RunDelay, boottime, longest, total

LEAST = 0.25
"""Seconds of steady inferences, however many that takes: a shorter look sees one mood of the machine."""
MOST = 20000
"""From so many samples on they are thinned evenly, to no fewer than half: the answer stays below a megabyte."""
SLICE = 0.025
"""Seconds of the model between two looks at the kernels, at least."""
SLICES, MANY = 6, 100
ENOUGH = 3
"""Samples that make a median worth telling."""
SAMPLE = 0.001
"""Seconds one sample of a kernel lasts, at least: a quicker kernel is called several times."""
CACHES, SLOW = 0.005, 0.05
"""Seconds after a kernel in which the model takes its caches back, and those from which on an inference is so long that
they do not show."""
EACH = 0.0001
"""Below so many seconds an inference, reading the run delay would disturb the caches the model lives in."""


class Tools(NamedTuple):
    """Where time and delay are read; tests put their own in."""

    clock: Callable[[], float] = time.perf_counter
    boottime: Callable[[], float] = boottime
    delays: Callable[[], Any] = RunDelay
    sleep: Callable[[float], None] = time.sleep


TOOLS = Tools()


def _nothing() -> List[int]:
    return []


def timed(action: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds the action takes."""
    began = clock()
    action()
    return clock() - began


def pause(seconds: float, tools: Tools = TOOLS) -> List[float]:
    """Wait; begin and end on CLOCK_BOOTTIME."""
    began = tools.boottime()
    tools.sleep(seconds)
    return [began, tools.boottime()]


def alone(infer: Callable[[], Any], seconds: float, tools: Tools = TOOLS) -> Tuple[List[float], int]:
    """Run nothing but the model for so long: begin and end on CLOCK_BOOTTIME, and how many inferences that were."""
    began, count = tools.boottime(), 0
    until = tools.clock() + seconds
    while count == 0 or tools.clock() < until:
        infer()
        count += 1
    return [began, tools.boottime()], count


def pacer(rate: float, tools: Tools = TOOLS) -> Callable[[], Any]:
    """A callable to call before each inference: it returns 1 / rate seconds after it last did, at once for rate 0."""
    if not rate:
        return _nothing
    due = [tools.clock()]

    def rest() -> None:
        tools.sleep(max(0.0, due[0] - tools.clock()))
        due[0] = tools.clock() + 1 / rate

    return rest


def warm_up(
    infer: Callable[[], Any], cap: float, tools: Tools = TOOLS, rest: Callable[[], Any] = _nothing
) -> Tuple[float, bool]:
    """Run until a fast and a slow moving average agree within 4 % three times; seconds per inference, and whether so.

    The rule is androidx Microbenchmark's with faster averages, so that a slow model warms up within seconds.
    """
    rest()
    fast = slow = timed(infer, tools.clock)
    began, agreed = tools.clock(), 0
    while agreed < 3 and tools.clock() - began < cap:
        rest()
        sample = timed(infer, tools.clock)
        fast, slow = 0.4 * sample + 0.6 * fast, 0.1 * sample + 0.9 * slow
        agreed = agreed + 1 if abs(fast - slow) <= 0.04 * slow else 0
    return fast, agreed >= 3


class Reference:
    """One kernel and what it took, in seconds a call, corrected for run delay."""

    def __init__(self, kernel: Kernel, delays: Any, clock: Callable[[], float]) -> None:
        self.kernel = kernel
        self.values: List[float] = []
        self._delays, self._clock, self._repeat = delays, clock, 1
        # not corrected: a run delay that is told late makes a call take no time, and would have it repeated for minutes
        once = max(min(timed(kernel.call, clock) for _ in range(ENOUGH)), 1e-9)
        self._repeat = max(1, math.ceil(SAMPLE / once))
        self.cost = once * self._repeat

    def sample(self) -> None:
        """Time it once more."""
        call, waited, began = self.kernel.call, self._delays.read(), self._clock()
        for _ in range(self._repeat):
            call()
        took = self._clock() - began
        self.values.append(max(0.0, took - longest(waited, self._delays.read())) / self._repeat)


class Steady:
    """The steady phase: `run` it, then `tell` what it was, as fields of a Result."""

    def __init__(
        self,
        request: Request,
        infer: Callable[[], Any],
        estimate: float,
        kernels: Dict[str, Kernel],
        tools: Tools = TOOLS,
    ) -> None:
        self._request, self._infer, self._tools, self._delays = request, infer, tools, tools.delays()
        self._walls: List[float] = []
        self._waits: List[float] = []
        self._slices: List[List[float]] = []
        self._each, self._spent, self._count = estimate >= EACH, 0.0, 0
        self._rest = pacer(request.rate, tools)
        self._refill = 0 if estimate >= SLOW or request.rate else min(5, math.ceil(CACHES / max(estimate, 1e-9)))
        self._references = self._afford(kernels)
        self._length = min(LEAST, request.seconds)
        if self._references:
            cost = sum(one.cost for one in self._references.values())
            self._length = max(SLICE, request.seconds / MANY, cost * (1 / request.kernel_share - 1))

    def _afford(self, kernels: Dict[str, Kernel]) -> Dict[str, Reference]:
        """The kernels of which enough samples fit the phase's share for references, the cheapest first."""
        budget = self._request.kernel_share * self._request.seconds
        taken: Dict[str, Reference] = {}
        made = {name: Reference(one, self._delays, self._tools.clock) for name, one in kernels.items() if budget > 0}
        for name in sorted(made, key=lambda name: made[name].cost):
            budget -= ENOUGH * made[name].cost
            if budget >= 0:
                taken[name] = made[name]
        return taken

    def run(self) -> None:
        """Alternate slices of the model with the kernels, garbage collection off."""
        gc.collect()
        gc.disable()
        self._waited, self._began, self._from = self._delays.read(), self._tools.clock(), self._tools.boottime()
        self._sample()
        while not self._done():
            self._slice()
            self._sample()
        self._took, self._to = self._tools.clock() - self._began, self._tools.boottime()
        self._delayed = total(self._waited, self._delays.read())
        gc.enable()
        self._delays.close()

    def _sample(self) -> None:
        for one in self._references.values():
            one.sample()

    def _done(self) -> bool:
        least = min(LEAST, self._request.seconds)
        slices = SLICES if self._references else 1
        full = len(self._walls) >= self._request.samples and self._spent >= least and len(self._slices) >= slices
        late = self._tools.clock() - self._began >= self._request.seconds
        return full or (late and len(self._walls) >= ENOUGH)

    def _slice(self) -> None:
        """Time inferences one by one, each with the run delay that fell into it."""
        clock, infer, walls, waits = self._tools.clock, self._infer, self._walls, self._waits
        read = self._delays.read if self._each else _nothing
        begin, first = self._tools.boottime(), len(walls)
        if self._references:
            for _ in range(self._refill):
                infer()
        began = end = clock()
        least = first + 1 if self._references else self._request.samples
        until, cap = began + self._length, self._began + self._request.seconds
        while (end < until or len(walls) < least) and (end < cap or len(walls) < max(ENOUGH, first + 1)):
            self._rest()
            waited = read()
            start = clock()
            infer()
            end = clock()
            walls.append(end - start)
            waits.append(longest(waited, read()))
        self._spent += end - began
        self._count += len(walls) - first + (self._refill if self._references else 0)
        self._slices.append([begin, self._tools.boottime()])

    def tell(self) -> Dict[str, Any]:
        """Fields of the result."""
        step = 1 + len(self._walls) // MOST
        walls, waits = self._walls[::step], self._waits[::step]
        references = {name: one for name, one in self._references.items() if len(one.values) >= ENOUGH}
        return {
            "latencies": walls,
            "corrected": [max(0.0, wall - wait) for wall, wait in zip(walls, waits)],
            "run_delay": self._delayed / self._took,
            "kernels": {name: median(one.values) for name, one in references.items()},
            "slices": self._slices,
            "inferences": self._count,
        }

    def window(self) -> List[float]:
        """Begin and end on CLOCK_BOOTTIME."""
        return [self._from, self._to]


def facts(kernels: Dict[str, Kernel], seconds: Dict[str, float]) -> Dict[str, Any]:
    """What the kernels were, and the MAC/s of the one that counts them."""
    told: Dict[str, Any] = {"kernels": {name: kernels[name].label for name in seconds}}
    roof = _roof(kernels.get("compute"), seconds.get("compute"))
    return {**told, "roof": roof} if roof else told


def _roof(kernel: Optional[Kernel], seconds: Optional[float]) -> float:
    return kernel.macs / seconds if kernel and seconds else 0.0


def median(values: List[float]) -> float:
    """The middle value, or the mean of the two middle ones; the module that has it takes 20 ms to import."""
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
