"""`edgemon compare` and the exchange of baselines, as a person runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgemon.archive import Archive
from edgemon.cli import main
from edgemon.judge.baseline import Baseline, fingerprint
from edgemon.probe.result import Outcome, Result

OLD, NEW = {"runtime": "onnx 1.30", "model": "m"}, {"runtime": "onnx 1.32", "model": "m"}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def edgemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command on a state directory of its own."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        status = main(words)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def made(probe: str, seconds: float, key: dict[str, str], count: int = 10) -> Baseline:
    values = tuple(seconds * (1 + 0.001 * (n % 5)) for n in range(count))
    kernels = {"references": {"compute": (0.001,) * count}, "kernels": {"compute": "sha256"}}
    return Baseline(probe, fingerprint(key), key, values, at=1e9, **kernels)  # type: ignore[arg-type]


def keep(folder: Path, *baselines: Baseline) -> None:
    archive = Archive(str(folder / "state"))
    for one in baselines:
        archive.keep(one)
    archive.close()


def measured(folder: Path, probe: str, seconds: float, key: dict[str, str], count: int = 6) -> None:
    """Rounds that the daemon measured."""
    archive, facts = Archive(str(folder / "state")), {"kernels": {"compute": "sha256"}}
    for n in range(count):
        latencies = [seconds * (1 + 0.001 * n)] * 7
        one = Result(probe, Outcome.OK, latencies=latencies, at=2e9 + n, kernels={"compute": 0.001}, facts=facts)
        archive.add(one, fingerprint(key), key)
    archive.close()


def test_a_lab_ships_its_baselines_to_a_device(edgemon: Run, tmp_path: Path) -> None:
    keep(tmp_path, made("detector", 0.01, OLD), made("classifier", 0.02, OLD))
    status, text, _ = edgemon("baseline", "export", "detector")
    assert status == 0
    (tmp_path / "lab.json").write_text(text)
    assert edgemon("baseline", "remove", "detector")[0] == 0
    status, out, _ = edgemon("baseline", "import", "lab.json")
    assert (status, out.split()[0]) == (0, "detector")
    assert {one.probe for one in Archive(str(tmp_path / "state")).baselines()} == {"detector", "classifier"}


def test_importing_what_is_there_loses_nothing_unless_asked(edgemon: Run, tmp_path: Path) -> None:
    keep(tmp_path, made("detector", 0.01, OLD))
    (tmp_path / "lab.json").write_text(edgemon("baseline", "export")[1])
    keep(tmp_path, made("detector", 0.5, OLD))
    status, _, err = edgemon("baseline", "import", "lab.json")
    assert status == 3
    assert "--replace" in err
    assert Archive(str(tmp_path / "state")).baselines()[0].median > 0.4
    assert edgemon("baseline", "import", "lab.json", "--replace")[0] == 0
    assert Archive(str(tmp_path / "state")).baselines()[0].median < 0.1


def test_a_slower_side_is_told_with_its_interval_its_differences_and_status_1(edgemon: Run, tmp_path: Path) -> None:
    keep(tmp_path, made("detector", 0.010, OLD))
    measured(tmp_path, "detector", 0.012, NEW)
    status, out, _ = edgemon("compare", "detector", "detector@now")
    assert status == 1
    assert "slower" in out
    assert "+20" in out
    assert "runtime: onnx 1.30 -> onnx 1.32" in out


def test_the_same_is_status_0(edgemon: Run, tmp_path: Path) -> None:
    keep(tmp_path, made("detector", 0.010, OLD))
    (tmp_path / "a.json").write_text(edgemon("baseline", "export")[1])
    assert edgemon("compare", "a.json", "detector")[0] == 0


def test_several_devices_are_a_table_in_markdown_and_json(edgemon: Run, tmp_path: Path) -> None:
    for name, seconds in (("lab", 0.01), ("kitchen", 0.0101), ("roof", 0.013)):
        keep(tmp_path, made("detector", seconds, OLD), made("classifier", seconds, OLD))
        (tmp_path / f"{name}.json").write_text(edgemon("baseline", "export")[1])
    status, out, _ = edgemon("compare", "lab.json", "kitchen.json", "roof.json", "--markdown")
    rows = [line.split("|") for line in out.splitlines()]
    assert status == 1
    assert {len(row) for row in rows} == {9}
    assert [row[2].strip() for row in rows[2:]] == ["lab", "kitchen", "roof"] * 2
    found = json.loads(edgemon("compare", "lab.json", "kitchen.json", "roof.json", "--json")[1])
    assert [row.get("change", {}).get("trend") for row in found["detector"]] == [None, "same", "slower"]
    assert found["detector"][2]["change"]["bounds"][0] > 1.2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("detector",), "two sides"),
        (("detector", "nothing"), "nothing has no baseline"),
        (("detector", "detector@ffff"), "no baseline ffff"),
        (("detector", "detector@now"), "fewer than 3 rounds"),
        (("detector", "missing.json"), "no such file"),
        (("detector", "other"), "no probe is in all"),
    ],
)
def test_what_cannot_be_compared_is_a_sentence(words: tuple[str, ...], said: str, edgemon: Run, tmp_path: Path) -> None:
    keep(tmp_path, made("detector", 0.01, OLD), made("other", 0.01, OLD))
    status, _, err = edgemon("compare", *words)
    assert status in {2, 3}
    assert said in err


def test_an_earlier_baseline_is_named_by_its_fingerprint(edgemon: Run, tmp_path: Path) -> None:
    keep(tmp_path, made("detector", 0.01, OLD), replace(made("detector", 0.02, NEW), at=2e9))
    assert edgemon("compare", f"detector@{fingerprint(OLD)}", "detector")[0] == 1
    assert edgemon("compare", "detector", f"detector@{fingerprint(OLD)[:6]}")[0] == 0
