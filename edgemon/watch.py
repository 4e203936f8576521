"""Watching a run: a look at the device before it, every second of it, and after it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from edgemon.conditions import Conditions, over
from edgemon.look import seen
from edgemon.probe.result import Result
from edgemon.store import Snapshot

EVERY = 1.0
MANY = 60
"""Looks during one run, at most: a probe that may take an hour is not watched through all of it."""


def watched(run: Callable[[], Result], look: Callable[[], Snapshot] | None, every: float = EVERY) -> Result:
    """The result of a run, with the conditions it had; `look` reads the sensors that are due."""
    if look is None:
        return run()
    looks, ended = [seen(look())], threading.Event()

    def work() -> None:
        while len(looks) <= MANY and not ended.wait(every):
            looks.append(seen(look()))

    thread = threading.Thread(target=work, name="edgemon-watch", daemon=True)
    thread.start()
    try:
        result = run()
    finally:
        ended.set()
    last = seen(look())
    thread.join()
    return replace(result, conditions=_of(result, [*looks, last]).to_json())


def _of(result: Result, looks: list[Conditions]) -> Conditions:
    clocks = [result.witnesses[name] for name in ("clock_begin", "clock_end") if name in result.witnesses]
    taken = {"run_delay": result.run_delay, "steal": result.witnesses.get("steal")}
    return over(
        sorted(looks, key=lambda one: one.uptime),
        sum(clocks) / len(clocks) if clocks else 0.0,
        {name: share for name, share in taken.items() if share is not None},
    )
