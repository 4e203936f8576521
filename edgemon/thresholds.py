"""The numbers that shipped rules compare with: `edgemon_threshold{name=…}`, always exported, the configured ones first.

So one rule file fits every board, on the device and in the fleet's Prometheus, and works where nothing is configured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number with its bounds; `alerts` compare with it, as `meaning` says."""

    name: str
    default: float
    least: float
    most: float
    alerts: tuple[str, ...]
    meaning: str


SHIPPED = (
    Threshold("temperature_margin", 5.0, 0.0, 50.0, ("EdgemonTemperatureNearThrottling", "EdgemonTemperatureCritical"),
              "°C below a limit from which on it is near"),
    Threshold("fan_drive", 0.3, 0.0, 1.0, ("EdgemonFanStalled",), "drive above which a fan must turn"),
    Threshold("memory_available", 0.05, 0.0, 1.0, ("EdgemonMemoryShort",),
              "share of the memory below which it is short"),
    Threshold("memory_stalled", 0.1, 0.0, 1.0, ("EdgemonMemoryPressure",),
              "share of the time in which tasks wait for memory"),
    Threshold("disk_full", 0.9, 0.0, 1.0, ("EdgemonDiskFull",), "share of a file system that is in use"),
    Threshold("disk_wear", 0.9, 0.0, 1.1, ("EdgemonDiskWorn",), "share of the flash's rated life that is used"),
    Threshold("probe_slowdown", 1.5, 1.0, 1000.0, ("EdgemonProbeMuchSlower",), "times the baseline's inference time"),
    Threshold("cold_start_slowdown", 2.0, 1.0, 1000.0, ("EdgemonColdStartSlow",),
              "times the baseline's time of engine import, model load or first inference"),
    Threshold("cold_start_seconds", 0.5, 0.0, 3600.0, ("EdgemonColdStartSlow",),
              "seconds that it must be longer, too: what takes a moment only is noise"),
    Threshold("deadline_missed", 0.01, 0.0, 1.0, ("EdgemonDeadlineMissed",),
              "share of the inferences that take longer than deadline: of the probe"),
    Threshold("energy_increase", 0.2, 0.0, 100.0, ("EdgemonEnergyPerInferenceUp",),
              "share by which an inference takes more energy than at the baseline, at least"),
    Threshold("utilization_low", 0.3, 0.0, 1.0, ("EdgemonAcceleratorIdleWhileSlow",),
              "share of the time below which the busiest accelerator is idle"),
    Threshold("budget_used", 0.95, 0.0, 10.0, ("EdgemonProbeBudgetExhausted",), "share of an hour's budget"),
    Threshold("notifications_queued", 20.0, 0.0, 1000.0, ("EdgemonNotificationsWaiting",), "notifications that wait"),
    Threshold("otlp_buffered", 8388608.0, 0.0, 1e12, ("EdgemonPushBehind",), "bytes that wait to be pushed"),
    Threshold("starts", 3.0, 1.0, 1000.0, ("EdgemonRestartedOften",),
              "starts of the daemon within an hour that are well"),
)  # fmt: skip


def effective(configured: Mapping[str, float]) -> dict[str, float]:
    """All thresholds: the shipped ones, or what is configured in their place, and those of the owner's own rules."""
    return {**{one.name: one.default for one in SHIPPED}, **configured}


def problems(configured: Mapping[str, float]) -> Iterator[str]:
    """What is configured and out of the bounds of a shipped threshold."""
    for one in SHIPPED:
        value = configured.get(one.name, one.default)
        if not one.least <= value <= one.most:
            yield (
                f"thresholds.{one.name}: {value:g} must be a number from {one.least:g} to {one.most:g}: {one.meaning}"
            )
