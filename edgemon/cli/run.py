"""`edgemon run`: the daemon."""

from __future__ import annotations

import argparse

from edgemon import cli, logs


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command."""
    text = "Run the daemon. It senses, probes and serves /metrics until SIGTERM; SIGHUP reads the configuration again."
    return cli.configured(cli.command(commands, "run", text))


def run(chosen: argparse.Namespace) -> int:
    """Run until told to end."""
    from edgemon import daemon  # noqa: PLC0415 - the daemon's parts are no other command's cost

    logs.to_stderr()
    return daemon.Daemon(chosen.config).run()
