"""Calls of the Open Inference Protocol over HTTP (stdlib only, Python >= 3.8).

Health is judged by the status alone: the protocol's text disagrees with itself about the bodies.
"""

import json
from typing import Any, Dict, List, Optional, Tuple

from edgemon.probe import tensors
from edgemon.probe.exchange import Answer, Client, words
from edgemon.probe.secret import Secrets
from edgemon.probe.target import Target

STEPS = {"live": "/health/live", "ready": "/health/ready"}


class Rest(Client):
    """Requests to one served model, one after another, on a kept connection."""

    refusal = "with a 4xx"

    def __init__(self, target: Target, endpoint: Dict[str, Any], secrets: Secrets) -> None:
        super().__init__(target, endpoint, secrets)
        self._base = target.path[: target.path.rindex("/v2/models/")] + "/v2"
        self.encoding = "json"

    def refuses(self, step: str) -> str:
        """Why live, ready or model_ready is not so, or an empty string."""
        answer = self._get(self._base + STEPS[step] if step in STEPS else self.target.path + "/ready")
        return "" if answer.status == 200 else words(answer, self.hide)

    def server(self) -> Dict[str, Any]:
        """What the server says of itself; not every one does."""
        answer = self._get(self._base)
        return self._document(self._base, answer) if answer.status == 200 else {}

    def metadata(self) -> Dict[str, Any]:
        """What the server says of the model."""
        return self._document(self.target.path, self._get(self.target.path))

    def settle(self, server: Dict[str, Any]) -> None:
        """Choose the encoding by what the server says of itself."""
        asked, binary = self._endpoint["tensors"], "binary_tensor_data" in (server.get("extensions") or [])
        self.encoding = str(asked) if asked != "auto" else "binary" if binary else "json"

    def written(self, inputs: List[tensors.Input], outputs: List[str]) -> bytes:
        """A request as `infer` takes it."""
        return self._post(tensors.write(inputs, outputs, self.encoding == "binary"))

    def cut(self, _: bytes) -> bytes:
        """A request cut off in the middle of its JSON: HTTP itself would only wait for the rest of a body."""
        return self._post((b'{"id": "edgemon", "inputs": [{"name": "', {"Content-Type": "application/json"}))

    def infer(self, raw: bytes) -> Answer:
        """Ask; ValueError with the reason when the server does not infer."""
        answer = self.ask(raw)
        if answer.status != 200:
            raise ValueError("POST %s/infer: %s" % (self.target.path, words(answer, self.hide)))
        return answer

    def attempt(self, raw: bytes, _: str) -> Tuple[int, bool, str, str]:
        """Ask with a faulty request: its status, whether that refuses it, and in words the status and what is said."""
        answer = self.ask(raw)
        return answer.status, 400 <= answer.status < 500, str(answer.status), words(answer, self.hide)

    def read(self, answer: Answer) -> List[Dict[str, Any]]:
        """The plain tensors of an answer."""
        return tensors.read(answer.body, answer.headers.get("Inference-Header-Content-Length"))

    def first(self, answer: Answer) -> Optional[float]:
        """Seconds to the first byte."""
        return answer.first

    def _get(self, path: str) -> Answer:
        return self.ask(self.prepare("GET", path))

    def _post(self, written: Tuple[bytes, Dict[str, str]]) -> bytes:
        return self.prepare("POST", self.target.path + "/infer", *written)

    def _document(self, path: str, answer: Answer) -> Dict[str, Any]:
        if answer.status != 200:
            raise ValueError("GET %s: %s" % (path, words(answer, self.hide)))
        try:
            found = json.loads(answer.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ValueError("GET %s: the answer is no JSON object" % path)  # noqa: TRY004
        return found
