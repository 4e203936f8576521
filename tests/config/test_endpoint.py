"""The settings of endpoint probes: what is given, what follows from it, and what is refused with which words."""

from __future__ import annotations

from typing import Any

import pytest

from edgemon.config import Probe
from edgemon.endpoint import told
from edgemon.errors import ConfigError
from edgemon.schema import validate

V2 = "http://127.0.0.1:8000/v2/models/detector"


def probe(settings: Any) -> Probe:
    return validate({"probes": {"p": settings}}).probes["p"]


@pytest.mark.parametrize(
    ("model", "runtime"),
    [
        (V2, "openinference"),
        (f"{V2}/versions/3", "openinference"),
        ("https://localhost/seldon/v2/models/m", "openinference"),
        ("grpc://127.0.0.1:8001/v2/models/m", "openinference"),
        ("grpcs://gateway.local:9000/v2/models/m/versions/3", "openinference"),
        ("http://localhost:9000/predict?size=3", "http"),
        (f"{V2}/infer", "http"),
        ("/opt/models/http.onnx", "onnx"),
    ],
)
def test_one_line_is_enough_and_the_url_tells_the_runtime(model: str, runtime: str) -> None:
    assert probe(model).runtime == runtime


def test_headers_are_strings_or_files_and_reach_the_worker_as_such() -> None:
    headers = {"X-Client": "edge", "Authorization": {"file": "/run/token", "prefix": "Bearer "}}
    given = told(probe({"model": V2, "endpoint": {"headers": headers}}).endpoint)
    assert given["headers"] == {
        "X-Client": {"value": "edge", "file": "", "prefix": ""},
        "Authorization": {"value": "", "file": "/run/token", "prefix": "Bearer "},
    }
    assert given["agent"].startswith("edgemon/")
    assert (given["timeout"], given["rate"], given["redirects"], given["faults_every"]) == (5.0, 10.0, 0, 0)


REFUSED = {
    "a URL": ({"model": "http://"}, "model: must be a URL such as"),
    "user": ({"model": "http://u:p@h/"}, "model: must hold no user or password"),
    "fragment": ({"model": "http://h/#x"}, "model: must hold no #fragment"),
    "port": ({"model": "http://h:99999/"}, "model: must have a port from 1 to 65535"),
    "decimal": ({"model": "http://2130706433/"}, "model: must have a host name, or an address such as 127.0.0.1"),
    "hexadecimal": ({"model": "http://0x7f.1/"}, "model: must have a host name, or an address"),
    "octal": ({"model": "http://0177.0.0.1/"}, "model: must have a host name, or an address"),
    "unicode": ({"model": "http://ⓔxample/"}, "model: must be a URL of printable ASCII"),
    "query": ({"model": "http://h/?api_key=1"}, "model: api_key looks like a secret"),
    "no port": ({"model": "grpc://localhost/v2/models/m"}, "model: must name a port, as in grpc://localhost:8001/v2/"),
    "base": ({"model": "grpc://localhost:1/seldon/v2/models/m"}, "gRPC has no path before /v2"),
    "http over grpc": ({"model": "grpc://localhost:1/x", "runtime": "http"}, "model: must be a URL such as http://"),
    "path": ({"model": "http://h/x", "runtime": "openinference"}, "model: must end in /v2/models/NAME"),
    "engine": ({"model": V2, "runtime": "onnx"}, "model: onnx takes a file; a URL is for http and openinference"),
    "tls": ({"model": V2, "endpoint": {"tls": {"ca": "/ca"}}}, "endpoint.tls: is only for an https:// or grpcs:// URL"),
    "key": ({"model": "https://h/", "endpoint": {"tls": {"key": "/k"}}}, "endpoint.tls: key needs certificate"),
    "bodies": ({"model": V2, "endpoint": {"body": "a", "body_file": "/b"}}, "only one of body and body_file"),
    "ours": ({"model": V2, "endpoint": {"headers": {"Connection": "close"}}}, "Connection: is set by edgemon"),
    "literal": ({"model": V2, "endpoint": {"headers": {"X-Api-Key": "1"}}}, "must come from a file: {file: /path}"),
    "neither": ({"model": V2, "endpoint": {"headers": {"X": {}}}}, "X: needs either a value or a file"),
    "newline": ({"model": V2, "endpoint": {"headers": {"X": "a\nb: c"}}}, "must be printable ASCII"),
    "name": ({"model": V2, "endpoint": {"headers": {"X:": "a"}}}, "must be the name of a header"),
    "network": ({"model": V2, "endpoint": {"allow": ["1.2.3.4/8"]}}, "which must be a network such as"),
    "pattern": ({"model": V2, "endpoint": {"expect": {"body": "("}}}, "must be a regular expression"),
    "assertion": ({"model": V2, "endpoint": {"expect": {"assertions": ["a"]}}}, "which must be a path with ==, !="),
    "status": ({"model": V2, "endpoint": {"expect": {"status": [99]}}}, "which must be a whole number from 100"),
    "outputs": ({"model": V2, "endpoint": {"outputs": ["a..b"]}}, "which must be keys between dots"),
    "fault": ({"model": V2, "endpoint": {"faults": ["all"]}}, "which must be one of tensor, datatype"),
    "no limit": ({"model": V2, "endpoint": {"response": 0}}, "must be a size from 1MiB to 1GiB, such as 512MiB"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_is_refused_and_says_what_is_allowed(kind: str) -> None:
    settings, text = REFUSED[kind]
    with pytest.raises(ConfigError) as refused:
        probe(settings)
    assert str(refused.value).startswith("configuration: probes.p.")
    assert text in str(refused.value)
