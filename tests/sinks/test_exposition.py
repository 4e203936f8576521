"""The exposition, held against prometheus_client's own parsers of both formats."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from edgemon import catalog, inference
from edgemon.metric import Distribution, Kind, Metric, Reading
from edgemon.sinks.prometheus import OPENMETRICS, TEXT, Exposition, accepts_gzip, negotiate
from edgemon.sketch import BOUNDS, Sketch
from edgemon.store import Snapshot, Store
from tests.taken import taken

Plain = dict[tuple[str, frozenset[tuple[str, str]]], float]
BOTH = pytest.mark.parametrize("kind", [TEXT, OPENMETRICS])
LABEL = st.text(max_size=12) | st.sampled_from(
    ['"', "\\", "\n", '\\"', "\\n", 'a,b="c"} 1', ' # {x="y"} 1', "\r", "é🌡"]
)
EDGES = [
    0,
    -1,
    1,
    2**53 + 1,
    10**30,
    5e-324,
    1.7976931348623157e308,
    -0.0,
    1e22,
    1e16,
    0.1,
    math.inf,
    -math.inf,
    math.nan,
]
NUMBER = st.floats() | st.integers(-(2**63), 2**64) | st.sampled_from(EDGES)


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    """A reading of any catalogue metric with any labels; counters do not fall below zero, an info is 1."""
    metric = draw(st.sampled_from([one for one in catalog.ALL if one.kind is not Kind.HISTOGRAM]))
    labels = tuple(draw(LABEL) for _ in metric.labels)
    value = draw(NUMBER)
    if metric.kind is Kind.COUNTER:
        value = 0.0 if math.isnan(value) else abs(value)
    return Reading(metric, labels, 1.0 if metric.kind is Kind.INFO else value)


SNAPSHOTS = st.lists(readings(), max_size=15)


def snapshot(given: Iterable[Reading | Distribution]) -> Snapshot:
    store = Store()
    store.put("test", given)
    return store.commit()


def exposition(given: Iterable[Reading | Distribution]) -> Exposition:
    fixed = snapshot(given)
    return Exposition(lambda: fixed)


def text(given: Iterable[Reading | Distribution], kind: str = TEXT) -> str:
    return exposition(given).body(kind, compress=False).decode()


def parsed(body: str, kind: str) -> list[Family]:
    return list(parse_openmetrics(body) if kind == OPENMETRICS else parse_text(body))  # type: ignore[no-untyped-call]


def plain(families: Iterable[Family]) -> Plain:
    return {(sample.name, frozenset(sample.labels.items())): sample.value for one in families for sample in one.samples}


def expected(given: Snapshot) -> Plain:
    return {
        (
            metric.prometheus,
            frozenset((k, v) for k, v in zip(metric.prometheus_labels, labels, strict=True) if v),
        ): value
        for (metric, labels), value in given.series.items()
    }


def same(one: Plain, other: Plain) -> bool:
    return one.keys() == other.keys() and all(
        value == other[key] or (math.isnan(value) and math.isnan(other[key])) for key, value in one.items()
    )


@BOTH
@given(readings=SNAPSHOTS)
@settings(deadline=None)
def test_parsers_read_back_exactly_the_series_of_the_snapshot(kind: str, readings: list[Reading]) -> None:
    assert same(plain(parsed(text(readings, kind), kind)), expected(snapshot(readings)))


@given(readings=SNAPSHOTS)
@settings(deadline=None)
def test_gzip_holds_the_same_bytes(readings: list[Reading]) -> None:
    one = exposition(readings)
    assert gzip.decompress(one.body(TEXT, compress=True)) == one.body(TEXT, compress=False)


@BOTH
@pytest.mark.parametrize("name", ["eth\udcff", "\udcff", "\ud800\udcff\\"])
def test_names_that_are_not_utf8_are_shown_and_do_not_cost_the_scrape(kind: str, name: str) -> None:
    families = parsed(text([catalog.NETWORK_UP(1, name)], kind), kind)
    shown = name.encode(errors="backslashreplace").decode()
    assert [sample.labels for sample in families[0].samples] == [{"hw_id": shown}]


def everything() -> list[Reading | Distribution]:
    """Every metric of the catalogue with two series, all labels given."""
    return [taken(metric, *(f"{label}{n}" for label in metric.labels)) for n in "ab" for metric in catalog.ALL]


@BOTH
def test_every_metric_keeps_its_help_and_its_type_and_its_series_together(kind: str) -> None:
    families = {family.name: family for family in parsed(text(everything(), kind), kind)}
    assert len(families) == text(everything(), kind).count("# TYPE") == len(catalog.ALL)
    for metric in catalog.ALL:
        info = kind == OPENMETRICS and metric.kind is Kind.INFO
        family = families[metric.family if kind == OPENMETRICS or metric.kind is Kind.COUNTER else metric.prometheus]
        assert (family.type, family.documentation) == ("info" if info else metric.kind.prometheus, metric.help)
        parts = ["_bucket", "_sum", "_count"] if metric.kind is Kind.HISTOGRAM else [""]
        assert {sample.name for sample in family.samples} == {metric.prometheus + part for part in parts}


def test_help_escapes_what_each_format_wants_escaped() -> None:
    metric = Metric("a", "", Kind.GAUGE, 'back\\slash, new\nline, "quote"')
    assert text([metric(1)]).startswith('# HELP a back\\\\slash, new\\nline, "quote"\n')
    assert '# HELP a back\\\\slash, new\\nline, \\"quote\\"\n' in text([metric(1)], OPENMETRICS)
    for kind in (TEXT, OPENMETRICS):
        assert parsed(text([metric(1)], kind), kind)[0].documentation == metric.help


def test_openmetrics_names_counters_and_infos_by_family_and_ends_in_eof() -> None:
    body = text([catalog.LANE_RUNS(3, "sensing"), catalog.BUILD_INFO(1, "1", "3")], OPENMETRICS)
    assert body.splitlines() == [
        "# TYPE edgemon_lane_runs counter",
        "# HELP edgemon_lane_runs Jobs done.",
        'edgemon_lane_runs_total{lane="sensing"} 3',
        "# TYPE edgemon_build info",
        "# HELP edgemon_build Version of edgemon and of its Python.",
        'edgemon_build_info{version="1",python="3"} 1',
        "# EOF",
    ]
    assert body.endswith("# EOF\n")


def test_text_names_counters_and_infos_by_series_and_has_no_eof() -> None:
    body = text([catalog.LANE_RUNS(3, "sensing"), catalog.BUILD_INFO(1, "1", "3")])
    assert body.splitlines() == [
        "# HELP edgemon_lane_runs_total Jobs done.",
        "# TYPE edgemon_lane_runs_total counter",
        'edgemon_lane_runs_total{lane="sensing"} 3',
        "# HELP edgemon_build_info Version of edgemon and of its Python.",
        "# TYPE edgemon_build_info gauge",
        'edgemon_build_info{version="1",python="3"} 1',
    ]


def test_an_empty_label_is_left_out_and_no_label_needs_no_braces() -> None:
    lines = text([catalog.TEMPERATURE(1, "a", "", "c"), catalog.TEMPERATURE(2, "", "", "")]).splitlines()
    assert lines[2:] == ['hw_temperature_celsius{hw_id="a",hw_parent="c"} 1', "hw_temperature_celsius 2"]


@BOTH
def test_nothing_to_export_is_a_valid_exposition(kind: str) -> None:
    assert text([], kind) == ("# EOF\n" if kind == OPENMETRICS else "")


@BOTH
@pytest.mark.parametrize("compress", [False, True])
def test_a_snapshot_is_rendered_once_and_a_commit_renders_anew(kind: str, compress: bool) -> None:
    store = Store()
    one = Exposition(lambda: store.snapshot)
    store.put("test", [catalog.UPTIME(1)])
    store.commit()
    first = one.body(kind, compress)
    assert one.body(kind, compress) is first
    store.put("test", [catalog.UPTIME(2)])
    assert one.body(kind, compress) is first
    store.commit()
    assert one.body(kind, compress) != first
    assert one.body(kind, compress) is one.body(kind, compress)


@BOTH
def test_the_same_readings_give_the_same_bytes_from_a_new_and_from_a_worn_exposition(kind: str) -> None:
    store = Store()
    worn = Exposition(lambda: store.snapshot)
    for number in range(300):
        store.put("test", [catalog.CPU_TIME(1, str(number), "user"), *everything()])
        store.commit()
        worn.body(kind, compress=False)
    store.put("test", everything())
    store.commit()
    assert worn.body(kind, compress=False) == text(everything(), kind).encode()
    assert len(worn._lines) <= 2 * len(store.snapshot.series) + 100


@BOTH
@given(values=st.lists(st.floats(0, 100), max_size=30), label=LABEL)
@settings(deadline=None)
def test_a_histogram_is_cumulative_buckets_with_sum_and_count(kind: str, values: list[float], label: str) -> None:
    sketch = Sketch()
    sketch.add(values)
    given = [inference.PROBE_INFERENCE.distribution(sketch.exponential(), label)]
    (family,) = parsed(text(given, kind), kind)
    assert family.type == "histogram"
    samples = {
        name: [one for one in family.samples if one.name == f"{inference.PROBE_INFERENCE.prometheus}_{name}"]
        for name in ("bucket", "sum", "count")
    }
    assert [float(one.labels["le"]) for one in samples["bucket"]] == [*BOUNDS, math.inf]
    counts = [one.value for one in samples["bucket"]]
    assert counts == sorted(counts)
    assert [one.value for one in samples["count"]] == [counts[-1]] == [len(values)]
    assert [one.value for one in samples["sum"]] == [sketch.exponential().sum]
    assert {one.labels.get("probe", "") for one in family.samples} == {label}


PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROTOBUF_FIRST = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7," + PROMETHEUS_3
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
ACCEPTS = [
    (PROMETHEUS_2, OPENMETRICS),
    (PROMETHEUS_3, OPENMETRICS),
    (PROTOBUF_FIRST, OPENMETRICS),
    ("text/plain;version=0.0.4;q=0.6,*/*;q=0.5", TEXT),  # Prometheus 3 told to use PrometheusText0.0.4
    ("text/plain;version=0.0.4;q=1,*/*;q=0.1", TEXT),  # VictoriaMetrics, vmagent
    ("*/*", TEXT),  # curl
    (BROWSER, TEXT),
    ("", TEXT),
    ("application/openmetrics-text", OPENMETRICS),
    ('application/openmetrics-text; version="1.0.0"; charset=utf-8', OPENMETRICS),
    ("application/openmetrics-text;version=2.0.0", TEXT),
    ("Application/OpenMetrics-Text", OPENMETRICS),
    ("application/openmetrics-text;q=0.5,text/plain;q=0.6", TEXT),
    ("text/plain;q=0.5,application/openmetrics-text;q=0.6", OPENMETRICS),
    ("application/openmetrics-text;q=0", TEXT),
    ("application/openmetrics-text;q=x", TEXT),
    ("application/openmetrics-text;q=nan", TEXT),
    ("application/json", TEXT),
    (";;,,=;q=,", TEXT),
]


@pytest.mark.parametrize(("accept", "kind"), ACCEPTS)
def test_the_format_is_openmetrics_only_for_who_prefers_it(accept: str, kind: str) -> None:
    assert negotiate(accept) == kind


ENCODINGS = [
    ("gzip", True),
    ("gzip, deflate, br", True),
    ("deflate, GZIP;q=0.5", True),
    ("*", True),
    ("", False),
    ("identity", False),
    ("gzip;q=0", False),
    ("gzip; q=0.000, *", False),
    ("*, gzip;q=0", False),
    ("*;q=0, gzip", True),
    ("x-gzipped", False),
    (";,;q=", False),
]


@pytest.mark.parametrize(("header", "allowed"), ENCODINGS)
def test_gzip_only_for_who_allows_it(header: str, allowed: bool) -> None:
    assert accepts_gzip(header) is allowed


@given(header=st.text(alphabet=st.characters(max_codepoint=255)))
@settings(deadline=None)
def test_no_header_whatever_is_an_error(header: str) -> None:
    assert negotiate(header) in {TEXT, OPENMETRICS}
    assert accepts_gzip(header) in {True, False}
