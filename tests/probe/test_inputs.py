"""What a model is fed: seeded inputs that harm no measurement, the user's own from files, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemon.probe import supervisor
from edgemon.probe.inputs import FLOATS, KNOWN, Inputs, Port, alike
from edgemon.probe.result import Outcome, Result
from tests import litert_models, onnx_models
from tests.probe import ask

IMAGE = Port("image", "float32", [1, 3, 4, 4])


def feed(*ports: Port, **fields: Any) -> Inputs:
    return Inputs(np, ask(**fields), ports)


def refused(*ports: Port, **fields: Any) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is what is tested
        feed(*ports, **fields)
    return str(caught.value)


def saved(path: Path, array: Any) -> str:
    np.save(path, array)
    return str(path)


# seeded


@pytest.mark.parametrize("dtype", KNOWN)
def test_seeded_inputs_are_finite_without_denormals_and_the_same_each_time(dtype: str) -> None:
    port = Port("x", dtype, [64, 64])
    first, again = (feed(port, seeds=[7]).sets[0]["x"] for _ in range(2))
    assert first.dtype == dtype
    assert (first == again).all()
    if dtype in FLOATS:
        assert np.isfinite(first).all()
        assert not ((first != 0) & (abs(first) < np.finfo(first.dtype).tiny)).any()
    assert (feed(port, seeds=[8]).sets[0]["x"] != first).any()


@pytest.mark.parametrize(("dtype", "low", "high"), [("uint8", 0, 255), ("int8", -128, 127)])
def test_bytes_span_their_range_as_pixels_do(dtype: str, low: int, high: int) -> None:
    values = feed(Port("x", dtype, [64, 64])).sets[0]["x"]
    assert (values.min(), values.max()) == (low, high)


def test_a_quantised_input_is_the_float_one_quantised() -> None:
    real = feed(Port("x", "float32", [1000])).sets[0]["x"]
    stored = feed(Port("x", "int8", [1000], 1 / 255, -128)).sets[0]["x"]
    assert abs((stored.astype("float64") + 128) / 255 - real).max() <= 0.5 / 255 + 1e-6


# given


def test_given_arrays_are_fed_as_they_are_and_digested_by_content_not_by_name(tmp_path: Path) -> None:
    array = np.random.RandomState(1).random_sample((1, 3, 4, 4)).astype("float32")
    one, other = saved(tmp_path / "one.npy", array), saved(tmp_path / "other.npy", array)
    made = feed(IMAGE, inputs=[{"image": one}])
    assert (made.sets[0]["image"] == array).all()
    assert made.told == feed(IMAGE, inputs=[{"image": other}]).told
    assert made.told != feed(IMAGE, inputs=[{"image": one}, {"image": one}]).told
    assert made.told != feed(IMAGE, inputs=[{"image": saved(tmp_path / "new.npy", array + 1)}]).told


def test_what_seeds_make_is_told_by_kind_and_shape_alike_for_quantised_and_real_inputs() -> None:
    real, stored = feed(IMAGE).told, feed(IMAGE._replace(dtype="int8", scale=0.1)).told
    assert real == stored == "seeded real 1x3x4x4"
    ids = Port("ids", "int64", ["batch", "n"])
    assert feed(IMAGE, ids, shapes={"ids": [2, 9]}).told == "seeded real 1x3x4x4, int64 2x9"


def test_variants_saw_the_same_if_both_were_seeded_alike_or_both_were_given() -> None:
    seeded, given = "seeded real 1x3x4x4", "0123"
    assert alike(seeded, seeded)
    assert alike(given, "4567"), "another layout of the same pictures has another digest"
    assert not any(alike(*pair) for pair in [(seeded, "seeded real 1x4x4x3"), (seeded, given), (given, ""), ("", "")])


def test_a_raw_file_takes_type_and_shape_from_the_model(tmp_path: Path) -> None:
    array: Any = np.arange(48, dtype="float32").reshape(1, 3, 4, 4)
    path = tmp_path / "image.raw"
    path.write_bytes(array.tobytes())
    assert (feed(IMAGE, inputs=[{"image": str(path)}]).sets[0]["image"] == array).all()
    path.write_bytes(array.tobytes()[:-4])
    said = refused(IMAGE, inputs=[{"image": str(path)}])
    assert said == f"input image: {path}: holds 47 values of float32, the shape [1, 3, 4, 4] needs 48"


def test_an_open_shape_is_the_arrays(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.npy", np.ones((5, 4), "float32"))
    assert feed(Port("x", "float32", ["batch", 4]), inputs=[{"x": path}]).sets[0]["x"].shape == (5, 4)


def test_floats_for_a_quantised_input_are_quantised_and_stored_values_are_taken_as_they_are(tmp_path: Path) -> None:
    port = Port("x", "uint8", [3], 0.5, 10)
    real = saved(tmp_path / "real.npy", np.array([0.0, 1.0, 1000.0], "float32"))
    assert feed(port, inputs=[{"x": real}]).sets[0]["x"].tolist() == [10, 12, 255]
    stored = saved(tmp_path / "stored.npy", np.array([1, 2, 3], "uint8"))
    assert feed(port, inputs=[{"x": stored}]).sets[0]["x"].tolist() == [1, 2, 3]


# refused

DENORMAL: Any = np.full((1, 3, 4, 4), 1e-40, "float32")
BAD: dict[str, tuple[Any, str]] = {
    "type": (np.zeros((1, 3, 4, 4)), "input image is float32, {} holds float64"),
    "shape": (np.zeros((1, 4, 4, 3), "float32"), "input image has the shape [1, 3, 4, 4], {} holds [1, 4, 4, 3]"),
    "rank": (np.zeros((3, 4, 4), "float32"), "input image has the shape [1, 3, 4, 4], {} holds [3, 4, 4]"),
    "NaN": (np.full((1, 3, 4, 4), np.nan, "float32"), "input image: {} holds NaN or infinity"),
    "infinity": (np.full((1, 3, 4, 4), np.inf, "float32"), "input image: {} holds NaN or infinity"),
    "denormal": (
        DENORMAL,
        "input image: {} holds 48 denormal values, which slow CPUs down up to 70 times; set them to 0",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_an_array_that_does_not_fit_or_would_spoil_the_measurement_is_refused(name: str, tmp_path: Path) -> None:
    array, said = BAD[name]
    path = saved(tmp_path / "x.npy", array)
    assert refused(IMAGE, inputs=[{"image": path}]) == said.format(path)


def test_files_that_are_missing_broken_or_pickles_are_named(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.npy")
    said = refused(IMAGE, inputs=[{"image": gone}])
    assert said == f"input image: {gone} cannot be read: no such file or directory"
    broken = tmp_path / "broken.npy"
    broken.write_bytes(b"\x93NUMPY nonsense")
    assert refused(IMAGE, inputs=[{"image": str(broken)}]).startswith(f"input image: {broken}")
    pickled = tmp_path / "pickled.npy"
    np.save(pickled, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "allow_pickle" in refused(IMAGE, inputs=[{"image": str(pickled)}])


def test_names_the_model_does_not_have_and_inputs_left_out_are_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.npy", np.zeros((1, 3, 4, 4), "float32"))
    said = refused(IMAGE, inputs=[{"imag": path}])
    assert said == "inputs names imag (did you mean image?); the model's inputs are image"
    said = refused(IMAGE, Port("mask", "float32", [4]), inputs=[{"image": path}])
    assert said == "inputs gives nothing for mask; name a .npy or raw file for each input"


# with the real engines


def made(runtime: str, path: Path) -> str:
    if runtime == "litert":
        return litert_models.two_outputs(path, 4)
    return onnx_models.unary(path.with_suffix(".onnx"), "Neg", shape=[1, 4])


def run(runtime: str, model: str, sets: Sequence[str], **fields: Any) -> Result:
    inputs = [{"x": path} for path in sets]
    return supervisor.run(ask(runtime, model=model, seeds=list(range(len(sets))), inputs=inputs, record=True, **fields))


@pytest.mark.parametrize("runtime", ["onnx", "litert", "openvino"])
def test_every_set_of_inputs_reaches_the_engine_and_its_digest_the_facts(runtime: str, tmp_path: Path) -> None:
    arrays = [np.array([[1.0, 2.0, 3.0, scale]], "float32") for scale in (4, 5, 6)]
    sets = [saved(tmp_path / f"{place}.npy", array) for place, array in enumerate(arrays)]
    model = made(runtime, tmp_path / "model")
    result = run(runtime, model, sets)
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    factor = 2 if runtime == "litert" else -1
    assert [one[0]["values"] for one in result.outputs] == [(factor * array[0]).tolist() for array in arrays]
    assert len(result.facts["inputs"]) == 64
    golden = {"golden_digest": result.facts["model_sha256"], "golden_inputs": result.facts["inputs"]}
    other = run(runtime, model, sets[:2], golden=result.outputs[:2], **golden)
    assert other.distance == {}, "golden outputs for other inputs are not compared"
    assert run(runtime, model, sets, golden=result.outputs, **golden).distance["bits"] == 0.0


@pytest.mark.parametrize("runtime", ["onnx", "litert", "openvino"])
def test_a_bad_file_fails_the_load_in_the_same_words_with_every_engine(runtime: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "x.npy", np.zeros((2, 4), "float32"))
    result = run(runtime, made(runtime, tmp_path / "model"), [path])
    assert (result.outcome, result.stage) == (Outcome.FAILED, "load")
    assert result.detail == f"input x has the shape [1, 4], {path} holds [2, 4]"
