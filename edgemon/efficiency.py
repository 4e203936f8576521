"""How well a device is used: operations per second of a model, against its data sheet and a measured roof.

An operation is half a multiply-accumulate (MAC), as data sheets count. A utilisation is the time that the counted MACs
would take at the peak of their precision over the time they took: never more is claimed than was counted, and nothing
below `ENOUGH` coverage, with nodes on several kinds of hardware, or above what the hardware can do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgemon import config, inference
from edgemon.judge.statistics import median
from edgemon.metric import Reading
from edgemon.peaks import Device, Peak, kind_of, peak_of
from edgemon.probe.result import Result

ENOUGH = 0.95
"""Least share of computing nodes whose MACs are known, for a rate to stand for the model."""
ALONE = 0.9
"""Least share of the nodes on one kind of hardware, for its peak to be the one that counts."""
SLACK = 1.05
"""A utilisation above this share of a data sheet says that the peak is another device's, or another precision's."""
ROOF = "float32"
"""What the reference kernel computes in."""


@dataclass(frozen=True, slots=True)
class Against:
    """A utilisation: of what (datasheet, config, roof), which device, its peak in operations a second, watts there."""

    of: str
    device: str
    precision: str
    peak: float
    share: float
    watts: float | None = None


def anatomy(result: Result) -> Mapping[str, Any]:
    """What the worker counted of the model, empty when it did not."""
    told = result.facts.get("anatomy")
    return told if isinstance(told, dict) and "macs" in told else {}


def operations(result: Result) -> float | None:
    """Operations of one inference; None without enough coverage."""
    told = anatomy(result)
    return 2.0 * told["macs"] if told and told["macs"] and told["coverage"] >= ENOUGH else None


def rate(result: Result) -> float | None:
    """Operations a second of the median inference; None without enough coverage."""
    counted = operations(result)
    return counted / median(result.latencies) if counted and result.latencies else None


def precisions(result: Result) -> dict[str, float]:
    """Shares of the MACs by what they execute in: as the model says, but for what the engine was told to use."""
    told: dict[str, float] = dict(anatomy(result).get("precision", {}))
    options = result.facts.get("options", {})
    given = (
        options.get("provider_options", {}).get("TensorrtExecutionProvider", {}) if isinstance(options, dict) else {}
    )
    halved = str(given.get("trt_fp16_enable", "")).lower() in {"1", "true"}
    if halved and "float32" in told:
        told["float16"] = told.get("float16", 0.0) + told.pop("float32")
    return told


def against(result: Result, probe: config.Probe, device: Device) -> list[Against]:
    """Every utilisation that can be defended."""
    achieved = rate(result)
    if achieved is None:
        return []
    found = [_roof(result, achieved)]
    if probe.peak:
        found.append(_share("config", Peak("configured", probe.peak, "configuration"), result, achieved))
    else:
        kind = hardware_of(result)
        peak = peak_of(kind, device, probe.threads) if kind else None
        found.append(_share("datasheet", peak, result, achieved) if peak else None)
    return [one for one in found if one]


def hardware_of(result: Result) -> str:
    """The kind of hardware nearly all nodes were placed on; empty when there is none, or it is simulated."""
    shares: dict[str, float] = {}
    for engine, share in (result.facts.get("placement") or {}).items():
        kind = kind_of(engine)
        shares[kind] = shares.get(kind, 0.0) + (share or 0.0)
    most = max(shares, key=lambda kind: shares[kind], default="")
    return most if shares.get(most, 0.0) >= ALONE else ""


def _share(of: str, peak: Peak, result: Result, achieved: float) -> Against | None:
    """Time at the peak over time taken; None where the peak of a precision is not known, or is exceeded."""
    mix = precisions(result)
    if not mix or any(precision not in peak.operations for precision in mix):
        return None
    most = 1 / sum(share / peak.operations[precision] for precision, share in mix.items())
    if achieved > SLACK * most and of != "config":
        return None
    return Against(of, peak.name, "+".join(sorted(mix)), most, achieved / most, peak.watts)


def _roof(result: Result, achieved: float) -> Against | None:
    """Against the reference kernel of the same run, less the time the scheduler took from either."""
    roof = result.facts.get("roof")
    if not isinstance(roof, (int, float)) or roof <= 0 or set(precisions(result)) != {ROOF}:
        return None
    corrected = median(result.corrected) if result.corrected else 0.0
    rated = 2 * anatomy(result)["macs"] / corrected if corrected > 0 else achieved
    return Against("roof", "reference kernel", ROOF, 2 * roof, rated / (2 * roof))


def readings(result: Result, probe: config.Probe, device: Device) -> Iterator[Reading]:
    """What the model is made of, and how well the device is used."""
    name, told = result.probe, anatomy(result)
    if not told:
        return
    yield inference.PROBE_MACS(told["macs"], name)
    yield inference.PROBE_COVERAGE(told["coverage"], name)
    yield inference.PROBE_PARAMETERS(told["parameters"], name)
    if told["parameters"] is not None:
        for dtype, size in told["parameter_bytes"].items():
            yield inference.PROBE_PARAMETER_SIZE(size, name, dtype)
    for precision, share in precisions(result).items():
        yield inference.PROBE_PRECISION(share, name, precision)
    yield inference.PROBE_RATE(rate(result), name)
    for one in against(result, probe, device):
        yield inference.PROBE_UTILIZATION(one.share, name, one.of, one.device, one.precision)
        yield inference.PROBE_PEAK(one.peak, name, one.of, one.device, one.precision)
        yield inference.PROBE_PEAK_POWER(one.watts, name, one.of, one.device, one.precision)


def rows(result: Result, probe: config.Probe, device: Device) -> list[tuple[str, str]]:
    """The same for a person."""
    told = anatomy(result)
    if not told:
        why = result.facts.get("anatomy")
        return [("operations", f"not counted: {why['detail']}")] if isinstance(why, dict) and "detail" in why else []
    missed = ", ".join(f"{operator} x{count}" for operator, count in told["uncounted"].items())
    found = [
        ("operations", f"{told['macs'] / 1e6:,.1f} M MACs, {told['coverage']:.0%} of {told['nodes']} nodes counted")
    ]
    found += [("  not counted", missed)] if missed else []
    if told["parameters"] is not None:
        size = sum(told["parameter_bytes"].values())
        found.append(("parameters", f"{told['parameters'] / 1e6:,.3f} M in {size / 1e6:,.2f} MB"))
    achieved = rate(result)
    if achieved is not None:
        mix = ", ".join(f"{precision} {share:.0%}" for precision, share in precisions(result).items())
        found.append(("achieved", f"{_rate(achieved)} ({mix}; 2 operations a MAC)"))
    joules, counted = result.facts.get("joules"), operations(result)
    if joules and counted:
        net = f"{_rate(counted / joules['net'])}/W above idle, " if joules["net"] > joules["error"] else ""
        found.append(("  per watt", f"{net}{_rate(counted / joules['gross'])}/W in all"))
    return found + [
        (f"  of {one.of}", f"{one.share:.1%} of {_rate(one.peak)} {one.precision}, {one.device}")
        for one in against(result, probe, device)
    ]


def _rate(operations: float) -> str:
    return f"{operations / 1e12:.3g} TOPS" if operations >= 1e12 else f"{operations / 1e9:.3g} GOPS"
