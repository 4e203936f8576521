"""The capture format: what is written is read again, and what is wrong is named with its line."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from edgemon.capture import Capture, Entry, Moment, laid, load, parse, render
from edgemon.errors import CaptureError
from tests.devices import DEVICES, HERE

NAMES = some.text(string.ascii_letters + string.digits + "_-.:#@ ", min_size=1, max_size=12).filter(
    lambda name: name.strip(" .") == name and " -> " not in name and " !" not in name and " \\" not in name
)
PATHS = some.lists(NAMES, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
BODIES = some.binary(max_size=60).map(lambda body: body and body + b"\n")
ENTRIES = some.one_of(
    BODIES.map(Entry),
    PATHS.map(lambda path: Entry(target=path)),
    some.sampled_from(["EIO", "EACCES", "EAGAIN", "ENOENT"]).map(lambda name: Entry(failure=name)),
)
MOMENTS = some.lists(some.dictionaries(PATHS, ENTRIES, max_size=5), min_size=1, max_size=3)


@given(MOMENTS.filter(lambda moments: bool(moments[0])))
def test_what_is_written_is_read_again(moments: list[dict[str, Entry]]) -> None:
    """Any bytes in any file, links, failures, later moments."""
    capture = Capture("# source: hypothesis", tuple(Moment(5.0 * at, one) for at, one in enumerate(moments)))
    assert parse(render(capture)) == capture


@pytest.mark.parametrize("device", DEVICES)
def test_the_captures_here_are_written_as_edgemon_writes_them(device: str) -> None:
    text = (HERE / f"{device}.capture").read_text("utf-8")
    assert render(parse(text)) == text


@given(some.text(max_size=300) | some.text(string.printable + "\0").map(lambda text: f"== /a\n{text}\n== @5s\n{text}"))
def test_any_text_is_a_capture_or_an_error(text: str) -> None:
    try:
        parse(text)
    except CaptureError as error:
        assert str(error).startswith("capture:")  # noqa: PT017 - most texts are none


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "capture: is no capture"),
        ("hello\n== /a\n", "capture: is no capture"),
        ("# source\n== a\n", "capture:2: == a is no path, call, run, or later moment such as @30s"),
        ("== /a\n1\n== /b\n2\n3\n== /a\n", "capture:6: /a is there twice in one moment"),
        ("== /a\n== /b/../c\n", "capture:2: /b/../c must be a path without // and .."),
        ("== /a !EWHAT\n", "capture:1: EWHAT is no errno"),
        ("== call f()\nnot json\n", "capture:1: the answer of a call must be JSON"),
        ("== /a\n== @5s\n== @5s\n", "capture:3: @5s must be later than the moment before it, 5 s"),
        ("== @5s\nwords\n", "capture:1: a moment has no contents of its own"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(CaptureError) as raised:
        parse(text)
    assert problem in str(raised.value)


def test_a_file_that_cannot_be_read_is_a_capture_error(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"== /a\n\xff\n")
    for name, words in (("nothing", "no such file or directory"), (".", "is a directory"), ("bytes", "not UTF-8")):
        with pytest.raises(CaptureError, match=words):
            load(str(tmp_path / name))


def test_json_that_fits_on_a_line_stays_on_it() -> None:
    long = {"gpus": [{"id": number, "name": "x" * 40} for number in range(3)], "driver": "535"}
    assert laid({"a": [1, None]}) == '{"a": [1, null]}'
    assert max(map(len, laid(long).splitlines())) <= 110
    assert len(laid(long).splitlines()) == 8
