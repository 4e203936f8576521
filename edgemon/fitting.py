"""What in the settings of a served model fits together; for validation only, the daemon does not load it."""

from __future__ import annotations

import re
import urllib.parse
from typing import Any

from edgemon.endpoint import RUNTIMES
from edgemon.probe import target

OURS = ("content-length", "transfer-encoding", "connection", "accept-encoding", "user-agent", "expect", "te", "upgrade")
PRIVATE = re.compile(r"auth|cookie|token|secret|passw|key|credential", re.IGNORECASE)


def runtime_of(model: str) -> str:
    """The runtime for a URL, by its path; an empty string for what is no URL."""
    if not re.match(r"(http|grpc)s?://", model):
        return ""
    return "openinference" if model.startswith("grpc") or target.MODEL.fullmatch(model.partition("?")[0]) else "http"


def problem(runtime: str, model: str, endpoint: Any) -> str:
    """What does not fit together in the settings of a probe, or an empty string."""
    if runtime not in RUNTIMES:
        return f"model: {runtime} takes a file; a URL is for http and openinference" if runtime_of(model) else ""
    try:
        where = target.parse(model, target.SCHEMES if runtime == "openinference" else tuple(target.PORTS))
    except ValueError as error:
        return f"model: {error}"
    names = [name for name, _ in urllib.parse.parse_qsl(where.path.partition("?")[2], keep_blank_values=True)]
    if private := next(filter(PRIVATE.search, names), ""):
        return f"model: {private} looks like a secret, which must come from a file in a header, not stand in a URL"
    if runtime == "openinference" and not target.MODEL.fullmatch(where.path):
        return "model: must end in /v2/models/NAME or /v2/models/NAME/versions/VERSION for openinference"
    if where.scheme.startswith("grpc") and not where.path.startswith("/v2/models/"):
        return "model: must be grpc://HOST:PORT/v2/models/NAME: gRPC has no path before /v2"
    return _tls(where, endpoint.tls) or _request(endpoint)


def _tls(where: target.Target, tls: Any) -> str:
    if not where.secure and (tls.ca or tls.certificate or tls.key or tls.server_name):
        return "endpoint.tls: is only for an https:// or grpcs:// URL"
    return "endpoint.tls: key needs certificate" if tls.key and not tls.certificate else ""


def _request(endpoint: Any) -> str:
    if endpoint.body and endpoint.body_file:
        return "endpoint.body: only one of body and body_file can be sent"
    return next((text for name, one in endpoint.headers.items() if (text := _header(name, one))), "")


def _header(name: str, header: Any) -> str:
    where = f"endpoint.headers.{name}"
    if name.lower() in OURS:
        return f"{where}: is set by edgemon"
    if bool(header.file) is bool(header.value):
        return f"{where}: needs either a value or a file"
    if header.value and PRIVATE.search(name):
        return f"{where}: looks like a secret, which must come from a file: {{file: /path}}"
    return ""
