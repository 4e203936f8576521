"""The part of the configuration that says who is told of alerts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from edgemon.endpoint import CREDENTIALS, FILE
from edgemon.values import LABEL, NAME, URL, About, Arguments, Seconds, Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Alertmanager:
    """An Alertmanager: it is sent every alert, and the firing ones again and again, as Prometheus does."""

    url: Annotated[str, URL, About("base address; the API is at /api/v2 below it")] = "http://127.0.0.1:9093"
    resend: Annotated[
        float, Seconds(1, 3600), About("firing alerts are sent again so often, and hold for four times as long")
    ] = 60.0
    timeout: Annotated[float, Seconds(0.1, 120), About("an attempt that takes longer is given up")] = 10.0
    token: Annotated[str, FILE, About(f"file of the bearer token to send; {CREDENTIALS}/NAME is systemd's")] = ""
    ca: Annotated[str, FILE, About("certificates to trust instead of the system's, PEM")] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A web server that is posted each flip of an alert once, in Alertmanager's format."""

    url: Annotated[str, URL, About("where to post")]
    secret: Annotated[
        str,
        FILE,
        About(f"file of the secret that signs each post (Standard Webhooks); {CREDENTIALS}/NAME is systemd's"),
    ] = ""
    timeout: Annotated[float, Seconds(0.1, 120), About("an attempt that takes longer is given up")] = 10.0
    token: Annotated[str, FILE, About(f"file of the bearer token to send; {CREDENTIALS}/NAME is systemd's")] = ""
    ca: Annotated[str, FILE, About("certificates to trust instead of the system's, PEM")] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program that is run for each flip of an alert, with the flip as JSON on standard input."""

    argv: Annotated[tuple[str, ...], Arguments(), About("program, as an absolute path, and its arguments; no shell")]
    timeout: Annotated[float, Seconds(0.1, 600), About("a run that takes longer is killed")] = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """Who is told of alerts; each receiver has a queue of its own."""

    labels: Annotated[
        Mapping[str, str],
        LABEL,
        About("labels of every alert that it does not have itself, such as {site: oslo}; instance is the host name"),
    ] = field(default_factory=dict)
    external_url: Annotated[
        str, Text(rf"|{URL.pattern}", f"{URL.says}, or empty"), About("where people reach this device, for links")
    ] = ""
    alertmanagers: Annotated[Mapping[str, Alertmanager], NAME, About("Alertmanagers, by a name of yours")] = field(
        default_factory=dict
    )
    webhooks: Annotated[Mapping[str, Webhook], NAME, About("webhooks, by a name of yours")] = field(
        default_factory=dict
    )
    commands: Annotated[Mapping[str, Command], NAME, About("commands, by a name of yours")] = field(
        default_factory=dict
    )
