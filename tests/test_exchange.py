"""Baselines in a file: what is written is read again, and what is no such file is refused with the place."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgemon import exchange
from edgemon.errors import ConfigError
from edgemon.judge.baseline import Baseline, fingerprint

KEY = {"device": "board", "model": "abc"}
TENSOR = {"name": "y", "dtype": "float32", "shape": [1], "sha256": "0", "values": [1.0]}
GOOD = Baseline(
    "detector", fingerprint(KEY), KEY, (0.01, 0.011, 0.012), {"CPUExecutionProvider": 1.0}, ((TENSOR,),), 1.0,
    {"compute": (0.001, 0.001, 0.001)}, {"compute": "sha256"}, phases={"load": 0.5, "first": 0.02},
)  # fmt: skip


def file(folder: Path, text: str) -> str:
    path = folder / "lab.json"
    path.write_text(text)
    return str(path)


def spoiled(folder: Path, **changes: Any) -> list[str]:
    """The problems of a file whose one baseline has these fields."""
    whole = json.loads(exchange.written([GOOD]))
    whole["baselines"][0].update(changes)
    with pytest.raises(ConfigError) as error:
        exchange.load(file(folder, json.dumps(whole)))
    return list(error.value.problems)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    other = replace(GOOD, probe="classifier", golden=())
    found = exchange.load(file(tmp_path, exchange.written([GOOD, other])))
    assert exchange.written(found) == exchange.written([GOOD, other])


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"rounds": [0.01, -1, 0.02]}, "rounds"),
        ({"rounds": [0.01]}, "rounds"),
        ({"rounds": "fast"}, "rounds"),
        ({"rounds": [True, True, True]}, "rounds"),
        ({"references": {"compute": [0.1]}}, "references"),
        ({"references": [1]}, "references"),
        ({"key": {"device": 1}}, "key"),
        ({"phases": {"load": 0}}, "phases"),
        ({"phases": [1]}, "phases"),
        ({"key": {"device": "another"}}, "fingerprint"),
        ({"probe": None}, "probe"),
        ({"golden": [[{"name": "y"}]]}, "golden"),
        ({"kernels": {"compute": 1}}, "kernels"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_field_that_is_wrong_is_named_with_its_place(changes: dict[str, Any], place: str, tmp_path: Path) -> None:
    problem = spoiled(tmp_path, **changes)[0]
    assert problem.startswith(f"{tmp_path}/lab.json: baselines[0].{place}")


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    assert len(spoiled(tmp_path, rounds=[], probe=1, kernels=1)) >= 3


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "{}", '{"edgemon_baselines": 2}', "[" * 10_000])
def test_what_is_no_file_of_baselines_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        exchange.load(file(tmp_path, text))


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        exchange.load(str(tmp_path / "none.json"))


plain = st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=9), one, max_size=3), max_leaves=8)  # fmt: skip  # noqa: E501


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(field=st.sampled_from(sorted(GOOD.to_json())), value=plain)
def test_no_value_of_any_field_does_more_than_be_refused(field: str, value: Any, tmp_path: Path) -> None:
    whole = json.loads(exchange.written([GOOD]))
    whole["baselines"][0][field] = value
    try:
        (found,) = exchange.load(file(tmp_path, json.dumps(whole)))
    except ConfigError:
        return
    assert found.median > 0
