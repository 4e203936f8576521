"""Settings of a probe that asks a served model over HTTP or gRPC. `fitting` says which fit together."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import edgemon
from edgemon.values import PATH, About, Bytes, Each, Range, Seconds, Text, Whole, one_of

RUNTIMES = ("http", "openinference")
FAULTS = ("tensor", "datatype", "shape", "size", "json")
CREDENTIALS = "${CREDENTIALS_DIRECTORY}"


@dataclass(frozen=True, slots=True)
class Checked(Text):
    """A string that a function of the worker's accepts, loaded only where a configuration is validated."""

    by: str = ""

    def parse(self, value: object) -> str:
        """The string, or ValueError saying what is allowed."""
        text = Text.parse(self, value)
        module, _, function = self.by.partition(":")
        getattr(importlib.import_module(f"edgemon.probe.{module}"), function)(text)
        return text


ASSERTION = Checked(r"(?s:.+)", "an assertion", "assertion:parse")
JSON_PATH = Checked(r"(?s:.+)", "a path", "assertion:keys")
PATTERN = Checked(r"(?s:.*)", "a regular expression", "assertion:pattern")
NETWORK = Checked(r"(?s:.+)", "a network", "target:network")
FILE = Text(r"|(/|\$\{CREDENTIALS_DIRECTORY\}/)[^\0]*", f"an absolute path, or {CREDENTIALS}/NAME")
TOKEN = Text(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", "the name of a header")
PLAIN = Text(r"[\x20-\x7e]*", "printable ASCII")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """One header. A plain string instead of these settings is the value; a secret comes from a file."""

    value: Annotated[str, PLAIN, About("what is sent")] = ""
    file: Annotated[str, FILE, About(f"file of one line whose content is sent; {CREDENTIALS}/NAME is systemd's")] = ""
    prefix: Annotated[str, PLAIN, About('what is put before the content of the file, such as "Bearer "')] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Keys and certificates for https and grpcs. Verification is always on; name a private authority in ca."""

    ca: Annotated[str, FILE, About("certificates to trust instead of the system's, PEM")] = ""
    certificate: Annotated[str, FILE, About("certificate of this client, PEM")] = ""
    key: Annotated[str, FILE, About("its key, PEM, without a password; in the certificate's file if empty")] = ""
    server_name: Annotated[str, PLAIN, About("name in the server's certificate; the host of the URL if empty")] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """What an answer must be. Another status is failed, another content wrong_output."""

    status: Annotated[tuple[int, ...], Each(Whole(100, 599)), About("accepted statuses")] = (200,)
    headers: Annotated[Mapping[str, Annotated[str, PATTERN]], TOKEN, About("patterns that headers match somewhere")] = (
        field(default_factory=dict)
    )
    body: Annotated[str, PATTERN, About("pattern that the body matches")] = ""
    assertions: Annotated[
        tuple[str, ...],
        Each(ASSERTION),
        About('what holds of a JSON body, such as ["score >= 0.5", "boxes.0 present"]'),
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """How a served model is asked, for the runtimes http and openinference."""

    timeout: Annotated[float, Seconds(0.05, 600), About("time one request may take, connecting included")] = 5.0
    rate: Annotated[float, Range(0.01, 1000), About("requests a second at most; they never overlap")] = 10.0
    headers: Annotated[
        Mapping[str, Header], TOKEN, About("headers, or metadata of gRPC, to send; a secret as {file: PATH}")
    ] = field(default_factory=dict)
    allow: Annotated[
        tuple[str, ...], Each(NETWORK), About("networks that may be connected to beside loopback and private ones")
    ] = ()
    tls: Annotated[Tls, About("keys and certificates for https and grpcs")] = field(default_factory=Tls)
    response: Annotated[int, Bytes(1 << 20, 1 << 30, none=False), About("largest answer that is read")] = 64 << 20
    tensors: Annotated[
        str,
        Text(r"auto|json|binary", "auto, json or binary"),
        About("encoding; auto is binary where the server tells, and over gRPC"),
    ] = "auto"
    faults: Annotated[
        tuple[str, ...],
        Each(one_of(FAULTS)),
        About("deliberately faulty requests the server must refuse, for openinference"),
    ] = FAULTS
    faults_every: Annotated[
        int, Whole(0, 100000), About("runs from one with faulty requests to the next; 0 is only when asked (--faults)")
    ] = 0
    method: Annotated[str, Text(r"GET|HEAD|POST|PUT", "GET, HEAD, POST or PUT"), About("method, for http")] = "GET"
    body: Annotated[str, About("what is sent, for http")] = ""
    body_file: Annotated[str, Text(rf"|{PATH.pattern}", PATH.says), About("file that is sent, for http")] = ""
    redirects: Annotated[int, Whole(0, 5), About("redirects followed, to the same origin only, for http")] = 0
    expect: Annotated[Expect, About("what an answer must be, for http")] = field(default_factory=Expect)
    outputs: Annotated[
        tuple[str, ...], Each(JSON_PATH), About("paths of numbers in the body held against the baseline's, for http")
    ] = ()


def told(endpoint: Endpoint) -> dict[str, Any]:
    """The settings as the worker gets them: plain, files by path, systemd's credentials directory filled in."""
    data = asdict(endpoint)
    for header in data["headers"].values():
        header["file"] = place(header["file"])
    data["tls"].update({name: place(data["tls"][name]) for name in ("ca", "certificate", "key")})
    return {**data, "agent": f"edgemon/{edgemon.__version__}"}


def place(path: str) -> str:
    """The path with systemd's credentials directory filled in, where there is one.

    The supervisor keeps $CREDENTIALS_DIRECTORY from workers: they are told the paths they need, no more.
    """
    where = os.environ.get("CREDENTIALS_DIRECTORY")
    return path.replace(CREDENTIALS, where, 1) if where and path.startswith(CREDENTIALS) else path
