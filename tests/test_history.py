"""History: what is noted and what is not, and what of it can be read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemon import cli, logs
from edgemon.history import FLIP, RUN, VERDICT, Chronicle, entries
from edgemon.probe.result import Outcome
from edgemon.rebenchmark import KIND
from tests.alerts.flips import flip
from tests.rebenched import EPOCH, Device


def test_of_verdicts_only_the_changes_are_noted_over_restarts_too(tmp_path: Path) -> None:
    it = Device(tmp_path)
    it.learn()
    chronicle = Chronicle(it.archive)
    for _ in range(5):
        chronicle.verdict(it.turns(1))
    chronicle = Chronicle(it.archive)
    chronicle.verdict(it.turns(1))
    it.outcomes["a"] = Outcome.CRASHED
    chronicle.verdict(it.turns(1))
    found = entries(it.archive, ["a"], kinds=[VERDICT])
    states = [(one.data["before"], one.data["state"]) for one in found]
    assert states == [(None, "undecided"), ("undecided", "ok"), ("ok", "failing")]
    assert found[-1].text.startswith("ok -> failing: ")


def test_a_skipped_run_is_no_verdict(tmp_path: Path) -> None:
    it = Device(tmp_path)
    it.outcomes["a"] = Outcome.SKIPPED
    Chronicle(it.archive).verdict(it.turns(1))
    assert entries(it.archive, ["a"]) == []


def test_everything_comes_in_the_order_of_time_and_what_is_damaged_is_left_out(tmp_path: Path) -> None:
    """Runs of probes that are asked for by name too, although nobody has configured them."""
    it = Device(tmp_path, "a", "b")
    it.learn("a")
    began = it.wall()
    it.turns(2, "b")
    Chronicle(it.archive).flips(
        [flip("Early", starts_at=EPOCH - 9), flip("Mine", starts_at=began, labels={"probe": "a"})]
    )
    it.fire(probe="a")
    it.until(it.now + 60)
    for kind in (FLIP, KIND):
        it.archive.note(kind, "a", began, {"outcome": "ok"})
    found = entries(it.archive, ["a", "b"])
    assert [one.at for one in found] == sorted(one.at for one in found)
    assert found[0].text == "Early firing (severity=warning)"
    counts = {kind: len([one for one in found if one.kind == kind]) for kind in (RUN, FLIP, KIND)}
    assert counts == {RUN: 2 + 10, FLIP: 2, KIND: 1}
    assert {one.probe for one in entries(it.archive, ["a", "b"], "b")} == {"b"}
    assert {one.kind for one in entries(it.archive, ["a"], "a", [FLIP])} == {FLIP}


@pytest.mark.parametrize("arguments", [("--since", "yesterday"), ("--last", "few"), ("--kind", "walk")])
def test_what_cannot_be_asked_for_is_said(
    arguments: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "to_stderr", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        cli.main(["history", *arguments])
    assert ended.value.code == 2
    assert f"argument {arguments[0]}: " in capsys.readouterr().err
