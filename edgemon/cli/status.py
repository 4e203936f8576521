"""`edgemon status`: how the running daemon is doing, asked over HTTP."""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from edgemon import cli
from edgemon.errors import ConfigError, SetupError
from edgemon.values import Seconds, duration

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

TEXT = """Ask the running daemon how it is doing: alerts, verdicts with their causes, re-benchmarks, budgets, buffers,
sensors. Exit status 0 is all well; 1 is trouble, which is named first (an alert fires, a probe is degraded or failing,
a sensor fails, a lane is stuck, a configuration was refused, something is not kept on disk); 3 is no daemon there."""
PATH = "/api/v1/status"
EVERY = 2.0
CLEAR = "\033[H\033[2J\033[3J"
PATIENCE = 10.0


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command."""
    it = cli.configured(cli.command(commands, "status", TEXT))
    it.add_argument(
        "--url", help="where the daemon is, such as http://kitchen:18787 (default: listen: of the configuration)"
    )
    it.add_argument("--ca", metavar="FILE", help="certificates to trust instead of the system's, PEM")
    it.add_argument("--credentials", metavar="FILE", help="file with user:password")
    it.add_argument("--json", action="store_true", help="print JSON (STATUS.md), with --watch a line each time")
    it.add_argument(
        "--watch", nargs="?", type=_every, const=EVERY, metavar="TIME", help="show it again and again (default: 2s)"
    )
    return it


def run(chosen: argparse.Namespace) -> int:
    """Show it once, or until interrupted."""
    url = (chosen.url or address(cli.settings(chosen.config).listen)).rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise ConfigError([f"--url: {chosen.url} must begin with http:// or https://"])
    asking = Asking(url, chosen.ca, chosen.credentials)
    return _watch(asking, chosen) if chosen.watch else _once(asking, chosen)


def _once(asking: Asking, chosen: argparse.Namespace) -> int:
    data = asking.status()
    print(json.dumps(data, indent=2) if chosen.json else "\n".join(shown(data)))
    return 0 if data["well"] else 1


def _watch(asking: Asking, chosen: argparse.Namespace) -> int:
    """Show it every so often; whoever interrupts gets the status shown last."""
    status = 0
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            try:
                data = asking.status()
                status, text = 0 if data["well"] else 1, "\n".join(shown(data))
                text = json.dumps(data) if chosen.json else f"{text}\n\n{time.strftime('%H:%M:%S')}, Control-C ends"
            except SetupError as error:
                status, text = 3, json.dumps({"error": str(error)}) if chosen.json else str(error)
            print((CLEAR if sys.stdout.isatty() and not chosen.json else "") + text, flush=True)
            time.sleep(chosen.watch)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it was heard; a second one shall not tear the end
    return status


class Asking:
    """Asks a daemon for its status; no proxy stands between."""

    def __init__(self, url: str, ca: str | None = None, credentials: str | None = None) -> None:
        self._url, self._opener = url, _opener(url, ca)
        self._headers = {"Authorization": _basic(credentials)} if credentials else {}

    def status(self) -> dict[str, Any]:
        """The status, or SetupError saying why there is none."""
        from http.client import HTTPException  # noqa: PLC0415 - no other command's cost
        from urllib.error import HTTPError, URLError  # noqa: PLC0415
        from urllib.request import Request  # noqa: PLC0415

        try:
            asked = Request(self._url + PATH, headers=self._headers)  # noqa: S310 - http or https, as run() saw
            with self._opener.open(asked, timeout=PATIENCE) as answer:
                data = json.load(answer)["data"]
            if isinstance(data, dict) and "well" in data:
                return data
        except HTTPError as error:
            raise SetupError(f"{self._url} answers {error.code}: {_refused(error.code)}") from None
        except (URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            why = (getattr(reason, "strerror", "") or str(reason)).lower()
            remedy = "start it with `edgemon run`, or say where it is with --url"
            raise SetupError(f"no edgemon answers at {self._url} ({why}); {remedy}") from None
        except HTTPException:
            raise SetupError(f"what answers at {self._url} speaks no HTTP; with TLS it is https://") from None
        except (ValueError, KeyError, TypeError):
            pass
        raise SetupError(f"what answers at {self._url} is no edgemon of this version")


def _refused(code: int) -> str:
    if code in {401, 403}:
        return "it wants to know who asks: --credentials FILE"
    return "it is no edgemon of this version" if code == 404 else "try again, and see its log"


def _opener(url: str, ca: str | None) -> OpenerDirector:
    from urllib.request import HTTPSHandler, ProxyHandler, build_opener  # noqa: PLC0415

    if not url.startswith("https://"):
        return build_opener(ProxyHandler({}))
    import ssl  # noqa: PLC0415

    return build_opener(ProxyHandler({}), HTTPSHandler(context=ssl.create_default_context(cafile=ca)))


def _basic(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return f"Basic {base64.b64encode(file.read().strip().encode()).decode()}"


def address(listen: str) -> str:
    """Where to reach a daemon that listens so, from the same machine."""
    host, _, port = listen.rpartition(":")
    if port == "0":
        raise SetupError("listen: lets the daemon pick a port; say with --url which it has (its log does)")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104 - to be reached, not to be bound
    return f"http://{host}:{port}"


def shown(data: Mapping[str, Any]) -> list[str]:
    """The status for a person."""
    up = f", up for {_ago(data['uptime'])}" if data["uptime"] else ""
    lines = [f"edgemon {data['version']} on {data['device']} ({data['system']}){up}"]
    lines.append("all is well" if data["well"] else f"{len(data['troubles'])} in trouble:")
    lines += [f"  {one}" for one in data["troubles"]]
    for title, rows in (
        ("alerts", _alerts(data)),
        ("probes", _probes(data)),
        ("re-benchmarks", _rebenchmarks(data)),
        ("budgets", _budgets(data)),
        ("buffers", _buffers(data)),
        ("sensors", [(f"{one['platform']}.{one['sensor']}", one["state"]) for one in data["sensors"]]),
        ("platforms", [(one["name"], f"{one['state']}: {one['text']}") for one in data["platforms"]]),
    ):
        found = list(rows)
        width = max([0, *(len(name) for name, _ in found)])
        lines += ["", title] if found else []
        lines += [cli.wrapped(f"  {name:<{width}}  ", text) for name, text in found]
    return lines


def _alerts(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for one in sorted(data["alerts"], key=lambda one: str(one["state"])):
        labels = ", ".join(f"{name}={text}" for name, text in one["labels"].items() if name != "alertname")
        notes = one["annotations"]
        text = notes.get("description") or notes.get("summary") or ""
        yield f"{one['state']:<7}  {one['labels']['alertname']}", f"({labels}) {text}".strip()


def _probes(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for one in data["probes"]:
        waits = f"; waiting: {_waits(one['waits'])}" if one["waits"] else ""
        yield one["name"], f"{one['state']}: {one['text']}{waits}"
        yield from (("", cause["text"]) for cause in one["causes"])
        yield from (("", f"next: {text}") for text in [one["advice"]] if text)


def _rebenchmarks(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    from edgemon.rebenchmark import Report  # noqa: PLC0415 - no other command's cost

    for one in data["rebenchmarks"]:
        yield one["probe"], f"{_ago(data['at'] - one['at'])} ago: {Report.from_json(one)}"
    for one in data["waiting"]:
        yield one["probe"], "runs now" if one["reason"] == "running" else f"waits: {_waits(one)}"


def _waits(held: Mapping[str, str]) -> str:
    return f"{held['reason']} ({held['text']})" if held["text"] else held["reason"]


def _budgets(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    shares: dict[str, list[str]] = {}
    for one in data["budgets"]:
        text = f"{one['used']:.0%} of the {one['period']}'s {one['resource'].replace('rebenchmark', 're-benchmarks')}"
        shares.setdefault(one["probe"] or "all", []).append(text)
    yield from ((name, f"{', '.join(texts)} used") for name, texts in shares.items())


def _buffers(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for one in data["buffers"]:
        taken = f", took one {_ago(data['at'] - one['last_success'])} ago" if one["last_success"] else ""
        yield one["name"], f"{one['queued']} waiting, {one['dropped']} dropped{taken}"


def _ago(seconds: float) -> str:
    """Seconds as a person says them: the two largest units."""
    whole = max(0, round(seconds))
    for unit, finer in ((86400, 3600), (3600, 60)):
        if whole >= unit:
            whole -= whole % finer
            break
    return duration(whole) if whole else "0s"


def _every(text: str) -> float:
    try:
        return Seconds(0.2, 3600).parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from None
