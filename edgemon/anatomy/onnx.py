"""Counts the MACs of an ONNX model: walks its graph with the shapes of the inputs, operator by operator."""

from collections import ChainMap
from typing import Any, Dict, List, Mapping, MutableMapping, Optional, Sequence, Tuple

from edgemon.anatomy.budget import Budget
from edgemon.anatomy.costs import COSTS, precision
from edgemon.anatomy.graph import Function, Graph, Model, Node, Parser, Reference
from edgemon.anatomy.rules import FREE, RULES
from edgemon.anatomy.tally import Tally
from edgemon.anatomy.tensors import Tensor
from edgemon.anatomy.values import Call, Dims, Unknown, Value, bounded, sane

CALLS = 16
MALFORMED = (ValueError, TypeError, IndexError, KeyError, AttributeError, ArithmeticError)
"""What a rule raises for attributes and inputs that the operator cannot have: the node is then not known."""
CONTROL = ("If", "Loop", "Scan", "SequenceMap")
OPAQUE = ("EPContext", "TRT_EngineOp", "TRTEngineOp")
"""Operators that hold a compiled part of the network."""
SCALES: Dict[str, Tuple[int, ...]] = {
    **dict.fromkeys(["QuantizeLinear", "DequantizeLinear", "Resize", "Upsample"], (1, 2)),
    **dict.fromkeys(["QLinearConv", "QLinearMatMul"], (1, 2, 4, 5, 6, 7)),
    **dict.fromkeys(["ConvInteger", "MatMulInteger"], (2, 3)),
}
"""Inputs that say how numbers are written or sampled, and are no parameters."""


def count(data: memoryview, shapes: Mapping[str, Sequence[int]]) -> Tally:
    """MACs and parameters of an ONNX model for inputs of these shapes; ValueError when the file is not one.

    An input not named has its declared shape, its first size 1 where that is open, as the runtime makes it.
    """
    budget = Budget()
    walk = Walk(Parser(budget).model(data), budget)
    walk.stored()
    graph = walk.model.graph
    walk.graph(graph, {name: _input(name, *told, shapes) for name, told in graph.inputs.items()})
    return walk.tally


def _input(name: str, dtype: str, shape: Optional[Dims], shapes: Mapping[str, Sequence[int]]) -> Value:
    if name in shapes:
        return Value(dtype, tuple(shapes[name]))
    if shape and shape[0] is None:
        shape = (1, *shape[1:])
    return Value(dtype, shape)


def constant(tensor: Tensor) -> Value:
    """A stored tensor as a value."""
    return Value(tensor.dtype, tensor.dims, tensor.data)


class Walk:
    """One walk over one model."""

    def __init__(self, model: Model, budget: Budget) -> None:
        self.tally = Tally()
        self.model = model
        self._budget = budget
        self._bearing: Dict[int, bool] = {}

    def stored(self) -> None:
        """Count the parameters: stored tensors of a rank, less shapes, indices and quantisation scales."""
        bodies = [self.model.graph.nodes, *[one.nodes for one in self.model.functions.values()]]
        graphs = [self.model.graph]
        while bodies:
            for node in bodies.pop():
                for value in node.attributes.values():
                    inner = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, Graph)]
                    graphs += inner
                    bodies += [one.nodes for one in inner]
                if node.op == "Constant" and isinstance(node.attributes.get("value"), Tensor):
                    graphs.append(Graph([], {node.outputs[0]: node.attributes["value"]}, {}, [], {}))
        scales = {name for graph in graphs for node in graph.nodes for name in _scales(node)}
        for graph in graphs:
            for name, tensor in graph.tensors.items():
                if tensor.dims and name not in scales and tensor.dtype not in ("int64", "bool", "string"):
                    self.tally.store(tensor.dtype, tensor.dims)

    def graph(self, graph: Graph, scope: MutableMapping[str, Value]) -> List[Value]:
        """Walk a graph, its inputs or what is around it in the scope; give its outputs."""
        self._budget.spend(len(graph.tensors))
        scope.update((name, constant(one)) for name, one in graph.tensors.items())
        for node in graph.nodes:
            self._node(node, scope, {}, 0, graph.declared)
        return [scope.get(name, Value()) for name in graph.outputs]

    def _node(
        self,
        node: Node,
        scope: MutableMapping[str, Value],
        told: Mapping[str, Any],
        depth: int,
        declared: Mapping[str, Any],
    ) -> None:
        """Walk one node: its outputs enter the scope, its cost the tally. `told` are a function's attributes."""
        attributes = {
            name: told.get(value.name) if isinstance(value, Reference) else value
            for name, value in node.attributes.items()
        }
        inputs = [scope.get(name, Value()) if name else None for name in node.inputs]
        self._budget.spend(2 + len(inputs) + len(node.outputs) + sum(len(one.data or ()) for one in inputs if one) // 8)
        while inputs and inputs[-1] is None:
            inputs.pop()
        call = Call(_name(node), attributes, inputs, self.model.opset, len(node.outputs))
        function = self.model.functions.get((node.domain, node.op))
        if function:
            made = self._function(function, call, depth)
        elif node.op in CONTROL and not node.domain:
            made = self._control(call, scope)
        else:
            made = self._operator(call)
        for place, name in enumerate(node.outputs):
            value = sane(made[place]) if place < len(made) else Value()
            dtype, shape = declared.get(name, ("", None))
            if value.shape is None and shape is not None and None not in shape:
                value = Value(value.dtype or dtype, shape)
            if name:
                scope[name] = value
        self._weigh(call, scope.get(node.outputs[0], Value()) if node.outputs else Value(), bool(function))

    def _operator(self, call: Call) -> List[Value]:
        if call.op == "Constant":
            return _constant(call.attributes)
        rule = RULES.get(call.op)
        try:
            return rule(call) if rule else []
        except (Unknown, *MALFORMED):
            return []

    def _weigh(self, call: Call, out: Value, inside: bool) -> None:
        """Add what the node costs; a function's and a control flow's nodes have been added one by one."""
        cost = COSTS.get(call.op)
        if inside or (cost is None and (call.op in RULES or call.op in FREE or call.op in CONTROL)):
            return
        try:
            told = (bounded(cost(call, out)), precision(call)) if cost else None
        except (Unknown, *MALFORMED):
            told = None
        if told:
            self.tally.count(*told)
        else:
            self.tally.miss(call.op.replace("ms.", "com.microsoft.", 1), call.op.rpartition(".")[2] in OPAQUE)

    def _function(self, function: Function, call: Call, depth: int) -> List[Value]:
        if depth >= CALLS:
            raise ValueError("the model's functions call one another more than %d deep" % CALLS)
        scope = {name: value for name, value in zip(function.inputs, call.inputs) if value is not None}
        for node in function.nodes:
            self._node(node, scope, call.attributes, depth + 1, {})
        return [scope.get(name, Value()) for name in function.outputs]

    def _control(self, call: Call, scope: MutableMapping[str, Value]) -> List[Value]:
        """An If whose condition is known is its branch; of any other control flow the bodies with MACs are missed."""
        bodies = [one for one in call.attributes.values() if isinstance(one, Graph)]
        condition = call.optional(0)
        if call.op == "If" and condition is not None and condition.data and condition.data[0] is not None:
            taken = call.attributes.get("then_branch" if condition.data[0] else "else_branch")
            if isinstance(taken, Graph):
                return self.graph(taken, ChainMap({}, scope))
        if any(self._bears(body) for body in bodies):
            self.tally.miss(call.op, False)
        return []

    def _bears(self, graph: Graph) -> bool:
        """Whether a graph or one inside it holds a node with MACs, or one that may have them."""
        if id(graph) not in self._bearing:
            self._bearing[id(graph)] = any(self._may(node) for node in graph.nodes)
        return self._bearing[id(graph)]

    def _may(self, node: Node) -> bool:
        name = _name(node)
        free = name in RULES or name in FREE or name in CONTROL
        inner = [one for one in node.attributes.values() if isinstance(one, Graph)]
        return name in COSTS or not free or any(self._bears(one) for one in inner)


def _name(node: Node) -> str:
    """An operator's name in the tables."""
    if node.domain in ("", "ai.onnx"):
        return node.op
    return "%s.%s" % ("ms" if node.domain == "com.microsoft" else node.domain, node.op)


def _scales(node: Node) -> List[str]:
    return [node.inputs[place] for place in SCALES.get(node.op, ()) if place < len(node.inputs)]


def _constant(attributes: Mapping[str, Any]) -> List[Value]:
    """The value of a Constant node."""
    value = attributes.get("value")
    if isinstance(value, Tensor):
        return [constant(value)]
    for name, dtype in (("value_int", "int64"), ("value_float", "float32")):
        if name in attributes:
            return [Value(dtype, (), (attributes[name],))]
        if name + "s" in attributes:
            several = tuple(attributes[name + "s"])
            return [Value(dtype, (len(several),), several)]
    return []
