"""A model behind any HTTP service: one request, and what its answer must be.

The digest of the request stands for the model. Numbers that `outputs` names in a JSON body are held
against golden ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import urllib.parse
from typing import Any, Callable, Dict, List

from edgemon.probe import assertion
from edgemon.probe.exchange import Answer, Client, words
from edgemon.probe.golden import LONGEST, tensor
from edgemon.probe.result import Ended, Outcome
from edgemon.probe.served import Served
from edgemon.probe.target import parse
from edgemon.probe.tensors import flat, pack, telling

LARGEST = 64 << 20
REDIRECTS = (301, 302, 303, 307, 308)


class Http(Served):
    """One request of one service."""

    client: Client

    def load(self) -> None:
        """Connect, and make the request."""
        self._body = body(self.endpoint)
        self.connect()
        self._raw = self.client.prepare(self.endpoint["method"], self.target.path, self._body)

    def infer(self) -> Callable[[], Any]:
        """The request, over the kept connection; only the status is looked at."""

        def run() -> None:
            self.firsts.append(self._ask(self._raw).first)

        return run

    def outputs(self, index: int) -> List[Dict[str, Any]]:  # noqa: ARG002 - every seed is the same request
        """The numbers to compare, once all that is expected of the answer holds."""
        answer = self._ask(self._raw)
        reason = self._unexpected(answer)
        if reason:
            raise Ended(Outcome.WRONG_OUTPUT, self.client.hide(reason)[:300])
        if not self.endpoint["outputs"]:
            return []
        document = _json(answer)
        return [self._tensor(path, assertion.at(document, assertion.keys(path))) for path in self.endpoint["outputs"]]

    def facts(self) -> Dict[str, Any]:
        """What is asked, and how."""
        method, given = self.endpoint["method"], self.endpoint["headers"]
        plain = {name: one["value"] for name, one in sorted(given.items())}
        asked = [method, self.request.model, plain, hashlib.sha256(self._body).hexdigest()]
        return {
            **self.where(),
            "runtime": "http",
            "runtime_version": ("1.1 " + self.client.tls).strip(),
            "model_sha256": hashlib.sha256(json.dumps(asked).encode()).hexdigest(),
            "placement": {},
            "options": self.options(method=method),
        }

    def _ask(self, raw: bytes) -> Answer:
        """The answer with an expected status, redirects to the same origin followed as far as they are allowed."""
        expected, answer = self.endpoint["expect"]["status"], self.client.ask(raw)
        for _ in range(self.endpoint["redirects"]):
            if answer.status in expected or answer.status not in REDIRECTS:
                break
            answer = self.client.ask(self._onward(answer))
        if answer.status not in expected:
            raise ValueError("%s %s: %s" % (self.endpoint["method"], self.target.shown, self._refusal(answer)))
        return answer

    def _refusal(self, answer: Answer) -> str:
        if answer.status in REDIRECTS:
            return "%d to %s, which redirects: does not allow" % (answer.status, self._shown(self._location(answer)))
        return "%s; expected %s" % (
            words(answer, self.client.hide),
            ", ".join(map(str, self.endpoint["expect"]["status"])),
        )

    def _onward(self, answer: Answer) -> bytes:
        """The request for the place an answer names; ValueError when that is another origin."""
        place, method = self._location(answer), self.endpoint["method"]
        try:
            target = parse(place)
        except ValueError:
            target = None
        if target is None or target[:3] != self.target[:3]:
            raise ValueError("redirected to %s, which is another origin" % self._shown(place))
        if method not in ("GET", "HEAD") and answer.status not in (307, 308):
            raise ValueError("redirected with %d, which would make a GET of the %s" % (answer.status, method))
        return self.client.prepare(method, target.path, self._body)

    def _location(self, answer: Answer) -> str:
        place = str(answer.headers.get("Location", "nowhere"))
        try:
            return urllib.parse.urljoin(self.request.model, place).partition("#")[0]
        except ValueError:
            return place

    def _shown(self, place: str) -> str:
        return self.client.hide(place).partition("?")[0][:200]

    def _unexpected(self, answer: Answer) -> str:
        """Why an answer is not what was expected, or an empty string."""
        expect = self.endpoint["expect"]
        for name, pattern in expect["headers"].items():
            value = answer.headers.get(name)
            if value is None or not assertion.pattern(pattern).search(value):
                return "header %s is %s, expected %s" % (name, "absent" if value is None else value, pattern)
        text = answer.body.decode("utf-8", "replace")
        if expect["body"] and not assertion.pattern(expect["body"]).search(text):
            return "the body does not match %s: %s" % (expect["body"], text[:LONGEST])
        if not expect["assertions"]:
            return ""
        document = _json(answer)
        return next((why for one in expect["assertions"] if (why := assertion.parse(one).fails(document))), "")

    def _tensor(self, path: str, found: Any) -> Dict[str, Any]:
        values = list(flat([found]))
        if not values or not all(assertion.number(one) for one in values):
            raise Ended(Outcome.WRONG_OUTPUT, "the body has no numbers at %s" % path)
        return tensor(path, "float64", [len(values)], pack("FP64", values), telling(values))


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        raise Ended(Outcome.WRONG_OUTPUT, "the body is no JSON") from None


def body(endpoint: Dict[str, Any]) -> bytes:
    """What is sent; ValueError when the file cannot be read or is too large."""
    if not endpoint["body_file"]:
        return str(endpoint["body"]).encode()
    try:
        with open(os.open(endpoint["body_file"], os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        text = (error.strerror or "").lower()
        raise ValueError("body_file %s cannot be read: %s" % (endpoint["body_file"], text)) from None
    if len(data) > LARGEST:
        raise ValueError("body_file %s is larger than 64 MiB" % endpoint["body_file"])
    return data


RUNTIME = Http
