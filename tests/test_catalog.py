"""The catalogue: every name valid and said once, and METRICS.md its print."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemon import alerting, catalog, hardware, inference, promises, pushed, rebenched, ruled, serving
from edgemon.errors import CatalogError
from edgemon.metric import UNITS, Kind, Metric
from tests.taken import taken

EDGEMON = Path(catalog.__file__).parent
ROOMS = {
    "catalog.py",
    "alerting.py",
    "hardware.py",
    "inference.py",
    "promises.py",
    "pushed.py",
    "rebenched.py",
    "ruled.py",
    "serving.py",
}
EVERY = pytest.mark.parametrize("metric", catalog.ALL, ids=lambda metric: metric.name)


@pytest.mark.parametrize("attribute", ["name", "prometheus", "family"])
def test_no_name_is_given_twice_in_either_world(attribute: str) -> None:
    names = Counter(getattr(metric, attribute) for metric in catalog.ALL)
    assert [name for name, count in names.items() if count > 1] == []


def test_all_holds_every_metric_declared() -> None:
    rooms = (catalog, alerting, hardware, inference, promises, pushed, rebenched, ruled, serving)
    declared = [one for room in rooms for one in vars(room).values() if isinstance(one, Metric)]
    assert len(declared) == len(catalog.ALL) == len(set(catalog.ALL))


@EVERY
def test_names_and_labels_are_valid_in_both_worlds(metric: Metric) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z0-9][a-z0-9_]*)+", metric.name)
    assert re.fullmatch(r"[a-z][a-z0-9_]*[a-z0-9]", metric.prometheus)
    assert "__" not in metric.prometheus
    assert len(set(metric.prometheus_labels)) == len(metric.labels)
    for label, translated in zip(metric.labels, metric.prometheus_labels, strict=True):
        assert re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*", label)
        assert re.fullmatch(r"[a-z][a-z0-9_]*", translated)
        assert translated not in {"le", "quantile", "job", "instance"}


@EVERY
def test_suffixes_that_mean_something_to_prometheus_are_kept_for_it(metric: Metric) -> None:
    assert not metric.prometheus.endswith(("_count", "_sum", "_bucket", "_created"))
    assert metric.prometheus.endswith("_total") is (metric.kind is Kind.COUNTER)
    assert metric.prometheus.endswith("_info") is (metric.kind is Kind.INFO)


@EVERY
def test_units_are_base_units_and_names_end_in_them(metric: Metric) -> None:
    assert metric.unit in {*UNITS, "", "1", "rpm"} or re.fullmatch(r"\{[a-z_]+\}(/(s|\{joule\}))?", metric.unit)
    assert metric.family.endswith("_per_second") == metric.unit.endswith("/s")
    assert metric.family.endswith("_per_joule") == metric.unit.endswith("/{joule}")
    if metric.unit in UNITS:
        assert metric.family.endswith(f"_{UNITS[metric.unit]}")


@EVERY
def test_help_is_a_sentence_of_one_line(metric: Metric) -> None:
    assert re.fullmatch(r"[A-Z1].*\.", metric.help)
    assert "|" not in metric.help, "it would end the cell of METRICS.md"


@EVERY
def test_a_wrong_number_of_labels_is_a_catalog_error(metric: Metric) -> None:
    labels = tuple("x" for _ in metric.labels)
    assert taken(metric, *labels).labels == labels
    with pytest.raises(CatalogError, match=re.escape(metric.name)):
        taken(metric, *labels, "one too many")
    if labels:
        with pytest.raises(CatalogError, match=re.escape(metric.name)):
            taken(metric, *labels[1:])


def constants(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def test_no_metric_is_named_outside_the_catalogue() -> None:
    names = {name for metric in catalog.ALL for name in (metric.name, metric.prometheus)}
    found = [
        f"{path}:{line}: {text}"
        for path in sorted(EDGEMON.rglob("*.py"))
        if path.name not in ROOMS
        for line, text in constants(path)
        if text in names
    ]
    assert found == []


def test_metrics_md_is_what_the_command_prints() -> None:
    command = [sys.executable, "-m", "edgemon", "metrics", "--markdown"]
    printed = subprocess.run(command, cwd=EDGEMON.parent, capture_output=True, text=True, check=True).stdout
    remedy = "make it anew with: python -m edgemon metrics --markdown >edgemon/METRICS.md"
    assert (EDGEMON / "METRICS.md").read_text() == printed, remedy
    assert printed.count("\n| `") == len(catalog.ALL)
