"""Running sensors: each is timed, isolated, asked less often while it fails, and abandoned while it hangs.

All sensors of a sweep run in one runner thread, one after the other; the sensing lane watches it. A sensor that takes
longer than the timeout keeps that thread for as long as the kernel holds it, and a new runner goes on with the others;
it is asked again only after it has returned.

Sensors of power may be sampled between sweeps (`sample`), so that the energy of a short time is known.
"""

from __future__ import annotations

import errno
import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from edgemon import catalog
from edgemon.energy import Meter
from edgemon.metric import Reading, State, Sweep
from edgemon.platforms import Platform, Sensor
from edgemon.sysfs import DENIED, Root

log = logging.getLogger("edgemon.collect")

PATIENCE = {State.ABSENT: 60.0, State.DENIED: 60.0}
"""Seconds after which a sensor without hardware or permission is asked again."""
LONGEST = 300.0
"""Most seconds between two tries of a failing sensor; the pause doubles up to it."""


def boottime() -> float:
    """Seconds since boot, suspend included: the clock of every stamp."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def take(name: str, sensor: Sensor, root: Root) -> Sweep:
    """Run one sensor once. What it gave before a failure is kept; values it could not read are left out."""
    view, began, readings, detail = root.view(), time.perf_counter(), [], ""
    try:
        for reading in sensor.read(view):
            if reading.value is not None and math.isfinite(reading.value):
                readings.append(reading)  # noqa: PERF401 - what came before a failure must stay
    except Exception as error:  # noqa: BLE001 - seam: whatever a sensor raises is a state of that sensor
        detail = f"{type(error).__name__}: {error}"
        code = errno.errorcode.get(error.errno or 0) if isinstance(error, OSError) else None
        view.errors[code or type(error).__name__] += 1
    state = judge(view.errors, bool(readings), bool(detail))
    return Sweep(name, boottime(), tuple(readings), state, time.perf_counter() - began, dict(view.errors), detail)


def judge(errors: Counter[str], readings: bool, failed: bool) -> State:
    """The state of a pass: what was read makes it ok, unless the sensor itself broke."""
    if failed and not DENIED.intersection(errors):
        return State.ERROR
    if readings and not failed:
        return State.OK
    if DENIED.intersection(errors):
        return State.DENIED
    return State.ERROR if errors else State.ABSENT


class Source:
    """One sensor of one platform, and how it has been doing."""

    def __init__(self, platform: str, sensor: Sensor) -> None:
        self.name = f"{platform}.{sensor.name}"
        self.platform, self.sensor = platform, sensor
        self.due = self.asked = -math.inf
        self.hung = False
        self.failures = 0
        self.state = State.ABSENT
        self.seconds = 0.0
        self.succeeded: float | None = None
        self.errors: Counter[str] = Counter()
        self._labels = (platform, sensor.name)
        self._states = {
            state: tuple(catalog.SENSOR_STATE(float(one is state), *self._labels, one.value) for one in State)
            for state in State
        }

    def note(self, sweep: Sweep, now: float) -> None:
        """Remember how a pass went and when to ask again."""
        if sweep.state is not self.state:
            about = {"sensor": self.name}
            log.log(
                _level(sweep.state), "sensor %s is %s%s", self.name, sweep.state.value, _because(sweep), extra=about
            )
        self.state, self.seconds = sweep.state, sweep.seconds
        self.errors.update(sweep.errors)
        if sweep.state is State.OK:
            self.failures, self.succeeded, pause = 0, time.time(), self.sensor.every
        else:
            self.failures += 1
            pause = PATIENCE.get(sweep.state) or min(LONGEST, 2.0 ** (self.failures - 1))
        self.asked, self.due = now, now + pause - 0.001

    def samplable(self, now: float) -> bool:
        """Whether this is a sensor of power that is well and has a new value by now."""
        power = self.sensor.power
        return power > 0 and self.state is State.OK and not self.hung and now - self.asked >= power - 0.001

    def readings(self) -> Iterator[Reading]:
        """The sensor's own state, for export."""
        yield from self._states[self.state]
        yield catalog.SENSOR_DURATION(self.seconds, *self._labels)
        if self.succeeded is not None:
            yield catalog.SENSOR_SUCCESS(self.succeeded, *self._labels)
        for name, count in self.errors.items():
            yield catalog.SENSOR_ERRORS(count, *self._labels, name)


class Runner(threading.Thread):
    """The thread that runs sensors, until one hangs in it."""

    def __init__(self, root: Root) -> None:
        super().__init__(name="edgemon-sensors", daemon=True)
        self.lock = threading.Lock()
        self.idle = threading.Event()
        self.abandoned = False
        self.current: tuple[Source, float] | None = None
        self.done: list[tuple[Source, Sweep]] = []
        self._root = root
        self._work = threading.Semaphore(0)
        self._batch: deque[Source] = deque()

    def give(self, batch: deque[Source]) -> None:
        """Hand over the sensors to run; `idle` is set when all have."""
        self._batch, self.done = batch, []
        self.idle.clear()
        self._work.release()

    def end(self) -> None:
        """Run nothing more."""
        self.abandoned = True
        self._work.release()

    def run(self) -> None:
        """Work through batches until abandoned."""
        while self._work.acquire() and not self.abandoned:
            while self._next():
                pass
            self.idle.set()
        self.idle.set()

    def _next(self) -> bool:
        with self.lock:
            if self.abandoned or not self._batch:
                return False
            source = self._batch.popleft()
            self.current = (source, time.monotonic())
        sweep = take(source.name, source.sensor, self._root)
        with self.lock:
            self.current = None
            if self.abandoned:
                source.hung = False
            else:
                self.done.append((source, sweep))
        return True


class Collector:
    """All sensors of all platforms present. `sweep` is one pass over those that are due, every `interval` seconds.

    `meter` gets what they say of power, and gives the energy that comes of it. Threads take turns.
    """

    def __init__(
        self,
        platforms: Sequence[Platform],
        root: Root,
        timeout: float = 1.0,
        publish: Callable[[str, Iterable[Reading]], None] = lambda _source, _readings: None,
        interval: float = 10.0,
        meter: Meter | None = None,
    ) -> None:
        self.sources = [Source(one.name, sensor) for one in platforms for sensor in one.sensors]
        self._root, self._timeout, self._publish = root, timeout, publish
        self._interval, self._meter = interval, meter or Meter()
        self._turn = threading.Lock()
        self._runner: Runner | None = None
        self._stopped = False

    def adopt(self, platforms: Sequence[Platform]) -> None:
        """Read these platforms from now on; a sensor that stays keeps its state and its counts."""
        with self._turn:
            before = {one.name: one for one in self.sources}
            sources = [Source(one.name, sensor) for one in platforms for sensor in one.sensors]
            self.sources = [before.pop(one.name, one) for one in sources]
            for name in before:
                self._publish(name, ())

    def sweep(self) -> None:
        """Run every sensor that is due and publish what came of each, the hung ones included."""
        with self._turn:
            now = time.monotonic()
            self._run(deque(source for source in self.sources if source.due <= now and not source.hung))
            self._publish("edgemon.sensors", [reading for source in self.sources for reading in source.readings()])

    def sample(self) -> None:
        """Run the sensors of power that have a new value."""
        with self._turn:
            now = time.monotonic()
            self._run(deque(source for source in self.sources if source.samplable(now)))

    @contextmanager
    def briskly(self, every: float = 0.1) -> Iterator[None]:
        """Sample power this often, in seconds, as long as it lasts; nothing where no sensor of power is well."""
        over = threading.Event()

        def work() -> None:
            while not over.wait(every):
                self.sample()

        if any(source.samplable(math.inf) for source in self.sources):
            threading.Thread(target=work, name="edgemon-power", daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def _run(self, batch: deque[Source]) -> None:
        while batch and not self._stopped:
            runner = self._ready()
            runner.give(batch)
            while not runner.idle.wait(self._left(runner)):
                if self._stopped or self._abandon(runner):  # one that was ended before it began says nothing more
                    break
            for source, sweep in runner.done:
                self._note(source, sweep)

    def stop(self) -> None:
        """End the runner, also in the middle of a sweep; one that hangs ends with the process."""
        self._stopped = True
        if self._runner:
            self._runner.end()

    def _ready(self) -> Runner:
        if self._runner is None or self._runner.abandoned:
            self._runner = Runner(self._root)
            self._runner.start()
        return self._runner

    def _left(self, runner: Runner) -> float:
        current = runner.current
        return max(0.001, current[1] + self._timeout - time.monotonic()) if current else self._timeout

    def _abandon(self, runner: Runner) -> bool:
        """Give up on a runner whose sensor is over its time; whether that was so."""
        with runner.lock:
            if runner.current is None or time.monotonic() - runner.current[1] < self._timeout:
                return False
            source = runner.current[0]
            runner.abandoned = source.hung = True
        self._note(source, Sweep(source.name, boottime(), (), State.TIMEOUT, self._timeout, {"ETIMEDOUT": 1}))
        return True

    def _note(self, source: Source, sweep: Sweep) -> None:
        source.note(sweep, time.monotonic())
        energy = self._meter.add(sweep.readings, sweep.at, max(self._interval, source.sensor.every))
        self._publish(source.name, [*sweep.readings, *energy] if energy else sweep.readings)


def _level(state: State) -> int:
    return logging.DEBUG if state in {State.OK, State.ABSENT} else logging.WARNING


def _because(sweep: Sweep) -> str:
    names = ", ".join(f"{name} {count}" for name, count in sweep.errors.items())
    return f" ({sweep.detail or names})" if sweep.detail or names else ""
