"""Reading a configuration file: YAML, then every problem at once, each with its path, value and what is allowed.

Imported only where a configuration is read: by commands, and by the daemon's child (`python -m edgemon.schema PATH`
prints `{"config": …, "plugins": …}` or `{"problems": […]}`).
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, reduce
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    create_model,
)

from edgemon.config import DEFAULT_PATH, About, Bytes, Config, Probe, Range, Seconds, Text, Whole, duration, rebuild
from edgemon.errors import ConfigError
from edgemon.plugins import installed

LARGEST = 1 << 20
KINDS = {
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be a string",
    "model_type": "must be a mapping of settings",
    "model_attributes_type": "must be a mapping of settings",
    "dict_type": "must be a mapping",
    "mapping_type": "must be a mapping",
    "tuple_type": "must be a list",
    "int_type": "must be a whole number",
}


class Loader(yaml.SafeLoader):
    """YAML 1.1 as everybody writes it, but a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping, or an error that names both lines."""
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if isinstance(key, str) and key in seen:
                raise ConfigError([f"line {line}: {key} is given twice, first on line {seen[key]}"])
            if isinstance(key, str):
                seen[key] = line
        return super().construct_mapping(node, deep)


def load(path: str | None = None) -> Config:
    """The configuration in a file; the defaults when no path is given and the customary file is not there."""
    if path is None and not os.path.exists(DEFAULT_PATH):
        return Config()
    where = path or DEFAULT_PATH
    try:
        data = yaml.load(_text(where), Loader)  # noqa: S506 - Loader is a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise ConfigError([f"{where}: line {mark.line + 1 if mark else '?'}: not YAML: {error.problem}"]) from None
    except yaml.YAMLError as error:
        raise ConfigError([f"{where}: not YAML: {' '.join(str(error).split())}"]) from None
    except RecursionError:
        raise ConfigError([f"{where}: nested too deeply"]) from None
    except ConfigError as error:
        raise ConfigError([f"{where}: {problem}" for problem in error.problems]) from None
    return validate({} if data is None else data, where)


def validate(data: object, where: str = "configuration") -> Config:
    """The configuration from plain values, or ConfigError with every problem."""
    if not isinstance(data, dict):
        raise ConfigError(
            [f"{where}: must be a mapping of settings, not {_kind(data)}; see `edgemon config --example`"]
        )
    try:
        model = model_of(Config).model_validate(data)
    except ValidationError as error:
        raise ConfigError(
            [f"{where}: {problem}" for problem in map(_explain, error.errors(include_url=False))]
        ) from None
    dump = model.model_dump()
    for name, probe in dump["probes"].items():
        if "timeout" not in model.probes[name].model_fields_set:  # type: ignore[attr-defined]
            probe["timeout"] = min(probe["timeout"], probe["interval"])
    config: Config = rebuild(Config, dump)
    problems = [f"{where}: {problem}" for problem in _together(config)]
    if problems:
        raise ConfigError(problems)
    return config


def _text(path: str) -> str:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ConfigError([f"{path}: is not a file; --config takes the path of a YAML file"])
        with open(path, "rb") as file:
            raw = file.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {(error.strerror or '').lower()}"]) from None
    if len(raw) > LARGEST:
        raise ConfigError([f"{path}: is larger than 1 MiB, which no configuration is"])
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8"]) from None


def _together(config: Config) -> Iterator[str]:
    """What no single value shows."""
    for name, probe in config.probes.items():
        if probe.timeout > probe.interval:
            yield (
                f"probes.{name}.timeout: {duration(probe.timeout)} is longer than the interval "
                f"({duration(probe.interval)}); shorten it or lengthen the interval"
            )
        for key, shape in probe.shapes.items():
            if not shape or any(size < 1 for size in shape):
                yield f"probes.{name}.shapes.{key}: {list(shape)} must be a list of sizes from 1, such as [1, 3, 96]"


@cache
def model_of(kind: type) -> type[BaseModel]:
    """The pydantic model of one of the dataclasses in `config`."""
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        hint = get_type_hints(kind, include_extras=True)[field.name]
        default = (
            Field(default_factory=field.default_factory)
            if field.default_factory is not dataclasses.MISSING
            else Field(default=field.default)
        )
        fields[field.name] = (_annotate(hint), default)
    config = ConfigDict(extra="forbid", strict=True, title=kind.__name__)
    return create_model(kind.__name__, __config__=config, __doc__=kind.__doc__, **fields)


def _annotate(hint: Any) -> Any:
    """The type with our markers turned into pydantic's."""
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        found: list[Any] = [Field(description=mark.text) for mark in marks if isinstance(mark, About)]
        if get_origin(inner) is Mapping:
            keys = [PlainValidator(mark.parse) for mark in marks if isinstance(mark, Text)]
            return _marked(dict[_marked(str, [Field(strict=True), *keys]), _annotate(get_args(inner)[1])], found)  # type: ignore[misc]
        for mark in marks:
            if isinstance(mark, (Seconds, Bytes, Range, Text)):
                found += [PlainValidator(mark.parse), WithJsonSchema(_json_schema(mark))]
        return _marked(_annotate(inner), found)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        model = model_of(hint)
        return Annotated[model, BeforeValidator(_shorthand)] if hint is Probe else model
    return Annotated[hint, Field(strict=False)] if get_origin(hint) is tuple else hint


def _marked(kind: Any, marks: Sequence[Any]) -> Any:
    return reduce(lambda inner, mark: Annotated[inner, mark], marks, kind)


def _shorthand(value: object) -> object:
    """A probe given as a path is that model with every default."""
    return {"model": value} if isinstance(value, str) else {} if value is None else value


def _json_schema(mark: Seconds | Bytes | Range | Text) -> dict[str, Any]:
    if isinstance(mark, Range):
        return {"type": "integer" if isinstance(mark, Whole) else "number", "minimum": mark.least, "maximum": mark.most}
    if isinstance(mark, Seconds):
        return {
            "type": "string",
            "pattern": r"^((\d+(\.\d+)?)(ms|s|m|h|d))+$",
            "x-minimum": duration(mark.least),
            "x-maximum": duration(mark.most),
        }
    if isinstance(mark, Bytes):
        return {"anyOf": [{"type": "string", "pattern": r"^\d+ *(KiB|MiB|GiB)$"}, {"const": 0}]}
    return {"type": "string", "pattern": f"^({mark.pattern})$"}


def _explain(error: Any) -> str:
    """One problem as path, value and what is allowed."""
    path = ".".join(str(part) for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        return f"{path}: unknown key{_nearest(error['loc'])}"
    text = KINDS.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    return f"{path}: {_show(error['input'])} {text}"


def _nearest(loc: tuple[Any, ...]) -> str:
    """The known key a misspelt one most likely means, or all there are."""
    kind: Any = Config
    for part in loc[:-1]:
        if dataclasses.is_dataclass(kind):
            kind = get_type_hints(kind).get(str(part), dict)
        elif get_origin(kind) is Mapping:
            kind = get_args(kind)[1]
    known = [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []
    close = difflib.get_close_matches(str(loc[-1]), known, 1)
    return f"; did you mean {close[0]}?" if close else f"; known keys: {', '.join(known)}"


def _show(value: object) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _kind(value: object) -> str:
    return (
        "a list" if isinstance(value, list) else "a string" if isinstance(value, str) else f"a {type(value).__name__}"
    )


def main() -> None:
    """The daemon's child."""
    try:
        settings = load(sys.argv[1] if len(sys.argv) > 1 else None)
        answer: dict[str, Any] = {"config": dataclasses.asdict(settings), "plugins": installed()}
    except ConfigError as error:
        answer = {"problems": error.problems}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
