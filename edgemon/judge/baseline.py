"""Baselines: what a probe measured when all was well, kept under the fingerprint of what it was measured on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from edgemon.conditions import Conditions, typical
from edgemon.digest import digest
from edgemon.judge.statistics import median
from edgemon.probe.result import Result

ROUNDS = 10
"""Rounds of a recorded baseline: with three current rounds the smallest exact p is 1/286."""


HOST = ("Simulated", "AzureExecutionProvider")
"""Devices and providers that compute on the host's CPU without saying so in their name."""


@dataclass(frozen=True, slots=True)
class Round:
    """One ok run of a probe: its median inference less scheduler delay, in seconds, and what it ran on.

    `references` are the medians of the kernels that ran between, in seconds, `kernels` what they were; `run_delay` and
    `steal` shares of the time that others had. `process` stands for the process that ran it: rounds of one
    share it; 0 is not known.
    """

    value: float
    fingerprint: str
    at: float = 0.0
    run_delay: float = 0.0
    steal: float = 0.0
    references: Mapping[str, float] = field(default_factory=dict)
    kernels: Mapping[str, str] = field(default_factory=dict)
    process: float = 0.0


@dataclass(frozen=True, slots=True)
class Baseline:
    """`key` is what the fingerprint was made of, `rounds` seconds per inference, `golden` the outputs per seed.

    `references` are seconds per call of the reference kernels in the same rounds, `kernels` what these were, and
    `joules` the net energy of an inference, where that was metered; `phases` are the median seconds of import, load,
    first and idle_start; `conditions` are what the device was like then, None if nobody looked. `processes` are the
    process of each round, none where each had its own.
    """

    probe: str
    fingerprint: str
    key: Mapping[str, str]
    rounds: tuple[float, ...]
    placement: Mapping[str, float] = field(default_factory=dict)
    golden: Sequence[Sequence[Mapping[str, Any]]] = ()
    at: float = 0.0
    references: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    kernels: Mapping[str, str] = field(default_factory=dict)
    joules: float | None = None
    conditions: Conditions | None = None
    phases: Mapping[str, float] = field(default_factory=dict)
    processes: tuple[float, ...] = ()

    @property
    def median(self) -> float:
        """The middle round, in seconds."""
        return median(self.rounds)

    def to_json(self) -> dict[str, Any]:
        """The baseline as plain values."""
        return {**asdict(self), "conditions": self.conditions.to_json() if self.conditions else None}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Baseline:
        """The inverse of `to_json`."""
        references = {name: tuple(values) for name, values in data.get("references", {}).items()}
        seen = Conditions.from_json(data["conditions"]) if data.get("conditions") else None
        given = {"rounds": tuple(data["rounds"]), "processes": tuple(data.get("processes", ()))}
        return Baseline(**{**data, **given, "references": references, "conditions": seen})


def shared(references: Iterable[str], kernels: Mapping[str, str], baseline: Baseline) -> tuple[str, ...]:
    """The reference kernels that did the same work in the baseline."""
    same = [name for name in references if name in baseline.references]
    return tuple(name for name in same if kernels.get(name) == baseline.kernels.get(name))


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


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """What differs between two keys, as `old -> new`."""
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return {name: f"{old.get(name) or '-'} -> {new.get(name) or '-'}" for name in names}


def fingerprint(key: Mapping[str, str]) -> str:
    """Twelve hex digits that stand for the key."""
    return digest(json.dumps(dict(key), sort_keys=True)).hex()


def telling(result: Result) -> dict[str, float]:
    """The kernels that say something of what the model ran on: one on the host tells nothing of an accelerator."""
    device = str((result.facts.get("requested") or ["CPU"])[0])
    host = "CPU" in device or device in HOST
    labels = result.facts.get("kernels", {})
    return {name: took for name, took in result.kernels.items() if host or not labels.get(name, "").startswith("host:")}


def round_of(result: Result, mark: str) -> Round:
    """The round an ok result is."""
    return Round(
        value=median(result.corrected or result.latencies),
        fingerprint=mark,
        at=result.at,
        run_delay=result.run_delay or 0.0,
        steal=result.witnesses.get("steal", 0.0),
        process=result.started,
        references=telling(result),
        kernels=result.facts.get("kernels", {}),
    )


def processes(rounds: Sequence[Round]) -> tuple[float, ...]:
    """The process of each round, a number of its own where it is not known; none where no two share one."""
    found = tuple(one.process or -float(place) for place, one in enumerate(rounds, 1))
    return found if len(set(found)) < len(found) else ()


def record(results: Sequence[Result], device: Mapping[str, str]) -> Baseline:
    """A baseline from ok results of one fingerprint; ValueError when they are not that."""
    keys = [key_of(result, device) for result in results]
    if not keys or any(key != keys[0] for key in keys):
        raise ValueError("the runs differ in what they ran on")
    mark, last = fingerprint(keys[0]), results[-1]
    rounds = [round_of(result, mark) for result in results]
    names = [name for name in telling(last) if all(name in result.kernels for result in results)]
    metered = [one["net"] for result in results if (one := result.facts.get("joules")) and one["net"] > one["error"]]
    return Baseline(
        probe=last.probe,
        fingerprint=mark,
        key=keys[0],
        rounds=tuple(one.value for one in rounds),
        processes=processes(rounds),
        placement=last.facts.get("placement", {}),
        golden=next((result.outputs for result in results if result.outputs), ()),
        at=last.at,
        joules=median(metered) if metered else None,
        references={name: tuple(result.kernels[name] for result in results) for name in names},
        kernels={name: last.facts.get("kernels", {}).get(name, "") for name in names},
        conditions=conditions(results),
        phases=phases(results),
    )


def phases(results: Sequence[Result]) -> dict[str, float]:
    """Median seconds of what comes before and after the steady inferences; of an endpoint also of its connection."""
    found: dict[str, list[float]] = {}
    for one in results:
        own = {"import": one.import_seconds, "load": one.load_seconds, "first": one.first_seconds}
        for name, seconds in {**own, "idle_start": one.idle_seconds, **one.phases}.items():
            if seconds:
                found.setdefault(name, []).append(seconds)
    return {name: median(values) for name, values in found.items()}


def conditions(results: Sequence[Result]) -> Conditions | None:
    """What the device was like in these runs, as far as somebody looked and the disk did not change it."""
    looked = []
    for one in results:
        with suppress(TypeError, ValueError):
            looked += [Conditions.from_json(one.conditions)] if one.conditions else []
    return typical(looked) if looked else None
