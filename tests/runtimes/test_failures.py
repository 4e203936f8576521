"""What can befall a probe, with every engine that is here: each has a named outcome, and the next probe runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgemon.config import Probe
from edgemon.probe import supervisor
from edgemon.probe.result import Outcome
from edgemon.residence import Residence
from tests.probe import MIB, ask, interpreter, workers
from tests.runtimes.engines import ENGINES, run
from tests.runtimes.test_old_pythons import PYTHONS, version
from tests.test_residence import left

SABOTEUR = Path(__file__).with_name("saboteur.py")
BEFALLS = {
    "gone": (Outcome.FAILED, "the device is gone"),
    "segfault": (Outcome.CRASHED, "crashed with SIGSEGV in "),
    "killed": (Outcome.CRASHED, "killed by SIGKILL, most likely by the kernel for want of memory, in "),
    "hoard": (Outcome.FAILED, ""),
    "hang": (Outcome.TIMEOUT, "no answer within 1.2 s, killed in "),
}

LIMITS: dict[str, dict[str, Any]] = {"hang": {"timeout": 1.2}, "hoard": {"memory": 768 * MIB}}


def sabotaged(name: str, what: str, path: Path) -> str:
    """An interpreter in which that happens."""
    return interpreter(path, f'exec $PYTHON {SABOTEUR} {name} {what} "$@"')


def test_whatever_befalls_an_engine_amid_its_inferences_is_named_and_the_next_probe_runs(
    name: str, tmp_path: Path
) -> None:
    """The device vanishes, a crash, the kernel's OOM killer, memory without end, a hang in the driver."""
    model = ENGINES[name].good(tmp_path / "model")
    for what, (outcome, detail) in BEFALLS.items():
        result = run(name, model, sabotaged(name, what, tmp_path / what), **LIMITS.get(what, {}))
        assert (result.outcome, result.detail[: len(detail)]) == (outcome, detail), what
        assert result.stage in {"start", "import", "load", "first", "warmup", "steady", "run"}
        if what == "hoard":
            assert "memory" in result.detail.lower()
            assert "768 MiB" in result.detail
    assert not workers()
    assert run(name, model).outcome is Outcome.OK


def test_an_engine_that_leaks_gives_its_worker_up_and_the_next_round_is_ok(name: str, tmp_path: Path) -> None:
    if ENGINES[name].alone:
        pytest.skip("no worker of it stays")
    home = Residence("p", Probe(runtime=name, worker="resident", recycle=100), [])
    python = sabotaged(name, "leak", tmp_path / "leaky")
    asked = ask(name, model=ENGINES[name].good(tmp_path / "model"), kernel_share=0.0, samples=3, seconds=0.01)
    asked = replace(asked, counted=supervisor.run(replace(asked, until="load")).facts["model_sha256"])
    first, second, third = [home.run(asked, python) for _ in range(3)]
    home.close()
    assert {one.outcome for one in (first, second, third)} == {Outcome.OK}
    assert first.started == second.started != third.started
    assert left(home) == {"growth": 1, "closed": 1}


def test_a_disk_that_takes_nothing_costs_no_answer(name: str, tmp_path: Path) -> None:
    """No byte can be written to any file, as on a full disk: answers go through a socket."""
    model = ENGINES[name].good(tmp_path / "model")
    result = run(name, model, interpreter(tmp_path / "full", 'ulimit -f 0\nexec $PYTHON "$@"'), profile=name != "onnx")
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    assert result.latencies


def test_an_interpreter_without_the_engine_is_named_and_so_is_none_at_all(name: str, tmp_path: Path) -> None:
    model = ENGINES[name].good(tmp_path / "model")
    result = run(name, model, str(tmp_path / "missing"))
    assert (result.outcome, result.stage) == (Outcome.FAILED, "start")
    assert result.detail.startswith(f"cannot start {tmp_path}/missing: No such file or directory; set python:")
    if not ENGINES[name].alone:
        result = run(name, model, interpreter(tmp_path / "bare", 'exec $PYTHON -S "$@"'))
        assert (result.outcome, result.stage) == (Outcome.FAILED, "import")
        assert result.detail.startswith(("ModuleNotFoundError: No module named ", "no LiteRT here; install one of "))


@pytest.mark.parametrize("old", [one for one in PYTHONS if version(one) < (3, 8)][:1] or [None], ids=str)
def test_an_interpreter_that_is_too_old_is_named_whatever_the_engine(
    name: str, old: Path | None, tmp_path: Path
) -> None:
    if old is None:
        pytest.skip("no Python before 3.8 here")
    result = run(name, str(tmp_path / "model"), str(old))
    assert (result.outcome, result.stage) == (Outcome.CRASHED, "start")
    assert "needs Python 3.8 or later" in result.detail or "SyntaxError" in result.detail
