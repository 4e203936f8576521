"""One exchange with a web server that is seldom asked.

https runs in a child process (`python -m edgemon.alerts.post`): with its certificates OpenSSL would cost the daemon
6 MB for ever. What is secret goes to the child on standard input.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from edgemon.probe.supervisor import PRIVATE
from edgemon.web import Caller, Reply, reason

STARTING = 5.0
"""Seconds a child may take beyond the deadline, to start and to end."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What to ask. `seconds` bounds the whole exchange, `ca` is the file of authorities for https."""

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    seconds: float = 10.0
    ca: str = ""


def exchange(ask: Exchange) -> Reply:
    """Ask; OSError says what kept it from being answered in time."""
    if not ask.url.startswith("https:"):
        return _ask(ask)
    env = {key: value for key, value in os.environ.items() if key not in PRIVATE}
    command = [sys.executable, "-m", "edgemon.alerts.post"]
    try:
        child = subprocess.run(
            command, input=json.dumps(asdict(ask)).encode(), capture_output=True, check=False, env=env,
            timeout=ask.seconds + STARTING,
        )  # fmt: skip
        said = json.loads(child.stdout)
        if "problem" in said:
            raise OSError(said["problem"])
        return Reply(said["status"], said["headers"], said["body"].encode())
    except subprocess.TimeoutExpired:
        raise TimeoutError("timed out") from None
    except (ValueError, TypeError, KeyError):
        raise OSError(f"the child that speaks https ended with status {child.returncode}") from None


def _ask(ask: Exchange) -> Reply:
    def secure(connection: socket.socket, host: str) -> socket.socket:
        """TLS 1.2 or later, certificate and host name verified."""
        import ssl  # noqa: PLC0415 - only the child comes here

        return ssl.create_default_context(cafile=ask.ca or None).wrap_socket(connection, server_hostname=host)

    caller = Caller(ask.url, secure)
    try:
        return caller.ask(ask.method, {"Connection": "close", **ask.headers}, ask.body.encode(), ask.seconds)
    finally:
        caller.close()


def main() -> None:
    """The daemon's child: one exchange from standard input, its reply to standard output."""
    try:
        reply = _ask(Exchange(**json.load(sys.stdin)))
        answer = {"status": reply.status, "headers": reply.headers, "body": reply.text}
    except OSError as error:
        answer = {"problem": reason(error)}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
