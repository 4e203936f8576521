"""OpenTelemetry's environment variables: each means its setting, the file comes first, bad values are named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk import environment_variables

from edgemon import otel
from edgemon.endpoint import Header, Tls
from edgemon.errors import ConfigError
from edgemon.push import MAYBE, SIGNALS, Otlp, Signal
from edgemon.schema import validate
from tests.running import HERE

URL, METRICS = "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_METRICS"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """None of this machine's own."""
    for name in (*otel.WHOLE, *(f"{otel.EXPORTER}_{end}" for end in otel.SHARED), "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def header(value: str) -> Header:
    return Header(value=value)


def settings(**file: Any) -> Otlp:
    return validate({"otlp": file} if file else {}).otlp


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", URL, Otlp(endpoint=URL)),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "  ", Otlp()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", Otlp(protocol="grpc")),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500", Otlp(timeout=2.5)),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none", Otlp(compression="none")),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b%20c, X-D = e=f", Otlp(headers={"a": header("b c"), "X-D": header("e=f")})),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca", Otlp(tls=Tls(ca="/ca"))),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/c", Otlp(tls=Tls(certificate="/c"))),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/k", Otlp(tls=Tls(key="/k"))),
        ("OTEL_METRIC_EXPORT_INTERVAL", "60000", Otlp(interval=60.0)),
        ("OTEL_SDK_DISABLED", "TRUE", Otlp(enabled=False)),
        ("OTEL_SDK_DISABLED", "1", Otlp()),
        ("OTEL_METRICS_EXPORTER", "none", Otlp(metrics=False)),
        ("OTEL_METRICS_EXPORTER", "console, otlp", Otlp()),
        ("OTEL_TRACES_EXPORTER", "none", Otlp(traces=False)),
        ("OTEL_LOGS_EXPORTER", "console", Otlp(logs=False)),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "LowMemory", Otlp(temporality="lowmemory")),
        (f"{METRICS}_DEFAULT_HISTOGRAM_AGGREGATION", "explicit_bucket_histogram", Otlp(histogram="explicit")),
        ("OTEL_RESOURCE_ATTRIBUTES", "a.b=c%2Cd,service.name=x", Otlp(resource={"a.b": "c,d", "service.name": "x"})),
        ("OTEL_SERVICE_NAME", "me", Otlp(resource={"service.name": "me"})),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", f"{URL}/x", Otlp(signals={"logs": Signal(endpoint=f"{URL}/x")})),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "a=b", Otlp(signals={"metrics": Signal(headers={"a": header("b")})})),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "500", Otlp(signals={"traces": Signal(timeout=0.5)})),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none", Otlp(signals={"traces": Signal(compression="none")})),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc", Otlp(signals={"traces": Signal(protocol="grpc")})),
        ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/ca", Otlp(signals={"traces": Signal(tls=Tls(ca="/ca"))})),
    ],
)  # fmt: skip
def test_a_variable_means_its_setting(environment: pytest.MonkeyPatch, name: str, value: str, expected: Otlp) -> None:
    environment.setenv(name, value)
    assert settings() == expected


def test_the_variables_are_opentelemetrys() -> None:
    """Its SDK names each, but those that choose exporters."""
    for end in otel.SHARED:
        assert f"{otel.EXPORTER}_{end}" in dir(environment_variables)
    assert set(otel.WHOLE) - set(dir(environment_variables)) == {
        f"OTEL_{one}_EXPORTER" for one in ("METRICS", "TRACES", "LOGS")
    }


def test_the_file_comes_first_setting_by_setting(environment: pytest.MonkeyPatch) -> None:
    """A receiver named in the file is not sent elsewhere by a variable for one signal; attributes are joined."""
    environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://env:1")
    environment.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://env:2/logs")
    environment.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2000")
    environment.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "3000")
    environment.setenv("OTEL_RESOURCE_ATTRIBUTES", "site=oslo,rack=1")
    environment.setenv("OTEL_SERVICE_NAME", "env")
    found = settings(endpoint=URL, resource={"rack": "2"}, signals={"traces": {"timeout": "4s"}})
    assert (found.endpoint, found.signals, found.timeout) == (URL, {"traces": Signal(timeout=4.0)}, 2.0)
    assert found.resource == {"site": "oslo", "rack": "2", "service.name": "env"}


def test_nothing_is_pushed_unless_somewhere_is_said(environment: pytest.MonkeyPatch) -> None:
    assert not list(settings().pushed())
    assert list(settings(endpoint=URL).pushed()) == list(SIGNALS)
    assert list(settings(endpoint=URL, traces=False).pushed()) == ["metrics", "logs"]
    environment.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", f"{URL}/logs")
    assert list(settings().pushed()) == ["logs"]
    environment.setenv("OTEL_SDK_DISABLED", "true")
    assert not list(settings().pushed())
    assert list(settings(enabled=True).pushed()) == ["logs"]


def test_every_bad_variable_is_named_and_no_secret_shown(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:s3cr3t@host")
    environment.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization s3cr3t")
    environment.setenv("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "authorization=s3cr3t%0a")
    environment.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")
    environment.setenv("OTEL_METRIC_EXPORT_INTERVAL", "5")
    environment.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    environment.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem")
    with pytest.raises(ConfigError) as caught:
        settings()
    assert caught.value.problems == (
        f"OTEL_EXPORTER_OTLP_ENDPOINT: *** must be {MAYBE.says}",
        "OTEL_EXPORTER_OTLP_PROTOCOL: http/json must be one of http/protobuf, grpc",
        "OTEL_EXPORTER_OTLP_HEADERS: must be name=value pairs with commas between, percent-encoded",
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS: must be name=value pairs of printable ASCII",
        "OTEL_EXPORTER_OTLP_TIMEOUT: must be a whole number of milliseconds",
        "OTEL_EXPORTER_OTLP_CERTIFICATE: ca.pem must be an absolute path, or ${CREDENTIALS_DIRECTORY}/NAME",
        "OTEL_METRIC_EXPORT_INTERVAL: 5ms must be a duration from 100ms to 1h, such as 30s or 1m30s",
    )


def test_a_header_of_the_file_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        settings(endpoint=URL, headers={"Authorization": "Bearer s3cr3t\u00e9"})
    assert caught.value.problems == ("configuration: otlp.headers.Authorization.value: *** must be printable ASCII",)


@pytest.mark.parametrize(
    ("hidden", "file", "problem"),
    [
        ("opentelemetry", {"endpoint": URL}, "(edgemon's extra otlp): pip install opentelemetry-proto"),
        ("grpc", {"endpoint": URL, "protocol": "grpc"}, "(edgemon's extra otlp-grpc): pip install grpcio"),
        (
            "grpc",
            {"endpoint": URL, "signals": {"logs": {"protocol": "grpc"}}},
            "(edgemon's extra otlp-grpc): pip install grpcio",
        ),
        ("opentelemetry", {}, ""),
        ("grpc", {"endpoint": URL}, ""),
    ],
)
def test_what_is_not_installed_is_named_with_the_way_to_install_it(
    tmp_path: Path, hidden: str, file: dict[str, Any], problem: str
) -> None:
    """In a Python that has everything but that package; where nothing is pushed it is not missed."""
    (tmp_path / "edgemon.yml").write_text(json.dumps({"otlp": file, "probes": {}}))
    code = f"import sys; sys.modules[{hidden!r}] = None; from edgemon.schema import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "edgemon.yml")],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=True,
    )
    said = json.loads(ran.stdout)
    assert ("problems" in said) == bool(problem)
    assert problem in said.get("problems", [""])[0]
