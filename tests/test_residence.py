"""Where a worker lives: from run to run in one process, with the same results, and gone when it should be."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from edgemon import catalog, config
from edgemon.asking import request
from edgemon.probe import supervisor
from edgemon.probe.result import Outcome, Request
from edgemon.residence import ALL, MOST, OFTEN, SHARE, Circumstances, Residence, choose
from tests import onnx_models as models
from tests.probe import EMBEDDED, MIB, SPIN, ask, eventually, gone, workers
from tests.running import running, until
from tests.test_daemon import BRISK, QUICK, reload, value

PROBE = config.Probe(runtime="fake", worker="resident", interval=60.0)
GIB = 1 << 30
CALM = {**QUICK, "interval": "3s"}
"""Time enough for a run on a machine that is busy."""
MEASURED = ("resident", "roof", "kernels")
ROUNDS, MEMORY = (f'edgemon_probe_worker_{name}{{probe="a"}}' for name in ("rounds", "memory_usage_bytes"))


@pytest.fixture
def home() -> Iterator[Callable[..., Residence]]:
    """Makes residences, and closes them in the end."""
    made: list[Residence] = []

    def make(**settings: Any) -> Residence:
        clock = settings.pop("clock", time.monotonic)
        made.append(Residence(f"p{len(made)}", replace(PROBE, **settings), made, clock))
        return made[-1]

    yield make
    for one in made:
        one.close()
    assert not workers()


def left(one: Residence) -> dict[str, float | None]:
    """Why workers have left."""
    return {found.labels[1]: found.value for found in one.readings() if found.metric is catalog.PROBE_WORKER_LEFT}


def kill(worker: psutil.Process) -> None:
    """kill -9, and wait for it to be dead."""
    worker.send_signal(signal.SIGKILL)
    assert eventually(lambda: gone(worker))


# one process


def test_the_second_round_comes_from_the_same_process_and_tells_no_cold_start(home: Callable[..., Residence]) -> None:
    one = home()
    cold = one.run(ask())
    pid = workers()[0].pid
    warm = one.run(ask())
    assert [worker.pid for worker in workers()] == [pid]
    assert (cold.outcome, warm.outcome, warm.facts["resident"]) == (Outcome.OK, Outcome.OK, 2)
    assert "resident" not in cold.facts
    assert None not in (cold.import_seconds, cold.load_seconds, cold.first_seconds)
    assert (warm.import_seconds, warm.load_seconds, warm.first_seconds) == (None, None, None)
    assert warm.idle_seconds
    assert warm.latencies
    assert {one.metric.name: one.value for one in one.readings()}["edgemon.probe.worker.rounds"] == 2


@pytest.mark.parametrize("mode", ["resident", "ephemeral"])
def test_both_ways_find_the_same_outputs_and_the_same_wrong_ones(mode: str, home: Callable[..., Residence]) -> None:
    """The embedded model on its real engine: golden outputs to the bit, and outputs held against others are wrong."""
    one = home(runtime="onnx", worker=mode)
    asked = replace(request("p", replace(PROBE, runtime="onnx")), idle=0.0, samples=3, seconds=0.05)
    asked = replace(asked, counted=digest(asked))
    results = [one.run(asked) for _ in range(3)]
    assert bool(workers()) is (mode == "resident")
    assert {(result.outcome, result.detail) for result in results} == {(Outcome.OK, "")}
    assert all(result.distance["bits"] == 0.0 for result in results)
    facts = [{name: told for name, told in one.facts.items() if name not in MEASURED} for one in results]
    assert facts[0] == facts[1] == facts[2]
    off = replace(asked, golden=[[{**one, "values": [9.0] * 1000, "sha256": ""} for one in asked.golden[0]]])
    assert one.run(off).outcome is Outcome.WRONG_OUTPUT
    assert not workers()


def test_a_warm_round_costs_less_cpu_than_a_cold_one(home: Callable[..., Residence]) -> None:
    one, asked = home(runtime="onnx"), ask("onnx", model=EMBEDDED, kernel_share=0.0)
    asked = replace(asked, counted=digest(asked))
    costs = [one.run(asked).cpu_seconds or 0.0 for _ in range(8)]
    assert min(costs[-4:]) < min(costs[0], supervisor.run(asked).cpu_seconds or 0.0)
    assert min(costs) > 0


def test_what_an_engine_burns_between_rounds_is_booked_on_the_next(home: Callable[..., Residence]) -> None:
    one = home()
    asked = ask(options={"behaviour": "babble"})
    one.run(asked)
    worker = workers()[0]
    before = sum(worker.cpu_times()[:2])
    assert eventually(lambda: sum(worker.cpu_times()[:2]) > before + 0.3)
    assert (one.run(asked).cpu_seconds or 0.0) > 0.25


def test_who_prints_without_end_blocks_neither_a_round_nor_the_time_between(home: Callable[..., Residence]) -> None:
    one, asked = home(), ask(options={"behaviour": "babble"})
    for _ in range(3):
        result = one.run(asked)
        assert (result.outcome, result.detail) == (Outcome.OK, "")
    written = psutil.Process(workers()[0].pid).io_counters().write_chars
    assert eventually(lambda: workers()[0].io_counters().write_chars > written + 4 * MIB), "it goes on, unheard"


def test_peak_memory_is_that_of_the_round(home: Callable[..., Residence]) -> None:
    """Not that of the process so far: after a round that took 48 MiB for its kernels the next one tells less."""
    one = home()
    peaks = [one.run(ask(options={"behaviour": "leak", "round": 2})).peak_memory or 0 for _ in range(3)]
    assert peaks[0] < peaks[1] < peaks[2]
    assert peaks[2] - peaks[1] > 12 * MIB


# what befalls it


def test_a_worker_killed_between_rounds_is_replaced_and_counted(home: Callable[..., Residence]) -> None:
    one = home()
    one.run(ask())
    kill(workers()[0])
    result = one.run(ask())
    assert (result.outcome, result.load_seconds is None) == (Outcome.OK, False)
    assert left(one) == {"died": 1}


def test_a_death_between_rounds_is_seen_without_a_run(home: Callable[..., Residence]) -> None:
    one = home()
    one.run(ask())
    kill(workers()[0])

    def seen() -> bool:
        one.tend(False)
        return not one.memory()

    assert eventually(seen)
    assert left(one) == {"died": 1}
    assert not workers(), "and reaped"


@pytest.mark.parametrize(
    ("behaviour", "outcome", "detail"),
    [
        ("spin", Outcome.TIMEOUT, "no answer within 2 s, killed in check"),
        ("segfault", Outcome.CRASHED, "crashed with SIGSEGV in check"),
        ("raise", Outcome.FAILED, "told to raise"),
        ("wrong", Outcome.WRONG_OUTPUT, ""),
        (
            "allocate",
            Outcome.FAILED,
            ("out of memory (limit 256 MiB): ", "used more than 256 MiB of memory, killed in "),
        ),
    ],
)
def test_what_goes_wrong_in_round_two_is_that_rounds_outcome_and_the_next_is_cold(
    behaviour: str, outcome: Outcome, detail: str | tuple[str, ...], home: Callable[..., Residence]
) -> None:
    """Of the two bounds on memory, one on the data and one on what is resident, either may come first."""
    one = home()
    asked = ask(options={"behaviour": behaviour, "round": 2}, timeout=2.0, memory=256 * MIB)
    asked = replace(asked, golden=outputs(asked), golden_digest=digest(asked))
    assert one.run(asked).outcome is Outcome.OK
    result = one.run(asked)
    assert result.outcome is outcome
    assert result.detail.startswith(detail)
    assert not workers()
    assert left(one) == {"outcome": 1}
    again = one.run(asked)
    assert (again.outcome, again.load_seconds is None) == (Outcome.OK, False)


def outputs(asked: Request) -> list[list[dict[str, Any]]]:
    """What the model gives in the first round, as golden outputs."""
    return supervisor.run(replace(asked, record=True)).outputs


def digest(asked: Request) -> str:
    return str(supervisor.run(replace(asked, until="load")).facts["model_sha256"])


def test_a_cancel_ends_a_warm_round_within_a_second(home: Callable[..., Residence]) -> None:
    one, cancel = home(), threading.Event()
    asked = ask(options={**SPIN, "round": 2}, timeout=60.0)
    one.run(asked)
    thread = threading.Timer(0.3, cancel.set)
    thread.start()
    began = time.monotonic()
    assert one.run(asked, "", cancel).outcome is Outcome.SKIPPED
    assert time.monotonic() - began < 2
    thread.join()


def test_while_a_round_hangs_nobody_else_waits(home: Callable[..., Residence]) -> None:
    one, cancel = home(), threading.Event()
    thread = threading.Thread(target=lambda: one.run(ask(options=SPIN, timeout=60.0), "", cancel))
    thread.start()
    assert eventually(lambda: bool(workers()))
    began = time.monotonic()
    one.tend(True)
    one.close()
    assert list(one.readings()) is not None
    assert time.monotonic() - began < 1
    cancel.set()
    thread.join(10)


# when it leaves


def test_it_leaves_after_as_many_rounds_as_are_set(home: Callable[..., Residence]) -> None:
    one = home(recycle=3)
    cold = [one.run(ask()).load_seconds is not None for _ in range(7)]
    assert cold == [True, False, False, True, False, False, True]
    assert left(one) == {"rounds": 2}


def test_a_round_that_wants_a_process_of_its_own_has_one_and_no_other_round_has_it(
    home: Callable[..., Residence],
) -> None:
    one = home()
    started = [one.run(ask(fresh=fresh)).started for fresh in (False, False, True, True, False, False)]
    assert started[0] == started[1]
    assert started[4] == started[5]
    assert len(set(started)) == 4
    assert left(one) == {"doubt": 1}


def test_it_leaves_after_an_hour(home: Callable[..., Residence]) -> None:
    now = [0.0]
    one = home(clock=lambda: now[0])
    one.run(ask())
    now[0] = 3599.0
    one.tend(False)
    assert one.memory()
    now[0] = 3600.0
    one.tend(False)
    assert not one.memory()
    assert left(one) == {"age": 1}


def test_a_leak_of_16_mib_a_round_does_not_grow_for_ever(home: Callable[..., Residence]) -> None:
    one, sizes = home(), []
    for _ in range(8):
        assert one.run(ask(options={"behaviour": "leak"})).outcome is Outcome.OK
        sizes.append(one.memory())
    assert max(sizes) - min(filter(None, sizes)) <= 33 * MIB
    assert left(one) == {"growth": 2}


def test_it_leaves_when_model_or_settings_change(home: Callable[..., Residence], tmp_path: Path) -> None:
    one, path = home(runtime="onnx"), models.unary(tmp_path / "model.onnx")
    asked = ask("onnx", model=path)

    def change() -> tuple[str, float | None]:
        """Two runs, the first of which counts the model; its digest and how often a change made a worker leave."""
        nonlocal asked
        for _ in range(2):
            result = one.run(asked)
            asked = replace(asked, counted=result.facts["model_sha256"])
        assert one.memory()
        return asked.counted, left(one).get("changed")

    first = change()
    models.unary(tmp_path / "model.onnx", "Abs")
    second = change()
    assert (first[1], second[1]) == (None, 1)
    assert first[0] != second[0]
    (tmp_path / "model.onnx.data").write_bytes(b"weights beside the model")
    assert change() == (second[0], 2)
    asked = replace(asked, threads=2)
    assert change() == (second[0], 3)
    assert change() == (second[0], 3)


def test_it_is_given_back_when_memory_is_short_and_none_stays_meanwhile(home: Callable[..., Residence]) -> None:
    one = home()
    one.run(ask())
    one.tend(True)
    assert not workers()
    assert one.run(ask()).outcome is Outcome.OK
    assert str(one.choice) == "ephemeral (memory is short)"
    assert not workers()
    one.tend(False)
    one.run(ask())
    assert workers()
    assert left(one) == {"memory": 1}


def test_two_hundred_rounds_leave_no_descriptor_process_or_thread(home: Callable[..., Residence]) -> None:
    """Over four workers and two deaths."""

    def own() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    one, quick = home(recycle=60), ask(samples=3, seconds=0.01, kernel_share=0.0, options={"work": 1})
    before, others = own(), psutil.Process().children()  # a server that other tests share may be among them
    one.run(quick)
    at_work, inside = own(), workers()[0].num_fds()
    for number in range(199):
        if number in {20, 90}:
            kill(workers()[0])
        assert one.run(quick).outcome is Outcome.OK
        assert own()[1] == before[1]
    assert workers()[0].num_fds() == inside
    assert own() == at_work
    one.close()
    assert own() == before
    assert set(psutil.Process().children()) <= set(others)


# the choice


@pytest.mark.parametrize(
    ("settings", "now", "said"),
    [
        ({}, Circumstances(50 * MIB, 0, GIB), "resident (a run every 1m, 50 MiB)"),
        ({}, Circumstances(total=GIB), "resident (a run every 1m)"),
        ({"interval": OFTEN}, Circumstances(total=GIB), "resident (a run every 3m)"),
        ({"interval": 200.0}, Circumstances(total=GIB), "ephemeral (a run every 3m20s, from 3m on none stays)"),
        ({"calm_interval": 3600.0}, Circumstances(total=GIB), "ephemeral (a run every 1h, from 3m on none stays)"),
        (
            {},
            Circumstances(int(SHARE * GIB) + 1, 0, GIB),
            "ephemeral (102 MiB are more than 10% of the memory available)",
        ),
        (
            {},
            Circumstances(64 * MIB, int(ALL * GIB) - 63 * MIB, GIB),
            "ephemeral (with the others 257 MiB, 25% of the memory available)",
        ),
        ({}, Circumstances(total=GIB, accelerators=["EdgeTPU"]), "ephemeral (would keep EdgeTPU from others)"),
        ({"worker": "resident"}, Circumstances(GIB, 0, GIB, accelerators=["NPU"]), "resident (configured)"),
        ({"worker": "resident"}, Circumstances(others=MOST), "ephemeral (8 others are resident)"),
        ({"worker": "resident"}, Circumstances(short=True), "ephemeral (memory is short)"),
        ({"worker": "ephemeral"}, Circumstances(total=GIB), "ephemeral (configured)"),
        ({"runtime": "http"}, Circumstances(total=GIB), "ephemeral (http keeps no model in the worker)"),
    ],
)
def test_the_choice_and_its_reason(settings: dict[str, Any], now: Circumstances, said: str) -> None:
    assert str(choose(replace(PROBE, **{"worker": "auto", **settings}), now)) == said


def test_a_worker_that_proves_too_large_is_gone_after_its_first_round() -> None:
    one = Residence("p", replace(PROBE, worker="auto"), [], free=lambda: 64 * MIB)
    assert one.run(ask()).outcome is Outcome.OK
    assert not workers()
    assert not one.choice.stays
    assert left(one) == {"room": 1}
    assert one.run(ask()).load_seconds is not None


# in the daemon


def test_the_daemon_keeps_a_worker_and_tells_so_until_a_reload_or_its_end(tmp_path: Path) -> None:
    with running(tmp_path, probes={"a": CALM}, sensors=BRISK) as daemon:
        until(lambda: (value(daemon, ROUNDS) or 0) >= 2)
        first = workers(daemon.pid)
        assert len(first) == 1
        assert MIB < (value(daemon, MEMORY) or 0) < 200 * MIB
        reload(daemon, probes={"a": {**CALM, "options": {"work": 30}}}, sensors=BRISK)
        until(lambda: gone(first[0]))
        until(lambda: value(daemon, ROUNDS) == 2)
        second = workers(daemon.pid)
        reload(daemon, probes={"a": {**CALM, "worker": "ephemeral"}}, sensors=BRISK)
        until(lambda: gone(second[0]))
        until(lambda: value(daemon, ROUNDS) is None)
        reload(daemon, probes={"a": CALM}, sensors=BRISK)
        until(lambda: value(daemon, ROUNDS))
        last = workers(daemon.pid)
    assert gone(last[0])


def test_an_idle_worker_dies_with_a_daemon_that_is_killed(tmp_path: Path) -> None:
    with running(tmp_path, probes={"a": CALM}, sensors=BRISK) as daemon:
        until(lambda: value(daemon, ROUNDS))
        worker = workers(daemon.pid)[0]
        daemon.process.kill()
        assert eventually(lambda: gone(worker))


def test_the_daemon_gives_a_worker_back_when_memory_is_short(tmp_path: Path) -> None:
    """By a gate that is always closed after the reload, which leaves the probe and its worker as they are."""
    probe = CALM
    with running(tmp_path, probes={"a": probe}, sensors=BRISK) as daemon:
        until(lambda: value(daemon, ROUNDS))
        worker = workers(daemon.pid)[0]
        reload(daemon, probes={"a": probe}, sensors=BRISK, gates={"memory": "1000GiB"})
        until(lambda: gone(worker))
        until(lambda: value(daemon, 'edgemon_probe_worker_left_total{probe="a",reason="memory"}') == 1)
