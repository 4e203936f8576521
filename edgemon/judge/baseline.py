"""Baselines: what a probe measured when all was well, kept under the fingerprint of what it was measured on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from edgemon.digest import digest
from edgemon.judge.statistics import median
from edgemon.probe.result import Result

ROUNDS = 10
"""Rounds of a recorded baseline: with three current rounds the smallest exact p is 1/286."""


@dataclass(frozen=True, slots=True)
class Round:
    """One ok run of a probe: its median inference less scheduler delay, in seconds, and what it ran on."""

    value: float
    fingerprint: str
    at: float = 0.0
    run_delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Baseline:
    """`key` is what the fingerprint was made of, `rounds` seconds per inference, `golden` the outputs per seed."""

    probe: str
    fingerprint: str
    key: Mapping[str, str]
    rounds: tuple[float, ...]
    placement: Mapping[str, float] = field(default_factory=dict)
    golden: Sequence[Sequence[Mapping[str, Any]]] = ()
    at: float = 0.0

    @property
    def median(self) -> float:
        """The middle round, in seconds."""
        return median(self.rounds)

    def to_json(self) -> dict[str, Any]:
        """The baseline as plain values."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Baseline:
        """The inverse of `to_json`."""
        return Baseline(**{**data, "rounds": tuple(data["rounds"])})


def key_of(result: Result, device: Mapping[str, str]) -> dict[str, str]:
    """Everything a latency depends on that is not allowed to change unnoticed."""
    facts = result.facts
    return {
        **device,
        "runtime": f"{facts.get('runtime', '')} {facts.get('runtime_version', '')}".strip(),
        "providers": ",".join(facts.get("requested", ())),
        "options": json.dumps(facts.get("options", {}), sort_keys=True),
        "model": facts.get("model_sha256", ""),
        **({"inputs": facts["inputs"]} if facts.get("inputs") else {}),
    }


def fingerprint(key: Mapping[str, str]) -> str:
    """Twelve hex digits that stand for the key."""
    return digest(json.dumps(dict(key), sort_keys=True)).hex()


def round_of(result: Result, mark: str) -> Round:
    """The round an ok result is."""
    return Round(median(result.corrected or result.latencies), mark, result.at, result.run_delay or 0.0)


def record(results: Sequence[Result], device: Mapping[str, str]) -> Baseline:
    """A baseline from ok results of one fingerprint; ValueError when they are not that."""
    keys = [key_of(result, device) for result in results]
    if not keys or any(key != keys[0] for key in keys):
        raise ValueError("the runs differ in what they ran on")
    mark, last = fingerprint(keys[0]), results[-1]
    return Baseline(
        probe=last.probe,
        fingerprint=mark,
        key=keys[0],
        rounds=tuple(round_of(result, mark).value for result in results),
        placement=last.facts.get("placement", {}),
        golden=next((result.outputs for result in results if result.outputs), ()),
        at=last.at,
    )
