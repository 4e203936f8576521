"""Tensors of the Open Inference Protocol, held against numpy."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemon.probe.golden import LONGEST
from edgemon.probe.inputs import Inputs, Port
from edgemon.probe.result import Request
from edgemon.probe.tensors import KINDS, Input, make, pack, read, unpack, write


def declared(datatype: str = "FP32", shape: Any = (1, 3, 5)) -> list[dict[str, Any]]:
    return [{"name": "x", "datatype": datatype, "shape": list(shape)}]


@pytest.mark.parametrize("datatype", KINDS)
def test_bytes_are_those_of_numpy_in_both_directions(datatype: str) -> None:
    array = np.array([0, 1, 1, 0, 1]).astype(KINDS[datatype][1])
    assert pack(datatype, array.tolist()) == array.tobytes()
    assert unpack(datatype, array.tobytes()) == array.tolist()


@given(st.integers(0, 2**32 - 1))
def test_float_inputs_are_those_of_numpys_random_state(seed: int) -> None:
    expected = np.random.RandomState(seed).random_sample((1, 3, 5)).astype("float32").tobytes()
    assert make(declared(), {}, seed)[0].raw == expected


@pytest.mark.parametrize("datatype", KINDS)
def test_an_input_is_bit_for_bit_what_a_local_model_gets_whatever_its_type(datatype: str) -> None:
    dtype = KINDS[datatype][1]
    (one,) = make(declared(datatype, [-1, 200, 50]), {}, 7)
    local = Inputs(np, Request("p", "onnx", seeds=[7]), [Port("x", dtype, [None, 200, 50])]).sets[0]["x"]
    assert (one.shape, one.raw) == (list(local.shape), local.tobytes())
    assert len(set(local.ravel().tolist())) > 1
    assert local.dtype == dtype


def answered(inputs: list[Input], binary: bool) -> list[dict[str, Any]]:
    """The plain tensors of a server that gives the inputs back as its outputs, in the encoding they came in."""
    body, headers = write(inputs, ["y"], binary)
    length = int(headers.get("Inference-Header-Content-Length", len(body)))
    head = json.loads(body[:length])
    said = json.dumps({"outputs": head["inputs"]}).encode()
    return read(said + body[length:], str(len(said)) if binary else None)


@pytest.mark.parametrize("binary", [False, True])
@given(values=st.lists(st.floats(width=32), min_size=1, max_size=9))
def test_tensors_survive_both_encodings(binary: bool, values: list[float]) -> None:
    raw = pack("FP32", values)
    other = pack("INT8", [3])
    first, second = answered([Input("b", "FP32", [len(values)], raw), Input("a", "INT8", [1], other)], binary)
    assert (first["name"], first["dtype"], first["values"]) == ("a", "int8", [3.0])
    strange = [value for value in values if not np.isfinite(value)]
    assert np.array_equal(second["values"], strange or values, equal_nan=True)


def test_a_nan_beyond_the_kept_values_is_seen() -> None:
    values = [0.0] * LONGEST + [float("nan")]
    (found,) = answered([Input("x", "FP32", [len(values)], pack("FP32", values))], True)
    assert len(found["values"]) == 1


REFUSED = {
    "open": (declared(shape=[1, -1]), {}, "open shape"),
    "large": (declared(shape=[1 << 13, 1 << 13]), {}, "67108864 elements"),
    "bytes": (declared("BYTES"), {}, "cannot make"),
    "fit": (declared(), {"x": [1, 3, 6]}, "do not fit"),
    "name": (declared(), {"y": [1]}, "the model's inputs are x"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_an_input_that_cannot_be_made_is_refused(kind: str) -> None:
    inputs, shapes, text = REFUSED[kind]
    with pytest.raises(ValueError, match=text):
        make(inputs, shapes, 0)


@given(st.binary(max_size=60) | st.builds(lambda size: json.dumps({"outputs": size}).encode(), st.integers() | st.lists(
    st.fixed_dictionaries({"name": st.integers() | st.text(max_size=3), "datatype": st.sampled_from([*KINDS, "BYTES"]),
        "shape": st.none() | st.lists(st.integers(-2, 3), max_size=2), "data": st.none() | st.lists(st.integers())}),
    max_size=2)), st.none() | st.sampled_from(["0", "5", "-1", "x", "1e9"]))  # fmt: skip
def test_any_answer_is_tensors_or_a_value_error(body: bytes, header: str | None) -> None:
    try:
        found = read(body, header)
    except ValueError:
        return
    assert found
