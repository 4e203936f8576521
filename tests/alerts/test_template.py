"""Templates: expanded to the same text as Prometheus', and what is not among them refused with its place."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from pathlib import Path

import pytest

from edgemon.alerts.expansion import RefusedError, Scope
from edgemon.alerts.human import TemplateError
from edgemon.alerts.template import parse
from tests.peers import peer

VALUES = [
    "0",
    "1",
    "-1",
    "0.5",
    "1e6",
    "1234567",
    "123456.789",
    "1e18",
    "0.0001",
    "0.00001",
    "NaN",
    "+Inf",
    "-Inf",
    "3600",
    "86399.9",
    "0.000000123",
    "1e-30",
    "1e30",
    "1023",
    "1024",
    "2048.5",
    "-3725.25",
    "59.99",
    "60",
    "100",
    "1000",
    "0.1234",
    "1700000000.123",
    "999.96",
    "9999.5",
    "123456789.125",
]
TEMPLATES = (
    "{{ $value }}", "{{ $value | humanize }}", "{{ .Value | humanize1024 }}", "{{ humanizePercentage .Value }}",
    '{{ printf "%.2f|%v|%g|%e|%d|%s|%5.1f" $value $value $value $value $value $value $value }}',
    '{{ printf "%-8.2f|%+.1f|%08.3f|%x|%.0f|%.f" $value $value $value $value $value $value }}',
    "{{ if gt $value 10.0 }}big{{ else if lt $value 0.0 }}low{{ else }}small{{ end }}",
    "{{ $value | humanizeTimestamp }}",
    "{{ $labels }}|{{ $labels.i }}|{{ .Labels.none }}|{{ $externalLabels.site }}|{{ .ExternalURL }}",
    "{{ title \"ab cd-ef it's x_y\" }}{{ toUpper $labels.i }}{{ \"ABC\" | toLower }}{{ `a\\b` }}",
    '{{ print 1 2 "a" "b" 3 4 true }}', '{{- " x " -}}  y  {{- /* c */ -}} z',
    '{{ printf "%q %10s %d %v %t %%" $labels.i $labels.i 3 true true }}{{ printf "%d %d" 1 }}{{ printf "%d" 1 2 }}',
    '{{ if and (eq $labels.i "a" "b") (not false) }}A{{ end }}{{ if $labels.none }}B{{ end }}',
    '{{ index $labels "i" }}',
    '{{ printf "%s" $labels }}', '{{ printf "%5d|%-5d|%05d|%+d|%x" 42 42 42 42 42 }}',
    "{{ $labels.n | humanizeDuration }}",
    '{{ reReplaceAll "(.)(.*)-" "$2${1}-$3$$ " "ab-cd-ef" }}{{ reReplaceAll "x*" "-" "abxxd" }}',
    '{{ reReplaceAll "(?P<host>[^:]+):.*" "${host}" "edge.local:9100" }}{{ "a1" | reReplaceAll "[a-z]" "" }}',
    '{{ match "^a.c$" "abc" }}{{ match "b" $labels.i }}{{ if match "a|b" $labels.i }}C{{ end }}',
    '{{ match "a.b" "a\\nb" }}',
    "{{ 1.5e3 }}{{ 1e21 }}{{ 1e20 }}{{ 100000.0 }}", "{{ humanizeDuration $value }}",
)  # fmt: skip
SCOPE = Scope({"i": "a", "n": "12345"}, 0.0, {"site": "oslo"}, "http://edge")


@pytest.mark.peer
def test_hundreds_of_templates_and_values_are_expanded_to_the_same_text_as_by_promtool(tmp_path: Path) -> None:
    rules, tests = [], []
    for number, (template, value) in enumerate(itertools.product(TEMPLATES, VALUES)):
        if re.search(r"Duration \$value|Timestamp", template) and abs(float(value)) in {1e18, 1e30}:
            continue  # beyond Go's int64, in seconds or nanoseconds
        name, text = f"A{number}", parse(template).expand(SCOPE._replace(value=float(value)))
        alert = {"exp_labels": dict(SCOPE.labels), "exp_annotations": {"text": text}}
        rules.append({"alert": name, "expr": f"x * 0 + ({value})", "annotations": {"text": template}})
        tests.append({"eval_time": "0s", "alertname": name, "exp_alerts": [alert]})
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))
    series = [{"series": 'x{i="a",n="12345"}', "values": "7"}]
    outside = {"external_labels": SCOPE.external, "external_url": SCOPE.url}
    trial = {"input_series": series, **outside, "alert_rule_test": tests}
    (tmp_path / "a.test.yml").write_text(json.dumps({"rule_files": ["rules.yml"], "tests": [trial]}))
    command = [peer("promtool"), "test", "rules", str(tmp_path / "a.test.yml")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr[:5000]
    assert len(rules) > 600


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a\n b {{ query `up` }}", "2:7: query asks the fleet's Prometheus; put it into the expression"),
        ("{{ range $labels }}{{ end }}", "1:4: range is not for templates here"),
        ("{{ with $x }}", "1:4: with is not for templates here"),
        ("{{ humanise $value }}", "1:4: humanise is not for templates here; did you mean humanize?"),
        ("{{ $labels.a.b }}", "1:4: $labels.a.b is not here; there are $labels.NAME, $value and $externalLabels.NAME"),
        ("{{ $valu }}", "1:4: $valu is not here; there are $labels.NAME, $value and $externalLabels.NAME"),
        ("{{ $value.x }}", "1:4: $value has no fields"),
        ("{{ $value", "1:1: {{ is not closed"),
        ("{{ if $value }}x", "1:4: this if has no end"),
        ("{{ end }}", "1:4: this end belongs to no if"),
        ("{{ else }}", "1:4: this else belongs to no if"),
        ("{{ }}", "1:3: missing value for command"),
        ("{{ $value | }}", "1:11: missing value for command"),
        ("{{ $value $value }}", "1:4: $value takes no arguments; it is no function"),
        ("{{ $value | 3 }}", "1:13: 3 cannot be piped into; it is no function"),
        ("{{ humanize }}", "1:4: wrong number of args for humanize: want 1 got 0"),
        ("{{ $x := 1 }}", "1:4: $x is not here; there are $labels.NAME, $value and $externalLabels.NAME"),
        ("{{ gt $value 5 }}", "incompatible types for comparison"),
        ('{{ match "(?=a)" $labels.i }}', 'the pattern "(?=a)" has (?=a, which RE2 or the device does not know'),
        ("{{ if false }}{{ toUpper $value }}{{ end }}", "wrong type for value; expected string; got float64"),
    ],
)
def test_what_is_not_among_templates_is_refused_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(RefusedError) as caught:
        parse(text)
    assert re.sub(r"\s+", " ", caught.value.problem) == problem


def test_a_label_that_is_no_number_fails_when_it_is_expanded_not_before() -> None:
    template = parse("{{ humanize $labels.i }}")
    with pytest.raises(TemplateError, match='parsing "a": invalid syntax'):
        template.expand(SCOPE)
    assert parse("{{ humanize $labels.n }}").expand(SCOPE) == "12.35k"
