"""LiteRT: ai-edge-litert, else tflite_runtime, else TensorFlow's; on the CPU or through a delegate such as Edge TPU's.

`options`: `delegate`: `edgetpu` (libedgetpu.so.1; through pycoral where the one that has `pycoral.utils.edgetpu` is
installed), `none` (not even XNNPACK, which the engine applies by itself), or the path of an external delegate, with
`delegate_options`; `device`: which Edge TPU, such as `usb`, `pci:0`, `:0`.

The engine keeps no record of placement, but its list of operators tells it: an operator named DELEGATE stands for those
between its inputs and outputs. Those that are there before the tensors are allocated are the external delegate's; later
ones are XNNPACK's. A delegate that does not load leaves the model to the CPU, as it does in production, and is told.
"""

from __future__ import annotations

import glob
import importlib
import importlib.util
import os
from typing import Any, Callable, Dict, List, Sequence

from edgemon.probe import golden
from edgemon.probe.graphs import dense
from edgemon.probe.inputs import Inputs, Port, comparable, digest, unknown
from edgemon.probe.kernels import ACCELERATED, HERE, Kernel, product
from edgemon.probe.result import BusyError, Request

PACKAGES = {
    "ai_edge_litert.interpreter": "ai-edge-litert",
    "tflite_runtime.interpreter": "tflite-runtime",
    "tensorflow.lite": "tensorflow",
}
OPTIONS = ["delegate", "delegate_options", "device"]
EDGETPU, LIBRARY = "EdgeTPU", "libedgetpu.so.1"
WITHOUT_DEFAULT_DELEGATES = "BUILTIN_WITHOUT_DEFAULT_DELEGATES"


class Litert:
    """One interpreter on one model."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._wanted = str(request.options.get("delegate") or "")
        self._name = {"": "CPU", "none": "CPU", "edgetpu": EDGETPU}.get(self._wanted, os.path.basename(self._wanted))
        self._refused: Dict[str, str] = {}
        self._index = -1

    def start(self) -> None:
        """Import the engine: the one that pycoral uses if the delegate is the Edge TPU's and pycoral is here."""
        import numpy

        self._numpy = numpy
        self._coral = importlib.import_module("pycoral.utils.edgetpu") if self._name == EDGETPU and coral() else None
        names = ["tflite_runtime.interpreter"] if self._coral else list(PACKAGES)
        found = [name for name in names if importable(name)]
        if not found:
            raise RuntimeError("no LiteRT here; install one of %s" % ", ".join(PACKAGES.values()))
        self._engine, self._package = importlib.import_module(found[0]), PACKAGES[found[0]]

    def version(self) -> str:
        """The engine's package and version."""
        from importlib.metadata import version

        return "%s %s" % (self._package, version(self._package))

    def load(self) -> None:
        """Read the model, apply the delegate, allocate, make the inputs."""
        unknown("options", self._request.options, OPTIONS)
        self._digest = digest(self._request.model)
        delegate = self._delegate()
        self._interpreter = self._create(delegate, model_path=self._request.model)
        before = len(self._ops(self._interpreter))
        self._ports = [port(one) for one in self._interpreter.get_input_details()]
        unknown("shapes", self._request.shapes, [one.name for one in self._ports], "the model's inputs are")
        for one in self._interpreter.get_input_details():
            if one["name"] in self._request.shapes:
                self._interpreter.resize_tensor_input(one["index"], self._request.shapes[one["name"]])
        self._allocate()
        comparable([port(one) for one in self._interpreter.get_output_details()])
        self._owner = owners(self._ops(self._interpreter), before, self._name)
        self._inputs = Inputs(self._numpy, self._request, self._ports)
        self._feed(0)

    def infer(self) -> Callable[[], Any]:
        """One inference on the first input."""
        self._feed(0)
        return self._interpreter.invoke  # type: ignore[no-any-return]

    def kernels(self) -> Dict[str, Kernel]:
        """A fixed product of matrices through the same delegate, alone: refused, not run elsewhere, if it cannot.

        An Edge TPU takes only what its own compiler has made, so there the standard library's kernel stands.
        """
        if self._name == EDGETPU:
            raise RuntimeError("an Edge TPU takes no graph that is made here")
        size, depth = HERE if self._name == "CPU" else ACCELERATED
        values = self._numpy.random.RandomState(0).random_sample((2, size, size)).astype("float32") / size
        self._reference = dense(size, depth, values[0].tobytes())  # the engine reads it in place
        made = self._create(self._delegate(), model_content=self._reference)
        before = len(self._ops(made))
        made.allocate_tensors()
        owner = set(owners(self._ops(made), before, self._name))
        if self._name != "CPU" and owner != {self._name}:
            raise RuntimeError("the reference graph runs on %s" % ", ".join(sorted(owner)))
        made.set_tensor(made.get_input_details()[0]["index"], values[1])
        return {"compute": product(self._name, size, depth, made.invoke)}

    def outputs(self, index: int) -> List[Dict[str, Any]]:
        """The plain tensors for one set of inputs, quantised ones with their real values; then the first is back."""
        self._feed(index)
        self._interpreter.invoke()
        made = []
        details = self._interpreter.get_output_details()
        for one in details:
            array, out = self._interpreter.get_tensor(one["index"]), port(one)
            share = len(details) * len(self._inputs.sets)
            made.append(golden.plain(self._numpy, out.name, array, share, out.scale, out.zero))
        self._feed(0)
        return made

    def facts(self) -> Dict[str, Any]:
        """What really runs."""
        total = len(self._owner)
        names = dict.fromkeys([*([] if self._name == "CPU" else [self._name]), *self._owner])
        return {
            "runtime": "litert",
            "model_sha256": self._digest,
            "requested": [self._name],
            "registered": [name for name in names if name not in self._refused],
            "refused": self._refused,
            "placement": {name: self._owner.count(name) / total for name in names} if total else {},
            "inputs": self._inputs.told,
            "options": {"threads": self._request.threads, **self._request.options},
        }

    def _delegate(self) -> Any:
        if self._name == "CPU":
            return None
        library = LIBRARY if self._name == EDGETPU else self._wanted
        options = dict(self._request.options.get("delegate_options") or {})
        if self._request.options.get("device"):
            options["device"] = str(self._request.options["device"])
        load = self._coral.load_edgetpu_delegate if self._coral else self._load(library)
        try:
            return load(options)
        except (OSError, ValueError, RuntimeError) as error:
            owned = [path for path in glob.glob("/sys/class/apex/apex_*/is_device_owned") if number(path)]
            if self._name == EDGETPU and owned and not isinstance(error, OSError):
                raise BusyError("the Edge TPU is in use by another process (%s)" % owned[0]) from None
            said = " ".join(str(error).split()) or "no reason told; is the device there, and free?"
            self._refused[self._name] = said if library in said else "%s: %s" % (library, said)
            return None

    def _load(self, library: str) -> Callable[[Dict[str, str]], Any]:
        load = getattr(self._engine, "load_delegate", None) or self._engine.experimental.load_delegate
        return lambda options: load(library, options)

    def _create(self, delegate: Any, **model: Any) -> Any:
        more: Dict[str, Any] = {"experimental_delegates": [delegate]} if delegate else {}
        if self._wanted == "none":
            kinds = getattr(self._engine, "OpResolverType", None) or self._engine.experimental.OpResolverType
            more["experimental_op_resolver_type"] = getattr(kinds, WITHOUT_DEFAULT_DELEGATES)
        try:
            return self._engine.Interpreter(num_threads=self._request.threads, **model, **more)
        except ValueError as error:
            raise ValueError("model %s: %s" % (self._request.model, error)) from None

    def _allocate(self) -> None:
        try:
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            why = "; " + "; ".join(self._refused.values()) if self._refused else ""
            raise RuntimeError("model %s: %s%s" % (self._request.model, error, why)) from None

    def _ops(self, interpreter: Any) -> List[Dict[str, Any]]:
        read = getattr(interpreter, "_get_ops_details", None)  # private, and in every release since 2.5
        return read() if read else []

    def _feed(self, index: int) -> None:
        if index == self._index:
            return
        for one in self._interpreter.get_input_details():
            self._interpreter.set_tensor(one["index"], self._inputs.sets[index][one["name"]])
        self._index = index


def owners(ops: Sequence[Dict[str, Any]], before: int, name: str) -> List[str]:
    """Who runs each of the model's own operators: the external delegate `name`, XNNPACK, or the CPU's own kernels.

    `before` is how many operators there were before XNNPACK came.
    """
    own = [op for op in ops if op["op_name"] != "DELEGATE"]
    maker = {int(tensor): place for place, op in enumerate(own) for tensor in op["outputs"]}
    owner = ["CPU"] * len(own)
    for place, op in enumerate(ops):
        if op["op_name"] == "DELEGATE":
            ends, todo = set(map(int, op["inputs"])), list(map(int, op["outputs"]))
            while todo:
                made = maker.get(todo.pop())
                if made is not None and owner[made] == "CPU":
                    owner[made] = name if place < before else "XNNPACK"
                    todo += [int(tensor) for tensor in own[made]["inputs"] if int(tensor) not in ends]
    return owner


def port(one: Dict[str, Any]) -> Port:
    """An input or output from the engine's description of it."""
    scale, zero = one["quantization"]
    signature = one.get("shape_signature")
    shape = one["shape"] if signature is None or not len(signature) else signature
    sizes = [int(size) if size >= 0 else None for size in shape]
    return Port(str(one["name"]), one["dtype"].__name__, sizes, float(scale), int(zero))


def coral() -> bool:
    """Whether Google's pycoral is here; the package of that name on PyPI is another."""
    return importable("pycoral.utils.edgetpu")


def importable(name: str) -> bool:
    """Whether there is such a module."""
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False


def number(path: str) -> int:
    """The number in a kernel file, 0 when it cannot be read."""
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


RUNTIME = Litert
