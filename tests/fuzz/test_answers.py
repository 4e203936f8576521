"""A worker's answers: its engine parses models of strangers, so that it may be anybody's by the time it answers."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgemon import config, report
from edgemon import prober as probing
from edgemon.archive import Archive
from edgemon.asking import request
from edgemon.probe import supervisor
from edgemon.probe.result import Request, Result
from edgemon.sinks.prometheus import TEXT, Exposition
from edgemon.store import Store
from edgemon.sysfs import Root
from tests.fuzz import chances

PROBES = {
    "fake": config.Probe(model="/a/model", runtime="fake", options={"work": 1000}, idle=0.0, samples=5, seconds=0.04),
    "onnx": config.Probe(idle=0.0, samples=5, seconds=0.04),
}
VALUES: list[Any] = [
    None, True, 0, -1, 1, 1e308, -1e308, float("nan"), float("inf"), 10**400, "", "x", "\ud800", "\0", "a" * 5000, "\n",
    [], {}, [[]], [1, "a"], {"a": {"b": []}}, {"": None}, [float("nan")], {"x": float("inf")}, [[0, 1]], [[1, 0]],
]  # fmt: skip


@pytest.fixture(scope="module")
def answers() -> list[dict[str, Any]]:
    """Real ones, as they come from a worker."""
    found = [supervisor.run(replace(request(name, probe), profile=True)) for name, probe in PROBES.items()]
    assert all(one.outcome.value == "ok" for one in found)
    return [one.to_json() for one in found]


def spoil(answer: Any, chance: random.Random) -> Any:
    """The same with a few values anywhere in it replaced, removed or doubled."""
    it = json.loads(json.dumps(answer))
    for _ in range(chance.randint(1, 4)):
        inner, key = _somewhere(it, chance)
        if inner is None:
            continue
        if chance.random() < 0.15:
            del inner[key]
        else:
            inner[key] = chance.choice(VALUES) if chance.random() < 0.8 else [inner[key], inner[key]]
    return it


def _somewhere(it: Any, chance: random.Random) -> tuple[Any, Any]:
    """A place in it: what holds it, and its key there."""
    inner, key = None, None
    while isinstance(it, dict | list) and it and (inner is None or chance.random() < 0.7):
        inner, key = it, chance.choice(list(it) if isinstance(it, dict) else range(len(it)))
        it = inner[key]
    return inner, key


class Lab:
    """A daemon's way from an answer to what is served, in memory."""

    def __init__(self, where: Path) -> None:
        self.archive, self.store = Archive(str(where / "state")), Store()
        self.exposition = Exposition(lambda: self.store.snapshot)
        self.where = where

    def prober(self, name: str, answer: Result) -> probing.Prober:
        """A prober whose worker answers this."""
        prober = probing.Prober(name, PROBES[name], self.archive, Root(str(self.where)), str(self.where / "state"))

        def ask(request: Request, python: str = "", cancel: threading.Event | None = None) -> Result:
            return replace(answer, probe=request.probe)

        prober.ask = ask
        return prober


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    it = Lab(tmp_path)
    yield it
    it.archive.close()


def test_answers(answers: list[dict[str, Any]], lab: Lab) -> None:
    """What is accepted is judged, kept, served and shown; all else is refused where it is read."""
    for chance in chances("answers", 300):
        answer = spoil(chance.choice(answers), chance)
        try:
            result = Result.from_json(answer)
        except (TypeError, ValueError):
            continue
        prober = lab.prober(chance.choice(list(PROBES)), result)
        finding = prober.run()
        lab.store.put("probe", prober.readings())
        lab.store.commit()
        assert lab.exposition.body(TEXT, False)
        assert report.text(finding)
        json.dumps(report.plain(finding))
