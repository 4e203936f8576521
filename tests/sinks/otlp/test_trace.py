"""Probe rounds as traces and flips as log records, of real workers and decoded with the official messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from edgemon import config
from edgemon.archive import Archive
from edgemon.finding import Finding
from edgemon.probe.result import Outcome
from edgemon.prober import Prober
from edgemon.sinks.otlp.batch import FLIP, PROBE, Batch
from edgemon.sinks.otlp.common import resource
from edgemon.sinks.otlp.records import logs
from edgemon.sinks.otlp.trace import Round, round_of, traces
from edgemon.sysfs import Root
from tests.alerts.flips import flip

WHO = resource({"service.name": "edgemon"})
QUICK: dict[str, Any] = {"model": "/a/model", "runtime": "fake", "idle": 0.01, "samples": 5, "seconds": 0.1}
ROUND = Round("cam", b"t" * 16, b"s" * 8, 1, 2, 2, ())


def run(where: Path, **options: Any) -> Finding:
    archive = Archive(str(where / "state"))
    probe = config.Probe(**QUICK, options={"work": 100, **options})
    found = Prober("cam", probe, archive, Root(str(where)), str(where / "state")).run()
    archive.close()
    return found


@pytest.fixture(scope="module")
def finding(tmp_path_factory: pytest.TempPathFactory) -> Finding:
    return run(tmp_path_factory.mktemp("ok"))


def spans(batch: Batch) -> list[Span]:
    (whole,) = ExportTraceServiceRequest.FromString(batch.payload).resource_spans
    (scope,) = whole.scope_spans
    assert (whole.resource.attributes[0].value.string_value, scope.scope.name) == ("edgemon", "edgemon")
    return list(scope.spans)


def said(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


def test_a_round_is_a_span_with_a_child_for_each_phase_in_order(finding: Finding) -> None:
    """Cold start, warm-up and runs, each within the round and none before the last has begun."""
    batch = traces(finding, round_of(finding.result, "device"), WHO, "boot")
    root, *children = spans(batch)
    assert (batch.grade, batch.points, batch.start, batch.end) == (
        PROBE, 1 + len(children), root.start_time_unix_nano, root.end_time_unix_nano,
    )  # fmt: skip
    assert (root.name, root.parent_span_id, root.status.code) == ("probe cam", b"", Status.STATUS_CODE_UNSET)
    names = [one.name for one in children]
    assert names == ["import", "load", "first", "idle_before", "warmup", "steady", "idle", "idle_start"]
    assert {(one.trace_id, one.parent_span_id) for one in children} == {(root.trace_id, root.span_id)}
    assert len({one.span_id for one in [root, *children]}) == len(names) + 1
    assert (len(root.trace_id), {len(one.span_id) for one in children}) == (16, {8})
    ends = root.start_time_unix_nano
    for one in children:
        assert ends <= one.start_time_unix_nano <= one.end_time_unix_nano <= root.end_time_unix_nano
        ends = one.end_time_unix_nano


def test_a_round_says_what_it_found(finding: Finding) -> None:
    root, *children = spans(traces(finding, round_of(finding.result, "device"), WHO, "boot"))
    told = said(root.attributes)
    assert (told["edgemon.probe.outcome"], told["edgemon.probe.verdict"]) == ("ok", "undecided")
    assert told["edgemon.probe.simulated"] is True
    assert told["edgemon.probe.fingerprint"] == finding.fingerprint
    assert "error.type" not in told
    (steady,) = [said(one.attributes) for one in children if one.name == "steady"]
    assert steady["edgemon.probe.samples"] == len(finding.result.latencies)
    assert steady["edgemon.probe.latency.least"] <= steady["edgemon.probe.latency.median"]


def test_the_same_round_is_the_same_span_and_no_other_is(finding: Finding) -> None:
    """Also after a restart, so that what is sent twice is one to the receiver."""
    first, again, other = (round_of(finding.result, one) for one in ("device", "device", "another"))
    assert first == again
    assert (first.trace, first.span) != (other.trace, other.span)
    assert set(first.latencies) <= set(finding.result.latencies)
    assert max(first.latencies) == max(finding.result.latencies)


@pytest.mark.parametrize(
    ("behaviour", "outcome", "failed"),
    [("raise", Outcome.FAILED, ["load"]), ("segfault", Outcome.CRASHED, [])],
)
def test_a_round_that_fails_is_an_error_in_the_phase_it_failed_in(
    tmp_path: Path, behaviour: str, outcome: Outcome, failed: list[str]
) -> None:
    """Of a worker that crashed nothing is known but when it ran and in which stage it was."""
    finding = run(tmp_path, behaviour=behaviour)
    root, *children = spans(traces(finding, round_of(finding.result, "device"), WHO, "boot"))
    assert finding.result.outcome is outcome
    assert (root.status.code, root.status.message) == (Status.STATUS_CODE_ERROR, finding.result.detail)
    told = said(root.attributes)
    assert (told["error.type"], told["edgemon.probe.stage"]) == (outcome.value, "load")
    assert [one.name for one in children if one.status.code == Status.STATUS_CODE_ERROR] == failed


def record(batch: Batch) -> LogRecord:
    (whole,) = ExportLogsServiceRequest.FromString(batch.payload).resource_logs
    (one,) = whole.scope_logs[0].log_records
    return one


@pytest.mark.parametrize(
    ("label", "state", "number"),
    [
        ("critical", "firing", SeverityNumber.SEVERITY_NUMBER_FATAL),
        ("error", "firing", SeverityNumber.SEVERITY_NUMBER_ERROR),
        ("warning", "firing", SeverityNumber.SEVERITY_NUMBER_WARN),
        ("page", "firing", SeverityNumber.SEVERITY_NUMBER_WARN),
        ("info", "firing", SeverityNumber.SEVERITY_NUMBER_INFO),
        ("critical", "resolved", SeverityNumber.SEVERITY_NUMBER_INFO),
    ],
)
def test_a_flip_is_an_event_with_the_severity_of_its_label(label: str, state: str, number: int) -> None:
    batch = logs(flip(state=state, labels={"severity": label}), 7, {}, WHO, "boot")
    one = record(batch)
    assert (batch.grade, batch.points, batch.start, batch.end) == (FLIP, 1, 7, 7)
    assert (one.severity_number, one.severity_text, one.event_name) == (number, label, "edgemon.alert")
    assert (one.time_unix_nano, one.observed_time_unix_nano, one.trace_id) == (7, 7, b"")


def test_a_flip_tells_labels_annotations_value_and_how_long_it_fired() -> None:
    one = flip(state="resolved", labels={"hw_id": "é"}, annotations={"summary": "hot"}, value=91.5)
    told = said(record(logs(one, 7, {}, WHO, "boot")).attributes)
    assert told == {
        "edgemon.alert.name": "Hot", "edgemon.alert.state": "resolved", "edgemon.alert.value": 91.5,
        "edgemon.alert.fingerprint": one.fingerprint, "edgemon.alert.duration": 60.0,
        "edgemon.alert.label.severity": "warning", "edgemon.alert.label.hw_id": "é",
        "edgemon.alert.annotation.summary": "hot",
    }  # fmt: skip
    assert record(logs(one, 7, {}, WHO, "boot")).body.string_value.startswith("alert Hot resolved (")


def test_an_alert_about_a_probe_leads_to_its_last_round() -> None:
    one = record(logs(flip(labels={"probe": "cam"}), 7, {"cam": ROUND}, WHO, "boot"))
    assert (one.trace_id, one.span_id) == (ROUND.trace, ROUND.span)
