"""`edgemon baseline`: what a probe is compared with."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence

from edgemon import cli, exchange
from edgemon.archive import Archive
from edgemon.cli.probe import prepare
from edgemon.cli.probe import rounds as run_rounds
from edgemon.errors import SetupError
from edgemon.finding import Finding
from edgemon.identity import device
from edgemon.judge.baseline import ROUNDS, Baseline, record
from edgemon.judge.epoch import ENOUGH, spread
from edgemon.probe.result import Outcome, Result
from edgemon.sysfs import Root


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command and its verbs."""
    text = "Record, show and accept what probes are compared with. One for each fingerprint of device and software."
    it = cli.command(commands, "baseline", text)
    verbs = it.add_subparsers(metavar="verb", required=True, dest="verb")
    for name, help_ in {
        "record": "run the probe and keep what it measures as its baseline",
        "accept": "make the rounds the daemon measured last the baseline",
        "show": "show the baseline of a probe",
        "list": "list all baselines",
        "remove": "remove baselines of a probe",
        "export": "print baselines as one JSON file, for other devices and for edgemon compare",
        "import": "keep the baselines of such a file",
    }.items():
        verb = cli.configured(verbs.add_parser(name, help=help_, description=help_))
        if name == "export":
            verb.add_argument("names", nargs="*", metavar="name", help="only of these probes")
        elif name == "import":
            verb.add_argument("file", help="what edgemon baseline export printed")
            verb.add_argument("--replace", action="store_true", help="in place of those of the same fingerprint")
        elif name != "list":
            verb.add_argument("name", help="a probe of the configuration")
        if name in {"show", "list"}:
            verb.add_argument("--json", action="store_true", help="print JSON")
        if name == "record":
            verb.add_argument(
                "--rounds", type=_rounds, default=ROUNDS, help="rounds to run, 3 to 50 (default: %(default)s)"
            )
        if name == "remove":
            verb.add_argument("fingerprint", nargs="?", default="", help="only this one; its first digits will do")
    return it


def run(chosen: argparse.Namespace) -> int:
    """Do the verb."""
    return VERBS[chosen.verb](chosen)


def _record(chosen: argparse.Namespace) -> int:
    prober, archive = prepare(chosen)
    findings = run_rounds(prober, chosen.rounds, record=True)
    found = [one.result for one in findings]
    if found[-1].outcome is not Outcome.OK:
        raise SetupError(f"no baseline recorded: {found[-1].outcome.value}: {found[-1].detail}")
    status = _keep(archive, found)
    _warn(findings)
    return status


def _warn(findings: Sequence[Finding]) -> None:
    """Say what disturbed the rounds: the baseline is what all later ones are held against."""
    doubts = Counter(reason for one in findings if one.validity for reason in one.validity.reasons)
    for reason, count in doubts.most_common():
        print(f"edgemon: {count} of {len(findings)} rounds were {reason.replace('_', ' ')}", file=sys.stderr)
    if doubts:
        print("edgemon: the baseline is kept; record it again once the device is quiet and cool", file=sys.stderr)


def _accept(chosen: argparse.Namespace) -> int:
    """The rounds of the present fingerprint become the baseline; one more run gives the outputs and the key."""
    prober, archive = prepare(chosen)
    last = run_rounds(prober, 1, record=True)[-1]
    if last.result.outcome is not Outcome.OK:
        raise SetupError(f"nothing accepted: {last.result.outcome.value}: {last.result.detail}")
    kept = [
        result
        for mark, result in archive.results(chosen.name)
        if mark == last.fingerprint and result.outcome is Outcome.OK
    ]
    if len(kept) <= ENOUGH:
        raise SetupError(
            f"only {len(kept)} rounds of {chosen.name} are known; run: edgemon baseline record {chosen.name}"
        )
    known = spread(kept[:-1], [one.started or one.at for one in kept[:-1]])
    return _keep(archive, [*known, last.result], [last.result])


def _keep(archive: Archive, results: Sequence[Result], whole: Sequence[Result] = ()) -> int:
    """Keep and show; archived results have the last one's facts, since their fingerprint is the same."""
    facts = (whole or results)[-1].facts
    same = [Result.from_json({**one.to_json(), "facts": facts}) for one in results]
    baseline = record(same, device(Root()))
    archive.keep(baseline)
    archive.close()
    print(_line(baseline))
    return 0


def _show(chosen: argparse.Namespace) -> int:
    archive = Archive(cli.state(cli.settings(chosen.config)))
    found = [one for one in archive.baselines() if one.probe == chosen.name]
    if not found:
        raise SetupError(f"{chosen.name} has no baseline; run: edgemon baseline record {chosen.name}")
    if chosen.json:
        print(json.dumps([one.to_json() for one in found], indent=2))
        return 0
    for one in found:
        print(_line(one))
        print(f"  rounds       {', '.join(f'{value * 1000:.3f}' for value in one.rounds)} ms")
        for name, value in one.key.items():
            print(f"  {name:<12} {value or '-'}")
    return 0


def _list(chosen: argparse.Namespace) -> int:
    found = Archive(cli.state(cli.settings(chosen.config))).baselines()
    if chosen.json:
        print(json.dumps([one.to_json() for one in found], indent=2))
    elif not found:
        print("no baselines; record one: edgemon baseline record NAME")
    for one in found if not chosen.json else ():
        print(_line(one))
    return 0


def _remove(chosen: argparse.Namespace) -> int:
    archive = Archive(cli.state(cli.settings(chosen.config)))
    count = archive.remove(chosen.name, chosen.fingerprint)
    archive.close()
    if not count:
        raise SetupError(f"{chosen.name} has no such baseline; see: edgemon baseline list")
    print(f"{count} removed")
    return 0


def _export(chosen: argparse.Namespace) -> int:
    known = Archive(cli.state(cli.settings(chosen.config))).baselines()
    missing = [name for name in chosen.names if name not in {one.probe for one in known}]
    if missing or not known:
        raise SetupError(f"{', '.join(missing) or 'no probe'} has no baseline; see: edgemon baseline list")
    print(exchange.written(one for one in known if not chosen.names or one.probe in chosen.names), end="")
    return 0


def _import(chosen: argparse.Namespace) -> int:
    found = exchange.load(chosen.file)
    archive = Archive(cli.state(cli.settings(chosen.config)))
    there = {(one.probe, one.fingerprint) for one in archive.baselines()}
    twice = [one for one in found if (one.probe, one.fingerprint) in there]
    if twice and not chosen.replace:
        names = ", ".join(f"{one.probe} {one.fingerprint}" for one in twice)
        raise SetupError(f"nothing imported: {names} is there already; --replace takes those of the file")
    for one in found:
        archive.keep(one)
    archive.close()
    print("\n".join(map(_line, found)))
    return 0


def _line(one: Baseline) -> str:
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.at))
    spread = (max(one.rounds) - min(one.rounds)) / one.median
    rounds = f"{one.median * 1000:.3f} ms of {len(one.rounds)} rounds, spread {spread:.1%}"
    return f"{one.probe} {one.fingerprint}  {rounds}, {at}"


VERBS = {
    "record": _record,
    "accept": _accept,
    "show": _show,
    "list": _list,
    "remove": _remove,
    "export": _export,
    "import": _import,
}


def _rounds(value: str) -> int:
    if not value.isdecimal() or not ENOUGH <= int(value) <= 50:
        raise argparse.ArgumentTypeError(f"{value} is not a whole number from {ENOUGH} to 50")
    return int(value)
