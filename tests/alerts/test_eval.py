"""`edgemon rules eval`: PromQL over a device, as a user types it."""

from __future__ import annotations

import json
import math

import pytest

from edgemon import cli, logs
from edgemon.alerts.promql.values import number, shown
from tests.devices import HERE

HEAT = 'hw_temperature_celsius{hw_id="cpu-thermal", hw_name="cpu-thermal"}'
WARM = ["--root", str(HERE / "raspberry-pi-4-heating.capture")]


def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(logs, "to_stderr", lambda *_: None)
    status = cli.main(["rules", "eval", *arguments])
    return status, *capsys.readouterr()


@pytest.mark.parametrize(
    ("expression", "status", "out", "error"),
    [
        ("hw_temperature_celsius > 60", 0, f"{HEAT}  68.7\n", ""),
        ("avg(hw_temperature_celsius) / 10", 0, "6.87\n", ""),
        ("hw_temperature_celsius < 0", 0, "", "edgemon: no series: an alert with this expression does not fire\n"),
        ("absent(nothing{a='b'})", 0, '{a="b"}  1\n', ""),
        ("1 +\n rat(x)", 2, "", "edgemon: 2:2: rat is no function of the subset; did you mean rate?\n"),
        (
            "vector(1) + on () {__name__=~'hw_.*'}", 1, "",
            "edgemon: found duplicate series for the match group {} on the right hand-side of the operation: [",
        ),
    ],
)  # fmt: skip
def test_what_is_typed_is_answered(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    expression: str,
    status: int,
    out: str,
    error: str,
) -> None:
    said = typed(capsys, monkeypatch, *WARM, expression)
    assert said[:2] == (status, out)
    assert said[2].startswith(error)
    assert bool(said[2]) == bool(error)


def test_json_is_what_the_query_api_of_prometheus_gives(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    vector = json.loads(typed(capsys, monkeypatch, *WARM, "--json", "hw_temperature_celsius")[1])
    assert vector["resultType"] == "vector"
    (only,) = vector["result"]
    assert only["metric"] == {"__name__": "hw_temperature_celsius", "hw_id": "cpu-thermal", "hw_name": "cpu-thermal"}
    assert only["value"][1] == "68.7"
    scalar = json.loads(typed(capsys, monkeypatch, *WARM, "--json", "1 / 0")[1])
    assert (scalar["resultType"], scalar["result"][1]) == ("scalar", "+Inf")


def test_a_range_needs_more_than_one_sweep(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    text = "count_over_time(hw_temperature_celsius[1m])"
    once = typed(capsys, monkeypatch, *WARM, text)
    assert once[1].endswith("  1\n")
    assert once[2] == "edgemon: it looks back, and one sweep has no past: take more with --for\n"
    more = typed(capsys, monkeypatch, *WARM, "--for", "2s", "--every", "1s", text)
    assert more[1].endswith("  3\n")
    assert more[2] == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (-0.0, "-0"), (1e21, "1" + "0" * 21), (-1.5e-7, "-0.00000015"), (0.1, "0.1"), (math.nan, "NaN")],
)
def test_numbers_are_written_as_prometheus_writes_them(value: float, text: str) -> None:
    assert number(value) == text


def test_series_are_shown_as_selectors() -> None:
    assert shown((("__name__", "a"), ("b", "c"))) == 'a{b="c"}'
    assert shown((("__name__", "a"),)) == "a"
    assert shown(()) == "{}"
