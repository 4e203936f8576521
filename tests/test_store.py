"""The store: whole replacement, one snapshot for everybody, counters that do not step back a little."""

from __future__ import annotations

import pytest

from edgemon import catalog, inference
from edgemon.sketch import Exponential
from edgemon.store import Store


def test_what_a_source_no_longer_gives_disappears() -> None:
    store = Store()
    store.put("a", [catalog.TEMPERATURE(40, "gpu", "", ""), catalog.TEMPERATURE(41, "cpu", "", "")])
    store.commit()
    store.put("a", [catalog.TEMPERATURE(42, "cpu", "", "")])
    assert list(store.commit().series.values()) == [42]


def test_a_snapshot_in_hand_never_changes() -> None:
    store = Store()
    store.put("a", [catalog.UPTIME(1)])
    first = store.commit()
    store.put("a", [catalog.UPTIME(2)])
    second = store.commit()
    assert (first.series[catalog.UPTIME, ()], second.series[catalog.UPTIME, ()]) == (1, 2)
    assert second.number == first.number + 1


def test_a_series_given_by_two_sources_is_exported_once_with_the_first_value() -> None:
    store = Store()
    store.put("first", [catalog.UPTIME(1)])
    store.put("second", [catalog.UPTIME(2)])
    assert dict(store.commit().series) == {(catalog.UPTIME, ()): 1}


def test_an_absent_value_is_no_series() -> None:
    store = Store()
    store.put("a", [catalog.UPTIME(None)])
    assert not store.commit().series


@pytest.mark.parametrize(
    ("readings", "exported"), [([100.0, 99.5], 100.0), ([100.0, 3.0], 3.0), ([100.0, 101.0], 101.0)]
)
def test_a_counter_is_held_when_it_steps_back_a_little_and_reset_when_it_falls(
    readings: list[float], exported: float
) -> None:
    store = Store()
    for value in readings:
        store.put("cpu", [catalog.CPU_TIME(value, "0", "iowait")])
        store.commit()
    assert store.snapshot.series[catalog.CPU_TIME, ("0", "iowait")] == exported


def test_a_gauge_may_fall() -> None:
    store = Store()
    for value in (100.0, 99.5):
        store.put("cpu", [catalog.TEMPERATURE(value, "cpu", "", "")])
        store.commit()
    assert list(store.snapshot.series.values()) == [99.5]


def test_the_readings_of_the_snapshot_are_those_that_were_put() -> None:
    """As a probe takes them to know its device; what is put and not committed is not among them."""
    store = Store()
    store.put("a", [catalog.MEMORY_LIMIT(8e9)])
    assert store.readings() == []
    store.commit()
    assert store.readings() == [catalog.MEMORY_LIMIT(8e9)]


def test_histograms_stand_apart_from_the_numbers() -> None:
    store, value = Store(), Exponential(3, 0, (1,), 0, 1.5)
    store.put("a", [catalog.UPTIME(1), inference.PROBE_INFERENCE.distribution(value, "p")])
    store.put("b", [inference.PROBE_INFERENCE.distribution(Exponential(3, 0, (), 0, 0.0), "p")])
    snapshot = store.commit()
    assert dict(snapshot.series) == {(catalog.UPTIME, ()): 1}
    assert dict(snapshot.histograms) == {(inference.PROBE_INFERENCE, ("p",)): value}
