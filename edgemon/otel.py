"""OpenTelemetry's environment variables as settings of `otlp:`; a setting that the file has is not looked up there.

opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables and …/protocol/exporter. Read where a
configuration is validated, so that a value of the environment is held to the same bounds.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_type_hints
from urllib.parse import unquote

from edgemon.config import Config
from edgemon.errors import ConfigError
from edgemon.push import SIGNALS, Otlp, Signal

EXPORTER = "OTEL_EXPORTER_OTLP"
AGGREGATIONS = {"explicit_bucket_histogram": "explicit", "base2_exponential_bucket_histogram": "exponential"}
Convert = Callable[[str], Any]


def _text(value: str) -> str:
    return value


def _milliseconds(value: str) -> str:
    if not value.isdecimal():
        raise ValueError("must be a whole number of milliseconds")
    return f"{value}ms"


def _true(value: str) -> bool:
    return value.lower() == "true"  # anything else is false: the specification of boolean variables


def _otlp(value: str) -> bool:
    return "otlp" in [one.strip() for one in value.split(",")]


def _aggregation(value: str) -> str:
    if value not in AGGREGATIONS:
        raise ValueError(f"must be one of {', '.join(AGGREGATIONS)}")
    return AGGREGATIONS[value]


def _pairs(value: str) -> dict[str, str]:
    """`name=value,…`, percent-encoded; ValueError does not repeat it, as it may be secret."""
    found = {}
    for one in filter(None, (part.strip() for part in value.split(","))):
        name, equals, text = one.partition("=")
        if not equals or not name.strip():
            raise ValueError("must be name=value pairs with commas between, percent-encoded")
        found[unquote(name.strip())] = unquote(text.strip())
    return found


def _headers(value: str) -> dict[str, str]:
    found = _pairs(value)
    if not all(re.fullmatch(r"[\x20-\x7e]*", text) for text in found.values()):
        raise ValueError("must be name=value pairs of printable ASCII")
    return found


SHARED: dict[str, tuple[tuple[str, ...], Convert]] = {
    "ENDPOINT": (("endpoint",), _text),
    "PROTOCOL": (("protocol",), _text),
    "HEADERS": (("headers",), _headers),
    "TIMEOUT": (("timeout",), _milliseconds),
    "COMPRESSION": (("compression",), _text),
    "CERTIFICATE": (("tls", "ca"), _text),
    "CLIENT_CERTIFICATE": (("tls", "certificate"), _text),
    "CLIENT_KEY": (("tls", "key"), _text),
}
"""By the end of a variable's name: the setting, and what makes it of the text. For all signals, and for each."""
WHOLE: dict[str, tuple[tuple[str, ...], Convert]] = {
    "OTEL_SDK_DISABLED": (("enabled",), lambda value: not _true(value)),
    "OTEL_METRIC_EXPORT_INTERVAL": (("interval",), _milliseconds),
    "OTEL_METRICS_EXPORTER": (("metrics",), _otlp),
    "OTEL_TRACES_EXPORTER": (("traces",), _otlp),
    "OTEL_LOGS_EXPORTER": (("logs",), _otlp),
    f"{EXPORTER}_METRICS_TEMPORALITY_PREFERENCE": (("temporality",), str.lower),
    f"{EXPORTER}_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": (("histogram",), _aggregation),
}


def beneath(given: Mapping[Any, Any], environ: Mapping[str, str] = os.environ) -> dict[Any, Any]:
    """The settings of a file with those of the environment beneath them; ConfigError with every bad variable."""
    file = given.get("otlp") or {}
    if not isinstance(file, dict):
        return dict(given)
    settings, problems = dict(file), []
    for name, path, convert in _variables(file):
        if value := environ.get(name, "").strip():
            try:
                _put(settings, path, _checked(path, convert(value)))
            except ValueError as error:
                problems.append(f"{name}: {error}")
    try:
        resource = _resource(environ)
    except ValueError as error:
        problems.append(f"OTEL_RESOURCE_ATTRIBUTES: {error}")
        resource = {}
    if problems:
        raise ConfigError(problems)
    if resource and isinstance(file.get("resource", {}), dict):
        settings["resource"] = {**resource, **file.get("resource", {})}
    return {**given, "otlp": settings} if settings else dict(given)


def _variables(file: Mapping[Any, Any]) -> Iterator[tuple[str, tuple[str, ...], Convert]]:
    """Name, setting and conversion of each variable whose setting the file leaves open."""
    signals = file.get("signals")
    for end, (path, convert) in SHARED.items():
        if path[0] in file:  # said for all: neither the general variable nor one for a signal overrides it
            continue
        yield f"{EXPORTER}_{end}", path, convert
        for one in SIGNALS:
            own = signals.get(one) if isinstance(signals, dict) else None
            if not isinstance(own, dict) or path[0] not in own:
                yield f"{EXPORTER}_{one.upper()}_{end}", ("signals", one, *path), convert
    for name, (path, convert) in WHOLE.items():
        if path[0] not in file:
            yield name, path, convert


def _put(settings: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for one in path[:-1]:
        below = settings.get(one, {})
        if not isinstance(below, dict):
            return  # the file is wrong there, and validation says so
        settings[one] = settings = dict(below)
    settings[path[-1]] = value


def _checked(path: tuple[str, ...], value: Any) -> Any:
    """The value, as the setting takes it; ValueError says what is allowed."""
    kind, names = (Signal, path[2:]) if path[0] == "signals" else (Otlp, path)
    marks: Any = ()
    for name in names:
        hint = get_type_hints(kind, include_extras=True)[name]
        kind, marks = hint.__origin__, hint.__metadata__
    for mark in marks:
        if isinstance(value, str) and hasattr(mark, "parse"):
            try:
                mark.parse(value)
            except ValueError as error:
                raise ValueError(f"{value if '@' not in value else '***'} {error}") from None
    return value


def _resource(environ: Mapping[str, str]) -> dict[str, str]:
    found = _pairs(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    if name := environ.get("OTEL_SERVICE_NAME", ""):
        found["service.name"] = name
    return found


def missing(config: Config) -> Iterator[str]:
    """What the configuration needs and is not installed."""
    pushed = list(config.otlp.pushed())
    if pushed and not _installed("opentelemetry.proto"):
        yield (
            "otlp: needs OpenTelemetry's messages (edgemon's extra otlp): pip install opentelemetry-proto; "
            "or push nothing: otlp: {enabled: false}"
        )
    protocols = {config.otlp.signals.get(one, Signal()).protocol or config.otlp.protocol for one in pushed}
    if "grpc" in protocols and not _installed("grpc"):
        yield "otlp.protocol: grpc is not installed (edgemon's extra otlp-grpc): pip install grpcio"


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
