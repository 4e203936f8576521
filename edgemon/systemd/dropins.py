"""What this device and its configuration add to the unit: devices by platform, secrets, paths below /home."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgemon.config import Config
from edgemon.systemd import CREDENTIALS, DROPINS, HERE, MARK, STATE, USER
from edgemon.systemd.nodes import USB, Node, groups

CREDENTIAL = re.compile(r"\$\{CREDENTIALS_DIRECTORY\}/([\w.-]+)")
HOMES = ("/home/", "/root/", "/run/user/")
TEMPORARY = ("/tmp/", "/var/tmp/")  # noqa: S108 - told, not used


def dropins(settings: Config, here: Mapping[str, Sequence[Node]]) -> dict[str, str]:
    """Each file by its path."""
    found = {f"{DROPINS}/50-{name}.conf": _devices(name, nodes) for name, nodes in here.items()}
    if secrets := [name for name in credentials(settings) if os.path.exists(f"{CREDENTIALS}/{name}")]:
        lines = [f"LoadCredential={name}:{CREDENTIALS}/{name}" for name in secrets]
        found[f"{DROPINS}/60-credentials.conf"] = _text("Secrets that the configuration names.", lines)
    if homes := sorted({folder for path in paths(settings) for folder in _folders(path) if folder.startswith(HOMES)}):
        about = "What the configuration names below /home, and edgemon itself, where it lies there; read only."
        lines = ["ProtectHome=tmpfs", *(f"BindReadOnlyPaths=-{folder}" for folder in homes)]
        found[f"{DROPINS}/60-home.conf"] = _text(about, lines)
    if settings.state_dir and settings.state_dir != STATE:
        found[f"{DROPINS}/60-state.conf"] = _text("state_dir:", [f"ReadWritePaths=-{settings.state_dir}"])
    return found


def notes(settings: Config, here: Mapping[str, Sequence[Node]]) -> Iterator[str]:
    """What stays to be done by a person."""
    for name in credentials(settings):
        if not os.path.exists(f"{CREDENTIALS}/{name}"):
            yield f"{CREDENTIALS}/{name} is not there, a secret that the configuration names (root, mode 0600)"
    if settings.state_dir and settings.state_dir != STATE:
        yield f"{settings.state_dir} must be there and belong to user {USER}"
    for path in sorted(set(paths(settings))):
        if path.startswith(TEMPORARY):
            yield f"{path}: the service has a /tmp of its own and does not see it; move it, to /opt say"
    for nodes in here.values():
        for node in nodes:
            if node.closed:
                yield f"{node.path} is root's alone: give it a group by a udev rule"


def credentials(settings: Config) -> list[str]:
    """The names of secrets that the configuration expects from the service manager."""
    return sorted({name for text in _strings(dataclasses.asdict(settings)) for name in CREDENTIAL.findall(text)})


def paths(settings: Config) -> Iterator[str]:
    """The files that the daemon and its workers read: edgemon itself, its Python, and what the configuration names."""
    yield os.path.join(os.path.dirname(HERE), "")
    for python in (sys.executable, *(probe.python for probe in settings.probes.values())):
        for one in {python, os.path.realpath(python)} if python else ():
            yield os.path.join(os.path.dirname(os.path.dirname(one)), "")
    yield from (text for text in _strings(dataclasses.asdict(settings)) if text.startswith("/"))


def _folders(path: str) -> Iterator[str]:
    """The folder to open for a path, so that a file that is replaced is seen."""
    yield os.path.dirname(path.split("*", maxsplit=1)[0])


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _strings(one)


def _devices(name: str, nodes: Sequence[Node]) -> str:
    allowed = sorted({one for node in nodes for one in node.allow})
    lines = [f"DeviceAllow={one} rw" for one in allowed]
    lines += ["RestrictAddressFamilies=AF_NETLINK"] if USB in allowed else []  # libusb finds no device without
    lines += [f"SupplementaryGroups={' '.join(groups(nodes))}"] if groups(nodes) else []
    return _text(f"{name}: {', '.join(node.path for node in nodes)}", lines)


def _text(about: str, lines: Sequence[str]) -> str:
    return "\n".join([MARK.rstrip(), f"# {about}", "[Service]", *lines, ""])
