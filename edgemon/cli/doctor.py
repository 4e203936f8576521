"""`edgemon doctor`: what keeps this device from delivering its speed, with the evidence and what to do about it."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import TYPE_CHECKING

from edgemon import cli, config, identity
from edgemon.survey import present
from edgemon.sysfs import Root

if TYPE_CHECKING:  # the daemon must not carry the doctor
    from edgemon.doctor import Finding, Patient
    from edgemon.doctor.groups import Diagnosis

TEXT = """Examine this device. What slows it down, what does not work, what that rests on, and what to do: drivers,
clocks, throttling, power supply, memory, storage, time, engines, and the telemetry of other processes.

Run it as root to look into the processes of other users. Exit status 1: there is a warning or a problem."""
STATE = "/var/lib/edgemon"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command."""
    it = cli.rooted(cli.configured(cli.command(commands, "doctor", TEXT)))
    it.add_argument("--json", action="store_true", help="print JSON")
    return it


def run(chosen: argparse.Namespace) -> int:
    """Examine and print."""
    from edgemon.doctor import groups  # noqa: PLC0415

    root, settings = cli.root(chosen), cli.settings(chosen.config)
    patient = examined(root, settings)
    diagnosis = groups.examine(patient)
    counts = Counter(one.severity.value for found in diagnosis.findings.values() for one in found)
    if chosen.json:
        print(json.dumps(_plain(patient, diagnosis), indent=2))
    else:
        _show(diagnosis, "" if root.live else chosen.root, counts)
    return 1 if counts["warning"] or counts["problem"] else 0


def examined(root: Root, settings: config.Config) -> Patient:
    """The machine with its sensors read; a capture's state directory is where that machine's service keeps it."""
    from edgemon.doctor import Patient  # noqa: PLC0415
    from edgemon.inventory import take_stock  # noqa: PLC0415

    known = cli.platforms()
    stock = take_stock(present(known, root, settings.sensors.disable), root)
    state = settings.state() if root.live else settings.state_dir or STATE
    return Patient(stock, state, settings.probes, cli.warnings(known) if root.live else {})


def _plain(patient: Patient, diagnosis: Diagnosis) -> dict[str, object]:
    rows = [
        {"group": title, "severity": one.severity.value, "what": one.what, "evidence": one.evidence,
         "remedy": one.remedy} for title, found in diagnosis.findings.items() for one in found
    ]  # fmt: skip
    device = {**identity.device(patient.root), "id": identity.instance(patient.root)}
    return {
        "device": device, "simulated": not patient.root.live, "findings": rows, "left_out": diagnosis.left_out,
    }  # fmt: skip


def _show(diagnosis: Diagnosis, replayed: str, counts: Counter[str]) -> None:
    if replayed:
        print(f"simulated  {replayed} is replayed\n")
    for title, found in diagnosis.findings.items():
        print(title)
        for one in found:
            _finding(one)
        print()
    if diagnosis.left_out:
        print(f"left out, for want of anything to go by: {', '.join(diagnosis.left_out)}\n")
    words = {"problem": "problems", "warning": "warnings", "note": "notes", "ok": "ok"}
    print(", ".join(f"{counts[name] or 'no'} {many if counts[name] != 1 else name}" for name, many in words.items()))


def _finding(one: Finding) -> None:
    print(cli.wrapped(f"  {one.severity.value:<8} ", one.what))
    if one.severity != "ok":
        print(cli.wrapped(f"{'':11}because  ", one.evidence))
    if one.remedy:
        print(cli.wrapped(f"{'':11}remedy   ", one.remedy))
