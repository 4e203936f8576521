"""Endpoint probes from the configuration to the verdict: baselines, turns of faulty requests, metrics, commands."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgemon.config import Probe
from edgemon.judge.verdict import State
from edgemon.schema import validate
from tests.servers import METADATA, MODEL, Server, answer, double, good, serving
from tests.test_prober import Bench, told


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    it = Bench(tmp_path)
    yield it
    it.archive.close()


def settings(server: Server, **endpoint: Any) -> Probe:
    quick = {"rate": 1000, **endpoint}
    probe = {"model": server.url(), "idle": "0", "seconds": "100ms", "effect": 9, "endpoint": quick}
    return validate({"probes": {"test": probe}}).probes["test"]


def test_a_served_model_is_ok_by_its_baseline_then_wrong_then_another(bench: Bench) -> None:
    factor, versions = [2.0], ["1"]
    routes = good(
        infer=lambda asked: double(asked, factor[0]),
        metadata=lambda asked: answer(200, {**METADATA, "versions": versions}),
    )
    with serving(routes) as server:
        bench.learn(settings(server))
        finding = bench.find(settings(server))
        assert (finding.verdict.state, finding.result.distance["bits"]) == (State.OK, 0.0)
        factor[0] = 2.5
        finding = bench.find(settings(server), 1)
        assert (finding.verdict.state, finding.verdict.cause) == (State.FAILING, "wrong_output")
        assert "the version the server has loaded" in finding.verdict.advice
        versions[0] = "2"
        finding = bench.find(settings(server), 1)
    assert (finding.verdict.cause, list(finding.verdict.evidence)) == ("changed", ["model"])


def test_faulty_requests_take_their_turn_among_the_runs(bench: Bench) -> None:
    with serving(good()) as server:
        prober = bench.prober(settings(server, faults_every=2))
        turns = ["faults" in prober.run().result.facts for _ in range(4)]
    assert turns == [False, True, False, True]


def test_the_metrics_tell_the_phases_and_name_the_model_by_its_url(bench: Bench) -> None:
    with serving(good()) as server:
        prober = bench.prober(settings(server))
        prober.run()
    found = told(prober)
    phases = {labels[1] for labels in found["edgemon.probe.duration"]}
    assert phases == {"import", "load", "first", "idle_start", "steady", "dns", "connect", "ttfb"}
    assert [labels[1:4] for labels in found["edgemon.probe.info"]] == [
        ("openinference", "double-server 1.2", server.url())
    ]


@pytest.mark.parametrize(
    ("routes", "status", "text"),
    [
        (good, 0, "is ready"),
        (lambda: good(ready=lambda asked: answer(503)), 1, "probes.test: the server is not ready: 503 Told"),
    ],
)
def test_check_climbs_as_far_as_the_metadata(routes: Callable[[], Any], status: int, text: str, tmp_path: Path) -> None:
    with serving(routes()) as server:
        (tmp_path / "c.yml").write_text(json.dumps({"state_dir": str(tmp_path), "probes": {"test": server.url()}}))
        command = [sys.executable, "-m", "edgemon", "check", "--config", str(tmp_path / "c.yml")]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (status, "")
    assert text in ran.stdout
    assert f"{MODEL}/infer" not in {asked.path for asked in server.asked}
