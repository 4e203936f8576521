"""From a device to the cause: real workers in conditions of real captures, of a real neighbour, of a real engine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edgemon import config
from edgemon.archive import Archive
from edgemon.capture import Capture, Moment, load, render
from edgemon.collect import Collector
from edgemon.conditions import Conditions
from edgemon.finding import Finding, sentence
from edgemon.identity import device
from edgemon.judge.baseline import record
from edgemon.judge.diagnosis import Strength
from edgemon.judge.verdict import State
from edgemon.platforms import discover
from edgemon.prober import Prober
from edgemon.replay import Replay
from edgemon.store import Snapshot, Store
from edgemon.survey import present
from edgemon.sysfs import REMEMBER, Root
from tests.devices import HERE
from tests.probe import ROOT
from tests.running import running, until
from tests.test_replay import Clock

PROBE = config.Probe(
    model="/a/model", runtime="fake", options={"work": 1000}, idle=0.0, samples=5, seconds=0.2, effect=0.2, timeout=60.0
)
HEATING = "raspberry-pi-4-heating"
COOL, HOT = 0.0, 140.0
"""Seconds into the episode: 68.7 °C, and 81.3 °C with the clock capped."""
SLOWER = """#!{python}
import runpy, sys, time
sys.path.insert(0, {root!r})
from edgemon.runtimes import fake
def burn(seconds):
    def run():
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass
    return run
make = fake.Fake.__init__
def slower(self, request):
    make(self, request)
    self._work *= {model}
    for name in ("compute", "memory"):
        request.options[name] = 500 * {device}
fake.Fake.__init__, fake._burn = slower, burn
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def simulated(path: Path, model: float, fixed: float) -> str:
    """An interpreter on whose simulated device the model and fixed work take so many times their CPU time."""
    path.write_text(SLOWER.format(python=sys.executable, root=ROOT, model=model, device=fixed))
    path.chmod(0o755)
    return str(path)


class Device:
    """A machine with sensors, an archive, and interpreters of several speeds."""

    def __init__(self, folder: Path, root: Root) -> None:
        self.folder, self.root, self.archive = folder, root, Archive(str(folder / "state"))

    def prober(self, probe: config.Probe, model: float = 1.0, fixed: float = 1.0) -> Prober:
        store = Store()
        collector = Collector(present(discover(), self.root, ()), self.root, publish=store.put)

        def look() -> Snapshot:
            collector.sweep()
            return store.commit()

        if probe.runtime == "fake" and not probe.python:
            probe = replace(probe, python=simulated(self.folder / f"python-{model}-{fixed}", model, fixed))
        prober = Prober("a", probe, self.archive, self.root, str(self.folder / "state"))
        prober.look = look
        return prober

    def learn(self, probe: config.Probe = PROBE, rounds: int = 5) -> None:
        prober = self.prober(probe)
        self.archive.keep(record([prober.run(record=True).result for _ in range(rounds)], device(self.root)))

    def find(self, probe: config.Probe = PROBE, model: float = 1.0, fixed: float = 1.0) -> Finding:
        prober = self.prober(probe, model, fixed)
        return [prober.run() for _ in range(5)][-1]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Callable[[Root], Device]]:
    made: list[Device] = []

    def make(root: Root) -> Device:
        made.append(Device(tmp_path, root))
        return made[-1]

    yield make
    for one in made:
        one.archive.close()


def names(finding: Finding) -> list[str]:
    return [one.name for one in finding.causes]


def test_a_board_that_heats_up_is_slow_by_thermal_throttling(place: Callable[[Root], Device], clock: Clock) -> None:
    """A Raspberry Pi 4 of sbc-bench: slow while it is still cool has another cause, slow when it is capped has this."""
    board = place(Replay(load(str(HERE / f"{HEATING}.capture")), clock=clock))
    board.learn()
    kept = board.archive.baseline("a")
    assert kept
    assert kept.conditions
    assert kept.conditions.temperatures == {"cpu-thermal": 68.7}

    cool = board.find(model=1.6, fixed=1.6)
    assert cool.verdict.state is State.DEGRADED
    assert "thermal_throttling" not in names(cool)

    clock.now = HOT + REMEMBER
    hot = board.find(model=1.6, fixed=1.6)
    assert hot.verdict.state is State.DEGRADED
    heat = next(one for one in hot.causes if one.name == "thermal_throttling")
    assert heat.strength is Strength.CERTAIN
    said = {one.source: (one.what, one.now, one.then) for one in heat.witnesses}
    cap = said['edgemon_throttled{hw_id="soc/cap",cause="thermal"}']
    assert cap == ("soc/cap slowed down (thermal)", "100% of looks", "0% at the baseline")
    assert said['hw_temperature_celsius{hw_id="cpu-thermal"}'] == (
        "temperature of cpu-thermal", "81.3 °C", "68.7 °C at the baseline",
    )  # fmt: skip
    assert said['edgemon_probe_kernel_slowdown_ratio{probe="a",kernel="compute"}'][1] > "+3"
    assert "cool it" in heat.step
    assert Conditions.from_json(board.archive.results("a")[-1][1].conditions).active("thermal")


def test_the_daemon_names_thermal_throttling_on_the_page_in_the_metrics_and_in_the_log(tmp_path: Path) -> None:
    """The same episode in less than a second; baseline and some slow rounds are from before."""
    episode = load(str(HERE / f"{HEATING}.capture"))
    cool = Device(tmp_path, Replay(episode, clock=Clock()))
    cool.learn()
    cool.find(model=1.6, fixed=1.6)
    cool.archive.close()
    file = tmp_path / "quick.capture"
    moments = tuple(Moment(round(at / 200, 1), entries) for at, entries in episode.moments)
    file.write_text(render(Capture(episode.source, moments)))
    probe = {
        "runtime": "fake", "model": "/a/model", "options": {"work": 1000}, "idle": "0ms", "samples": 5, "effect": 0.2,
        "seconds": "200ms", "python": simulated(tmp_path / "slow", 1.6, 1.6),
        "despite": ["throttled"],
    }  # fmt: skip
    with running(tmp_path, root=str(file), sensors={"interval": "200ms"}, probes={"a": probe}) as daemon:
        cause = 'edgemon_probe_cause{probe="a",cause="thermal_throttling",strength="'
        text = until(lambda: (found := daemon.get("/metrics")[1]) * (cause in found), 60.0)
        assert 'edgemon_probe_verdict{probe="a",state="degraded"} 1.0' in text
        assert "soc/cap slowed down (thermal)" in daemon.get("/")[1]
        assert "thermal_throttling: soc/cap slowed down (thermal)" in daemon.log()


AS_NICE = """
if os.path.exists("/proc/self/autogroup"):
    open("/proc/self/autogroup", "w").write("19")
"""


@contextmanager
def neighbours(cpu: int, count: int) -> Iterator[None]:
    """Processes as nice as a probe's worker that keep one CPU busy; until the block ends this thread is there too.

    Each is a session of its own, as nice as a worker's: a kernel that groups tasks by session (autogroup) otherwise
    gives this session's share of the CPU to whatever else the tests run, and next to nothing to what is nice in it.
    """
    before = os.sched_getaffinity(0)
    code = f"import os\nos.sched_setaffinity(0, {{{cpu}}})\nos.nice(19)\n{AS_NICE}\nprint(flush=True)\nwhile True: pass"
    command = [sys.executable, "-c", code]
    busy = [subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) for _ in range(count)]
    try:
        for one in busy:
            assert one.stdout
            one.stdout.readline()
        os.sched_setaffinity(0, {cpu})
        yield
    finally:
        os.sched_setaffinity(0, before)
        for one in busy:
            one.kill()
            one.communicate()


def test_busy_processes_on_the_same_core_are_contention_and_neither_model_nor_device(
    place: Callable[[Root], Device],
) -> None:
    """Even of a model that takes more CPU time than it did: on such a core nobody can tell."""
    machine = place(Root())
    machine.learn()
    kept = machine.archive.baseline("a")
    assert kept
    assert kept.conditions
    quiet = replace(kept.conditions, taken={"run_delay": 0.0})  # whatever else runs beside this test
    machine.archive.keep(replace(kept, conditions=quiet))
    with neighbours(min(os.sched_getaffinity(0)), 3):
        finding = machine.find(model=1.6)
    assert finding.verdict.state in {State.DEGRADED, State.UNDECIDED}
    first = finding.causes[0]
    assert first.name == "cpu_contention", sentence(finding)
    assert first.strength is not Strength.POSSIBLE
    delay = next(one for one in first.witnesses if one.source == 'edgemon_probe_run_delay_ratio{probe="a"}')
    assert float(delay.now.rstrip("%")) > 10
    assert delay.then == "0% at the baseline"
    assert not {"engine_slow_unexplained", "device_slow_unexplained"} & set(names(finding))


def test_a_graph_that_falls_back_names_the_fallback(place: Callable[[Root], Device]) -> None:
    """A real engine, asked for a provider that takes no node."""
    probe = replace(PROBE, runtime="onnx", model=config.EMBEDDED, options={}, providers=("AzureExecutionProvider",))
    finding = place(Root()).prober(probe).run()
    if not finding.result.facts.get("placement"):
        pytest.skip(finding.result.detail or "this onnxruntime has no record of node assignment")
    first = finding.causes[0]
    assert (first.name, first.strength) == ("fallback_to_cpu", Strength.CERTAIN)
    where = 'edgemon_probe_placement_ratio{probe="a",stage="assigned",provider="AzureExecutionProvider"}'
    assert [(one.now, one.source) for one in first.witnesses] == [("0%", where)]


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"options": {"work": 1000, "behaviour": "wrong"}}, "wrong_output"),
        ({"options": {"work": 1000, "behaviour": "segfault"}}, "unexplained"),
        ({"options": {"behaviour": "allocate"}, "memory": 200 << 20}, "memory_pressure"),
        ({"model": "/another/model"}, "model_changed"),
        ({"options": {"work": 2000}}, "configuration_changed"),
    ],
)
def test_whatever_else_is_wrong_has_its_cause(
    changes: dict[str, object], cause: str, place: Callable[[Root], Device], clock: Clock
) -> None:
    board = place(Replay(load(str(HERE / f"{HEATING}.capture")), clock=clock))
    board.learn(rounds=1)
    finding = board.prober(replace(PROBE, **changes)).run()  # type: ignore[arg-type]
    assert finding.causes[0].name == cause
    assert finding.verdict.advice == finding.causes[0].step


def test_a_conditions_row_that_a_broken_disk_has_changed_costs_itself_only(
    place: Callable[[Root], Device], clock: Clock
) -> None:
    board = place(Replay(load(str(HERE / f"{HEATING}.capture")), clock=clock))
    result = board.prober(PROBE).run().result
    board.archive.add(replace(result, conditions={"clocks": {"p": [1]}}), "0")
    assert board.prober(PROBE).run().result.conditions
