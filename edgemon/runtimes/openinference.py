"""A model behind the Open Inference Protocol (KServe V2), over HTTP: github.com/kserve/open-inference-protocol.

The ladder, each step the stage of a failure: dns, connect, tls, live, ready, model_ready, metadata, the inferences.
Health is judged by the status alone: the protocol's text disagrees with itself about the bodies. The digest of the
metadata document stands for the model, so that another version of it is another fingerprint.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Callable, Dict, List, Tuple

from edgemon.probe import tensors
from edgemon.probe.exchange import Answer, silent
from edgemon.probe.result import Ended, Outcome
from edgemon.probe.served import Served
from edgemon.probe.target import MODEL

OTHER = {"FP32": "INT64", "INT64": "FP32"}


class OpenInference(Served):
    """One served model."""

    def load(self) -> None:
        """Connect and climb to the model's metadata; make the requests."""
        self.connect()
        match = MODEL.fullmatch(self.target.path)
        if not match:
            raise ValueError("%s does not end in /v2/models/NAME" % self.target.shown)
        self._base = match["base"] + "/v2"
        self._healthy(self._begin)
        self._begin("metadata")
        answer = self._get(self._base)  # what it says of itself; not every server does
        self._server = self._document(self._base, answer) if answer.status == 200 else {}
        self._declared = self._metadata()
        self._binary = self._encoding() == "binary"
        self._requests = [self._infer(self._inputs(seed)) for seed in self.request.seeds]

    def infer(self) -> Callable[[], Any]:
        """One inference on the first input, over the kept connection."""
        return self.repeat(self._requests[0], self._ask)

    def outputs(self, index: int) -> List[Dict[str, Any]]:
        """The plain tensors the model gives for the input of one seed, by name."""
        answer = self._ask(self._requests[index])
        try:
            found = tensors.read(answer.body, answer.headers.get("Inference-Header-Content-Length"))
        except ValueError as error:
            raise Ended(Outcome.WRONG_OUTPUT, self.client.hide(error)) from None
        names, declared = [one["name"] for one in found], sorted(one["name"] for one in self._declared["outputs"])
        if names != declared:
            text = "answered the outputs %s, the metadata declares %s" % (", ".join(names), ", ".join(declared))
            raise Ended(Outcome.WRONG_OUTPUT, self.client.hide(text))
        return [{**one, "name": self.client.hide(one["name"])} for one in found]

    def facts(self) -> Dict[str, Any]:
        """What really answers."""
        shapes = {"shapes": self.request.shapes} if self.request.shapes else {}
        version = "%s %s" % (self._server.get("name", ""), self._server.get("version", ""))
        return {
            **self.where(),
            "runtime": "openinference",
            "runtime_version": self.client.hide(version).strip()[:100] or "unknown",
            "model_sha256": hashlib.sha256(json.dumps(self._declared, sort_keys=True).encode()).hexdigest(),
            "placement": {},
            "options": self.options(tensors="binary" if self._binary else "json", **shapes),
        }

    def faults(self) -> Dict[str, int]:
        """The status each deliberately faulty request was refused with; raises when one was not, or did harm."""
        refused, bad, said, accepted = {}, [], "", 0
        for kind in self.endpoint["faults"]:
            self.client.close()  # on a new connection nothing is tried twice, so that a crash is not overlooked
            try:
                answer = self.client.ask(self._faulty(kind))
            except (Ended, ConnectionError, ValueError) as error:
                bad.append("%s: %s" % (FAULTS[kind], error))
                continue
            refused[kind] = answer.status
            if not 400 <= answer.status < 500:
                accepted += answer.status < 300
                bad.append("%s was answered with %d" % (FAULTS[kind], answer.status))
                said = said or "; the server says: %s" % self.words(answer)
        self._begin("recovery")
        self._healthy(silent)
        self._ask(self._requests[0])
        self._begin("faults")
        if bad:
            outcome = Outcome.WRONG_OUTPUT if accepted == len(bad) else Outcome.FAILED
            raise Ended(outcome, "not refused with a 4xx: %s%s" % ("; ".join(bad), said))
        return refused

    def _healthy(self, begin: Callable[[str], None]) -> None:
        for stage, path, name in (
            ("live", self._base + "/health/live", "the server is not live"),
            ("ready", self._base + "/health/ready", "the server is not ready"),
            ("model_ready", self.target.path + "/ready", "the model is not ready"),
        ):
            begin(stage)
            answer = self._get(path)
            if answer.status != 200:
                raise ValueError("%s: %s" % (name, self.words(answer)))

    def _get(self, path: str) -> Answer:
        return self.client.ask(self.client.prepare("GET", path))

    def _document(self, path: str, answer: Answer) -> Dict[str, Any]:
        if answer.status != 200:
            raise ValueError("GET %s: %s" % (path, self.words(answer)))
        try:
            found = json.loads(answer.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ValueError("GET %s: the answer is no JSON object" % path)  # noqa: TRY004
        return found

    def _metadata(self) -> Dict[str, Any]:
        found = self._document(self.target.path, self._get(self.target.path))
        try:
            whole = all(_is_tensor(one) for one in [*found["inputs"], *found["outputs"]])
            whole = whole and bool(found["inputs"]) and bool(found["outputs"])
        except (KeyError, TypeError):
            whole = False
        if not whole:
            raise ValueError("the metadata of the model declares no inputs and outputs with name, datatype and shape")
        return found

    def _encoding(self) -> str:
        if self.endpoint["tensors"] != "auto":
            return str(self.endpoint["tensors"])
        return "binary" if "binary_tensor_data" in (self._server.get("extensions") or []) else "json"

    def _inputs(self, seed: int) -> List[tensors.Input]:
        try:
            return tensors.make(self._declared["inputs"], self.request.shapes, seed)
        except ValueError as error:
            raise ValueError(self.client.hide(error)) from None

    def _infer(self, inputs: List[tensors.Input]) -> bytes:
        names = [one["name"] for one in self._declared["outputs"]]
        return self._post(tensors.write(inputs, names, self._binary))

    def _post(self, written: Tuple[bytes, Dict[str, str]]) -> bytes:
        return self.client.prepare("POST", self.target.path + "/infer", *written)

    def _ask(self, raw: bytes) -> Answer:
        answer = self.client.ask(raw)
        if answer.status != 200:
            raise ValueError("POST %s/infer: %s" % (self.target.path, self.words(answer)))
        return answer

    def _faulty(self, kind: str) -> bytes:
        """A request as it should be, but for one thing."""
        first, *others = self._inputs(self.request.seeds[0])
        if kind == "json":
            return self._post((b'{"id": "edgemon", "inputs": [{"name": "', {"Content-Type": "application/json"}))
        if kind == "tensor":
            first = first._replace(name=first.name + "-unknown-to-the-model")
        elif kind == "datatype":
            other = OTHER.get(first.datatype, "FP64" if first.datatype != "FP64" else "INT64")
            values = [0] * tensors.count(first.shape)
            first = first._replace(datatype=other, raw=tensors.pack(other, values))
        elif kind == "shape":
            first = first._replace(shape=[*first.shape, 1, 1])
        else:
            first = first._replace(shape=[2 * first.shape[0] if first.shape else 2, *first.shape[1:]])
        return self._infer([first, *others])


FAULTS = {
    "tensor": "a request with an unknown tensor",
    "datatype": "a request with another datatype",
    "shape": "a request of another rank",
    "size": "a request with half the data its shape needs",
    "json": "a request cut off in the middle",
}


def _is_tensor(one: Any) -> bool:
    shape = one["shape"]
    return (
        isinstance(one["name"], str)
        and isinstance(one["datatype"], str)
        and isinstance(shape, list)
        and all(type(size) is int for size in shape)
    )


RUNTIME = OpenInference
