"""Diagnosis: every cause from conditions made up for it, and none without; witnesses for and against are told."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import edgemon
from edgemon import catalog
from edgemon.conditions import WORKER, Conditions
from edgemon.judge.baseline import Baseline, Round
from edgemon.judge.case import Case, Kind
from edgemon.judge.diagnosis import CAUSES, RULES, Cause, Strength, diagnose, summary
from edgemon.judge.verdict import State, Verdict
from edgemon.probe.kernels import sha256
from edgemon.probe.result import Outcome, Result

CERTAIN, LIKELY, POSSIBLE = Strength
KEY = {
    "device": "Orin", "cpu": "A78 x6", "arch": "aarch64", "kernel": "5.15.148", "os": "Ubuntu 22.04",
    "governor": "schedutil", "runtime": "onnx 1.32", "providers": "NPU", "options": "{}", "model": "abc",
}  # fmt: skip
FACTS = {
    "requested": ["NPU"], "placement": {"NPU": 1.0}, "model_sha256": "abc", "kernels": {"compute": "NPU 4 x 768 x 768"},
}  # fmt: skip
COOL = Conditions(
    seconds=20.0,
    looks=20,
    uptime=9000.0,
    temperatures={"cpu": 50.0},
    limits={"cpu": (80.0, "throttled")},
    clocks={WORKER: (1.5e9, 0.0, 0.0), "policy0": (1.5e9, 1.5e9, 1.5e9), "npu": (1e9, 1e9, 0.0)},
    counters={"pressure cpu some": 0.2, "pressure memory some": 0.0, "pressure io some": 0.1},
    memory={"available": 0.6},
    modes={"nvpmodel": "MAXN"},
    governors={"policy0": "schedutil"},
    states={"npu": "ok"},
    drivers={"npu": "4.20"},
    busy={"npu": 0.0},
    links={"npu": (4.0, 4.0, 8e9, 8e9)},
    supplies={"AC": "online"},
)
"""A device with which nothing is wrong."""
DEVICE = {"compute": 1.2, "memory": 1.2}
WELL = {"compute": 1.0, "memory": 1.0}
VERDICTS = {
    Kind.SLOW: Verdict(State.DEGRADED, "slower", "20 % slower", 1.2, relative=1.2, references=WELL),
    Kind.UNSURE: Verdict(State.UNDECIDED, "noisy", "20 % slower, but", 1.2),
    Kind.CHANGED: Verdict(State.UNDECIDED, "changed", "the baseline is for another"),
    Kind.FELL_BACK: Verdict(State.DEGRADED, "fallback", "0% of the graph is on NPU"),
    Kind.WRONG: Verdict(State.FAILING, "wrong_output", "max_abs"),
    Kind.FAILED: Verdict(State.FAILING, "failed", "no device"),
    Kind.LATE: Verdict(State.FAILING, "timeout", "no answer within 5 s"),
}
OUTCOMES = {Kind.WRONG: Outcome.WRONG_OUTPUT, Kind.FAILED: Outcome.FAILED, Kind.LATE: Outcome.TIMEOUT}


def case(
    kind: Kind = Kind.SLOW, now: dict[str, Any] | None = None, then: Conditions | None = COOL, **more: Any
) -> Case:
    """A case of a kind, in which only what is given differs from a device that is well."""
    witnesses = more.pop("witnesses", {})
    facts = {**FACTS, **more.pop("facts", {})}
    result = Result("a", OUTCOMES.get(kind, Outcome.OK), more.pop("detail", ""), facts=facts, witnesses=witnesses)
    verdict = replace(VERDICTS[kind], **more.pop("verdict", {}))
    baseline = Baseline("a", "0", KEY, (1.0,) * 10, placement={"NPU": 1.0}, conditions=then)
    rounds = [Round(1.2, "0", run_delay=more.pop("run_delay", 0.03), steal=more.pop("steal", 0.0))] * 3
    key = {**KEY, **more.pop("key", {})}
    assert not more
    return Case(result, verdict, baseline, key, rounds, replace(COOL, **(now or {})))


def slow_device(**now: Any) -> Case:
    return case(now=now, verdict={"cause": "device_slow", "references": DEVICE, "relative": 1.0})


def counted(**counters: float) -> dict[str, float]:
    return {**COOL.counters, **{name.replace("_", " "): value for name, value in counters.items()}}


LOW = {WORKER: (0.6e9, 0.0, 0.0), "policy0": (0.6e9, 1.5e9, 1.5e9)}
FIRES: dict[str, tuple[Case, Strength]] = {
    "accelerator_lost": (case(Kind.FAILED, {"states": {}}, detail="no device"), CERTAIN),
    "accelerator_errors": (case(now={"counters": counted(error_uncorrected_npu=3.0)}), LIKELY),
    "fallback_to_cpu": (case(Kind.FELL_BACK, facts={"placement": {"NPU": 0.0, "CPU": 1.0}}), CERTAIN),
    "wrong_output": (case(Kind.WRONG, detail="off by 0.3"), CERTAIN),
    "model_changed": (case(Kind.CHANGED, key={"model": "def"}), CERTAIN),
    "runtime_changed": (case(Kind.CHANGED, key={"runtime": "onnx 1.33"}), CERTAIN),
    "driver_changed": (case(now={"drivers": {"npu": "4.21"}}), LIKELY),
    "kernel_changed": (case(Kind.CHANGED, key={"kernel": "6.8.0"}), CERTAIN),
    "device_changed": (case(Kind.CHANGED, key={"cpu": "A78 x8"}), CERTAIN),
    "configuration_changed": (case(Kind.CHANGED, key={"options": '{"threads": 2}'}), CERTAIN),
    "thermal_throttling": (
        slow_device(throttled={"thermal soc/cap": 0.8}, temperatures={"cpu": 81.0}, clocks=LOW),
        CERTAIN,
    ),
    "power_throttling": (slow_device(throttled={"power npu": 1.0}), CERTAIN),
    "undervoltage": (slow_device(throttled={"undervoltage soc": 0.5}, clocks=LOW), CERTAIN),
    "hardware_throttling": (slow_device(throttled={"hardware npu": 1.0}), CERTAIN),
    "power_mode_changed": (slow_device(modes={"nvpmodel": "15W"}), CERTAIN),
    "governor_changed": (slow_device(governors={"policy0": "powersave"}, clocks=LOW), CERTAIN),
    "software_cap": (slow_device(clocks={**COOL.clocks, "policy0": (0.6e9, 1.5e9, 0.6e9)}), CERTAIN),
    "clock_low": (slow_device(clocks=LOW), CERTAIN),
    "link_degraded": (case(now={"links": {"npu": (1.0, 4.0, 8e9, 8e9)}}), LIKELY),
    "accelerator_contention": (case(now={"busy": {"npu": 0.7}}), LIKELY),
    "on_battery": (slow_device(supplies={"AC": "offline"}), LIKELY),
    "cold_start": (case(now={"uptime": 40.0}, witnesses={"settled": 0.0}), LIKELY),
    "cpu_contention": (case(run_delay=0.4, verdict={"cause": "contention"}), CERTAIN),
    "steal": (case(steal=0.3, verdict={"cause": "steal"}), CERTAIN),
    "memory_pressure": (
        case(now={"counters": counted(pressure_memory_some=4.0), "memory": {"available": 0.03}}),
        CERTAIN,
    ),
    "io_pressure": (case(now={"counters": counted(pressure_io_some=9.0)}), LIKELY),
    "memory_bandwidth": (
        case(verdict={"cause": "memory_slow", "references": {"compute": 1.0, "memory": 1.3}, "relative": 1.2}),
        CERTAIN,
    ),
    "device_slow_unexplained": (slow_device(), CERTAIN),
    "engine_slow_unexplained": (case(), CERTAIN),
    "unexplained": (case(Kind.UNSURE), POSSIBLE),
}  # fmt: skip
SAME = replace(
    COOL, throttled={"power npu": 1.0, "undervoltage soc": 0.5, "hardware npu": 1.0, "software policy0": 1.0}
)
ON_CPU = {"requested": ["CPUExecutionProvider"]}
QUIET: dict[str, Case] = {
    "accelerator_lost": case(Kind.FAILED, {"states": {}}, facts=ON_CPU),  # the model does not use it
    "accelerator_errors": case(now={"counters": counted(error_uncorrected_npu=0.0)}),
    "fallback_to_cpu": case(Kind.FAILED),
    "wrong_output": case(Kind.LATE),
    "model_changed": case(Kind.FAILED, key={"model": ""}, facts={"model_sha256": ""}),  # never loaded: nothing is known
    "runtime_changed": case(Kind.CHANGED, key={"model": "def"}),
    "driver_changed": case(now={"drivers": {}}),
    "kernel_changed": case(Kind.CHANGED, key={"cpu": "other"}),
    "device_changed": case(Kind.CHANGED, key={"kernel": "other"}),
    "configuration_changed": case(Kind.CHANGED, key={"runtime": "other"}),
    "thermal_throttling": slow_device(temperatures={"cpu": 74.0}),  # warmer, but well below the limit
    "power_throttling": slow_device(throttled={"thermal npu": 1.0}),
    "undervoltage": slow_device(throttled={"power npu": 1.0}),
    "hardware_throttling": slow_device(throttled={"power npu": 1.0}),
    "power_mode_changed": slow_device(modes={}),  # nobody says
    "governor_changed": slow_device(governors={}),
    "software_cap": slow_device(clocks=LOW),  # slow, but allowed to be fast
    "clock_low": slow_device(clocks=LOW, throttled={"thermal soc/cap": 1.0}),  # explained
    "link_degraded": case(now={"links": {"npu": (4.0, 8.0, 8e9, 16e9)}}),  # as at the baseline
    "accelerator_contention": case(now={"busy": {"npu": 0.1}}),
    "on_battery": slow_device(supplies={"AC": "online"}),
    "cold_start": case(witnesses={"settled": 1.0, "clock_begin": 1e9, "clock_end": 1e9}),
    "cpu_contention": case(run_delay=0.05),
    "steal": case(steal=0.05),
    "memory_pressure": case(now={"memory": {"available": 0.3}}),
    "io_pressure": case(now={"counters": counted(pressure_io_some=1.0)}),
    "memory_bandwidth": slow_device(),  # arithmetic is as much slower
    "device_slow_unexplained": slow_device(throttled={"thermal soc/cap": 1.0}),
    "engine_slow_unexplained": case(now={"drivers": {"npu": "4.21"}}),
    "unexplained": case(Kind.FELL_BACK, facts={"placement": {"NPU": 0.0}}),
}  # fmt: skip


def named(causes: tuple[Cause, ...]) -> dict[str, Cause]:
    return {one.name: one for one in causes}


def test_there_is_a_case_for_and_a_case_against_every_cause() -> None:
    assert set(FIRES) == set(QUIET) == set(CAUSES)
    assert len(CAUSES) == len(set(CAUSES)) == len(RULES)


@pytest.mark.parametrize("name", CAUSES)
def test_a_cause_is_named_first_with_witnesses_where_they_were_read_and_a_next_step(name: str) -> None:
    made, strength = FIRES[name]
    causes = diagnose(made)
    assert (causes[0].name, causes[0].strength) == (name, strength), summary(causes)
    assert causes[0].step
    assert "{" not in causes[0].step
    assert all(one.now and one.source for one in causes[0].witnesses)


@pytest.mark.parametrize("name", CAUSES)
def test_a_cause_is_not_named_where_nothing_speaks_for_it(name: str) -> None:
    assert name not in named(diagnose(QUIET[name]))


@pytest.mark.parametrize("name", CAUSES)
def test_whatever_is_wrong_with_a_probe_that_is_ok_is_no_cause(name: str) -> None:
    made = FIRES[name][0]
    result = replace(made.result, outcome=Outcome.OK)
    for verdict in (Verdict(State.OK, "none", ""), Verdict(State.IMPROVED, "faster", "")):
        assert diagnose(replace(made, result=result, verdict=verdict)) == ()
    for cause in ("no_baseline", "too_few_rounds", "skipped"):
        assert diagnose(replace(made, result=result, verdict=Verdict(State.UNDECIDED, cause, ""))) == ()


def test_a_well_device_has_only_what_is_unexplained() -> None:
    """Of every kind of trouble, on a device in the same conditions as at the baseline: nothing is invented."""
    for kind in Kind:
        allowed = {"unexplained", "engine_slow_unexplained", "fallback_to_cpu", "wrong_output"}
        assert set(named(diagnose(case(kind)))) <= allowed
        assert diagnose(case(kind))


@pytest.mark.parametrize("cause", ["power", "undervoltage", "hardware"])
def test_what_was_so_at_the_baseline_is_possible_at_most_without_the_device_being_slower(cause: str) -> None:
    name = cause if cause == "undervoltage" else f"{cause}_throttling"
    found = named(diagnose(case(now={"throttled": SAME.throttled}, then=SAME)))
    assert found[name].strength is POSSIBLE
    assert "at the baseline" in found[name].witnesses[0].then
    assert "software_cap" not in found  # a cap that was there then changed nothing


def test_fixed_work_as_fast_as_then_speaks_against_throttling_and_is_told() -> None:
    causes = diagnose(case(now={"throttled": {"thermal soc/cap": 1.0}}))
    heat = named(causes)["thermal_throttling"]
    assert heat.strength is POSSIBLE
    assert next(str(one) for one in heat.against) == "time of fixed work (compute kernel): +0% (against the baseline)"
    assert ", but " in str(heat)
    assert causes[0].name == "engine_slow_unexplained"


def test_the_accelerator_that_a_model_on_the_cpu_does_not_use_is_a_weak_witness() -> None:
    throttled = {"throttled": {"thermal npu": 1.0}}
    on_cpu = replace(slow_device(**throttled), result=Result("a", Outcome.OK, facts={**FACTS, **ON_CPU}))
    strong, weak = (named(diagnose(one))["thermal_throttling"] for one in (slow_device(**throttled), on_cpu))
    assert strong.strength is CERTAIN
    assert weak.strength is not CERTAIN


def test_contention_that_was_there_at_the_baseline_is_possible_only_and_the_device_is_not_cleared_by_it() -> None:
    then = replace(COOL, taken={"run_delay": 0.35})
    verdict = {"cause": "contention", "references": DEVICE, "relative": 1.0}
    causes = diagnose(case(run_delay=0.4, verdict=verdict, then=then))
    assert [(one.name, one.strength) for one in causes] == [
        ("device_slow_unexplained", CERTAIN), ("cpu_contention", POSSIBLE),
    ]  # fmt: skip
    assert causes[1].witnesses[0].then == "35% at the baseline"


def test_fixed_work_on_the_cpu_says_nothing_of_the_accelerator() -> None:
    """Neither that it is well, nor that the engine is at fault."""
    kernels = {"kernels": {"compute": sha256().label}}
    hot = named(diagnose(case(now={"throttled": {"thermal npu": 1.0}}, facts=kernels)))["thermal_throttling"]
    assert (hot.strength, hot.against) == (LIKELY, ())
    assert list(named(diagnose(case(facts=kernels)))) == ["unexplained"]


def test_without_conditions_at_the_baseline_limits_take_their_place() -> None:
    hot = case(now={"temperatures": {"cpu": 82.0}, "throttled": {"thermal soc": 1.0}, "clocks": LOW}, then=None)
    hot = replace(hot, verdict=replace(hot.verdict, cause="device_slow", references=DEVICE))
    heat = named(diagnose(hot))["thermal_throttling"]
    assert heat.strength is CERTAIN
    said = [str(one) for one in heat.witnesses]
    assert "slowed down (thermal): 100% of looks" in said[0]
    assert "temperature of cpu: 82.0 °C (limit 80 °C, throttled)" in said
    assert "clock of the CPU while the model ran: 600 MHz (limit 1500 MHz)" in said


def test_without_any_conditions_the_numbers_of_the_run_still_speak() -> None:
    made = replace(case(run_delay=0.5, verdict={"cause": "contention"}, then=None), now=Conditions())
    assert [one.name for one in diagnose(made)] == ["cpu_contention"]


def test_a_temperature_close_to_its_limit_alone_is_never_certain() -> None:
    heat = named(diagnose(slow_device(temperatures={"cpu": 79.0}, clocks=LOW)))["thermal_throttling"]
    assert heat.strength is LIKELY


def test_a_disk_that_is_hot_slows_no_model_down() -> None:
    hot = slow_device(temperatures={"nvme-pci-0100": 84.0}, limits={"nvme-pci-0100": (84.0, "high.degraded")})
    assert "thermal_throttling" not in named(diagnose(hot))


def test_a_worker_killed_for_want_of_memory_died_of_memory_pressure() -> None:
    detail = "killed by SIGKILL, most likely by the kernel for want of memory, in load"
    causes = diagnose(case(Kind.FAILED, {"memory": {"available": 0.02}}, detail=detail))
    assert (causes[0].name, causes[0].strength) == ("memory_pressure", CERTAIN)


def test_of_an_endpoint_the_next_step_is_that_of_the_stage_it_failed_in() -> None:
    advice = "see whether the server runs, and on which address and port it listens"
    for runtime, step in (("openinference", advice), ("onnx", None)):
        found = diagnose(case(Kind.FAILED, {"states": {}}, facts={"runtime": runtime}, verdict={"advice": advice}))
        assert (found[0].step == step) is (runtime == "openinference")
        assert found[0].name == "accelerator_lost"


def test_several_causes_are_ranked_the_certain_before_the_likely_before_the_possible() -> None:
    both = slow_device(throttled={"thermal soc": 1.0}, supplies={"AC": "offline"}, drivers={"npu": "4.21"}, clocks=LOW)
    causes = diagnose(both)
    order = [list(Strength).index(one.strength) for one in causes]
    assert order == sorted(order)
    assert causes[0].name == "thermal_throttling"
    assert {"driver_changed", "on_battery"} <= set(named(causes))


def test_the_summary_is_one_line_with_the_first_cause_and_the_names_of_the_others() -> None:
    causes = diagnose(slow_device(throttled={"power npu": 1.0}, supplies={"AC": "offline"}))
    text = summary(causes)
    assert text.startswith("certain power_throttling: npu slowed down (power): 100% of looks (0% at the baseline); ")
    assert text.endswith(". Also likely on_battery")
    assert "\n" not in text
    assert summary(()) == ""


def test_a_cause_as_json_has_stable_keys() -> None:
    made = diagnose(case(now={"throttled": {"thermal soc/cap": 1.0}}))[1].to_json()
    assert set(made) == {"name", "strength", "meaning", "witnesses", "next"}
    assert made["strength"] == "possible"
    first, *rest = made["witnesses"]
    assert first == {
        "what": "soc/cap slowed down (thermal)",
        "now": "100% of looks",
        "then": "0% at the baseline",
        "source": 'edgemon_throttled{hw_id="soc/cap",cause="thermal"}',
        "speaks": "for",
    }
    assert {one["speaks"] for one in rest} == {"against"}


DOCUMENT = Path(edgemon.__file__).parent / "CAUSES.md"


def test_causes_md_has_every_cause_in_order_with_its_meaning_and_next_step() -> None:
    rows = [line.strip("| ").split(" | ") for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    told = [(row[0].strip("`"), row[1], row[-1]) for row in rows if len(row) == 4]
    assert told == [(rule.name, rule.meaning, rule.step.replace("{probe}", "NAME")) for rule in RULES]


def test_causes_md_names_metrics_that_exist_and_among_them_those_its_causes_are_read_from() -> None:
    known = {metric.prometheus for metric in catalog.ALL}
    for line in DOCUMENT.read_text().splitlines():
        named = set(re.findall(r"\b(?:edgemon|hw|system)_[a-z_0-9]+", line))
        assert named <= known
        rule = re.match(r"\| `(\w+)` \| .* \| .* \| ", line)
        if rule and rule[1] in FIRES:
            first = diagnose(FIRES[rule[1]][0])[0].witnesses[0].source.split("{")[0]
            assert first in named or first not in known, rule[1]


def test_the_settled_set_of_causes_is_that_of_the_metric() -> None:
    """A cause that goes or is renamed breaks alerts: this list is changed on purpose only."""
    assert set(CAUSES) == {
        "accelerator_lost", "accelerator_errors", "link_degraded", "accelerator_contention", "fallback_to_cpu",
        "wrong_output", "model_changed", "runtime_changed", "driver_changed", "kernel_changed", "device_changed",
        "configuration_changed", "thermal_throttling", "power_throttling", "undervoltage", "hardware_throttling",
        "power_mode_changed", "governor_changed", "software_cap", "clock_low", "on_battery", "cpu_contention", "steal",
        "memory_pressure", "io_pressure", "memory_bandwidth", "cold_start", "device_slow_unexplained",
        "engine_slow_unexplained", "unexplained",
    }  # fmt: skip


def test_without_a_baseline_the_probe_is_held_against_its_own_rounds_of_before() -> None:
    made = replace(slow_device(throttled={"thermal soc": 1.0}), baseline=None, before=COOL)
    assert named(diagnose(made))["thermal_throttling"].witnesses[0].then == "0% at the baseline"
