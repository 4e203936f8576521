"""A booted systemd of its own for a test run: an overlay over the Debian that `sandbox create` has made."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.peers import absent
from tests.running import until

SCRIPT = Path(__file__).parents[3] / "shared/systemd/sandbox"
DEBIAN = Path("/var/tmp/edgemon-systemd")
UNIT = "edgemon.service"
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A machine whose PID 1 is systemd; its root lies in `root`."""

    root: Path

    def run(self, *argv: str, check: bool = True, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program in it, with this on its standard input."""
        command = [str(SCRIPT), "exec", str(self.root), *argv]
        ran = subprocess.run(command, input=given, capture_output=True, text=True, timeout=120, check=False)
        assert not check or ran.returncode == 0, f"{argv}: {ran.stdout}{ran.stderr}"
        return ran

    def sh(self, script: str, check: bool = True) -> str:
        """What a shell script prints."""
        return self.run("sh", "-c", script, check=check).stdout

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Put a file into it."""
        self.run("install", "-D", "-m", f"{mode:o}", "/dev/stdin", path, given=text)

    def show(self, name: str) -> str:
        """A property of the service."""
        return self.run("systemctl", "show", UNIT, "--property", name, "--value").stdout.strip()

    def series(self) -> dict[str, float]:
        """Every series of a scrape; none while nobody answers."""
        text = self.sh("curl -s http://127.0.0.1:18787/metrics", check=False)
        return {
            name: float(value) for name, value in (line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
        }

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """What the service said, with its fields."""
        text = self.run("journalctl", "--output=json", f"_SYSTEMD_UNIT={UNIT}", *matches).stdout
        return [json.loads(line) for line in text.splitlines()]

    def configure(self, **settings: Any) -> None:
        """Write the configuration."""
        self.write("/etc/edgemon/edgemon.yml", json.dumps(settings))

    def restart(self) -> None:
        """Start the service anew, with the units as they are now; back once it is ready."""
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "reset-failed", UNIT, check=False)
        self.run("systemctl", "restart", UNIT)

    def back(self, before: str) -> bool:
        """Whether it runs again as another process."""
        return self.show("ActiveState") == "active" and self.show("MainPID") not in {before, "0"}


@contextmanager
def booted(where: Path, engine: Path) -> Iterator[Sandbox]:
    """Boot one; `engine` is where its /opt/engine comes from. Skipped only where systemd cannot be booted at all."""
    if os.geteuid():
        pytest.skip("booting a systemd needs root")
    if not SCRIPT.exists() or not shutil.which("systemd-nspawn"):
        absent(f"{SCRIPT} or systemd-nspawn (Debian: systemd-container) is not here")
    if not (DEBIAN / "lib/systemd/systemd").exists():
        absent(f"{DEBIAN} is not there; make it with {SCRIPT} create")
    root = where / "machine"
    _mount(where, root)
    try:
        boot = [str(SCRIPT), "boot", str(root), "--private-network", f"--bind-ro={engine}:/opt/engine"]
        ran = subprocess.run(boot, capture_output=True, text=True, timeout=120, check=False)
        if ran.returncode:
            _refused(Path(f"{root}.boot.log").read_text(errors="replace"))
        yield Sandbox(root)
    finally:
        _end(root)


def _mount(where: Path, root: Path) -> None:
    for name in ("upper", "work", "machine"):
        (where / name).mkdir()
    options = f"lowerdir={DEBIAN},upperdir={where}/upper,workdir={where}/work"
    ran = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, root], capture_output=True, check=False)
    if ran.returncode:  # no overlay over what this lies on: a copy takes some seconds
        subprocess.run(["cp", "-a", f"{DEBIAN}/.", root], check=True)


def _refused(log: str) -> None:
    """Want of privileges is no fault of ours."""
    if re.search(r"not permitted|permission denied", log, re.IGNORECASE):
        pytest.skip(f"this machine may not boot a systemd: {log.strip().splitlines()[-1]}")
    pytest.fail(f"systemd did not boot: {log}")


def _end(root: Path) -> None:
    try:
        if Path(f"{root}.pid").exists():
            pid = int(Path(f"{root}.pid").read_text())
            subprocess.run([SCRIPT, "stop", root], capture_output=True, check=False, timeout=60)
            until(lambda: not os.path.exists(f"/proc/{pid}"), PATIENCE)
    finally:
        subprocess.run(["umount", "--lazy", root], capture_output=True, check=False)
