"""The configuration: what is accepted means what it says, what is refused names path, value and what is allowed."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemon import document
from edgemon.config import Config, Probe, apart, rebuild
from edgemon.errors import ConfigError
from edgemon.schema import load, validate
from edgemon.values import Seconds, duration

HERE = Path(__file__).parent
BAD, GOOD = sorted((HERE / "bad").glob("*.yml")), sorted((HERE / "good").glob("*.yml"))

pytestmark = pytest.mark.filterwarnings("error")


def expected(path: Path) -> list[str]:
    """The problems a bad file announces in its first lines."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line[2:] for line in lines[: next(n for n, line in enumerate(lines) if not line.startswith("# "))]]


def problems(path: Path) -> list[str]:
    """What is wrong with a file, less its path."""
    with pytest.raises(ConfigError) as caught:
        load(str(path))
    assert all(problem.startswith(f"{path}: ") for problem in caught.value.problems)
    return [problem.removeprefix(f"{path}: ") for problem in caught.value.problems]


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Write a configuration and give its path."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "edgemon.yml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_every_problem_of_a_bad_file_is_named_at_once(path: Path) -> None:
    """Each with its path, its value and what is allowed: exactly the lines that the file begins with."""
    assert problems(path) == expected(path)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_file_survives_the_way_to_the_daemon_unchanged(path: Path) -> None:
    """As JSON from the child, `rebuild` gives the equal configuration."""
    config = load(str(path))
    assert rebuild(Config, json.loads(json.dumps(dataclasses.asdict(config)))) == config
    assert apart(str(path))[0] == config


def test_no_problem_is_longer_than_a_line_or_holds_a_line_break() -> None:
    for path in BAD:
        assert all("\n" not in problem and problem.isprintable() for problem in problems(path))


@pytest.mark.parametrize("name", ["empty", "comment"])
def test_a_file_that_says_nothing_is_the_defaults(name: str) -> None:
    assert load(str(HERE / "good" / f"{name}.yml")) == Config()


def test_a_probe_given_as_a_path_is_that_model_with_every_default() -> None:
    assert load(str(HERE / "good/path.yml")).probes == {
        "detector": Probe(model="/opt/models/detector.onnx"),
        "plain": Probe(),
    }


def test_a_default_timeout_follows_a_shorter_interval_and_a_given_one_stays() -> None:
    probes = load(str(HERE / "good/short.yml")).probes
    assert (probes["a"].timeout, probes["b"].timeout) == (5.0, 1.0)


def test_anchors_and_merges_mean_what_yaml_says() -> None:
    """A key beside a merge is not given twice; what is merged twice over keeps the nearest value."""
    probes = load(str(HERE / "good/merge.yml")).probes
    assert probes["b"] == Probe(runtime="fake", interval=10.0, timeout=10.0, samples=10)
    assert probes["c"] == Probe(runtime="fake", interval=10.0, timeout=10.0, samples=20)
    assert probes["d"] == probes["a"] == Probe(runtime="fake", interval=300.0, samples=10)


def test_units_are_read_as_seconds_and_bytes() -> None:
    config = load(str(HERE / "good/whole.yml"))
    probe = config.probes["a-1_b"]
    assert (config.sensors.interval, config.sensors.timeout, probe.interval, probe.seconds) == (90.0, 0.5, 7200.0, 1.5)
    assert (probe.memory, config.probes["b"].memory, probe.shapes) == (512 << 20, 0, {"image": (1, 3, 224, 224)})


def test_engine_options_pass_through_as_json_can_say_them() -> None:
    """A date stays a string, since no JSON could carry it to the worker."""
    options = load(str(HERE / "good/whole.yml")).probes["a-1_b"].options
    assert options["list"] == [1, 2.5, None, True]
    assert options["day"] == "2001-01-01"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert problems(tmp_path / "none.yml") == ["cannot be read: no such file or directory"]


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    assert problems(tmp_path) == ["is not a file; --config takes the path of a YAML file"]


def test_a_fifo_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert problems(tmp_path / "fifo") == ["is not a file; --config takes the path of a YAML file"]


def test_a_file_in_latin_1_is_refused_with_the_place(file: Any) -> None:
    assert problems(file(b"log_level: \xe9\n")) == ["byte 11 is not UTF-8; save the file as UTF-8"]


def test_a_file_in_utf_16_is_refused(file: Any) -> None:
    assert problems(file("listen: x".encode("utf-16"))) == ["byte 0 is not UTF-8; save the file as UTF-8"]


def test_control_characters_are_refused(file: Any) -> None:
    (problem,) = problems(file(b"listen: \x07"))
    assert problem.startswith("not YAML: unacceptable character #x0007")


def test_more_than_a_mebibyte_is_no_configuration(file: Any) -> None:
    assert problems(file(b"#" * ((1 << 20) + 1))) == ["is larger than 1 MiB, which no configuration is"]
    assert load(str(file(b"#" * (1 << 20)))) == Config()


@pytest.mark.parametrize("levels", [100, 100_000])
@pytest.mark.parametrize("bracket", ["[]", "{}"])
def test_deep_nesting_is_refused(file: Any, bracket: str, levels: int) -> None:
    text = bracket[0] * levels + bracket[1] * levels if bracket == "[]" else "{a: " * levels + "}" * levels
    (problem,) = problems(file(f"probes: {text}"))
    assert "nested" in problem


def test_a_chain_of_aliases_is_as_deep_as_what_it_stands_for(file: Any) -> None:
    chain = "\n".join(f"  x{n}: &x{n} [{f'*x{n - 1}' if n else 1}]" for n in range(500))
    (problem,) = problems(file(f"probes:\n{chain}\n"))
    assert "nested more than 64 deep" in problem


def test_a_number_of_5000_digits_is_refused(file: Any) -> None:
    for number in ("1" * 5000, "0x" + "f" * 5000):
        (problem,) = problems(file(f"log_level: {number}"))
        assert problem.endswith('..." cannot be read as int')


def test_a_bomb_costs_no_memory_beyond_the_file() -> None:
    """The child that reads a bomb under a limit of 256 MiB answers with the one problem."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_DATA, (1 << 28, 1 << 28))"
    child = [sys.executable, "-c", f"{limit}; from edgemon import schema; schema.main()", str(HERE / "bad/bomb.yml")]
    answer = json.loads(subprocess.run(child, capture_output=True, check=True, timeout=20).stdout)
    assert len(answer["problems"]) == 1


def test_the_daemons_child_gives_the_same_problems_as_the_command() -> None:
    path = HERE / "bad/types.yml"
    with pytest.raises(ConfigError) as caught:
        apart(str(path))
    assert [problem.removeprefix(f"{path}: ") for problem in caught.value.problems] == expected(path)


def test_a_child_that_says_nothing_is_a_problem_not_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises(ConfigError, match="the child that reads it failed"):
        apart("/etc/edgemon.yml")


@given(st.integers(0, 10**10))
def test_a_duration_as_a_person_writes_it_is_read_back(milliseconds: int) -> None:
    """Whole seconds above one, milliseconds below."""
    seconds = milliseconds / 1000 if milliseconds < 1000 else float(milliseconds // 1000)
    assert math.isclose(Seconds(0, 1e11).parse(duration(seconds)), seconds, abs_tol=1e-9)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["10s", "1GiB", "/m", "127.0.0.1:80", "info", "a", ".5s", "1e400s", "٣s", "0"])
)
foreign = scalars | st.dates() | st.binary(max_size=5)
names = st.sampled_from(
    ["a", "b", *[one.name for kind in (Config, Probe) for one in dataclasses.fields(kind)], "interval", "cosine"]
)


def documents(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Anything at all, and what has the outline of a configuration."""
    keys = names | leaf
    anything = st.recursive(
        leaf, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5), max_leaves=25
    )
    probes = st.dictionaries(keys, st.dictionaries(names, anything, max_size=6) | anything, max_size=4)
    outline = {"listen": leaf, "state_dir": leaf, "sensors": anything, "probes": probes}
    return anything | st.fixed_dictionaries({}, optional=outline)


def answer(action: Callable[[], Any]) -> Config | tuple[str, ...]:
    """The configuration, or the problems that were raised."""
    try:
        config: Config = action()
    except ConfigError as error:
        return error.problems
    return config


@settings(max_examples=400, deadline=None)
@given(documents(scalars))
def test_no_value_raises_anything_but_a_configuration_error(data: object) -> None:
    """What is accepted can be carried to the daemon, what is refused is said in printable lines."""
    said = answer(lambda: validate(data))
    assert isinstance(said, Config) or (said and all("\n" not in problem for problem in said))


@settings(max_examples=300, deadline=None)
@given(documents(foreign))
def test_no_document_raises_anything_but_a_configuration_error(tmp_path_factory: Any, data: object) -> None:
    """The same through YAML: what comes out of a file can always be written as JSON."""
    path = tmp_path_factory.getbasetemp() / f"given-{threading.get_ident()}.yml"
    path.write_bytes(yaml.dump(data, allow_unicode=True).encode("utf-8", "surrogatepass"))
    said = answer(lambda: json.dumps(document.read(str(path))) and load(str(path)))
    if isinstance(said, Config):
        again = rebuild(Config, json.loads(json.dumps(dataclasses.asdict(said))))
        assert again == said or "nan" in repr(said)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text("{}[]&*!|>-:,?%@`'\"# \n\tab0<=", max_size=60).map(str.encode))
def test_no_bytes_raise_anything_but_a_configuration_error(tmp_path_factory: Any, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.yml"
    path.write_bytes(raw)
    said = answer(lambda: load(str(path)))
    assert isinstance(said, Config) or all(problem.startswith(str(path)) for problem in said)
