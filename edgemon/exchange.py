"""Baselines as one JSON file: what a lab recorded goes to a fleet, and what a device measured to whoever compares.

`{"edgemon_baselines": 1, "baselines": [...]}`, each as `Baseline.to_json` gives it. A file that is none is refused with
the place that is wrong, and nothing of it is taken.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from edgemon.conditions import Conditions
from edgemon.errors import ConfigError
from edgemon.judge.baseline import Baseline, fingerprint

FORMAT = 1
LARGEST = 64 << 20
FEWEST, MOST = 3, 50
"""Rounds a baseline has; the exact statistics are made for so many."""


def written(baselines: Iterable[Baseline]) -> str:
    """The text of a file."""
    return json.dumps({"edgemon_baselines": FORMAT, "baselines": [one.to_json() for one in baselines]}, indent=1) + "\n"


def load(path: str) -> list[Baseline]:
    """The baselines in a file; ConfigError with every problem when it is none."""
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
        whole = json.loads(data) if len(data) <= LARGEST else None
    except OSError as error:
        raise ConfigError([f"{path}: {(error.strerror or str(error)).lower()}"]) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError([f"{path}: is no JSON: {error}"]) from None
    if not isinstance(whole, dict) or whole.get("edgemon_baselines") != FORMAT:
        raise ConfigError([f"{path}: is no file of baselines; make one with: edgemon baseline export"])
    found = whole.get("baselines")
    problems = [] if isinstance(found, list) and found else [f"{path}: baselines must be a list of at least one"]
    rows = list(enumerate(found if isinstance(found, list) else ()))
    problems += [f"{path}: baselines[{number}].{why}" for number, one in rows for why in wrong(one)]
    if problems:
        raise ConfigError(problems)
    return [Baseline.from_json(one) for _, one in rows]


def wrong(one: Any) -> list[str]:
    """What keeps a value from being a baseline, each with its place."""
    if not isinstance(one, dict):
        return ["must be a mapping"]
    unknown = sorted(set(one) - set(Baseline.__dataclass_fields__))
    problems = [f"{name}: there is no such field" for name in unknown]
    problems += [f"{name}: must be a text" for name in ("probe", "fingerprint") if not isinstance(one.get(name), str)]
    problems += [] if _texts(one.get("key")) else ["key: must be a mapping of texts"]
    rounds = one.get("rounds")
    problems += [] if _seconds(rounds) else [f"rounds: must be {FEWEST} to {MOST} numbers above 0, in seconds"]
    references = one.get("references", {})
    fits = isinstance(references, dict) and all(_seconds(row, rounds) for row in references.values())
    problems += [] if fits else ["references: must be mappings of as many numbers above 0 as there are rounds"]
    of = one.get("processes", [])
    problems += [] if _processes(of, rounds) else ["processes: must be as many numbers as there are rounds, or none"]
    problems += [] if _golden(one.get("golden", [])) else ["golden: must be lists of tensors, each a mapping"]
    problems += [] if one.get("joules") is None or _positive(one["joules"]) else ["joules: must be a number above 0"]
    problems += [] if _conditions(one.get("conditions")) else ["conditions: are not what edgemon writes"]
    problems += [] if _texts(one.get("kernels", {})) else ["kernels: must be a mapping of texts"]
    phases = one.get("phases", {})
    fits = isinstance(phases, dict) and all(_positive(value) for value in phases.values())
    problems += [] if fits else ["phases: must be a mapping of numbers above 0, in seconds"]
    if not problems and fingerprint(one["key"]) != one["fingerprint"]:
        problems.append("fingerprint: does not belong to key; the file was changed by hand")
    return problems


def _conditions(value: Any) -> bool:
    """Whether these are conditions, or none."""
    try:
        return value is None or bool(Conditions.from_json(value))
    except (TypeError, ValueError, KeyError, AttributeError):
        return False


def _texts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(one, str) for pair in value.items() for one in pair)


def _seconds(value: Any, alike: Any = None) -> bool:
    """A list of rounds, as long as another."""
    if not isinstance(value, list) or not FEWEST <= len(value) <= MOST or not all(map(_positive, value)):
        return False
    return alike is None or (isinstance(alike, list) and len(value) == len(alike))


def _processes(value: Any, rounds: Any) -> bool:
    """A list of numbers, as many as there are rounds, or an empty one."""
    numbers = isinstance(value, list) and all(isinstance(one, (int, float)) for one in value)
    return numbers and (not value or (isinstance(rounds, list) and len(value) == len(rounds)))


def _positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf


def _golden(value: Any) -> bool:
    tensors = [one for row in value if isinstance(row, list) for one in row] if isinstance(value, list) else None
    return tensors is not None and all(
        isinstance(one, dict) and {"name", "shape", "sha256", "values"} <= one.keys() for one in tensors
    )
