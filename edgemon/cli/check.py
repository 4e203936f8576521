"""`edgemon check`: is the configuration good, and is everything it names here."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Sequence

from edgemon import cli, config
from edgemon.access.web import Said, Web
from edgemon.alerts.notify import receivers
from edgemon.alerts.receiver import Delivery, Receiver
from edgemon.alerts.rules import load
from edgemon.asking import model_path
from edgemon.cli import otlp
from edgemon.errors import ConfigError
from edgemon.judge.placement import fallback, shares
from edgemon.probe.result import Outcome
from edgemon.probe.witness import available
from edgemon.push import Otlp
from edgemon.rebenching import asked
from edgemon.residence import Circumstances, accelerators, choose
from edgemon.survey import engine, engines, loads, present, unknown
from edgemon.sysfs import Root


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command."""
    text = (
        "Check the configuration and what it names. Loads every configured model once, in a worker, without running it."
    )
    return cli.guarded(cli.configured(cli.command(commands, "check", text)))


def run(chosen: argparse.Namespace) -> int:
    """Report what is found; 1 when something that is configured cannot work."""
    settings = cli.settings(chosen.config)
    there = chosen.config or (config.DEFAULT_PATH if os.path.exists(config.DEFAULT_PATH) else "")
    print(f"configuration  {f'{there} is good' if there else f'defaults, there is no {config.DEFAULT_PATH}'}")
    print(f"state          {settings.state()}")
    bad = _web(chosen.web_config or settings.web_config, settings.listen) + _platforms(settings)
    for name in engines():
        found = engine(name)
        version = found.facts.get("runtime_version", "")
        print(f"runtime        {name} {version}" if version else f"runtime        {name} not here: {found.detail}")
    for name, probe in settings.probes.items():
        bad += _probe(name, probe, settings.state())
    for one in receivers(settings.notify, Root()):
        bad += _receiver(one)
    bad += _push(settings.otlp)
    return 1 if bad + _rules(settings.rules.files, settings.probes) else 0


def _push(settings: Otlp) -> int:
    bad = 0
    for signal, url, problem in otlp.ready(settings):
        bad += bool(problem)
        print(
            f"problem        otlp: {signal} to {url}: {problem}"
            if problem
            else f"push           {signal} to {url} can be sent"
        )
    return bad


def _web(path: str, address: str) -> int:
    """How the daemon would be served, and to whom."""
    from edgemon.access import webfile  # noqa: PLC0415 - YAML and OpenSSL, for those who check

    said = webfile.Reader(path).read() if path else Said(Web(), (), (), ())
    for problem in said.problems:
        print(f"problem        {problem}")
    if said.web:
        print(f"web            {address}: {said.web}")
        for warning in [*said.warnings, *said.web.unwise(address.rpartition(":")[0].strip("[]"))]:
            print(f"warning        {warning}")
    return len(said.problems)


def _rules(files: Sequence[str], probes: Collection[str]) -> int:
    try:
        groups = load(files)
    except ConfigError as error:
        for problem in error.problems:
            print(f"problem        {problem}")
        return len(error.problems)
    rules = [rule for group in groups for rule in group.rules]
    lost = [one for one in rules if (name := asked(one.labels)) and "{{" not in name and name not in probes]
    for one in lost:
        print(
            f"problem        rule {one.name} asks for a re-benchmark of {one.labels['probe']}, which is no probe here"
        )
    if files and not lost:
        print(f"rules          {len(rules)} in {len(groups)} groups are good")
    return len(lost)


def _platforms(settings: config.Config) -> int:
    platforms = cli.platforms()
    for one in present(platforms, Root(), settings.sensors.disable):
        print(f"platform       {one.name}: {', '.join(sensor.name for sensor in one.sensors)}")
    for name, text in cli.warnings(platforms).items():
        print(f"warning        {name}: {text}")
    wrong = unknown(platforms, settings.sensors.disable)
    for name in wrong:
        print(f"problem        sensors.disable: {name} is no platform or sensor; see edgemon devices")
    return len(wrong)


def _probe(name: str, probe: config.Probe, state: str) -> int:
    found = loads(name, probe, state)
    fell = fallback(found.facts, {}) if found.outcome is Outcome.OK else None
    if fell:
        text, evidence = fell
        print(f"problem        probes.{name}: {text}; {evidence.get('refused') or evidence.get('placement')}")
        return 1
    if found.outcome is Outcome.OK:
        where = shares(found.facts.get("placement") or {})
        does = {"http": "can be reached", "openinference": "is ready"}.get(probe.runtime, "loads")
        print(f"probe          {name}: {model_path(probe.model)} {does}{f', nodes on {where}' if where else ''}")
        now = Circumstances(found.peak_memory or 0, 0, available(), 0, accelerators(found))
        print(f"worker         {name}: {choose(probe, now)}")
        return 0
    print(f"problem        probes.{name}: {found.detail}")
    return 1


def _receiver(receiver: Receiver) -> int:
    answer = receiver.check()
    good = answer.outcome is Delivery.SENT
    print(
        f"notify         {receiver.name} is ready"
        if good
        else f"problem        notify: {receiver.name}: {answer.detail}"
    )
    return 0 if good else 1
