"""Validating a configuration: every problem at once, each with its path, value and what is allowed.

Imported only where a configuration is read: by commands, and by the daemon's child (`python -m edgemon.schema PATH`
prints `{"config": …, "plugins": …}` or `{"problems": […]}`).
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    create_model,
)
from pydantic_core import PydanticCustomError

from edgemon.config import DEFAULT_PATH, TRANSIENT, Config, Probe, rebuild
from edgemon.document import cut, read, shown
from edgemon.endpoint import Header
from edgemon.errors import ConfigError
from edgemon.fitting import problem, runtime_of
from edgemon.limits import Rebenchmark
from edgemon.otel import beneath, missing
from edgemon.plugins import installed
from edgemon.thresholds import problems as out_of_bounds
from edgemon.values import (
    About,
    Arguments,
    Bytes,
    Cores,
    Each,
    Files,
    Range,
    Rate,
    Seconds,
    Sizes,
    Text,
    Whole,
    duration,
    written,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Mark = Seconds | Bytes | Range | Sizes | Each | Files | Arguments | Text
SHORT: dict[type, str] = {Header: "value", Rebenchmark: "calendar"}
"""Settings that may be given as a string, and which of them that is."""
HIDDEN = {"secret", "token", "file", "key", "password"}
KINDS = {
    **dict.fromkeys(["bool_type", "bool_parsing"], "must be true or false"),
    "string_type": "must be a string",
    **dict.fromkeys(["model_type", "model_attributes_type"], "must be a mapping of settings"),
    **dict.fromkeys(["dict_type", "mapping_type"], "must be a mapping"),
    "tuple_type": "must be a list",
    "int_type": "must be a whole number",
    "invalid_key": "must be a string; put it in quotes",
}


def load(path: str | None = None) -> Config:
    """The configuration in a file; the defaults when no path is given and the customary file is not there."""
    if path is None and not os.path.exists(DEFAULT_PATH):
        return validate({})
    where = path or DEFAULT_PATH
    data = read(where)
    return validate({} if data is None else data, where)


def validate(data: object, where: str = "configuration") -> Config:
    """The configuration from plain values, or ConfigError with every problem."""
    if not isinstance(data, dict):
        raise ConfigError(
            [f"{where}: must be a mapping of settings, not {_kind(data)}; see `edgemon config --example`"]
        )
    try:
        model = model_of(Config).model_validate(beneath(data))
    except ValidationError as error:
        raise ConfigError(
            [f"{where}: {problem}" for problem in map(_explain, error.errors(include_url=False))]
        ) from None
    config: Config = rebuild(Config, model.model_dump(exclude_unset=True))
    found = (*_dangling(config), *missing(config), *out_of_bounds(config.thresholds))
    if problems := [f"{where}: {problem}" for problem in found]:
        raise ConfigError(problems)
    return config


def _dangling(config: Config) -> Iterator[str]:
    """References to a probe that is not there, or is the probe itself."""
    for name, probe in config.probes.items():
        others = [other for other in config.probes if other != name]
        if probe.compare_with and probe.compare_with not in others:
            known = f"the others are {', '.join(others)}" if others else "there is none"
            yield f"probes.{name}.compare_with: {shown(probe.compare_with)} is no other probe; {known}"


@cache
def model_of(kind: type) -> type[BaseModel]:
    """The pydantic model of one of the dataclasses in `config`."""
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        hint = get_type_hints(kind, include_extras=True)[field.name]
        fields[field.name] = (_annotate(hint), _default(field, get_args(hint)[1:]))
    config = ConfigDict(extra="forbid", strict=True, title=kind.__name__)
    return create_model(kind.__name__, __config__=config, __doc__=kind.__doc__, **fields)


def _default(field: dataclasses.Field[Any], marks: Sequence[object]) -> Any:
    """The field's default; the JSON Schema shows it as a file would hold it."""
    if field.default_factory is not dataclasses.MISSING:
        return Field(default_factory=field.default_factory)
    if field.default is dataclasses.MISSING:
        return Field()
    return Field(default=field.default, json_schema_extra={"default": written(field.default, marks)})


def _annotate(hint: Any) -> Any:
    """The type with our markers turned into pydantic's."""
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        found: list[Any] = [Field(description=mark.text) for mark in marks if isinstance(mark, About)]
        if get_origin(inner) is Mapping:
            names = [mark for mark in marks if isinstance(mark, Text)]
            key = _marked(str, [Field(strict=True), *[PlainValidator(mark.parse) for mark in names]])
            value = _annotate(get_args(inner)[1])
            return _marked(dict[key, value], [*found, *[_Named(mark.pattern) for mark in names]])  # type: ignore[valid-type]
        for mark in marks:
            if isinstance(mark, Mark):
                found += [PlainValidator(mark.parse), WithJsonSchema(_json_schema(mark))]
        return _marked(_annotate(inner), found)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        model: Any = model_of(hint)
        if hint is Probe:
            return Annotated[model, AfterValidator(_fits), BeforeValidator(_shorthand), _OrText(True)]
        if key := SHORT.get(hint):
            whole = BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)
            return Annotated[model, whole, _OrText(False)]
        return model
    return Annotated[hint, Field(strict=False)] if get_origin(hint) is tuple else hint


def _marked(kind: Any, marks: Sequence[Any]) -> Any:
    return reduce(lambda inner, mark: Annotated[inner, mark], marks, kind)


def _shorthand(value: object) -> object:
    """A probe given as a path is that model with every default."""
    return {"model": value} if isinstance(value, str) else {} if value is None else value


def _fits(probe: Any) -> Any:
    """What depends on one another fits; a runtime or a timeout that is not given follows the URL or the interval."""
    if "runtime" not in probe.model_fields_set:
        probe.runtime = runtime_of(probe.model) or probe.runtime
    if text := problem(probe.runtime, probe.model, probe.endpoint):
        raise PydanticCustomError("together", "{text}", {"text": text})
    if probe.worker == "resident" and probe.runtime in TRANSIENT:
        raise PydanticCustomError("together", "worker: {runtime} keeps no model in the worker; leave it at auto",
                                  {"runtime": probe.runtime})  # fmt: skip
    if "timeout" not in probe.model_fields_set:
        probe.timeout = min(probe.timeout, probe.interval)
    if probe.timeout > probe.interval:
        raise _longer("timeout", probe.timeout, "interval", probe.interval)
    if probe.suspicious_interval > probe.interval:
        raise _longer("suspicious_interval", probe.suspicious_interval, "interval", probe.interval)
    if 0 < probe.calm_interval < probe.interval:
        raise _longer("interval", probe.interval, "calm_interval", probe.calm_interval)
    return probe


def _longer(name: str, seconds: float, other: str, bound: float) -> PydanticCustomError:
    text = f"{name}: {duration(seconds)} is longer than the {other} ({duration(bound)})"
    return PydanticCustomError("together", "{text}; shorten it or lengthen the {other}", {"text": text, "other": other})


@dataclass(frozen=True)
class _OrText:
    """In the JSON Schema a mapping may be a string as well, or nothing."""

    nothing: bool

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        return {"anyOf": [handler(core), {"type": "string"}, *([{"type": "null"}] if self.nothing else [])]}


@dataclass(frozen=True)
class _Named:
    """In the JSON Schema the names of a mapping match a pattern."""

    pattern: str

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        return {**handler(core), "propertyNames": {"pattern": f"^({self.pattern})$"}}


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the configuration; what it cannot say (bounds of durations, sizes and ports) is in words."""
    return {"$schema": DIALECT, **model_of(Config).model_json_schema()}


def _json_schema(mark: Mark) -> dict[str, Any]:
    if isinstance(mark, (Sizes, Each, Arguments)):
        return {"type": "array", **_items(mark)}
    if isinstance(mark, Rate):
        number = {"type": "number", "minimum": mark.least, "maximum": mark.most}
        return {"anyOf": [number, {"type": "string", "pattern": f"^({mark.WRITTEN})$"}]}
    if isinstance(mark, Files):
        one = {"type": "object", "additionalProperties": {"type": "string", "pattern": "^/"}, "minProperties": 1}
        return {"anyOf": [one, {"type": "array", "items": one, "maxItems": mark.most}]}
    if isinstance(mark, Range):
        return {"type": "integer" if isinstance(mark, Whole) else "number", "minimum": mark.least, "maximum": mark.most}
    if isinstance(mark, Seconds):
        bounds = {"x-minimum": duration(mark.least), "x-maximum": duration(mark.most)}
        text = {"type": "string", "pattern": r"^((\d+(\.\d+)?)(ms|s|m|h|d))+$"}
        return {**(text if mark.least else {"anyOf": [text, {"enum": [0, "0"]}]}), **bounds}
    if isinstance(mark, Bytes):
        size = {"type": "string", "pattern": r"^\d+\s*(KiB|MiB|GiB)$"}
        return {"anyOf": [size, {"enum": [0, "0"]}]} if mark.none else size
    text = {"type": "string", "pattern": f"^({mark.pattern})$"}
    return {"anyOf": [{"type": "integer", "minimum": 0}, text]} if isinstance(mark, Cores) else text


def _items(mark: Sizes | Each | Arguments) -> dict[str, Any]:
    if isinstance(mark, Each):
        return {"items": _json_schema(mark.kind)}
    if isinstance(mark, Sizes):
        return {"items": {"type": "integer", "minimum": 1}, "minItems": 1}
    return {"prefixItems": [{"type": "string", "pattern": "^/"}], "items": {"type": "string"}, "minItems": 1}


def _explain(error: Any) -> str:
    """One problem as path, value and what is allowed."""
    parts = [str(part) for part in error["loc"] if part != "[key]"]
    path = ".".join(part if 0 < len(part) < 64 and part.isprintable() else shown(part) for part in parts)
    if error["type"] == "extra_forbidden":
        return f"{path}: unknown key{_nearest(error['loc'])}"
    if error["type"] == "missing":
        return f"{path}: is missing"
    if error["type"] == "together":
        return f"{path}.{error['msg']}"
    text = KINDS.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    return f"{path}: {_show(error['input'], parts)} {text}"


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


def _show(value: object, parts: list[str]) -> str:
    """The value; a header, a password in a URL, or what stands where the file of a secret is named, is private."""
    if {"otlp", "headers"} <= {*parts} or (HIDDEN & {*parts[-1:]} and not str(value).startswith(("/", "$"))):
        return "***"
    if isinstance(value, str):
        value = re.sub(r"((?<=://)[^/@\s]*(?=@)|(?<==)[^&\s]*(?=&|$))", "***", value) if "://" in value else value
    return shown(value) if isinstance(value, str) else cut(json.dumps(value, default=str))


def _kind(value: object) -> str:
    return f"a {'string' if isinstance(value, str) else type(value).__name__}"


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
