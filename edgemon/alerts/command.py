"""A command that is run for each flip: arguments as they are, the flip as JSON on standard input, a deadline."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace

from edgemon.alerts.alertmanager import labelled
from edgemon.alerts.flip import Flip
from edgemon.alerts.receiver import Answer, Delivery
from edgemon.probe.process import kill

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


class Command:
    """One program, never twice at a time; exit status 0 is taken."""

    batch, resend = 1, 0.0

    def __init__(self, name: str, argv: Sequence[str], seconds: float, extra: Mapping[str, str]) -> None:
        self.name = name
        self._argv, self._seconds, self._extra = list(argv), seconds, extra

    def deliver(self, flips: Sequence[Flip]) -> Answer:
        """Run it; whatever it started and left behind is killed in the end."""
        (flip,) = flips
        flip = replace(flip, labels=labelled(flip, self._extra))
        said = {"alertname": flip.alertname, "fingerprint": flip.fingerprint, "id": flip.identity, **flip.to_json()}
        try:
            child = self._start(json.dumps(said))
        except OSError as error:
            return Answer(Delivery.FAILED, f"cannot start {self._argv[0]}: {(error.strerror or '').lower()}")
        try:
            status = child.wait(self._seconds)
        except subprocess.TimeoutExpired:
            return Answer(Delivery.FAILED, f"took longer than {self._seconds:g} s and was killed")
        finally:
            kill(child.pid)
            child.poll()
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        return Answer(Delivery.FAILED, how) if status else Answer(Delivery.SENT)

    def check(self) -> Answer:
        """Whether the program is there."""
        good = os.path.isfile(self._argv[0]) and os.access(self._argv[0], os.X_OK)
        return Answer(Delivery.SENT) if good else Answer(Delivery.REFUSED, f"{self._argv[0]} cannot be executed")

    def _start(self, text: str) -> subprocess.Popen[bytes]:
        """The program; a memfd holds its input, since one that does not read must not block us."""
        with os.fdopen(os.memfd_create("edgemon-flip"), "w+b") as file:
            file.write(text.encode())
            file.seek(0)
            return subprocess.Popen(
                self._argv,
                stdin=file,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env=ENVIRONMENT,
                cwd="/",
            )
