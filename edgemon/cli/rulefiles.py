"""The verbs of `edgemon rules` that read rule files: check, list, test and runbook."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgemon import cli
from edgemon.errors import ConfigError
from edgemon.values import duration

if TYPE_CHECKING:
    from edgemon.alerts.rulefile import Reader
    from edgemon.alerts.rules import Rule

CHECK = """Check rule files. Says of each rule whether it works on the device and in the fleet's Prometheus, or only in
the latter, and why."""
LIST = "List the rules of the configuration, or of these files."
TEST = """Run promtool's rule unit tests (`promtool test rules`) on the device's engine."""
RUNBOOK = """Print the runbook of an alert that comes with edgemon: what it means, how to confirm it, what to do."""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verbs."""
    for name, text, run in (("check", CHECK, check), ("list", LIST, show), ("test", TEST, test)):
        verb = verbs.add_parser(name, help=text.split(". ")[0].rstrip(".").lower(), description=text)
        verb.add_argument("files", metavar="FILE", nargs="*" if name == "list" else "+", help="YAML file")
        verb.set_defaults(perform=run)
        if name == "list":
            cli.configured(verb)
    verb = verbs.add_parser("runbook", help="print the runbook of an alert", description=RUNBOOK)
    verb.add_argument("alert", metavar="ALERT", help="such as EdgemonThrottled")
    verb.set_defaults(perform=runbook)


def check(chosen: argparse.Namespace) -> int:
    """Check each file; 1 when a rule works nowhere, 0 also for rules that are for the fleet only."""
    from edgemon.alerts import scope  # noqa: PLC0415

    readers = _read(chosen.files)
    known = scope.known([rule for one in readers for group in one.groups for rule in group.rules])
    for one in readers:
        print(one.path)
        for group in one.groups:
            for rule in group.rules:
                why = "; ".join(scope.reasons(rule.expression, known))
                print(f"  {group.name}: {rule.name}: {f'fleet only: {why}' if why else 'device and fleet'}")
            for _, name, text in [refused for refused in one.refused if refused[0] == group.name]:
                print(f"  {group.name}: {name}: fleet only, and refused by the device: expr: {text}")
        for problem in one.problems:
            print(f"problem: {problem}", file=sys.stderr)
    return int(any(one.problems for one in readers))


def _read(files: Sequence[str]) -> list[Reader]:
    from edgemon.alerts.rulefile import Reader, paths  # noqa: PLC0415

    found = list(dict.fromkeys(path for path, _ in paths(files)))
    if not found:
        raise ConfigError([f"{', '.join(files)}: no such file"])
    return [Reader(path, lenient=True).read() for path in found]


def show(chosen: argparse.Namespace) -> int:
    """List the rules."""
    from edgemon.alerts import rules  # noqa: PLC0415

    settings = cli.settings(chosen.config).rules
    groups = rules.load(chosen.files or settings.files)
    for group in groups:
        print(f"{group.file}: {group.name}, every {duration(group.interval or settings.interval)}")
        for rule in group.rules:
            print(f"  {_line(rule)}")
    if not groups:
        print("edgemon: no rules; name rule files under rules.files", file=sys.stderr)
    return 0


def _line(rule: Rule) -> str:
    kind = "alert " if rule.alert else "record"
    hold = f" for {duration(rule.hold)}" if rule.hold else ""
    keep = f" keep {duration(rule.keep)}" if rule.keep else ""
    severity = f" [{rule.labels['severity']}]" if "severity" in rule.labels else ""
    return f"{kind} {rule.name}{severity}{hold}{keep}: {' '.join(rule.text.split())}"


def test(chosen: argparse.Namespace) -> int:
    """Run each file's tests; 1 when one fails."""
    failed = False
    for path in chosen.files:
        print(f"Unit Testing:  {path}")
        try:
            problems = _failures(path)
        except ConfigError as error:
            problems = [f"    {problem}" for problem in error.problems]
        failed = failed or bool(problems)
        print("\n\n".join(["  FAILED:\n" + problems[0], *problems[1:]]) + "\n" if problems else "  SUCCESS\n")
    return int(failed)


def runbook(chosen: argparse.Namespace) -> int:
    """Print a runbook."""
    from edgemon.alerts import embedded  # noqa: PLC0415

    names = sorted(one.removesuffix(".md") for one in os.listdir(embedded.within("runbooks")))
    if chosen.alert not in names:
        close = difflib.get_close_matches(chosen.alert, names, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
        raise ConfigError([f"there is no runbook of {chosen.alert}; {hint}"])
    with open(embedded.within(f"runbooks/{chosen.alert}.md"), encoding="utf-8") as file:
        print(file.read(), end="")
    return 0


def _failures(path: str) -> list[str]:
    from edgemon.alerts import rules, trial, trialfile  # noqa: PLC0415

    file = trialfile.read(path)
    for pattern in file.unmatched:
        print(f"  WARNING: no file match pattern {pattern}")
    groups = rules.load(file.rules)
    return [problem for one in file.trials for problem in trial.run(one, file, groups)]
