"""Falling back, from what engines told: the rules, whatever the engine."""

from __future__ import annotations

from typing import Any

import pytest

from edgemon.judge.placement import fallback, is_cpu, on, shares


@pytest.mark.parametrize("name", ["CPUExecutionProvider", "CPU", "XNNPACK", "CPU.0"])
def test_the_cpu_has_these_names_and_asking_for_it_is_never_a_fallback(name: str) -> None:
    assert is_cpu(name)
    assert fallback({"requested": [name], "placement": {"CPU": 1.0}}, {"NPU": 1.0}) is None


@pytest.mark.parametrize("name", ["GPU", "NPU", "EdgeTPU", "Hailo", "CUDAExecutionProvider", "AUTO", "CPUX"])
def test_other_names_are_not_the_cpus(name: str) -> None:
    assert not is_cpu(name)


def test_a_device_of_a_kind_is_of_that_kind_and_a_share_that_is_not_known_is_all() -> None:
    assert on("GPU", {"GPU.0": 0.5, "GPU.1": 0.25, "CPU": 0.25}) == 0.75
    assert on("NPU", {"NPU": None, "CPU": None}) == 1.0
    assert on("NPU", {"QNNExecutionProvider": 0.5, "CPUExecutionProvider": 0.5}) == 0.5


FALLEN: dict[str, tuple[dict[str, Any], str]] = {
    "nothing assigned": (
        {"requested": ["NPU"], "placement": {"CPU": 1.0}},
        "0% of the graph is on NPU",
    ),
    "assigned, executed elsewhere": (
        {"requested": ["TPU"], "placement": {"TPU": 1.0}, "executed": {"CPU": 1.0}},
        "nothing is executed on TPU, but on CPU",
    ),
    "not registered by an engine without a record": (
        {"requested": ["CUDAExecutionProvider"], "placement": {}, "registered": ["CPUExecutionProvider"]},
        "CUDAExecutionProvider is not registered, only CPUExecutionProvider",
    ),
}


@pytest.mark.parametrize("name", FALLEN)
def test_an_accelerator_without_any_share_is_a_fallback_without_a_baseline(name: str) -> None:
    facts, text = FALLEN[name]
    found = fallback(facts, {})
    assert found
    assert found[0] == text


def test_a_smaller_share_is_a_fallback_only_from_a_baseline_with_a_larger_one() -> None:
    facts = {"requested": ["GPU"], "placement": {"GPU.0": 0.9, "CPU": 0.1}}
    assert fallback(facts, {}) is None
    assert fallback(facts, {"GPU.0": 0.905, "CPU": 0.095}) is None
    found = fallback(facts, {"GPU.0": 1.0})
    assert found
    assert found[0] == "90% of the graph is on GPU, it was 100%"
    assert found[1]["placement"] == "GPU.0 90%, CPU 10%"


def test_what_is_not_told_is_no_fallback() -> None:
    assert fallback({}, {}) is None
    assert fallback({"requested": [], "placement": {}}, {}) is None
    assert fallback({"requested": ["NPU"], "registered": [], "placement": {}}, {}) is None
    assert fallback({"requested": ["NPU"], "registered": ["NPU", "CPU"], "placement": {}}, {}) is None


def test_shares_in_words_leave_out_what_is_not_known() -> None:
    assert shares({"NPU": 0.75, "CPU": None}) == "NPU 75%, CPU"
