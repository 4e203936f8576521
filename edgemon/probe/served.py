"""What the runtimes for served models have in common (stdlib only, Python >= 3.8).

The whole probe is sequential, paced by the worker, and on one connection; the inference after the idle pause opens a
new one, as a client does that asks once a minute.
"""

import json
import ssl
from typing import Any, Callable, Dict, List

from edgemon.probe.exchange import SAID, Answer, Client, silent
from edgemon.probe.result import Request
from edgemon.probe.secret import Secrets
from edgemon.probe.target import parse


class Served:
    """A served model: a client once `connect` has been called, and the times of `phases`."""

    def __init__(self, request: Request) -> None:
        self.request, self.endpoint = request, request.endpoint
        self.phases: Dict[str, float] = {}
        self._begin: Callable[[str], None] = silent
        self._first: List[float] = []

    def stages(self, begin: Callable[[str], None]) -> None:
        """Be told how to name the step that begins."""
        self._begin = begin

    def start(self) -> None:
        """Nothing to import but what this file has."""

    def version(self) -> str:
        """The TLS library's version: the only engine there is until a server is asked."""
        return " ".join(ssl.OPENSSL_VERSION.split()[:2])

    def connect(self) -> None:
        """Read the secrets and open the connection: resolve, connect, TLS."""
        self.target = parse(self.request.model)
        self.client = Client(self.target, self.endpoint, Secrets(self.endpoint["headers"]))
        self.phases = self.client.phases
        self.client.open(self._begin)

    def pause(self) -> None:
        """Close the connection before the idle pause, and say how long the first byte took until now."""
        self.client.close()
        ordered = sorted(self._first)
        self.phases["ttfb"] = ordered[len(ordered) // 2]

    def repeat(self, raw: bytes, ask: Callable[[bytes], Answer]) -> Callable[[], Any]:
        """A callable that asks and wants a good status; it keeps the time to the first byte."""

        def run() -> None:
            self._first.append(ask(raw).first)

        return run

    def words(self, answer: Answer) -> str:
        """Status, and what the server says of it, less any secret."""
        text = answer.body[:65536].decode("utf-8", "replace")
        try:
            said = json.loads(text)
            text = str(said.get("error") or said.get("detail") or text)
        except (ValueError, AttributeError, RecursionError):
            pass
        text = " ".join(self.client.hide(text).split())[:SAID]
        return ("%d %s" % (answer.status, answer.reason)).strip() + (": " + text if text else "")

    def where(self) -> Dict[str, Any]:
        """What is true of every endpoint: address and TLS version; no engine is ours, so no provider is claimed."""
        return {"address": self.client.address, "tls": self.client.tls, "requested": [], "registered": []}

    def options(self, **more: Any) -> Dict[str, Any]:
        """What a latency depends on: the URL without its query, the pace, TLS, and the given."""
        return {"url": self.target.shown, "rate": self.request.rate, "tls": self.client.tls, **more}
