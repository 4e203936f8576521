"""The daemon pushes: all that is pulled from it, its probe rounds and its alerts, to whoever speaks OTLP."""

from __future__ import annotations

import json
import re
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from edgemon.cli import main
from edgemon.cli.otlp import ready
from edgemon.push import Otlp
from tests.running import running
from tests.running import until as waited
from tests.servers import Asked, Server, answer, serving
from tests.test_daemon import BRISK, QUICK, reload, series

RULES = """
groups:
  - name: test
    interval: 1s
    rules:
      - {alert: Probed, expr: 'edgemon_probe_runs_total{outcome="ok"} > 0', labels: {severity: critical}}
"""
KINDS: dict[str, Any] = {
    "metrics": ExportMetricsServiceRequest,
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
}


def until(condition: Callable[[], Any]) -> Any:
    """What the condition gives once that is true, within a minute."""
    return waited(condition, 60.0)


def dated(_: Asked) -> bytes:
    """A receiver that takes everything and tells the time."""
    return answer(200, b"", *date())


def date() -> list[str]:
    """The header that tells the time, as nothing else on this machine may vouch for it."""
    return [time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT", time.gmtime())]


def got(server: Server, signal: str) -> list[Any]:
    """What has come of a signal, taken apart."""
    asked = [one for one in server.asked if one.path == f"/v1/{signal}"]
    return [KINDS[signal].FromString(zlib.decompress(one.body, wbits=31)) for one in asked]


def points(server: Server) -> dict[str, float]:
    """The last value of each series, by its metric's name and its attributes' values."""
    found = {}
    for request in got(server, "metrics"):
        for resource in request.resource_metrics:
            for metric in resource.scope_metrics[0].metrics:
                for point in getattr(metric, str(metric.WhichOneof("data"))).data_points:
                    values = [one.value.string_value or str(one.value.int_value) for one in point.attributes]
                    if hasattr(point, "as_double"):
                        found["/".join([metric.name, *values])] = point.as_double
    return found


def records(server: Server) -> list[Any]:
    return [
        record
        for request in got(server, "logs")
        for resource in request.resource_logs
        for record in resource.scope_logs[0].log_records
    ]


def spans(server: Server) -> list[Any]:
    return [
        span
        for request in got(server, "traces")
        for resource in request.resource_spans
        for span in resource.scope_spans[0].spans
    ]


def configured(where: Path, server: Server, **otlp: Any) -> dict[str, Any]:
    (where / "rules.yml").write_text(RULES)
    return {
        "probes": {"a": QUICK}, "sensors": BRISK, "rules": {"files": [str(where / "rules.yml")]},
        "otlp": {"endpoint": server.url(""), "interval": "200ms", **otlp},
    }  # fmt: skip


def test_metrics_rounds_and_alerts_arrive_and_an_alert_that_goes_on_is_told_once(tmp_path: Path) -> None:
    """Over a restart as well; each at its own time, of the one that the page of metrics names."""
    began = time.time_ns()
    with serving({"": dated}) as server:
        with running(tmp_path, **configured(tmp_path, server)):
            until(lambda: records(server) and "edgemon.probe.runs/a/ok" in points(server))
        with running(tmp_path, **configured(tmp_path, server)) as daemon:
            until(lambda: '"firing"' in daemon.get("/api/v1/alerts")[1])
            count = len(spans(server))
            until(lambda: len(spans(server)) > count)
            kept, page = series(daemon), daemon.get("/metrics")[1]
        assert kept['edgemon_otlp_points_total{signal="logs"}'] == 0
        assert kept['edgemon_lane_failures_total{lane="encoding"}'] == 0
        (alert,) = records(server)
        roots = {one.span_id: one for one in spans(server) if not one.parent_span_id}
        assert (alert.severity_text, alert.body.string_value[:19]) == ("critical", "alert Probed firing")
        assert alert.span_id in roots
        assert {one.parent_span_id for one in spans(server)} == {b"", *roots}
        assert {one.name for one in roots.values()} == {"probe a"}
        for moment in [alert.time_unix_nano, *(one.start_time_unix_nano for one in roots.values())]:
            assert began - 10**9 < moment < time.time_ns() + 10**9
        assert identities(server) == {tuple(sorted(re.findall(r'(\w+)="([^"]*)"', who(page))))}


def who(page: str) -> str:
    (line,) = re.findall(r"target_info{(.*)} 1", page)
    return str(line)


def identities(server: Server) -> set[Any]:
    """The resources of all signals, their attributes named as in Prometheus."""
    resources = [
        one.resource
        for signal in KINDS
        for request in got(server, signal)
        for _, part in request.ListFields()
        for one in part
    ]
    return {
        tuple(sorted((one.key.replace(".", "_"), one.value.string_value) for one in resource.attributes))
        for resource in resources
    }


def test_a_reload_begins_redirects_and_ends_it_and_no_secret_is_in_a_log_metric_or_page(tmp_path: Path) -> None:
    """Of a server that repeats it in its errors included; and what one does not take now the next one gets."""
    (tmp_path / "token").write_text("s3cr3t-token\n")
    (tmp_path / "token").chmod(0o600)
    headers = {"Authorization": {"file": str(tmp_path / "token"), "prefix": "Bearer "}}

    def refuse(asked: Asked) -> bytes:
        return answer(503, f"no {asked.headers.get('authorization')}".encode(), *date())

    with (
        serving({"": refuse}) as busy,
        serving({"": dated}) as server,
        running(tmp_path, probes={}, sensors=BRISK) as daemon,
    ):
        assert not [name for name in series(daemon) if name.startswith("edgemon_otlp")]
        reload(daemon, **configured(tmp_path, busy, headers=headers))
        until(lambda: "wait, and are sent again: status 503: no ***" in daemon.log())
        assert busy.asked[-1].headers["authorization"] == "Bearer s3cr3t-token"
        pages = daemon.get("/metrics")[1] + daemon.get("/")[1]
        reload(daemon, **configured(tmp_path, server))
        until(lambda: points(server) and spans(server))
        reload(daemon, probes={}, sensors=BRISK)
        until(lambda: not [name for name in series(daemon) if name.startswith("edgemon_otlp")])
        assert "s3cr3t" not in pages + daemon.log()


def configuration(where: Path, **otlp: Any) -> str:
    (where / "edgemon.yml").write_text(json.dumps({"probes": {}, "otlp": otlp}))
    return str(where / "edgemon.yml")


@pytest.mark.parametrize(
    ("act", "status", "said"),
    [
        (dated, 0, ["taken"] * 3),
        (lambda asked: answer(404 if "traces" in asked.path else 200), 1, ["taken", "refused: status 404", "taken"]),
        (lambda _: answer(503), 1, ["not taken now: status 503"] * 3),
    ],
)
def test_the_receiver_can_be_tried_by_hand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], act: Callable[[Asked], bytes], status: int, said: list[str]
) -> None:
    """One batch of each signal, and what came of it."""
    with serving({"": act}) as server:
        assert main(["otlp", "test", "--config", configuration(tmp_path, endpoint=server.url(""))]) == status
        lines = [re.split(r"\s{2,}", line) for line in capsys.readouterr().out.splitlines()]
        signals = ["metrics", "traces", "logs"]
        assert lines == [[one, server.url(f"/v1/{one}"), text] for one, text in zip(signals, said, strict=True)]
        assert set(points(server)) >= {"system.uptime"}
        assert [one.name for one in spans(server)] == ["edgemon otlp test"]
        assert records(server)[0].body.string_value.startswith("alert EdgemonTest firing")
        moments = [spans(server)[0].end_time_unix_nano, records(server)[0].time_unix_nano]
        assert all(abs(one - time.time_ns()) < 60 * 10**9 for one in moments)


def test_where_nothing_is_pushed_there_is_nothing_to_try(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["otlp", "test", "--config", configuration(tmp_path)]) == 2
    assert "otlp: names no endpoint" in capsys.readouterr().err


def test_check_asks_the_receiver_without_telling_it_anything() -> None:
    """Of each signal a request that is empty."""
    with serving({"": lambda asked: answer(404 if "logs" in asked.path else 200)}) as server:
        said = list(ready(Otlp(endpoint=server.url(""))))
        problems = {"metrics": "", "traces": "", "logs": "status 404"}
        assert said == [(one, server.url(f"/v1/{one}"), problem) for one, problem in problems.items()]
        assert [zlib.decompress(one.body, wbits=31) for one in server.asked] == [b""] * 3


def test_an_environment_alone_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving({"": dated}) as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url(""))
        monkeypatch.setenv("OTEL_SERVICE_NAME", "camera")
        assert main(["otlp", "test", "--config", configuration(tmp_path)]) == 0
        attributes = got(server, "metrics")[0].resource_metrics[0].resource.attributes
        assert [one.value.string_value for one in attributes if one.key == "service.name"] == ["camera"]
