"""Metrics: their names in both worlds, and the readings they take."""

from __future__ import annotations

import pytest

from edgemon.errors import CatalogError
from edgemon.metric import Kind, Metric, Reading
from edgemon.sketch import Sketch

C, G, U, I = Kind.COUNTER, Kind.GAUGE, Kind.UPDOWN, Kind.INFO  # noqa: E741 - a table's abbreviations
H = Kind.HISTOGRAM

TRANSLATIONS = [
    # OpenTelemetry name, unit, kind -> Prometheus name, OpenMetrics family
    ("hw.temperature", "Cel", G, "hw_temperature_celsius", "hw_temperature_celsius"),
    ("hw.power", "W", G, "hw_power_watts", "hw_power_watts"),
    ("hw.energy", "J", C, "hw_energy_joules_total", "hw_energy_joules"),
    ("hw.voltage", "V", G, "hw_voltage_volts", "hw_voltage_volts"),
    ("edgemon.current", "A", G, "edgemon_current_amperes", "edgemon_current_amperes"),
    ("system.cpu.frequency", "Hz", G, "system_cpu_frequency_hertz", "system_cpu_frequency_hertz"),
    ("system.cpu.time", "s", C, "system_cpu_time_seconds_total", "system_cpu_time_seconds"),
    ("system.memory.usage", "By", U, "system_memory_usage_bytes", "system_memory_usage_bytes"),
    ("system.disk.io_time", "s", C, "system_disk_io_time_seconds_total", "system_disk_io_time_seconds"),
    ("hw.fan.speed", "rpm", G, "hw_fan_speed_rpm", "hw_fan_speed_rpm"),  # a unit without a word is kept
    ("hw.battery.charge", "1", G, "hw_battery_charge_ratio", "hw_battery_charge_ratio"),
    ("hw.fan.speed_ratio", "1", G, "hw_fan_speed_ratio", "hw_fan_speed_ratio"),  # a suffix is not said twice
    ("probe.wait.seconds", "s", G, "probe_wait_seconds", "probe_wait_seconds"),
    ("hw.network.up", "1", U, "hw_network_up", "hw_network_up"),  # a ratio is a gauge
    ("hw.errors", "1", C, "hw_errors_total", "hw_errors"),
    ("system.network.errors", "{error}", C, "system_network_errors_total", "system_network_errors"),  # an annotation
    ("jobs.total", "{job}", C, "jobs_total", "jobs"),
    ("edgemon.filesystem.readonly", "", G, "edgemon_filesystem_readonly", "edgemon_filesystem_readonly"),
    ("target.info", "", I, "target_info", "target"),
    ("edgemon.build.info", "", I, "edgemon_build_info", "edgemon_build"),
    ("edgemon.device", "", I, "edgemon_device_info", "edgemon_device"),
    ("probe.inference.duration", "s", H, "probe_inference_duration_seconds", "probe_inference_duration_seconds"),
    ("a..b--c/d.", "", G, "a_b_c_d", "a_b_c_d"),
]


@pytest.mark.parametrize(("name", "unit", "kind", "prometheus", "family"), TRANSLATIONS)
def test_names_follow_opentelemetrys_translation(
    name: str, unit: str, kind: Kind, prometheus: str, family: str
) -> None:
    metric = Metric(name, unit, kind, "Help.")
    assert (metric.prometheus, metric.family) == (prometheus, family)


def test_label_names_are_translated_and_keep_their_order() -> None:
    metric = Metric("a", "", G, "Help.", ("hw.id", "cpu.logical_number", "k8s.pod/uid"))
    assert metric.prometheus_labels == ("hw_id", "cpu_logical_number", "k8s_pod_uid")


@pytest.mark.parametrize("labels", [(), ("a",), ("a", "b", "c")])
def test_another_number_of_labels_than_declared_is_a_catalog_error_that_names_the_metric(labels: tuple[str]) -> None:
    metric = Metric("edgemon.test", "", G, "Help.", ("x", "y"))
    with pytest.raises(CatalogError, match=r"edgemon\.test takes the labels \('x', 'y'\), got"):
        metric(1.0, *labels)


def test_a_reading_carries_the_labels_in_the_declared_order() -> None:
    metric = Metric("edgemon.test", "", G, "Help.", ("x", "y"))
    assert metric(1.5, "b", "a") == Reading(metric, ("b", "a"), 1.5)


@pytest.mark.parametrize("value", [1, 2**64, 0.1, None])
def test_plain_numbers_and_absence_are_taken_as_they_are(value: float | None) -> None:
    assert Metric("a", "", G, "Help.")(value).value is value


class Foreign(float):
    """A float that shows itself as numpy's do."""

    def __repr__(self) -> str:
        return f"np.float64({super().__repr__()})"


@pytest.mark.parametrize(("value", "shown"), [(True, "1.0"), (Foreign(0.5), "0.5")])
def test_other_numbers_become_floats_so_that_their_text_is_a_number(value: float, shown: str) -> None:
    assert repr(Metric("a", "", G, "Help.")(value).value) == shown


def test_two_metrics_are_never_equal_and_can_be_keys() -> None:
    one, other = Metric("a", "", G, "Help."), Metric("a", "", G, "Help.")
    assert len({one, other}) == 2


def test_a_histogram_takes_distributions_and_other_metrics_take_readings() -> None:
    histogram, gauge, value = Metric("h", "s", H, "Help."), Metric("g", "s", G, "Help."), Sketch().exponential()
    assert histogram.distribution(value) == (histogram, (), value)
    with pytest.raises(CatalogError, match="h is a histogram"):
        histogram(1.0)
    with pytest.raises(CatalogError, match="g is a gauge"):
        gauge.distribution(value)
