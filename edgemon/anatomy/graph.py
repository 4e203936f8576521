"""What edgemon reads of an ONNX file (onnx/onnx.proto): graphs, nodes, attributes, tensors less their elements."""

import struct
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from edgemon.anatomy.budget import Budget
from edgemon.anatomy.tensors import DTYPES, RANK, SMALL, Tensor, elements, size
from edgemon.protobuf import fields, numbers, signed, text, view, whole

Dims = Tuple[Optional[int], ...]
DEEPEST = 12


class Node(NamedTuple):
    """One operator of the graph; an omitted input is an empty name."""

    op: str
    domain: str
    inputs: List[str]
    outputs: List[str]
    attributes: Dict[str, Any]


class Reference(NamedTuple):
    """An attribute that a function takes from its caller."""

    name: str


class Graph(NamedTuple):
    """`inputs` and `declared` hold dtype and shape by name; None is an open size, a shape of None an open rank."""

    nodes: List[Node]
    tensors: Dict[str, Tensor]
    inputs: Dict[str, Tuple[str, Optional[Dims]]]
    outputs: List[str]
    declared: Dict[str, Tuple[str, Optional[Dims]]]


class Function(NamedTuple):
    """A graph that nodes call by its domain and name."""

    domain: str
    name: str
    inputs: List[str]
    outputs: List[str]
    nodes: List[Node]


class Model(NamedTuple):
    """A model; `opset` is the version of the standard operators."""

    graph: Graph
    functions: Dict[Tuple[str, str], Function]
    opset: int


class Parser:
    """Reads one file, in one budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def model(self, data: memoryview) -> Model:
        """ModelProto; ValueError when it is not one."""
        graph, functions, opset = None, {}, 1
        for number, value in fields(data, self._budget):
            if number == 7:
                graph = self.graph(view(value), 0)
            elif number == 8:
                domain, version = self._opset(view(value))
                opset = version if domain in ("", "ai.onnx") else opset
            elif number == 25:
                one = self._function(view(value))
                functions[one.domain, one.name] = one
        if graph is None:
            raise ValueError("the model holds no graph: it is no ONNX model")
        return Model(graph, functions, opset)

    def graph(self, data: memoryview, depth: int) -> Graph:
        """GraphProto."""
        if depth > DEEPEST:
            raise ValueError("the model nests graphs more than %d deep" % DEEPEST)
        made = Graph([], {}, {}, [], {})
        for number, value in fields(data, self._budget):
            if number == 1:
                made.nodes.append(self._node(view(value), depth))
            elif number in (5, 15):
                tensor = self._tensor(view(value)) if number == 5 else self._sparse(view(value))
                made.tensors[tensor.name] = tensor
            elif number in (11, 12, 13):
                name, dtype, shape = self._value(view(value))
                if number == 11:
                    made.inputs[name] = (dtype, shape)
                elif number == 12:
                    made.outputs.append(name)
                made.declared[name] = (dtype, shape)
        return made

    def _opset(self, data: memoryview) -> Tuple[str, int]:
        domain, version = "", 1
        for number, value in fields(data, self._budget):
            if number == 1:
                domain = self._text(value)
            elif number == 2:
                version = whole(value)
        return domain, version

    def _node(self, data: memoryview, depth: int) -> Node:
        op, domain = "", ""
        inputs: List[str] = []
        outputs: List[str] = []
        attributes: Dict[str, Any] = {}
        for number, value in fields(data, self._budget):
            if number == 1:
                inputs.append(self._text(value))
            elif number == 2:
                outputs.append(self._text(value))
            elif number == 4:
                op = self._text(value)
            elif number == 5:
                name, it = self._attribute(view(value), depth)
                attributes[name] = it
            elif number == 7:
                domain = self._text(value)
        return Node(op, "" if domain == "ai.onnx" else domain, inputs, outputs, attributes)

    def _attribute(self, data: memoryview, depth: int) -> Tuple[str, Any]:
        name, found = "", None  # type: str, Any
        several: List[Any] = []
        kind = 0
        for number, value in fields(data, self._budget):
            if number == 1:
                name = self._text(value)
            elif number == 20:
                kind = whole(value)
            elif number == 21:
                found = Reference(self._text(value))
            elif number in _ATTRIBUTES:
                found = _ATTRIBUTES[number](self, value, depth)
            elif number in (7, 8, 9, 11):
                several += self._several(number, value, depth)
        if kind in _DEFAULTS and found is None:
            found = _DEFAULTS[kind]
        return name, several if several or kind in (6, 7, 8, 10) else found

    def _several(self, number: int, value: Union[int, memoryview], depth: int) -> List[Any]:
        if number == 7:
            return self._floats(value)
        if number == 8:
            return list(numbers(value, self._budget))
        return [self._text(value)] if number == 9 else [self.graph(view(value), depth + 1)]

    def text(self, value: Union[int, memoryview], _depth: int) -> str:
        """A string."""
        return self._text(value)

    def _text(self, value: Union[int, memoryview]) -> str:
        return text(value, self._budget)

    def _floats(self, value: Union[int, memoryview]) -> List[float]:
        if isinstance(value, int):
            return [_float(value)]
        self._budget.spend(len(value) // 4)
        return [one[0] for one in struct.iter_unpack("<f", value[: len(value) // 4 * 4])]

    def tensor(self, value: Union[int, memoryview], _depth: int) -> Tensor:
        """TensorProto."""
        return self._tensor(view(value))

    def _tensor(self, data: memoryview) -> Tensor:
        name, dtype, dims = "", "", []  # type: str, str, List[int]
        stored: Dict[int, List[Union[int, memoryview]]] = {}
        for number, value in fields(data, self._budget):
            if number == 1:
                dims += numbers(value, self._budget)
            elif number == 2:
                dtype = DTYPES.get(whole(value), "")
            elif number == 8:
                name = self._text(value)
            elif number in (4, 5, 7, 9, 10, 14):
                parts = stored.setdefault(number, [])
                if len(parts) <= SMALL:  # fields not packed: one for each element
                    parts.append(value)
        count = size(dims)
        data_of = None if stored.get(14, [0])[0] or count > SMALL else elements(dtype, stored, count, self._budget)
        return Tensor(name, dtype, tuple(dims), data_of)

    def _sparse(self, data: memoryview) -> Tensor:
        """SparseTensorProto: its values' name and type, the dense shape."""
        values, dims = Tensor("", "", (), None), []  # type: Tensor, List[int]
        for number, value in fields(data, self._budget):
            if number == 1:
                values = self._tensor(view(value))
            elif number == 3:
                dims += numbers(value, self._budget)
        size(dims)
        return Tensor(values.name, values.dtype, tuple(dims), None)

    def _value(self, data: memoryview) -> Tuple[str, str, Optional[Dims]]:
        """ValueInfoProto: name, type and shape of a tensor; nothing of a sequence or a map."""
        name, dtype, shape = "", "", None  # type: str, str, Optional[Dims]
        for number, value in fields(data, self._budget):
            if number == 1:
                name = self._text(value)
            elif number == 2:
                for which, kind in fields(view(value), self._budget):
                    if which == 1:
                        dtype, shape = self._type(view(kind))
        return name, dtype, shape

    def _type(self, data: memoryview) -> Tuple[str, Optional[Dims]]:
        dtype, shape = "", None  # type: str, Optional[Dims]
        for number, value in fields(data, self._budget):
            if number == 1:
                dtype = DTYPES.get(whole(value), "")
            elif number == 2:
                shape = tuple(self._dim(view(dim)) for which, dim in fields(view(value), self._budget) if which == 1)
        return dtype, shape if shape is None or len(shape) <= RANK else None

    def _dim(self, data: memoryview) -> Optional[int]:
        found = [signed(whole(value)) for number, value in fields(data, self._budget) if number == 1]
        return found[0] if found and found[0] >= 0 else None

    def _function(self, data: memoryview) -> Function:
        made = {1: "", 10: ""}
        lists: Dict[int, List[str]] = {4: [], 5: []}
        nodes: List[Node] = []
        for number, value in fields(data, self._budget):
            if number in made:
                made[number] = self._text(value)
            elif number in lists:
                lists[number].append(self._text(value))
            elif number == 7:
                nodes.append(self._node(view(value), 0))
        return Function(made[10], made[1], lists[4], lists[5], nodes)


_ATTRIBUTES: Dict[int, Any] = {
    2: lambda _parser, value, _depth: _float(whole(value)),
    3: lambda _parser, value, _depth: signed(whole(value)),
    4: Parser.text,
    5: Parser.tensor,
    6: lambda parser, value, depth: parser.graph(view(value), depth + 1),
}
_DEFAULTS = {1: 0.0, 2: 0, 3: ""}
"""By AttributeProto.type: a writer of proto3 leaves out what is zero."""


def _float(bits: int) -> float:
    return float(struct.unpack("<f", struct.pack("<I", bits & 0xFFFFFFFF))[0])
