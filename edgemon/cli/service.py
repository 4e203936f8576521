"""`edgemon service`: install edgemon as a hardened systemd service, remove it, and see how it does."""

from __future__ import annotations

import argparse
import glob
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence

from edgemon import cli, systemd
from edgemon.config import Config
from edgemon.errors import SetupError
from edgemon.systemd.dropins import dropins, notes
from edgemon.systemd.nodes import platforms
from edgemon.systemd.plan import Remove, Run, Step, Write, done, told

BEGAN, READY = "ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic"
SHOWN = ("ActiveState", "SubState", "UnitFileState", "NRestarts", "StatusText", "LoadState", BEGAN, READY)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command and its verbs."""
    text = "Install edgemon as a hardened systemd service, remove it, and see how it does."
    it = cli.command(commands, "service", text)
    verbs = it.add_subparsers(metavar="verb", required=True, dest="verb")
    install = cli.command(
        verbs,
        "install",
        "Install the service, or bring it up to date with this device. Shows every file and program; --yes does it. "
        "The unit runs this Python. Drop-ins open the devices of the accelerators that are here, to the groups that "
        "exist; run it again when an accelerator, its driver, a secret or a model below /home was added.",
    )
    remove = cli.command(
        verbs, "uninstall", "Remove the service. Shows what that means; --yes does it. What was measured stays."
    )
    remove.add_argument("--purge", action="store_true", help="remove state, configuration, secrets and user as well")
    cli.command(verbs, "status", "Say how the service does, and whether it fits this device. Exit 1 when not.")
    install.add_argument("--no-restart", action="store_true", help="leave the service as it runs, or does not")
    for one in (install, remove):
        one.add_argument("--yes", action="store_true", help="do it; needs root")
    return it


def run(chosen: argparse.Namespace) -> int:
    """Do the verb."""
    if chosen.verb == "status":
        return _status()
    if chosen.verb == "install":
        settings = cli.settings(None)
        return _carry_out(list(_install(settings, not chosen.no_restart)), chosen, list(notes(settings, platforms())))
    if _packaged():
        raise SetupError("edgemon was installed as a package: apt remove edgemon, or apt purge edgemon with its state")
    kept = "" if chosen.purge else f"{systemd.STATE}, {systemd.SETTINGS} and the user {systemd.USER} stay; --purge"
    return _carry_out(list(_uninstall(chosen.purge)), chosen, [f"{kept} removes them"] if kept else [])


def _carry_out(steps: Sequence[Step], chosen: argparse.Namespace, notes: Sequence[str]) -> int:
    if chosen.yes and os.geteuid():
        raise SetupError(f"needs root: sudo {_again(chosen)}")
    if chosen.yes and not os.path.isdir("/run/systemd/system"):
        raise SetupError("systemd does not run here; start `edgemon run` by what starts services on this machine")
    for line in done(steps) if chosen.yes else told(steps):
        print(line)
    for note in notes:
        print(f"note: {note}")
    if not chosen.yes:
        print(f"nothing was changed; to do it: sudo {_again(chosen)}")
    return 0


def _again(chosen: argparse.Namespace) -> str:
    purge = " --purge" if getattr(chosen, "purge", False) else ""
    return f"{sys.executable} -m edgemon service {chosen.verb}{purge} --yes"


def _packaged() -> bool:
    """Whether a package brought the unit; only what this device adds is ours then."""
    return any(os.path.exists(f"{one}/{systemd.NAME}") for one in systemd.PACKAGED)


def _install(settings: Config, restart: bool) -> Iterator[Step]:
    yield from _files(settings)
    if not _packaged():
        yield Run(("systemd-sysusers", "/etc/sysusers.d/edgemon.conf"))
        yield Run(("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/edgemon.conf"))
    yield Run(("systemctl", "daemon-reload"))
    if not _packaged():
        yield Run(("systemctl", "enable", systemd.NAME))
    if restart:
        yield Run(("systemctl", "restart", systemd.NAME))


def _files(settings: Config) -> Iterator[Step]:
    """The files of the service, and those of former times that are no longer needed."""
    if not _packaged():
        yield Write(f"{systemd.UNITS}/{systemd.NAME}", unit(sys.executable))
        yield Write("/etc/sysusers.d/edgemon.conf", systemd.text("sysusers.conf"))
        yield Write("/etc/tmpfiles.d/edgemon.conf", systemd.text("tmpfiles.conf"))
    wanted = dropins(settings, platforms())
    for path in _ours():
        if path not in wanted:
            yield Remove(path)
    for path, text in sorted(wanted.items()):
        yield Write(path, text)


def unit(python: str) -> str:
    """The unit for an interpreter; SetupError for one whose path systemd would not read as it is."""
    if not re.fullmatch(r"/[\w./+@-]+", python):
        raise SetupError(f"{python}: systemd wants a path without spaces and signs; install edgemon elsewhere")
    return systemd.text(systemd.NAME).replace("@PYTHON@", python)


def _ours() -> list[str]:
    """The drop-ins that an earlier install has written."""
    return [path for path in sorted(glob.glob(f"{systemd.DROPINS}/*.conf")) if _marked(path)]


def _marked(path: str) -> bool:
    with open(path, errors="replace") as file:
        return file.readline() == systemd.MARK


def _uninstall(purge: bool) -> Iterator[Step]:
    yield Run(("systemctl", "disable", "--now", systemd.NAME), may_fail=True)
    yield from (Remove(path) for path in _ours())
    for path in (f"{systemd.UNITS}/{systemd.NAME}", "/etc/sysusers.d/edgemon.conf", "/etc/tmpfiles.d/edgemon.conf"):
        yield Remove(path)
    if purge:
        yield from (Remove(path) for path in (systemd.DROPINS, systemd.STATE, systemd.SETTINGS))
        yield Run(("userdel", systemd.USER), may_fail=True)
    yield Run(("systemctl", "daemon-reload"))
    yield Run(("systemctl", "reset-failed", systemd.NAME), may_fail=True)


def _status() -> int:
    try:
        said = subprocess.run(
            ("systemctl", "show", systemd.NAME, f"--property={','.join(SHOWN)}"),  # noqa: S607 - wherever it is
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"systemctl cannot be asked: {error}") from None
    if said.returncode:
        raise SetupError(said.stderr.strip() or "systemctl does not answer")
    found = dict(line.split("=", 1) for line in said.stdout.splitlines() if "=" in line)
    if found.get("LoadState") != "loaded":
        print("not installed; see: edgemon service install")
        return 1
    print(f"service   {found['ActiveState']} ({found['SubState']}), {found['UnitFileState'] or 'not enabled'}")
    print(f"says      {found['StatusText'] or '-'}")
    if found["ActiveState"] == "active":
        print(f"start     ready after {(int(found[READY]) - int(found[BEGAN])) / 1e6:.2f} s")
    print(f"restarts  {found['NRestarts']} by systemd since it was started")
    changes = [step for step in _files(cli.settings(None)) if step.needed()]
    for step in changes:
        print(f"outdated  would {step}; see: edgemon service install")
    return 0 if found["ActiveState"] == "active" and not changes else 1
