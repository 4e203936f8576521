"""`edgemon config`: what can be configured."""

from __future__ import annotations

import argparse
import dataclasses
import json
import textwrap
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from edgemon import cli
from edgemon.config import Config, Probe
from edgemon.receivers import Alertmanager, Command, Notify, Webhook
from edgemon.values import About, written

RECEIVERS = {
    "alertmanagers": ("site", Alertmanager()),
    "webhooks": ("pager", Webhook(url="https://pager.example/edgemon")),
    "commands": ("lamp", Command(argv=("/usr/local/bin/lamp", "--alert"))),
}
"""One receiver of each kind, for the example."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command."""
    text = "Show what can be configured. The example holds every setting with its default, ready to be uncommented."
    it = cli.command(commands, "config", text)
    which = it.add_mutually_exclusive_group(required=True)
    which.add_argument("--example", action="store_true", help="print a commented example")
    which.add_argument("--schema", action="store_true", help="print the JSON Schema, for editors")
    which.add_argument(
        "--check", action="store_true", help="say what is wrong with a configuration, with exit status 2"
    )
    return cli.configured(it)


def run(chosen: argparse.Namespace) -> int:
    """Print what was asked for."""
    if chosen.check:
        cli.settings(chosen.config)
    elif chosen.schema:
        from edgemon.schema import json_schema  # noqa: PLC0415 - pydantic, for the commands that need it

        print(json.dumps(json_schema(), indent=2))
    else:
        print(example())
    return 0


def example() -> str:
    """The whole configuration as comments, with a probe of one's own shown."""
    head = "# edgemon reads this from /etc/edgemon/edgemon.yml or --config; every key is optional.\n"
    lines = [head, *_section(Config(), 0, skip=("probes", "notify"))]
    lines += ["# models to probe, by name; without this key the embedded one is probed as `default`", "#probes:"]
    lines += ["#  detector: /opt/models/detector.onnx   # a model with every default: one line"]
    lines += ["#  default:                              # or with settings of its own"]
    lines += [*_section(Probe(), 4), "# who is told of alerts; without this key only the log", "#notify:"]
    lines += _section(Notify(), 2, skip=tuple(RECEIVERS))
    for kind, (name, one) in RECEIVERS.items():
        lines += [f"#  {kind}:", f"#    {name}:  {' ' * (6 - len(name))}# a name of yours", *_section(one, 6)]
    return "\n".join(lines)


def _wrapped(text: str, indent: int) -> Iterator[str]:
    start = f"{'#':<{indent + 1}}#"
    yield from textwrap.wrap(text, 100, initial_indent=f"{start} ", subsequent_indent=f"{start}   ")


def _section(one: Any, indent: int, skip: tuple[str, ...] = ()) -> Iterator[str]:
    """Each field of a dataclass: a comment that explains it, and its value."""
    hints = get_type_hints(type(one), include_extras=True)
    for field in dataclasses.fields(one):
        if field.name in skip:
            continue
        marks = get_args(hints[field.name])[1:] if get_origin(hints[field.name]) is Annotated else ()
        yield from _wrapped(next((mark.text for mark in marks if isinstance(mark, About)), ""), indent)
        default = getattr(one, field.name)
        if dataclasses.is_dataclass(default):
            yield f"{'#':<{indent + 1}}{field.name}:"
            yield from _section(default, indent + 2)
        else:
            yield f"{'#':<{indent + 1}}{field.name}: {_show(default, marks)}"


def _show(default: object, marks: tuple[object, ...]) -> str:
    value = written(default, marks)
    return value if isinstance(value, str) and value else json.dumps(value)
