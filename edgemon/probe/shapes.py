"""What a result may hold: a worker's engine has read a stranger's model, so that its answer is a stranger's too.

A field that is wrong makes the whole answer none. A fact that nobody reads is whatever JSON can say.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, Tuple

LARGEST = 1e18
"""No number that is measured is larger."""
DEEPEST = 32

Check = Callable[[Any], bool]


def number(value: Any) -> bool:
    """A measured number."""
    return isinstance(value, (int, float)) and -LARGEST <= value <= LARGEST


def amount(value: Any) -> bool:
    """A number from 0."""
    return number(value) and value >= 0


def whole(value: Any) -> bool:
    """A whole number from 0."""
    return isinstance(value, int) and 0 <= value <= LARGEST


def measure(value: Any) -> bool:
    """A number, or what came of outputs that are none."""
    return number(value) or (isinstance(value, float) and not math.isfinite(value))


def text(value: Any) -> bool:
    """A string that can be written."""
    return isinstance(value, str) and not any("\ud800" <= one <= "\udfff" for one in value)


def maybe(check: Check) -> Check:
    """That, or nothing."""
    return lambda value: value is None or check(value)


def each(check: Check) -> Check:
    """A list of those."""
    return lambda value: isinstance(value, (list, tuple)) and all(map(check, value))


def by_name(check: Check) -> Check:
    """Those by name."""
    return lambda value: isinstance(value, dict) and all(map(text, value)) and all(map(check, value.values()))


def record(**fields: Check) -> Check:
    """Those fields, every one."""
    return lambda value: (
        isinstance(value, dict) and all(name in value and check(value[name]) for name, check in fields.items())
    )


def span(value: Any) -> bool:
    """Begin and end."""
    return isinstance(value, list) and len(value) == 2 and all(map(number, value)) and value[0] <= value[1]


def plain(value: Any, depth: int = 0) -> bool:
    """What can be written as JSON again."""
    if isinstance(value, dict):
        return depth < DEEPEST and all(text(key) and plain(one, depth + 1) for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return depth < DEEPEST and all(plain(one, depth + 1) for one in value)
    return value is None or isinstance(value, (int, float)) or text(value)


COUNTED = record(
    macs=maybe(amount),
    coverage=amount,
    nodes=whole,
    parameters=maybe(amount),
    parameter_bytes=by_name(amount),
    precision=by_name(amount),
    uncounted=by_name(whole),
)
JOULES = record(gross=number, net=number, error=number, idle=number)
FACTS: Dict[str, Check] = {
    **dict.fromkeys(("runtime", "runtime_version", "model_sha256", "inputs", "address", "tls"), text),
    **dict.fromkeys(("requested", "registered", "providers", "devices"), each(text)),
    "placement": maybe(by_name(amount)),
    "executed": maybe(by_name(maybe(amount))),
    "refused": maybe(by_name(text)),
    "faults": by_name(lambda value: text(value) or number(value)),
    "kernels": by_name(text),
    "joules": maybe(JOULES),
    "anatomy": lambda value: COUNTED(value) if isinstance(value, dict) and "macs" in value else plain(value),
    "options": lambda value: isinstance(value, dict) and plain(value),
    "roof": maybe(amount),
}


def wrong(facts: Dict[str, Any]) -> Tuple[str, ...]:
    """The facts that are not what they are to be, or that are not there."""
    told = "model_sha256" in facts
    missing = tuple(name for name in ("runtime", "runtime_version") if told and name not in facts)
    return missing + tuple(
        str(name)[:40] for name, value in facts.items() if not text(name) or not FACTS.get(name, plain)(value)
    )
