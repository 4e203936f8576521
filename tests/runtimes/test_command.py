"""Any program as a runtime: what it may print, how it is stopped, and what is said when it does not do its part."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from edgemon.probe import supervisor
from edgemon.probe.result import Outcome, Result
from tests.probe import ask, eventually, running

NUMBERS = "for n in range(9): print(0.01 + n / 1000)"


def probe(program: str, *arguments: str, **fields: Any) -> Result:
    """Run a few lines of Python as the program, to its end unless told otherwise."""
    fields = {"seconds": 60.0, **fields}
    options = {"command": [sys.executable, "-u", "-c", program, *arguments], **fields.pop("options", {})}
    return supervisor.run(ask("command", options=options, **fields))


def test_plain_numbers_are_seconds_the_first_is_the_first_inference_and_nothing_else_is_invented() -> None:
    result = probe(NUMBERS)
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    assert result.first_seconds == 0.01
    assert result.latencies == pytest.approx([0.011 + n / 1000 for n in range(8)])
    assert (result.load_seconds, result.import_seconds, result.idle_seconds) == (None, None, None)
    assert (result.facts["placement"], result.facts["requested"]) == ({}, [])


@pytest.mark.parametrize(("unit", "seconds"), [("s", 12.5), ("ms", 0.0125), ("us", 0.0000125)])
def test_the_unit_of_plain_numbers_is_configured(unit: str, seconds: float) -> None:
    result = probe("for n in range(5): print('12.5')", options={"unit": unit})
    assert result.latencies == pytest.approx([seconds] * 4)


def test_a_pattern_finds_the_number_in_a_sentence_and_other_lines_are_passed_over() -> None:
    program = "print('model v2'); [print(f'run {n} took {n + 1}.5 ms (ok)') for n in range(5)]; print('bye')"
    result = probe(program, options={"pattern": r"took ([0-9.]+) ms", "unit": "ms"})
    assert result.latencies == pytest.approx([0.0025, 0.0035, 0.0045, 0.0055])


def test_json_lines_are_seconds_whatever_the_unit_and_tell_the_rest() -> None:
    program = (
        'print(\'{"load": 1.5, "version": "9", "requested": ["NPU"], "placement": {"NPU": 1.0}}\')\n'
        "for n in range(5): print('{\"latency\": 0.5}')"
    )
    result = probe(program, options={"unit": "ms"})
    assert result.latencies == [0.5] * 4
    assert result.load_seconds == 1.5
    assert result.facts["runtime_version"] == "9"
    assert (result.facts["requested"], result.facts["placement"]) == (["NPU"], {"NPU": 1.0})


@pytest.mark.parametrize(
    "line", ["nan", "-1", "inf", "1e999", "{", "[1]", '{"latency": "x"}', '{"latency": -1}', "0x1"]
)
def test_lines_that_are_no_latency_are_no_latency(line: str) -> None:
    result = probe(f"print({line!r})\n{NUMBERS}")
    assert (result.first_seconds, len(result.latencies)) == (0.01, 8)


def test_the_model_is_put_in_for_its_place_and_no_shell_sees_the_arguments(tmp_path: Path) -> None:
    model = tmp_path / "a $(touch pwned) model"
    model.write_text("x")
    program = f"import sys\nassert sys.argv[1:] == [{str(model)!r}, '$HOME', ';']\n{NUMBERS}"
    assert probe(program, "{model}", "$HOME", ";", model=str(model)).detail == ""


def test_a_program_that_goes_on_for_ever_is_stopped_when_there_is_enough_and_is_gone(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    program = (
        f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\nwhile True: print(0.01); time.sleep(0.001)"
    )
    result = probe(program, samples=20, seconds=0.1)
    assert result.outcome is Outcome.OK
    assert len(result.latencies) >= 20
    assert eventually(lambda: not psutil.pid_exists(int(mark.read_text())))


def test_a_program_that_ignores_being_asked_to_end_is_killed() -> None:
    program = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: print(0.01); time.sleep(0.001)"
    )
    assert probe(program, seconds=0.1).outcome is Outcome.OK


def test_one_that_says_nothing_is_ended_at_its_deadline_before_the_probe_is_killed() -> None:
    result = probe("import time\nprint('thinking', flush=True)\ntime.sleep(60)", timeout=5.0)
    assert result.outcome is Outcome.FAILED
    assert "printed 0 latencies, 4 are needed; its last line: thinking" in result.detail


def test_no_program_is_left_when_the_probe_is_cancelled(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    program = f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    with running(ask("command", options={"command": [sys.executable, "-c", program]})) as it:
        assert eventually(lambda: mark.exists() and mark.read_text() != "")
        it.cancel.set()
        assert it.result().outcome is Outcome.SKIPPED
    assert eventually(lambda: not psutil.pid_exists(int(mark.read_text())))


def test_a_status_other_than_0_fails_with_the_last_line() -> None:
    result = probe(f"{NUMBERS}\nprint('no such device')\nraise SystemExit(7)")
    assert result.outcome is Outcome.FAILED
    assert result.detail.endswith("ended with status 7: no such device")


def test_output_without_an_end_of_line_does_not_fill_the_memory() -> None:
    result = probe("import sys\nwhile True: sys.stdout.write('x' * 65536)", timeout=5.0)
    assert result.outcome is Outcome.FAILED
    assert "printed 0 latencies" in result.detail
    assert result.peak_memory
    assert result.peak_memory < 100 << 20


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no command": ({}, "options.command must be a list of program and arguments, such as [/opt/bench, '{model}']"),
    "a sentence": ({"command": "a b"}, "options.command must be a list of program and arguments"),
    "no program": ({"command": ["/nowhere/bench"]}, "/nowhere/bench is no program that can be run"),
    "unit": ({"command": ["true"], "unit": "h"}, "options.unit must be one of s, ms, us, not h"),
    "pattern": ({"command": ["true"], "pattern": "("}, "options.pattern is no regular expression: "),
    "no group": ({"command": ["true"], "pattern": "ms"}, "options.pattern needs a group around the number"),
    "unknown": ({"comand": ["true"]}, "options names comand (did you mean command?); known: command, unit, pattern"),
}


@pytest.mark.parametrize("name", WRONG)
def test_options_that_cannot_be_are_named(name: str) -> None:
    options, said = WRONG[name]
    result = supervisor.run(ask("command", options=options))
    assert (result.outcome, result.stage) == (Outcome.FAILED, "load")
    assert result.detail.startswith(said)
