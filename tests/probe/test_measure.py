"""Timing on an injected clock: the warm-up, the slices, their turns with the kernels, the correction for run delay."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from edgemon.probe.kernels import Kernel
from edgemon.probe.measure import CACHES, ENOUGH, LEAST, MOST, SLICE, SLICES, Steady, Tools, facts, pause, warm_up
from tests.probe import ask


class World:
    """A clock that moves when something works, a scheduler that keeps it waiting, and a diary of what ran."""

    def __init__(self) -> None:
        self.now, self.asleep, self.ran = 100.0, 0.0, ""
        self.waited = [0, 0]
        self.tools = Tools(self.clock, self.boottime, lambda: self, self.sleep)

    def clock(self) -> float:
        return self.now

    def boottime(self) -> float:
        return 1000.0 + self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def read(self) -> list[int]:
        return list(self.waited)

    def close(self) -> None:
        pass

    def work(self, letter: str, seconds: float, waits: Iterable[float] = ()) -> Callable[[], Any]:
        """Work that takes so long, and now and then waits as well, by turns of the given list."""
        each = iter(waits)

        def run() -> None:
            wait = next(each, 0.0)
            self.now += seconds + wait
            self.waited[0] += round(wait * 1e9)
            self.ran += letter

        return run

    def steady(self, infer: Callable[[], Any], estimate: float, kernels: dict[str, Kernel], **fields: Any) -> Steady:
        asked = ask(**{"samples": 100, "seconds": 2.0, **fields})
        phase = Steady(asked, infer, estimate, kernels, self.tools)
        self.ran = ""
        phase.run()
        return phase

    def kernels(self, compute: float = 0.001, memory: float = 0.002) -> dict[str, Kernel]:
        return {"compute": Kernel("c", self.work("c", compute), 1000), "memory": Kernel("m", self.work("m", memory))}


@pytest.fixture
def world() -> World:
    return World()


def test_the_warm_up_ends_when_three_inferences_in_a_row_are_as_quick_as_before(world: World) -> None:
    times = iter([9.0, 4.0, 2.0, *[1.0] * 1000])

    def infer() -> None:
        world.now += next(times) * 1e-3

    estimate, settled = warm_up(infer, 2.0, world.tools)
    assert settled
    assert estimate == pytest.approx(0.001, rel=0.05)
    assert 1000 - len(list(times)) > 10


def test_a_warm_up_that_finds_no_steady_pace_says_so_when_its_time_is_up(world: World) -> None:
    times = iter([0.001 * 1.2**step for step in range(1000)])

    def infer() -> None:
        world.now += next(times)

    assert warm_up(infer, 2.0, world.tools)[1] is False


def test_slices_of_the_model_stand_between_samples_of_every_kernel(world: World) -> None:
    phase = world.steady(world.work(".", 0.001), 0.001, world.kernels())
    turns = world.ran.split("cm")
    assert (turns[0], turns[-1]) == ("", ""), "kernels begin and end it"
    assert len(turns) - 2 >= SLICES
    assert all(len(turn) == pytest.approx(5 + SLICE / 0.001, abs=1) for turn in turns[1:-1])
    told = phase.tell()
    assert told["kernels"] == {"compute": pytest.approx(0.001), "memory": pytest.approx(0.002)}
    assert len(told["slices"]) == len(turns) - 2
    assert told["inferences"] == world.ran.count(".") > len(told["latencies"]) >= 100


@pytest.mark.parametrize(("model", "compute", "memory"), [(1e-3, 1e-3, 2e-3), (1e-5, 8e-3, 16e-3), (3e-2, 5e-3, 5e-3)])
def test_kernels_take_no_larger_a_share_of_the_phase_than_asked(
    model: float, compute: float, memory: float, world: World
) -> None:
    phase = world.steady(world.work(".", model), model, world.kernels(compute, memory), kernel_share=0.2)
    begin, end = phase.window()
    told = phase.tell()
    busy = sum(b - a for a, b in told["slices"])
    once = compute + memory
    assert (end - begin) - busy <= 0.2 * (end - begin - once) + once + 1e-9, "but for the pair that begins it"
    assert busy >= LEAST


def test_kernels_that_cost_more_than_their_share_are_left_out(world: World) -> None:
    phase = world.steady(world.work(".", 0.001), 0.001, world.kernels(memory=1.0))
    assert "m" not in world.ran
    assert set(phase.tell()["kernels"]) == {"compute"}


def test_without_kernels_the_phase_is_one_slice(world: World) -> None:
    phase = world.steady(world.work(".", 0.001), 0.001, {})
    told = phase.tell()
    assert (told["kernels"], len(told["slices"])) == ({}, 1)
    assert len(told["latencies"]) == told["inferences"] == pytest.approx(LEAST / 0.001, abs=1)


def test_a_quick_kernel_is_called_until_a_sample_lasts_a_millisecond_and_told_by_the_call(world: World) -> None:
    phase = world.steady(world.work(".", 0.001), 0.001, {"compute": Kernel("c", world.work("c", 0.0001))})
    assert world.ran.startswith("c" * 10 + ".")
    assert phase.tell()["kernels"]["compute"] == pytest.approx(0.0001)


@pytest.mark.parametrize(("model", "runs"), [(0.0001, 5), (0.004, 2), (0.02, 1), (0.06, 0)])
def test_the_model_gets_its_caches_back_before_it_is_timed_again(model: float, runs: int, world: World) -> None:
    phase = world.steady(world.work(".", model), model, world.kernels())
    told = phase.tell()
    assert told["inferences"] - len(told["latencies"]) == runs * len(told["slices"])
    assert runs * model <= max(CACHES, model) * 2


def test_run_delay_is_taken_from_the_inference_it_fell_into_and_from_the_kernels(world: World) -> None:
    waits = [0.0] * 12 + [0.004] + [0.0] * 1000
    delayed = {"compute": Kernel("c", world.work("c", 0.001, [0.0] * 3 + [0.003] * 1000))}
    phase = world.steady(world.work(".", 0.001, waits), 0.001, delayed)
    told = phase.tell()
    assert max(told["latencies"]) == pytest.approx(0.005)
    assert told["corrected"] == pytest.approx([0.001] * len(told["corrected"]))
    assert told["kernels"]["compute"] == pytest.approx(0.001)
    begin, end = phase.window()
    assert told["run_delay"] == pytest.approx(sum(world.waited) * 1e-9 / (end - begin), rel=0.05)


def test_the_delay_of_the_most_delayed_thread_counts_for_one_inference_and_that_of_all_for_the_phase(
    world: World,
) -> None:
    def infer() -> None:
        world.now += 0.005
        world.waited[0] += 4_000_000
        world.waited[1] += 3_000_000

    told = world.steady(infer, 0.005, {}).tell()
    assert told["corrected"][0] == pytest.approx(0.001)
    assert told["run_delay"] == pytest.approx(7 / 5)


def test_of_models_quicker_than_a_tenth_of_a_millisecond_only_the_phases_delay_is_known(world: World) -> None:
    told = world.steady(world.work(".", 0.00005, [0.001]), 0.00005, {}).tell()
    assert told["corrected"] == told["latencies"]
    assert told["run_delay"] > 0


def test_a_slow_model_ends_with_its_time_but_not_before_three_samples(world: World) -> None:
    told = world.steady(world.work(".", 1.5), 1.5, world.kernels(), seconds=2.0).tell()
    assert len(told["latencies"]) == ENOUGH
    assert "compute" in told["kernels"]


def test_many_samples_are_thinned_evenly(world: World) -> None:
    told = world.steady(world.work(".", 1e-6), 1e-6, {}, samples=3 * MOST, seconds=5.0).tell()
    assert MOST / 2 <= len(told["latencies"]) <= MOST
    assert told["inferences"] >= 3 * MOST


def test_slices_stay_few_however_long_the_phase(world: World) -> None:
    told = world.steady(world.work(".", 0.01), 0.01, world.kernels(), samples=10000, seconds=60.0).tell()
    assert len(told["slices"]) <= 101


def test_windows_are_on_the_clock_that_counts_suspend(world: World) -> None:
    assert pause(0.5, world.tools) == [1100.0, 1100.5]
    phase = world.steady(world.work(".", 0.001), 0.001, world.kernels())
    begin, end = phase.window()
    slices = phase.tell()["slices"]
    assert begin < slices[0][0] < slices[0][1] < slices[-1][1] < end


def test_the_roof_is_the_compute_kernels_macs_by_its_time(world: World) -> None:
    told = facts(world.kernels(), {"compute": 0.001, "memory": 0.002})
    assert told == {"kernels": {"compute": "c", "memory": "m"}, "roof": pytest.approx(1e6)}
    assert facts(world.kernels(), {"memory": 0.002}) == {"kernels": {"memory": "m"}}


def test_a_run_delay_told_late_does_not_have_a_kernel_repeated_for_minutes(world: World) -> None:
    """The scheduler books more delay on a call than the call took: less that delay it would have taken no time."""
    late = world.work("k", 0.0002)

    def call() -> None:
        late()
        world.waited[0] += 10**6

    world.steady(world.work(".", 0.001), 0.001, {"compute": Kernel("k", call)}, seconds=0.3)
    assert max(map(len, world.ran.split("."))) <= 2 * 5
