"""The Open Inference Protocol against a server of our own that can be made to fail at every step."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edgemon.judge.verdict import judge
from edgemon.probe import supervisor
from edgemon.probe.result import Outcome, Result
from edgemon.probe.tensors import numpys
from tests.servers import METADATA, MODEL, Asked, Reply, Server, answer, ask, double, good, serving


def found(routes: dict[str, Callable[[Asked], Reply]], **settings: Any) -> Result:
    with serving(routes) as server:
        return supervisor.run(ask(server, **settings))


@pytest.mark.parametrize("extensions", [[], ["binary_tensor_data"]], ids=["json", "binary"])
def test_a_good_server_is_ok_in_the_encoding_it_tells_of(extensions: list[str]) -> None:
    routes = good(server=lambda asked: answer(200, {"name": "own", "version": "1.2", "extensions": extensions}))
    with serving(routes) as server:
        result = supervisor.run(replace(ask(server), record=True))
    assert (result.outcome, result.detail, result.stage) == (Outcome.OK, "", "idle_start")
    assert result.facts["runtime_version"] == "own 1.2"
    assert result.facts["options"]["tensors"] == ("binary" if extensions else "json")
    assert len(result.latencies) >= 3
    assert {"dns", "connect", "ttfb"} == set(result.phases)
    assert all(0 <= seconds < result.wall_seconds for seconds in result.phases.values() if result.wall_seconds)
    single = struct.unpack("<4f", struct.pack("<4f", *[numpys(0).random()] * 4))[0]
    assert result.outputs[0][0]["values"][0] == 2 * single
    assert len(result.outputs) == 2


def test_both_encodings_give_the_same_bits() -> None:
    with serving(good()) as server:
        results = [
            supervisor.run(replace(ask(server, endpoint={"tensors": one}), record=True)) for one in ("json", "binary")
        ]
    assert results[0].outputs == results[1].outputs


def test_the_ladder_is_climbed_in_order_on_one_connection_and_the_idle_start_opens_another() -> None:
    with serving(good()) as server:
        supervisor.run(ask(server))
    climbed = ["/v2/health/live", "/v2/health/ready", f"{MODEL}/ready", "/v2", MODEL, f"{MODEL}/infer"]
    assert [one.path for one in server.asked][: len(climbed)] == climbed
    assert {one.path for one in server.asked[len(climbed) :]} == {f"{MODEL}/infer"}
    assert [one.connection for one in server.asked] == [1] * (len(server.asked) - 1) + [2]
    assert {one.headers["user-agent"].partition("/")[0] for one in server.asked} == {"edgemon"}


def test_a_load_ends_with_the_metadata_and_infers_nothing() -> None:
    with serving(good()) as server:
        result = supervisor.run(replace(ask(server), until="load"))
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    assert [one.method for one in server.asked] == ["GET"] * 5


def test_a_model_of_a_version_is_asked_under_its_version() -> None:
    routes = {path.replace(MODEL, f"{MODEL}/versions/3"): act for path, act in good().items()}
    with serving(routes) as server:
        assert supervisor.run(ask(server, f"{MODEL}/versions/3")).outcome is Outcome.OK


LADDER: dict[str, tuple[str, Reply, str]] = {
    "live": ("live", answer(503, {"error": "going down"}), "the server is not live: 503 Told: going down"),
    "ready": ("ready", answer(400), "the server is not ready: 400 Told"),
    "model_ready": (
        "model_ready",
        answer(404, {"error": "no model double"}),
        "the model is not ready: 404 Told: no mod",
    ),
    "metadata": ("metadata", answer(200, b"<html>"), f"GET {MODEL}: the answer is no JSON object"),
    "no tensors": ("metadata", answer(200, {"name": "double"}), "the metadata of the model declares no inputs and out"),
    "bytes": (
        "metadata",
        answer(200, {**METADATA, "inputs": [{"name": "x", "datatype": "BYTES", "shape": [1]}]}),
        "input x is of type BYTES, which edgemon cannot make",
    ),
    "open": (
        "metadata",
        answer(200, {**METADATA, "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, -1]}]}),
        "input x has the open shape [1, -1]: give it in the probe's shapes, as in {x: [1, 1]}",
    ),
    "first": ("infer", answer(500, {"error": "out of memory"}), f"POST {MODEL}/infer: 500 Told: out of memory"),
}


@pytest.mark.parametrize("step", LADDER)
def test_the_step_that_fails_is_the_stage_with_what_the_server_says(step: str) -> None:
    route, reply, detail = LADDER[step]
    result = found(good(**{route: lambda asked: reply}))
    stage = {"no tensors": "metadata", "bytes": "metadata", "open": "metadata"}.get(step, step)
    assert (result.outcome, result.stage) == (Outcome.FAILED, stage)
    assert result.detail.startswith(detail)
    assert judge(result, [], None, {}).advice


WRONG: dict[str, tuple[Callable[[Asked], Reply], str]] = {
    "json": (lambda asked: answer(200, b"{"), "the answer is no inference response"),
    "none": (lambda asked: answer(200, {"outputs": []}), "the answer holds no output"),
    "other": (
        lambda asked: answer(200, {"outputs": [{"name": "z", "datatype": "FP32", "shape": [1], "data": [1]}]}),
        "answered the outputs z, the metadata declares y",
    ),
    "short": (
        lambda asked: answer(200, {"outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 4], "data": [1]}]}),
        "output y has the shape [1, 4] but 1 values",
    ),
    "words": (
        lambda asked: answer(200, {"outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": ["a"]}]}),
        "a value is no FP32",
    ),
    "nan": (lambda asked: double(asked, float("nan")), "the output holds NaN or infinity"),
    "header": (
        lambda asked: answer(200, b"{}", "Inference-Header-Content-Length: 9"),
        "the answer has a bad Inference-Header-Content-Length",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_an_answer_that_is_none_is_wrong_output(kind: str) -> None:
    act, detail = WRONG[kind]
    result = found(good(infer=act))
    assert (result.outcome, result.detail[: len(detail)]) == (Outcome.WRONG_OUTPUT, detail)


def test_a_server_that_answers_other_numbers_than_the_golden_ones_is_wrong_output() -> None:
    factor = 2.0
    with serving(good(infer=lambda asked: double(asked, factor))) as server:
        asked = ask(server)
        plain = supervisor.run(replace(asked, record=True))
        golden = replace(asked, golden=plain.outputs, golden_digest=plain.facts["model_sha256"])
        assert supervisor.run(golden).distance["bits"] == 0.0
        factor = 3.0
        result = supervisor.run(golden)
    assert result.outcome is Outcome.WRONG_OUTPUT
    assert "of the golden range" in result.detail
    assert result.latencies


def test_another_version_in_the_metadata_is_another_model() -> None:
    old = found(good()).facts["model_sha256"]
    assert found(good()).facts["model_sha256"] == old
    other = good(metadata=lambda asked: answer(200, {**METADATA, "versions": ["2"]}))
    assert found(other).facts["model_sha256"] != old


def test_shapes_of_the_probe_fill_open_dimensions_and_others_are_refused() -> None:
    assert found(good(), shapes={"x": [3, 4]}).outcome is Outcome.OK
    assert "do not fit" in found(good(), shapes={"x": [3, 5]}).detail
    assert "the model's inputs are x" in found(good(), shapes={"image": [3, 5]}).detail


def test_a_server_that_dies_in_the_steady_phase_is_failed_there() -> None:
    count = iter(range(1000))

    def tired(asked: Asked) -> Reply:
        if next(count) > 8:
            raise ConnectionResetError
        return double(asked)

    result = found(good(infer=tired), samples=50, seconds="5s")
    assert (result.outcome, result.stage) in {(Outcome.FAILED, "steady"), (Outcome.FAILED, "warmup")}
    assert result.detail == f"POST {MODEL}/infer: the connection was reset"


# faulty requests


def faults(server: Server) -> Result:
    return supervisor.run(replace(ask(server), faults=True))


@pytest.mark.parametrize("encoding", ["json", "binary"])
def test_a_good_server_refuses_every_faulty_request_and_goes_on(encoding: str) -> None:
    with serving(good()) as server:
        result = supervisor.run(replace(ask(server, endpoint={"tensors": encoding}), faults=True))
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    assert result.facts["faults"] == dict.fromkeys(["tensor", "datatype", "shape", "size", "json"], 400)
    assert [one.path for one in server.asked][-4:-1] == ["/v2/health/live", "/v2/health/ready", f"{MODEL}/ready"]


def test_without_being_asked_no_faulty_request_is_sent() -> None:
    with serving(good()) as server:
        supervisor.run(ask(server))
    bodies = [json.loads(one.body)["inputs"][0] for one in server.asked if one.method == "POST"]
    assert {(one["name"], one["datatype"], *one["shape"]) for one in bodies} == {("x", "FP32", 1, 4)}


def test_a_server_that_takes_nonsense_is_wrong_output() -> None:
    def trusting(asked: Asked) -> Reply:
        said = double(asked)
        return said if b" 200 " in said[:20] else answer(200, {"outputs": []})

    with serving(good(infer=trusting)) as server:
        result = faults(server)
    assert (result.outcome, result.stage) == (Outcome.WRONG_OUTPUT, "faults")
    assert result.detail.startswith("not refused with a 4xx: a request with an unknown tensor was answered with 200; ")
    assert result.latencies


def test_a_server_with_an_internal_error_on_nonsense_is_failed() -> None:
    def clumsy(asked: Asked) -> Reply:
        said = double(asked)
        return said if b" 200 " in said[:20] else answer(500, {"error": "unhandled"})

    with serving(good(infer=clumsy)) as server:
        result = supervisor.run(replace(ask(server, endpoint={"faults": ["json"]}), faults=True))
    assert (result.outcome, result.stage) == (Outcome.FAILED, "faults")
    assert result.detail == (
        "not refused with a 4xx: a request cut off in the middle was answered with 500; "
        "the server says: 500 Told: unhandled"
    )
    assert "endpoint.faults" in judge(result, [], None, {}).advice


def test_a_server_that_drops_the_connection_on_nonsense_is_failed() -> None:
    def brittle(asked: Asked) -> Reply:
        said = double(asked)
        return said if b" 200 " in said[:20] else iter(())

    with serving(good(infer=brittle)) as server:
        result = faults(server)
    assert (result.outcome, result.stage) == (Outcome.FAILED, "faults")
    assert result.detail.count("closed the connection without an answer") == 5


def test_a_server_that_is_not_ready_after_nonsense_is_failed_in_recovery() -> None:
    broken: list[bool] = []

    def fragile(asked: Asked) -> Reply:
        said = double(asked)
        broken.extend([] if b" 200 " in said[:20] else [True])
        return said

    with serving(good(infer=fragile, ready=lambda asked: answer(503 if broken else 200))) as server:
        result = faults(server)
    assert (result.outcome, result.stage, result.detail) == (
        Outcome.FAILED, "recovery", "the server is not ready: 503 Told",
    )  # fmt: skip
