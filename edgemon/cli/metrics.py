"""`edgemon metrics`: every metric edgemon can export, from the catalogue."""

from __future__ import annotations

import argparse
import json

from edgemon import catalog, cli

HEAD = """# Metrics

Made by `edgemon metrics --markdown`; do not edit. OpenTelemetry names are translated to Prometheus' as OpenTelemetry
specifies, so the same dashboards and rules work whether the data was pulled or pushed.

| Prometheus | OpenTelemetry | unit | kind | labels | meaning |
| --- | --- | --- | --- | --- | --- |"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command."""
    it = cli.command(commands, "metrics", "List every metric edgemon can export. With its name in both worlds.")
    it.add_argument("--json", action="store_true", help="print JSON")
    it.add_argument("--markdown", action="store_true", help="print the table that is METRICS.md")
    return it


def run(chosen: argparse.Namespace) -> int:
    """Print the catalogue."""
    if chosen.json:
        rows = [
            {"prometheus": one.prometheus, "opentelemetry": one.name, "unit": one.unit, "kind": one.kind.value,
             "labels": list(one.labels), "help": one.help}
            for one in catalog.ALL
        ]  # fmt: skip
        print(json.dumps(rows, indent=2))
    elif chosen.markdown:
        print(markdown())
    else:
        for one in catalog.ALL:
            labels = f"{{{', '.join(one.prometheus_labels)}}}" if one.labels else ""
            print(f"{one.prometheus}{labels}\n    {one.help}")
    return 0


def markdown() -> str:
    """The catalogue as a table."""
    rows = [
        f"| `{one.prometheus}` | `{one.name}` | {one.unit or '-'} | {one.kind.value} "
        f"| {', '.join(f'`{label}`' for label in one.prometheus_labels)} | {one.help} |"
        for one in catalog.ALL
    ]
    return "\n".join([HEAD, *rows])
