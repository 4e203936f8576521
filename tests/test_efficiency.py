"""Operations per second and utilisation: what is claimed, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from edgemon import config, efficiency
from edgemon.finding import energy_readings
from edgemon.metric import Reading
from edgemon.peaks import Device
from edgemon.probe.result import Outcome, Result

PROBE = config.Probe(runtime="onnx", model="/a/model.onnx")
CORAL = Device((("tpu", "Google apex_0 Coral Edge TPU PCIe"),))
ANATOMY = {
    "macs": 1_000_000_000,
    "parameters": 4_000_000,
    "parameter_bytes": {"int8": 3_999_000, "int32": 4_000},
    "precision": {"int8": 1.0},
    "coverage": 1.0,
    "nodes": 30,
    "uncounted": {},
}


def result(placement: dict[str, float] | None = None, facts: dict[str, Any] | None = None, **anatomy: Any) -> Result:
    """A gigamac in a millisecond: 2 TOPS."""
    told = {"placement": placement or {"edgetpu": 1.0}, "anatomy": {**ANATOMY, **anatomy}, **(facts or {})}
    return Result("p", Outcome.OK, latencies=[0.001] * 5, corrected=[0.0008] * 5, facts=told)


def series(readings: list[Reading]) -> dict[tuple[str, ...], float | None]:
    return {(one.metric.prometheus, *one.labels): one.value for one in readings}


def test_rate_and_utilisation_say_what_they_are_divided_by() -> None:
    """Two operations a MAC, over the median; the share of the data sheet, and the denominator as a series."""
    found = series(list(efficiency.readings(result(), PROBE, CORAL)))
    assert found["edgemon_probe_macs", "p"] == 1e9
    assert found["edgemon_probe_parameters", "p"] == 4e6
    assert found["edgemon_probe_parameters_size_bytes", "p", "int8"] == 3_999_000
    assert found["edgemon_probe_macs_coverage_ratio", "p"] == 1.0
    assert found["edgemon_probe_operation_rate_per_second", "p"] == pytest.approx(2e12)
    assert found["edgemon_probe_mac_utilization_ratio", "p", "datasheet", "Coral Edge TPU", "int8"] == pytest.approx(
        0.5
    )
    assert found["edgemon_probe_peak_rate_per_second", "p", "datasheet", "Coral Edge TPU", "int8"] == 4e12
    assert found["edgemon_probe_peak_power_watts", "p", "datasheet", "Coral Edge TPU", "int8"] == 2.0


def test_a_configured_peak_takes_the_place_of_the_data_sheet_s() -> None:
    probe = config.Probe(runtime="onnx", model="/a/model.onnx", peak={"int8": 8e12})
    (one,) = efficiency.against(result(), probe, CORAL)
    assert (one.of, one.peak) == ("config", 8e12)
    assert one.share == pytest.approx(0.25)


def test_mixed_precision_is_the_time_at_each_peak() -> None:
    """Half at 8, half at 2 TOPS: the peak of the mix is 3.2, whatever the arithmetic mean says."""
    probe = config.Probe(runtime="onnx", model="/a/model.onnx", peak={"int8": 8e12, "float16": 2e12})
    (one,) = efficiency.against(result(precision={"int8": 0.5, "float16": 0.5}), probe, CORAL)
    assert one.peak == pytest.approx(3.2e12)
    assert one.precision == "float16+int8"


@pytest.mark.parametrize(
    "why",
    [
        result(coverage=0.94, uncounted={"If": 1}),
        result(macs=0),
        result({"edgetpu": 0.5, "CPU": 0.5}),
        result({"OpenVINOExecutionProvider": 1.0}),
        result(precision={"float32": 1.0}),
        result(macs=3_000_000_000),
        result({"CPUExecutionProvider": 1.0}),
    ],
    ids=["coverage", "no MACs", "two kinds", "unknown kind", "precision", "beyond the peak", "no peak"],
)
def test_a_utilisation_that_cannot_be_defended_is_not_given(why: Result) -> None:
    assert efficiency.against(why, PROBE, CORAL) == []


def test_below_the_coverage_bound_there_is_no_rate_either() -> None:
    found = series(list(efficiency.readings(result(coverage=0.5), PROBE, CORAL)))
    assert found["edgemon_probe_operation_rate_per_second", "p"] is None
    assert found["edgemon_probe_macs_coverage_ratio", "p"] == 0.5


@pytest.mark.parametrize(("precision", "shares"), [("float32", [0.625]), ("int8", [])])
def test_the_roof_is_the_reference_kernel_of_the_same_run_and_precision(precision: str, shares: list[float]) -> None:
    """A float32 kernel of 2 TMAC/s; the model's 2.5 TOPS, less run delay, are 62.5 % of its 4."""
    probe = config.Probe(runtime="onnx", model="/a/model.onnx")
    one = result({"CPUExecutionProvider": 1.0}, {"roof": 2e12}, precision={precision: 1.0})
    assert [each.share for each in efficiency.against(one, probe, Device())] == pytest.approx(shares)


def test_tensorrt_told_to_use_fp16_executes_in_it() -> None:
    options = {"provider_options": {"TensorrtExecutionProvider": {"trt_fp16_enable": "1"}}}
    assert efficiency.precisions(result(facts={"options": options}, precision={"float32": 1.0})) == {"float16": 1.0}


def test_hidden_parameters_are_absent_and_not_zero() -> None:
    found = series(list(efficiency.readings(result(parameters=None), PROBE, CORAL)))
    assert found["edgemon_probe_parameters", "p"] is None
    assert not any(key[0] == "edgemon_probe_parameters_size_bytes" for key in found)


def test_a_result_without_an_anatomy_says_nothing_of_it() -> None:
    bare = Result("p", Outcome.OK, latencies=[0.001] * 5)
    assert list(efficiency.readings(bare, PROBE, CORAL)) == []
    assert efficiency.rows(bare, PROBE, CORAL) == []
    why = Result("p", Outcome.OK, facts={"anatomy": {"detail": "read as ONNX: the model holds no graph"}})
    assert list(efficiency.readings(why, PROBE, CORAL)) == []
    assert efficiency.rows(why, PROBE, CORAL) == [("operations", "not counted: read as ONNX: the model holds no graph")]


def test_in_words_the_uncounted_operators_are_named() -> None:
    rows = dict(efficiency.rows(result(coverage=0.9, uncounted={"If": 1, "Loop": 2}), PROBE, CORAL))
    assert rows["operations"] == "1,000.0 M MACs, 90% of 30 nodes counted"
    assert rows["  not counted"] == "If x1, Loop x2"
    assert "achieved" not in rows


def test_operations_per_joule_are_of_all_and_of_what_is_above_idle() -> None:
    """Two gigaoperations at 10 mJ: 0.2 TOPS/W; at 4 mJ above idle: 0.5."""
    joules = {"gross": 0.010, "net": 0.004, "error": 0.001, "idle": 3.0}
    one = result(facts={"joules": joules})
    found = series(list(energy_readings("p", joules, efficiency.operations(one))))
    assert found["edgemon_probe_operation_efficiency_per_joule", "p", "gross"] == pytest.approx(0.2e12)
    assert found["edgemon_probe_operation_efficiency_per_joule", "p", "net"] == pytest.approx(0.5e12)
    rows = dict(efficiency.rows(one, PROBE, CORAL))
    assert rows["  per watt"] == "500 GOPS/W above idle, 200 GOPS/W in all"


def test_an_energy_below_its_doubt_gives_no_efficiency_above_idle() -> None:
    joules = {"gross": 0.010, "net": 0.001, "error": 0.001, "idle": 3.0}
    found = series(list(energy_readings("p", joules, 2e9)))
    assert [key[2] for key in found if key[0].startswith("edgemon_probe_operation")] == ["gross"]
