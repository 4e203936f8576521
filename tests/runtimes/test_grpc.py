"""The Open Inference Protocol over gRPC: against KServe's own server, and against one that fails at every step."""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from edgemon import protobuf
from edgemon.asking import request
from edgemon.judge.verdict import judge
from edgemon.probe import messages, supervisor
from edgemon.probe.result import Outcome, Request, Result
from edgemon.probe.tensors import KINDS, Input, pack
from edgemon.schema import validate
from tests.grpc_server import YES, Reply, Server, double, good, serving
from tests.probe import EMBEDDED
from tests.runtimes.conftest import KServe

CODE = grpc.StatusCode


def ask(server: Server, host: str = "127.0.0.1", path: str = "/v2/models/double", **settings: Any) -> Request:
    """The request for a probe of a server, from settings as a user writes them; quick."""
    quick = {"rate": 1000, "timeout": "5s", **settings.pop("endpoint", {})}
    probe = {"model": server.url(path, host), "idle": "0", "seconds": "100ms", "samples": 5, "endpoint": quick}
    return request("test", validate({"probes": {"test": {**probe, **settings}}}).probes["test"])


def found(methods: dict[str, Callable[[bytes], Reply]], **settings: Any) -> Result:
    with serving(methods) as server:
        return supervisor.run(ask(server, **settings))


# KServe's own server


@pytest.mark.peer
@pytest.mark.parametrize("encoding", ["json", "binary"], ids=["typed", "raw"])
def test_the_model_behind_kserve_gives_the_golden_outputs_of_the_local_one(kserve: KServe, encoding: str) -> None:
    golden = json.loads(Path(EMBEDDED.replace(".onnx", ".golden.json")).read_text())["outputs"]
    server, endpoint = Server(kserve.grpc), {"tensors": encoding, "timeout": "20s"}
    asked = replace(ask(server, path="/v2/models/mobilenet", endpoint=endpoint), seeds=[0, 1])
    digest = supervisor.run(replace(asked, until="load")).facts["model_sha256"]
    result = supervisor.run(replace(asked, golden=golden, golden_digest=digest))
    assert (result.outcome, result.detail) == (Outcome.OK, "")
    assert result.distance["bits"] == 0.0
    assert result.facts["runtime_version"] == "kserve 0.21.0"
    assert len(result.latencies) >= 3
    assert set(result.phases) == {"dns", "connect"}


@pytest.mark.peer
def test_kserve_refuses_faulty_requests_over_grpc_and_stays_ready(kserve: KServe) -> None:
    asked = ask(Server(kserve.grpc), path="/v2/models/mobilenet", endpoint={"timeout": "20s"})
    result = supervisor.run(replace(asked, faults=True))
    assert result.detail == ""
    refused = CODE.INVALID_ARGUMENT.value[0]
    assert result.facts["faults"] == {
        "tensor": refused, "datatype": refused, "shape": refused, "size": refused, "json": CODE.UNKNOWN.value[0]
    }  # fmt: skip


@pytest.mark.peer
def test_a_model_that_is_not_there_is_named_by_kserve_over_grpc(kserve: KServe) -> None:
    result = supervisor.run(ask(Server(kserve.grpc), path="/v2/models/other", endpoint={"timeout": "20s"}))
    assert (result.outcome, result.stage) == (Outcome.FAILED, "model_ready")
    assert "Model with name other does not exist" in result.detail


# a server of our own


@pytest.mark.parametrize("encoding", ["json", "binary"])
def test_a_good_server_is_ok_whichever_encoding_it_answers_in(encoding: str) -> None:
    typed = encoding == "binary"  # the other way round, which the protocol allows
    with serving(good(ModelInfer=lambda body: double(body, typed=typed))) as server:
        result = supervisor.run(replace(ask(server, endpoint={"tensors": encoding}), record=True))
    assert (result.outcome, result.detail, result.stage) == (Outcome.OK, "", "idle_start")
    assert result.facts["runtime_version"] == "double-server 1.2"
    assert result.facts["options"]["tensors"] == encoding
    assert result.facts["address"] == f"127.0.0.1 port {server.port}"
    assert len(result.outputs[0][0]["values"]) == 4
    assert {one[1]["user-agent"].partition("/")[0] for one in server.asked} == {"edgemon"}


def test_the_ladder_is_climbed_in_order_on_one_connection_and_the_idle_start_opens_another() -> None:
    with serving(good()) as server:
        supervisor.run(ask(server))
    climbed = ["ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer"]
    assert [one[0] for one in server.asked][: len(climbed)] == climbed
    assert {one[0] for one in server.asked[len(climbed) :]} == {"ModelInfer"}
    peers = [one[2] for one in server.asked]
    assert (len(set(peers[:-1])), len(set(peers))) == (1, 2)


def no(status: grpc.StatusCode, said: str) -> Callable[[bytes], Reply]:
    return lambda body: (status, said)


LADDER: dict[str, tuple[str, Callable[[bytes], Reply], str, str]] = {
    "live": ("ServerLive", lambda body: b"", "live", "the server is not live: it answers no"),
    "ready": ("ServerReady", no(CODE.UNAVAILABLE, "starting"), "ready", "the server is not ready: UNAVAILABLE: s"),
    "model": ("ModelReady", no(CODE.NOT_FOUND, "no double"), "model_ready", "the model is not ready: NOT_FOUND: no"),
    "broken": ("ModelReady", lambda body: b"\xff", "model_ready", "ModelReady: the answer cannot be read: it"),
    "metadata": ("ModelMetadata", no(CODE.INTERNAL, "gone"), "metadata", "ModelMetadata: INTERNAL: gone"),
    "tensors": ("ModelMetadata", lambda body: b"", "metadata", "the metadata of the model declares no inputs and"),
    "infer": ("ModelInfer", no(CODE.INTERNAL, "out of\n memory"), "first", "ModelInfer: INTERNAL: out of memory"),
}  # fmt: skip


@pytest.mark.parametrize("step", LADDER)
def test_the_step_that_fails_is_the_stage_with_what_the_server_says(step: str) -> None:
    method, act, stage, detail = LADDER[step]
    result = found(good(**{method: act}))
    assert (result.outcome, result.stage) == (Outcome.FAILED, stage)
    assert result.detail.startswith(detail)
    assert judge(result, [], None, {}).advice


HEAD = protobuf.field(1, "y") + protobuf.field(2, "FP32")
WRONG: dict[str, tuple[bytes, str]] = {
    "none": (b"", "the answer holds no output"),
    "other": (protobuf.field(5, protobuf.field(1, "z") + protobuf.field(2, "INT64")), "output z has the shape [] but"),
    "short": (protobuf.field(5, HEAD + protobuf.packed(3, [1, 4])) + protobuf.field(6, b"1234"), "output y has the sh"),
    "odd": (protobuf.field(5, HEAD + protobuf.packed(3, [1])) + protobuf.field(6, b"12345"), "5 bytes are no whole"),
    "raw": (protobuf.field(5, HEAD) + 2 * protobuf.field(6, b"1234"), "the answer holds 1 outputs and the bytes of 2"),
    "cut": (protobuf.field(5, HEAD)[:-1], "it is cut off"),
    "nan": (
        protobuf.field(5, HEAD + protobuf.packed(3, [1])) + protobuf.field(6, struct.pack("<f", float("nan"))),
        "the output holds NaN or infinity",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_an_answer_that_is_none_is_wrong_output(kind: str) -> None:
    body, detail = WRONG[kind]
    result = found(good(ModelInfer=lambda asked: body))
    assert (result.outcome, result.detail[: len(detail)]) == (Outcome.WRONG_OUTPUT, detail)


def test_a_server_that_answers_in_nobodys_time_is_a_timeout_and_one_that_answers_too_much_is_cut_short() -> None:
    over = threading.Event()

    def slow(body: bytes) -> Reply:
        over.wait(20)
        return YES

    with serving(good(ServerReady=slow)) as server:
        began = time.monotonic()
        result = supervisor.run(ask(server, endpoint={"timeout": "500ms"}))
        over.set()
    assert (result.outcome, result.stage) == (Outcome.TIMEOUT, "ready")
    assert result.detail == "ServerReady: no whole answer within 0.5 s"
    assert time.monotonic() - began < 15
    result = found(good(ModelInfer=lambda body: b"x" * (2 << 20)), endpoint={"response": "1MiB"})
    assert (result.outcome, result.stage) == (Outcome.FAILED, "first")
    assert result.detail == "ModelInfer: the answer has more than the 1 MiB that response: allows"


def test_nobody_there_is_named_as_over_http() -> None:
    result = supervisor.run(ask(Server(1)))
    assert (result.outcome, result.stage) == (Outcome.FAILED, "connect")
    assert result.detail == "cannot connect to 127.0.0.1 port 1: connection refused"


def test_a_server_that_is_no_grpc_is_not_live() -> None:
    from tests import servers  # noqa: PLC0415 - the only test that needs it

    with servers.serving(servers.good()) as server:
        result = supervisor.run(ask(Server(server.port)))
    assert (result.outcome, result.stage) == (Outcome.FAILED, "live")
    assert result.detail.startswith("the server is not live: UNAVAILABLE")


@pytest.mark.parametrize(
    ("host", "said"), [("8.8.8.8", "neither loopback nor private"), ("169.254.169.254", "link-local")]
)
def test_addresses_are_restricted_as_over_http(host: str, said: str) -> None:
    result = supervisor.run(ask(Server(9), host))
    assert (result.outcome, result.stage) == (Outcome.FAILED, "dns")
    assert said in result.detail


def test_no_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert found(good()).outcome is Outcome.OK


def test_faulty_requests_are_refused_and_one_that_is_taken_is_wrong() -> None:
    with serving(good()) as server:
        result = supervisor.run(replace(ask(server), faults=True))
        assert (result.outcome, result.detail) == (Outcome.OK, "")
        assert result.facts["faults"] == {**dict.fromkeys(["tensor", "datatype", "shape", "size"], 3), "json": 13}
    taken = protobuf.field(5, HEAD + protobuf.packed(3, [1, 4])) + protobuf.field(6, b"\0" * 16)
    result = found(good(ModelInfer=lambda body: taken), endpoint={"faults_every": 1})
    assert result.outcome is Outcome.OK, "they are only sent when it is their turn"
    with serving(good(ModelInfer=lambda body: taken)) as server:
        result = supervisor.run(replace(ask(server), faults=True))
    assert (result.outcome, result.stage) == (Outcome.WRONG_OUTPUT, "faults")
    assert result.detail.startswith(
        "not refused as the client's mistake (INVALID_ARGUMENT or the like): a request with "
    )


# TLS and secrets


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def credentials(authority: trustme.CA, client: bool = False) -> Any:
    made = authority.issue_cert("localhost")
    chain = b"".join(one.bytes() for one in made.cert_chain_pems)
    root = authority.cert_pem.bytes()
    return grpc.ssl_server_credentials([(made.private_key_pem.bytes(), chain)], root if client else None, client)


def test_tls_is_verified_by_name_and_authority(authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = {"ca": str(tmp_path / "ca.pem")}
    with serving(good(), credentials(authority)) as server:
        result = supervisor.run(ask(server, "localhost", endpoint={"tls": tls}))
        assert (result.outcome, result.detail) == (Outcome.OK, "")
        assert result.facts["tls"].startswith("TLSv1.")
        assert {"dns", "connect", "tls"} <= set(result.phases)
        named = supervisor.run(ask(server, endpoint={"tls": {**tls, "server_name": "localhost"}}))
        assert (named.outcome, named.detail) == (Outcome.OK, "")
        for host, given in (("127.0.0.1", tls), ("localhost", {})):
            refused = supervisor.run(ask(server, host, endpoint={"tls": given}))
            assert (refused.outcome, refused.stage) == (Outcome.FAILED, "tls")
            assert "the certificate of" in refused.detail
            assert not judge(refused, [], None, {}).advice.startswith("see the server's own log")


def test_a_client_shows_its_certificate(authority: trustme.CA, tmp_path: Path) -> None:
    mine = authority.issue_cert("client.example")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    mine.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "mine.pem"))
    tls = {"ca": str(tmp_path / "ca.pem"), "certificate": str(tmp_path / "mine.pem")}
    with serving(good(), credentials(authority, client=True)) as server:
        result = supervisor.run(ask(server, "localhost", endpoint={"tls": tls}))
        assert (result.outcome, result.detail) == (Outcome.OK, "")
        without = supervisor.run(ask(server, "localhost", endpoint={"tls": {"ca": tls["ca"]}}))
    assert without.outcome is Outcome.FAILED


def test_a_secret_goes_to_the_server_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cr3t-t0ken\n")
    headers = {"Authorization": {"file": str(tmp_path / "token"), "prefix": "Bearer "}}
    methods = good(ModelInfer=no(CODE.PERMISSION_DENIED, "not for Bearer s3cr3t-t0ken"))
    with serving(methods) as server:
        result = supervisor.run(ask(server, endpoint={"headers": headers}))
    assert {one[1]["authorization"] for one in server.asked} == {"Bearer s3cr3t-t0ken"}
    assert result.detail == "ModelInfer: PERMISSION_DENIED: not for Bearer (secret)"
    assert "s3cr3t" not in json.dumps(result.to_json())


def test_a_secret_that_grpc_refuses_to_send_is_not_told_either(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"s3cr3t-t\xf6ken\n")
    headers = {"Authorization": {"file": str(tmp_path / "token")}}
    with serving(good()) as server:
        result = supervisor.run(ask(server, endpoint={"headers": headers}))
    assert (result.outcome, result.stage) == (Outcome.FAILED, "load")
    assert result.detail.startswith("header authorization: gRPC sends printable ASCII only")
    assert "s3cr3t" not in json.dumps(result.to_json())


def test_without_grpcio_it_is_said_what_to_install(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    result = supervisor.run(ask(Server(9)), str(python))
    assert (result.outcome, result.stage) == (Outcome.FAILED, "import")
    assert "pip install grpcio" in result.detail


# messages


def echoed(inputs: list[Input], raw: bool) -> bytes:
    """An answer that gives a request's inputs back as its outputs."""
    asked = messages.infer(("m", ""), inputs, ["y"], raw)
    parts = list(protobuf.fields(memoryview(asked), protobuf.Budget(10**6)))
    return b"".join(protobuf.field({5: 5, 7: 6}[n], bytes(protobuf.view(v))) for n, v in parts if n in {5, 7})


@pytest.mark.parametrize("raw", [False, True])
@given(values=st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=9))
def test_tensors_survive_both_encodings(raw: bool, values: list[float]) -> None:
    others = [Input(kind, kind, [2], pack(kind, [0, 1])) for kind in KINDS if raw or kind in messages.CONTENTS]
    found = messages.read(echoed([Input("x", "FP32", [len(values)], pack("FP32", values)), *others], raw))
    assert {one["name"]: one["values"] for one in found if one["name"] != "x"} == {
        one.name: [0.0, 1.0] for one in others
    }
    assert next(one for one in found if one["name"] == "x")["shape"] == [len(values)]


@pytest.mark.parametrize(
    ("kind", "value"), [("INT8", -128), ("INT64", -(2**63)), ("UINT64", 2**64 - 1), ("UINT8", 255)]
)
def test_the_ends_of_a_type_survive_typed_contents(kind: str, value: int) -> None:
    (one,) = messages.read(echoed([Input("x", kind, [1], pack(kind, [value]))], raw=False))
    assert one["sha256"] == hashlib.sha256(pack(kind, [value])).hexdigest()


@given(st.binary(max_size=80))
def test_any_bytes_are_an_answer_or_a_value_error(body: bytes) -> None:
    for act in (messages.read, messages.metadata, messages.server, messages.flag):
        try:
            act(body)
        except ValueError:
            continue
