"""`edgemon run`: the daemon."""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import tempfile

from edgemon import cli, logs

log = logging.getLogger("edgemon")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command."""
    text = "Run the daemon. It senses, probes and serves /metrics until SIGTERM; SIGHUP reads the configuration again."
    return cli.rooted(cli.guarded(cli.configured(cli.command(commands, "run", text))))


def run(chosen: argparse.Namespace) -> int:
    """Run until told to end."""
    from edgemon import daemon  # noqa: PLC0415 - the daemon's parts are no other command's cost

    faulthandler.enable(file=2)  # what kills it leaves word where each thread was: SIGABRT of a watchdog, SIGSEGV
    logs.to_stderr()
    if not chosen.root:
        return daemon.Daemon(chosen.config, web_config=chosen.web_config).run()
    with tempfile.TemporaryDirectory(prefix="edgemon-replay-") as folder:
        os.environ["STATE_DIRECTORY"] = folder  # a replay leaves nothing behind, unless state_dir: says where
        log.warning("simulated: %s is replayed, probes run on this machine", chosen.root)
        return daemon.Daemon(chosen.config, cli.root(chosen), chosen.web_config).run()
