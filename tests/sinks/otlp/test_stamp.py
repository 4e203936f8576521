"""Times move from boot time to wall time, every one of them and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor

from edgemon.sinks.otlp.batch import TELEMETRY, Batch
from edgemon.sinks.otlp.stamp import REQUESTS, resources, restamp

BOOTTIME, OFFSET = 1_000, 1_700_000_000_000_000_000


def full(message: Any, depth: int = 0) -> Any:
    """Fill in every field there is, of each choice in turn."""
    for field in message.DESCRIPTOR.fields:
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            if field.message_type.name == "AnyValue" or depth > 7:
                continue
            if not field.is_repeated:
                if field.containing_oneof is None:
                    full(getattr(message, field.name), depth + 1)
                continue
            choices = [one for one in field.message_type.oneofs if one.name == "data"]
            for choice in choices[0].fields if choices else [None]:
                added = getattr(message, field.name).add()
                full(added, depth + 1)
                if choice:
                    full(getattr(added, choice.name), depth + 1)
        elif field.name.endswith("time_unix_nano"):
            setattr(message, field.name, BOOTTIME)
    return message


def times(message: Any) -> Iterator[tuple[str, int]]:
    """Every field of the whole message whose name says that it is a time."""
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for one in value if field.is_repeated else [value]:
                yield from times(one)
        elif field.name.endswith("time_unix_nano"):
            yield f"{message.DESCRIPTOR.full_name}.{field.name}", value


def known(descriptor: Any, seen: set[str]) -> Iterator[str]:
    """Every such field that the official schema has below a message."""
    if descriptor.full_name in seen:
        return
    seen.add(descriptor.full_name)
    for field in descriptor.fields:
        if field.message_type:
            yield from known(field.message_type, seen)
        elif field.name.endswith("time_unix_nano"):
            yield f"{descriptor.full_name}.{field.name}"


def batch(signal: str, payload: bytes) -> Batch:
    return Batch(signal, TELEMETRY, "boot", BOOTTIME, BOOTTIME, 1, payload)


@pytest.mark.parametrize("signal", REQUESTS)
def test_every_time_that_the_official_schema_knows_is_moved(signal: str) -> None:
    """All kinds of points with their exemplars, spans and their events, log records: by the descriptors."""
    whole = full(REQUESTS[signal]())
    found = dict(times(whole))
    assert set(found) == set(known(whole.DESCRIPTOR, set()))
    assert set(found.values()) == {BOOTTIME}
    moved = REQUESTS[signal].FromString(restamp(batch(signal, whole.SerializeToString()), OFFSET))
    assert {value for _, value in times(moved)} == {BOOTTIME + OFFSET}
    back = REQUESTS[signal].FromString(restamp(batch(signal, moved.SerializeToString()), -OFFSET))
    assert back == whole


@pytest.mark.parametrize("signal", REQUESTS)
def test_a_time_that_is_not_known_stays_so_and_none_becomes_zero(signal: str) -> None:
    whole = full(REQUESTS[signal]())
    gone = REQUESTS[signal].FromString(restamp(batch(signal, whole.SerializeToString()), -2 * BOOTTIME))
    assert {value for _, value in times(gone)} == {1}
    empty = REQUESTS[signal]()
    full(empty)
    blank = empty.SerializeToString().replace(BOOTTIME.to_bytes(8, "little"), bytes(8))
    assert not dict(times(REQUESTS[signal].FromString(restamp(batch(signal, blank), OFFSET))))


@pytest.mark.parametrize("signal", REQUESTS)
def test_estimated_times_are_said_to_be_so(signal: str) -> None:
    whole = full(REQUESTS[signal]())
    for estimated in (False, True):
        said = REQUESTS[signal].FromString(restamp(batch(signal, whole.SerializeToString()), OFFSET, estimated))
        (one,) = resources(said)
        marks = [mark.value.string_value for mark in one.attributes if mark.key == "edgemon.clock"]
        assert marks == (["estimated"] if estimated else [])
