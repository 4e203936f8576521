"""From the moment a sensor goes beyond a threshold to the moment the real Alertmanager has the alert, and back."""

from __future__ import annotations

import json
import random
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.alerts.manager import alertmanager
from tests.benchmarks.report import Conditions, Target, quantile, table
from tests.running import running
from tests.test_probing import Heating

INTERVAL, SWEEP = 5.0, 0.5
"""Seconds between two evaluations, and between two sweeps, which find what has changed."""
ALLOWED = INTERVAL + 1.0
RULES = f"""
groups:
- name: heat
  interval: {INTERVAL:g}s
  rules:
  - {{alert: Hot, expr: hw_temperature_celsius > 80}}
"""
START, STEP = 300, 10
"""Seconds of the capture from which on it turns hot and cool, and between the two."""
TURN = """== @{at}s
== /sys/class/thermal/thermal_zone0/temp
{temperature}
"""
EVERY = 0.01


def run(quick: bool) -> list[Target]:
    """Breaches at random moments between two evaluations; how long each took to arrive, and its end."""
    count, chance, conditions = 3 if quick else 30, random.Random(1), Conditions()
    fired, ended = list[float](), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        for name in ("device", "manager"):
            (where / name).mkdir()
        board = Board(where / "device", count)
        (where / "rules.yml").write_text(RULES)
        config = {"route": {"receiver": "none"}, "receivers": [{"name": "none"}]}
        with alertmanager(where / "manager", config) as url, running(
            where / "device", board.heating.env, root=str(board.heating.capture), probes={},
            sensors={"interval": f"{SWEEP:g}s"}, rules={"files": [str(where / "rules.yml")]},
            notify={"alertmanagers": {"site": {"url": url}}},
        ):  # fmt: skip
            for _ in range(count):
                time.sleep(INTERVAL + chance.uniform(0, INTERVAL))
                fired.append(_took(board.turn, lambda: bool(_alerts(url))))
                time.sleep(chance.uniform(0, INTERVAL))
                ended.append(_took(board.turn, lambda: not _alerts(url)))
    heads = ["", "median s", "p90 s", "slowest s", "allowed s"]
    rows = [
        [name, *(f"{value:.2f}" for value in (quantile(took, 0.5), quantile(took, 0.9), max(took))), f"{ALLOWED:g}"]
        for name, took in (("breach to Alertmanager", fired), ("its end to Alertmanager", ended))
    ]
    table(f"{count} breaches, evaluated every {INTERVAL:g} s, swept every {SWEEP:g} s", heads, rows)
    print(f"\n{conditions.tell()}")
    promise = f"breach to Alertmanager <= interval + 1 s ({ALLOWED:g} s)"
    return [Target(promise, f"{max(fired):.2f} s", max(fired) <= ALLOWED)]


class Board:
    """A captured Raspberry Pi that turns hot and cool again as often as it is told; it begins cool."""

    def __init__(self, where: Path, times: int) -> None:
        self.heating, self._at = Heating(where), START
        turns = [TURN.format(at=START + STEP * n, temperature=81800 if n % 2 else 60000) for n in range(2 * times + 1)]
        self.heating.capture.write_text(self.heating.capture.read_text() + "".join(turns))

    def turn(self) -> None:
        self._at += STEP
        self.heating.at(self._at)


def _took(change: Callable[[], None], arrived: Callable[[], bool]) -> float:
    """Let the sensor change; the seconds until that has arrived."""
    change()
    began = time.monotonic()
    while not arrived():
        time.sleep(EVERY)
        if time.monotonic() - began > 60:
            raise TimeoutError("the alert did not arrive within 60 s")
    return time.monotonic() - began


def _alerts(url: str) -> Any:
    with urllib.request.urlopen(f"{url}/api/v2/alerts", timeout=10) as answer:
        return json.load(answer)
