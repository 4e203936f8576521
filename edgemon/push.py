"""The part of the configuration that says what is pushed over OTLP, and where. `otel` fills in the environment's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from edgemon.buffer import Buffer
from edgemon.endpoint import PLAIN, TOKEN, Header, Tls
from edgemon.values import URL, About, Each, Seconds, Text, Whole, one_of

SIGNALS = ("metrics", "traces", "logs")
PROTOCOLS = ("http/protobuf", "grpc")
COMPRESSIONS = ("gzip", "none")
TEMPORALITIES = ("cumulative", "delta", "lowmemory")
HISTOGRAMS = ("exponential", "explicit")
MAYBE = Text(rf"|{URL.pattern}", f"{URL.says.partition(',')[0]}, such as http://127.0.0.1:4318, or empty")
PATTERN = Text(r"[A-Za-z0-9_.*-]+", "the name of a metric such as hw.temperature, in which * stands for anything")
KEY = Text(r"[A-Za-z][A-Za-z0-9_.-]{0,127}", "the name of an attribute, such as deployment.environment.name")


def _or_none(kind: tuple[str, ...]) -> Text:
    return one_of(("", *kind))


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What is otherwise for one of metrics, traces and logs; what is empty is as for all."""

    endpoint: Annotated[str, MAYBE, About("the whole URL of this signal; nothing is put behind it")] = ""
    protocol: Annotated[str, _or_none(PROTOCOLS), About("http/protobuf or grpc")] = ""
    headers: Annotated[Mapping[str, Header], TOKEN, About("headers to send instead; a secret as {file: PATH}")] = field(
        default_factory=dict
    )
    timeout: Annotated[float, Seconds(0, 120), About("an attempt that takes longer is given up")] = 0.0
    compression: Annotated[str, _or_none(COMPRESSIONS), About("gzip or none")] = ""
    tls: Annotated[Tls, About("keys and certificates for https")] = field(default_factory=Tls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Otlp:
    """OpenTelemetry push. What is not set here comes from OpenTelemetry's environment variables where they are set."""

    enabled: Annotated[bool, About("whether anything is pushed ($OTEL_SDK_DISABLED)")] = True
    endpoint: Annotated[
        str,
        MAYBE,
        About(
            "base URL of the receiver, such as http://127.0.0.1:4318, below which are /v1/metrics, /v1/traces and "
            "/v1/logs ($OTEL_EXPORTER_OTLP_ENDPOINT); nothing is pushed without one"
        ),
    ] = ""
    protocol: Annotated[
        str,
        one_of(PROTOCOLS),
        About("http/protobuf or grpc ($OTEL_EXPORTER_OTLP_PROTOCOL); grpc is the extra otlp-grpc"),
    ] = "http/protobuf"
    interval: Annotated[
        float, Seconds(0.1, 3600), About("time between two pushes of metrics ($OTEL_METRIC_EXPORT_INTERVAL)")
    ] = 10.0
    timeout: Annotated[
        float, Seconds(0.1, 120), About("an attempt that takes longer is given up ($OTEL_EXPORTER_OTLP_TIMEOUT)")
    ] = 10.0
    compression: Annotated[str, one_of(COMPRESSIONS), About("gzip or none ($OTEL_EXPORTER_OTLP_COMPRESSION)")] = "gzip"
    headers: Annotated[
        Mapping[str, Header],
        TOKEN,
        About(
            "headers to send, such as {Authorization: {file: /etc/edgemon/token, prefix: 'Bearer '}} "
            "($OTEL_EXPORTER_OTLP_HEADERS)"
        ),
    ] = field(default_factory=dict)
    tls: Annotated[
        Tls,
        About("keys and certificates for https ($OTEL_EXPORTER_OTLP_CERTIFICATE, …_CLIENT_CERTIFICATE, …_CLIENT_KEY)"),
    ] = field(default_factory=Tls)
    metrics: Annotated[bool, About("whether metrics are pushed ($OTEL_METRICS_EXPORTER)")] = True
    traces: Annotated[bool, About("whether each probe round is pushed as a trace ($OTEL_TRACES_EXPORTER)")] = True
    logs: Annotated[bool, About("whether alerts that flip are pushed as log records ($OTEL_LOGS_EXPORTER)")] = True
    signals: Annotated[
        Mapping[str, Signal],
        one_of(SIGNALS),
        About("what is otherwise for one signal, such as {traces: {endpoint: 'https://tempo.example/v1/traces'}}"),
    ] = field(default_factory=dict)
    temporality: Annotated[
        str,
        one_of(TEMPORALITIES),
        About(
            "of counters: cumulative, delta, or lowmemory (delta of what edgemon counts itself) "
            "($OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE)"
        ),
    ] = "cumulative"
    histogram: Annotated[
        str,
        one_of(HISTOGRAMS),
        About(
            "exponential, or explicit: the buckets of /metrics "
            "($OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION)"
        ),
    ] = "exponential"
    resource: Annotated[
        Mapping[str, Annotated[str, PLAIN]],
        KEY,
        About("further resource attributes, or others for these ($OTEL_RESOURCE_ATTRIBUTES, $OTEL_SERVICE_NAME)"),
    ] = field(default_factory=dict)
    include: Annotated[
        tuple[str, ...], Each(PATTERN), About("metrics to push by OpenTelemetry name, such as [edgemon.probe.*, hw.*]")
    ] = ("*",)
    exclude: Annotated[tuple[str, ...], Each(PATTERN), About("metrics to leave out of these")] = ()
    series: Annotated[
        int, Whole(1, 100_000), About("most series in one push; of more the probes' come first, the rest is counted")
    ] = 2000

    buffer: Annotated[Buffer, About("what waits while the receiver is away")] = field(default_factory=Buffer)

    def pushed(self) -> Iterator[str]:
        """The signals that are pushed."""
        for one in SIGNALS:
            if self.enabled and getattr(self, one) and (self.endpoint or self.signals.get(one, Signal()).endpoint):
                yield one
