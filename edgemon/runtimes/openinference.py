"""A model behind the Open Inference Protocol (KServe V2): github.com/kserve/open-inference-protocol.

Over HTTP, or over gRPC where the URL says so: grpc://HOST:PORT/v2/models/NAME, grpcs:// with TLS; that needs grpcio in
the worker's Python. The ladder is the same, each step the stage of a failure: dns, connect, tls, live, ready,
model_ready, metadata, the inferences. The digest of the metadata stands for the model, so that another version of it is
another fingerprint.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Callable, Dict, List, Union

from edgemon.probe import rpc, tensors
from edgemon.probe.exchange import silent
from edgemon.probe.rest import Rest
from edgemon.probe.result import Ended, Outcome
from edgemon.probe.rpc import Rpc
from edgemon.probe.secret import Secrets
from edgemon.probe.served import Served
from edgemon.probe.target import Target

OTHER = {"FP32": "INT64", "INT64": "FP32"}
NOT = {"live": "the server is not live", "ready": "the server is not ready", "model_ready": "the model is not ready"}


class OpenInference(Served):
    """One served model."""

    def start(self) -> None:
        """Import gRPC where it is asked for."""
        if self.request.model.startswith("grpc"):
            rpc.start()

    def reach(self, target: Target, secrets: Secrets) -> Union[Rest, Rpc]:
        """A client in the protocol of the URL."""
        kind = Rpc if target.scheme.startswith("grpc") else Rest
        return kind(target, self.endpoint, secrets)

    def load(self) -> None:
        """Connect and climb to the model's metadata; make the requests."""
        self.connect()
        self._healthy(self.begin)
        self.begin("metadata")
        self._server = self.client.server()
        self._declared = self._metadata()
        self.client.settle(self._server)
        self._requests = [self._infer(self._inputs(seed)) for seed in self.request.seeds]

    def infer(self) -> Callable[[], Any]:
        """One inference on the first input, over the kept connection."""
        raw, ask, first, spent = self._requests[0], self.client.infer, self.client.first, self.firsts

        def run() -> None:
            spent.append(first(ask(raw)))

        return run

    def outputs(self, index: int) -> List[Dict[str, Any]]:
        """The plain tensors the model gives for the input of one seed, by name."""
        answer = self.client.infer(self._requests[index])
        try:
            found = self.client.read(answer)
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
            "options": self.options(tensors=self.client.encoding, **shapes),
        }

    def faults(self) -> Dict[str, int]:
        """The status each deliberately faulty request was refused with; raises when one was not, or did harm."""
        refused, bad, said, accepted = {}, [], "", 0
        for kind in self.endpoint["faults"]:
            self.client.close()  # on a new connection nothing is tried twice, so that a crash is not overlooked
            try:
                status, good, name, words = self.client.attempt(self._faulty(kind), kind)
            except (Ended, ConnectionError, ValueError) as error:
                bad.append("%s: %s" % (FAULTS[kind], error))
                continue
            refused[kind] = status
            if not good:
                accepted += status < 300 if isinstance(self.client, Rest) else status == 0
                bad.append("%s was answered with %s" % (FAULTS[kind], name))
                said = said or ("; the server says: %s" % words if words else "")
        self.begin("recovery")
        self._healthy(silent)
        self.client.infer(self._requests[0])
        self.begin("faults")
        if bad:
            outcome = Outcome.WRONG_OUTPUT if accepted == len(bad) else Outcome.FAILED
            raise Ended(outcome, "not refused %s: %s%s" % (self.client.refusal, "; ".join(bad), said))
        return refused

    def _healthy(self, begin: Callable[[str], None]) -> None:
        for stage, name in NOT.items():
            begin(stage)
            reason = self.client.refuses(stage)
            if reason:
                raise ValueError("%s: %s" % (name, reason))

    def _metadata(self) -> Dict[str, Any]:
        found: Dict[str, Any] = self.client.metadata()
        try:
            whole = all(_is_tensor(one) for one in [*found["inputs"], *found["outputs"]])
            whole = whole and bool(found["inputs"]) and bool(found["outputs"])
        except (KeyError, TypeError):
            whole = False
        if not whole:
            raise ValueError("the metadata of the model declares no inputs and outputs with name, datatype and shape")
        return found

    def _inputs(self, seed: int) -> List[tensors.Input]:
        try:
            return tensors.make(self._declared["inputs"], self.request.shapes, seed)
        except ValueError as error:
            raise ValueError(self.client.hide(error)) from None

    def _infer(self, inputs: List[tensors.Input]) -> bytes:
        raw: bytes = self.client.written(inputs, [one["name"] for one in self._declared["outputs"]])
        return raw

    def _faulty(self, kind: str) -> bytes:
        """A request as it should be, but for one thing."""
        first, *others = self._inputs(self.request.seeds[0])
        if kind == "json":
            cut: bytes = self.client.cut(self._requests[0])
            return cut
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
