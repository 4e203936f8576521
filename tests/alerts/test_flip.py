"""A flip survives its way through JSON, and its identity tells it from every other."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemon.alerts.flip import Flip, State, fingerprint
from edgemon.digest import signature
from tests.alerts.flips import flip

texts = st.dictionaries(st.text(min_size=1, max_size=10), st.text(max_size=20), max_size=5)
numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(st.builds(Flip, labels=texts, state=st.sampled_from(State), starts_at=numbers, ends_at=numbers, at=numbers,
                 value=st.floats(allow_nan=False), annotations=texts, generator_url=st.text(max_size=20)))  # fmt: skip
def test_a_flip_survives_json_that_everybody_can_read(one: Flip) -> None:
    """No NaN and no Infinity is in it, whatever the value."""
    text = json.dumps(one.to_json(), allow_nan=False)
    assert Flip.from_json(json.loads(text)) == one


def test_a_value_that_is_no_number_is_written_as_prometheus_does() -> None:
    written = [flip(value=float(one)).to_json()["value"] for one in ("nan", "inf", "-inf", "2")]
    assert written == ["NaN", "+Inf", "-Inf", "2.0"]
    assert Flip.from_json(flip(value=float("inf")).to_json()).value == float("inf")


@pytest.mark.parametrize(
    "damage",
    [{"labels": None}, {"labels": {"a": 1}}, {"state": "melting"}, {"value": "hot"}, {"at": None}, {"annotations": []}],
)
def test_what_is_no_flip_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        Flip.from_json({**flip().to_json(), **damage})


def test_the_fingerprint_of_no_labels_is_the_offset_of_fnv() -> None:
    """The value that prometheus/common gives an empty label set: 14695981039346656037."""
    assert int(fingerprint({}), 16) == 14695981039346656037


def test_the_fingerprint_knows_neither_order_nor_labels_without_value() -> None:
    assert fingerprint({"a": "1", "b": "2"}) == fingerprint({"b": "2", "c": "", "a": "1"})
    assert fingerprint({"a": "1b", "c": "2"}) != fingerprint({"a": "1", "bc": "2"})


def test_identity_is_alert_beginning_and_state() -> None:
    """What else changes is the same flip; of alerts without a known beginning the boot clock tells."""
    one = flip(starts_at=5.0)
    assert one.identity == flip(starts_at=5.0, value=7.0, at=3.0, annotations={"summary": "x"}).identity
    others = [flip("Cold", starts_at=5.0), flip(starts_at=5.001), flip(state="resolved", starts_at=5.0)]
    unknown = [flip(starts_at=0.0, at=1.0), flip(starts_at=0.0, at=2.0)]
    assert len({one.identity, *(other.identity for other in [*others, *unknown])}) == 6


@given(st.binary(max_size=200), st.binary(max_size=300))
def test_our_signature_is_the_hmac_of_the_standard_library(key: bytes, message: bytes) -> None:
    assert signature(key, message) == hmac.new(key, message, hashlib.sha256).digest()
