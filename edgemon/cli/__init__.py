"""The command line: one file a command, each with `add(parsers)` and `run(arguments)`.

Exit status: 0 done and well; 1 done, and something is wrong with what was asked about (a probe is degraded or failing,
an alert fires, a check or the doctor found problems, a notification was not taken); 2 the command or the configuration
is wrong; 3 this environment refuses (port in use, state directory locked, no daemon there); 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib
import io
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence

from edgemon import __version__, logs
from edgemon.capture import load
from edgemon.config import Config
from edgemon.errors import CaptureError, ConfigError, EdgemonError, ExpressionError
from edgemon.platforms import Platform, discover
from edgemon.replay import Replay
from edgemon.sysfs import Root
from edgemon.values import Seconds

COMMANDS = (
    "run", "status", "history", "check", "devices", "doctor", "sense", "probe", "baseline", "compare", "notify", "otlp",
    "capture", "rules", "metrics", "config", "service",
)  # fmt: skip
EXIT = """exit status:
  0   done, and all is well
  1   done, and something is wrong: a probe is degraded or failing, an alert fires, a check or the doctor found
      problems, somebody did not take a test notification
  2   the command line, the configuration, a capture or an expression is wrong
  3   the environment refuses: port in use, state directory locked or read-only, no daemon there
  130 interrupted

start here:
  edgemon check               what is here, and is the configuration good
  edgemon doctor              what keeps this device from delivering its speed, and what to do
  edgemon probe default       measure the embedded model once
  edgemon baseline record default
  edgemon run                 the daemon; then open http://127.0.0.1:18787/, or ask it: edgemon status
"""


class Parser(argparse.ArgumentParser):
    """A parser that names the nearest choice."""

    def _check_value(self, action: argparse.Action, value: object) -> None:
        choices = [str(one) for one in action.choices or ()]
        if choices and value not in choices:
            close = difflib.get_close_matches(str(value), choices, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(choices)}"
            raise argparse.ArgumentError(action, f"there is no {value}; {hint}")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = Parser(
        prog="edgemon",
        description="Does this device still deliver the inference it was validated for, and if not, why?",
        epilog=EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"edgemon {__version__}")
    commands = top.add_subparsers(metavar="command", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"edgemon.cli.{name}")
        module.add(commands).set_defaults(act=module.run)
    return top


def command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    """A command whose help line is the first sentence of its description."""
    return commands.add_parser(
        name,
        help=text.split(". ", maxsplit=1)[0].rstrip(".").lower(),
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def configured(of: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add --config."""
    of.add_argument(
        "--config", metavar="FILE", help="configuration file (default: /etc/edgemon/edgemon.yml if it exists)"
    )
    return of


def guarded(of: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add --web.config.file, by the name that it has in Prometheus' exporters."""
    of.add_argument(
        "--web.config.file",
        metavar="FILE",
        dest="web_config",
        type=os.path.abspath,
        help="TLS, passwords and limits of the HTTP server (default: web_config: of the configuration)",
    )
    return of


def rooted(of: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add --root."""
    of.add_argument("--root", metavar="CAPTURE", help="read a capture instead of this machine; it plays in real time")
    return of


def timed(of: argparse.ArgumentParser, verb: str) -> argparse.ArgumentParser:
    """Add --for and --every."""
    of.add_argument("--for", metavar="TIME", dest="span", type=_seconds, help=f"{verb} that long, such as 2m; 1s to 1h")
    of.add_argument("--every", metavar="TIME", type=_seconds, default=5.0, help="with --for: how often (default: 5s)")
    return of


def moments(chosen: argparse.Namespace) -> Iterator[float]:
    """Seconds after the first moment, each when it is due; only that one without --for."""
    began = time.monotonic()
    for number in range(int((chosen.span or 0.0) / chosen.every) + 1):
        time.sleep(max(0.0, began + number * chosen.every - time.monotonic()))
        yield round(time.monotonic() - began, 3) if number else 0.0


def _seconds(text: str) -> float:
    try:
        return Seconds(1, 3600).parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from None


def root(chosen: argparse.Namespace) -> Root:
    """The machine to read: this one, or what --root says."""
    return Replay(load(chosen.root), chosen.root) if chosen.root else Root()


def settings(path: str | None) -> Config:
    """The validated configuration; pydantic is imported only here, since `edgemon run` must not carry it."""
    from edgemon import schema  # noqa: PLC0415

    return schema.load(path)


def state(of: Config) -> str:
    """The state directory, about to be used: root becomes the user to whom it belongs."""
    from edgemon.systemd.owner import become  # noqa: PLC0415 - for the commands that keep something

    where = of.state()
    become(where)
    return where


def platforms() -> dict[str, Platform]:
    """Every platform, plugins included; `importlib.metadata` likewise is not for the daemon."""
    from edgemon.plugins import installed  # noqa: PLC0415

    return discover(installed())


def wrapped(head: str, text: str) -> str:
    """The text behind its head, on a terminal in lines of its width, elsewhere in one."""
    if not sys.stdout.isatty():
        return head + text
    width = max(40, shutil.get_terminal_size().columns - 1)
    return textwrap.fill(text, width, initial_indent=head, subsequent_indent=" " * len(head), break_long_words=False)


def warnings(known: Mapping[str, Platform]) -> dict[str, str]:
    """What else is wrong on this machine, by the platform that says so."""
    found = {one.name: one.warning() for one in known.values() if one.warning}
    return {name: text for name, text in found.items() if text}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; whatever the user did wrong ends in a sentence, never in a traceback."""
    _open()
    logs.to_stderr("warning")
    try:
        return _act(arguments)
    except (ConfigError, ExpressionError) as error:
        return _say("\n".join(error.problems), 2)
    except CaptureError as error:
        return _say(str(error), 2)
    except EdgemonError as error:
        return _say(str(error), 3)
    except BrokenPipeError:  # `edgemon metrics | head`
        return _mute()
    except OSError as error:
        return _mute() or _say(f"{error.filename or 'output'}: {(error.strerror or str(error)).lower()}", 3)
    except KeyboardInterrupt:
        return _say("interrupted", 130)


def _act(arguments: Sequence[str] | None) -> int:
    try:
        chosen = parser().parse_args(arguments)
        status: int = chosen.act(chosen)
        return status
    finally:
        sys.stdout.flush()  # here, where what goes wrong is still answered for


def _open() -> None:
    """Standard descriptors that the caller closed lead nowhere, lest the next file opened take their place."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - it stays open
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _mute() -> int:
    """Let what is still buffered for standard output go nowhere, lest Python complain at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _say(text: str, status: int) -> int:
    for line in text.splitlines():
        print(f"edgemon: {line}", file=sys.stderr)
    return status
