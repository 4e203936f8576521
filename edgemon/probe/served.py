"""What the runtimes for served models have in common (stdlib only, Python >= 3.8).

The whole probe is sequential, paced by the worker, and on one connection; the inference after the idle pause opens a
new one, as a client does that asks once a minute.
"""

import ssl
from typing import Any, Callable, Dict, List, Optional

from edgemon.probe.exchange import Client, silent
from edgemon.probe.result import Request
from edgemon.probe.secret import Secrets
from edgemon.probe.target import SCHEMES, Target, parse


class Served:
    """A served model: a client once `connect` has been called, and the times of `phases`."""

    client: Any

    def __init__(self, request: Request) -> None:
        self.request, self.endpoint = request, request.endpoint
        self.phases: Dict[str, float] = {}
        self.begin: Callable[[str], None] = silent
        self.firsts: List[Optional[float]] = []
        """Seconds to the first byte of each answer."""

    def stages(self, begin: Callable[[str], None]) -> None:
        """Be told how to name the step that begins."""
        self.begin = begin

    def start(self) -> None:
        """Nothing to import but what this file has."""

    def version(self) -> str:
        """The TLS library's version: the only engine there is until a server is asked."""
        return " ".join(ssl.OPENSSL_VERSION.split()[:2])

    def connect(self) -> None:
        """Read the secrets and open the connection: resolve, connect, TLS."""
        self.target = parse(self.request.model, SCHEMES)
        self.client = self.reach(self.target, Secrets(self.endpoint["headers"]))
        self.phases = self.client.phases
        self.client.open(self.begin)

    def reach(self, target: Target, secrets: Secrets) -> Any:
        """What asks the target."""
        return Client(target, self.endpoint, secrets)

    def pause(self) -> None:
        """Close the connection before the idle pause, and say how long the first byte took until now."""
        self.client.close()
        ordered = sorted(one for one in self.firsts if one is not None)
        if ordered:
            self.phases["ttfb"] = ordered[len(ordered) // 2]

    def where(self) -> Dict[str, Any]:
        """What is true of every endpoint: address and TLS version; no engine is ours, so no provider is claimed."""
        return {"address": self.client.address, "tls": self.client.tls, "requested": [], "registered": []}

    def options(self, **more: Any) -> Dict[str, Any]:
        """What a latency depends on: the URL without its query, the pace, TLS, and the given."""
        return {"url": self.target.shown, "rate": self.request.rate, "tls": self.client.tls, **more}
