"""What requests of all signals are made of: the resource, the scope, attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from edgemon import __version__

SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
"""The version of the semantic conventions whose names the catalogue uses."""
SCOPE = InstrumentationScope(name="edgemon", version=__version__)


def resource(attributes: Mapping[str, str]) -> Resource:
    """A resource; an attribute without a value is none."""
    return Resource(attributes=keyed(attributes))


def keyed(attributes: Mapping[str, Any]) -> list[KeyValue]:
    """Attributes of strings, booleans, whole and other numbers; None and "" are left out."""
    return [KeyValue(key=key, value=valued(one)) for key, one in attributes.items() if one is not None and one != ""]


def valued(value: Any) -> AnyValue:
    """A value of an attribute."""
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    return AnyValue(double_value=value) if isinstance(value, float) else AnyValue(string_value=clean(str(value)))


def clean(text: str) -> str:
    """The text; bytes that are not UTF-8, as names in /sys can hold, are shown as on /metrics."""
    return text.encode(errors="backslashreplace").decode()


def nanoseconds(seconds: float) -> int:
    """A moment on CLOCK_BOOTTIME as OTLP has it, where 0 is none."""
    return max(1, round(seconds * 1e9))
