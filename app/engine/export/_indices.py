"""Proof that no float reaches an index of a graph.

Runtimes may compute floats in a shorter format than the file says, and in bfloat16 257 is 256. A
place that was counted in floats is then another place. Indices, counts and shapes are therefore
integers from their source on. A comparison of floats is such a source, because it is a decision.
"""

from collections.abc import Iterator, Mapping

import onnx
from onnx import TensorProto

_INDICES: Mapping[str, tuple[int, ...]] = {
    "CenterCropPad": (1,),
    "Compress": (1,),
    "ConstantOfShape": (0,),
    "CumSum": (1,),
    "Expand": (1,),
    "Gather": (1,),
    "GatherElements": (1,),
    "GatherND": (1,),
    "NonMaxSuppression": (2,),
    "NonZero": (0,),
    "OneHot": (0, 1),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (3,),
    "ReverseSequence": (1,),
    "RoiAlign": (2,),
    "ScatterElements": (1,),
    "ScatterND": (1,),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Trilu": (1,),
    "Unsqueeze": (1,),
    **{f"Reduce{kind}": (1,) for kind in ("L1", "L2", "Max", "Mean", "Min", "Prod", "Sum")},
}
"""Operator -> its inputs that are indices, counts or shapes."""

_PLACES = {
    "ArgMax": 0,
    "ArgMin": 0,
    "NonMaxSuppression": 0,
    "NonZero": 0,
    "Shape": 0,
    "Size": 0,
    "TopK": 1,
}
"""Operator -> its output that is an integer by nature."""

_DECISIONS = {
    *("And", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "Not"),
    *("Or", "Xor"),
}

_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}


def float_indices(model: onnx.ModelProto) -> list[str]:
    """Return a sentence about each index that depends on a float, unless that is a constant."""
    graph = _Graph(onnx.shape_inference.infer_shapes(model).graph)
    faults = [
        f"{node.op_type} {node.name}: input {place} depends on the float {value}"
        for node in model.graph.node
        for place in _INDICES.get(node.op_type, ())
        if place < len(node.input)
        for value in graph.floats_behind(node.input[place])
    ]
    return [*faults, *graph.unknown()]


class _Graph:
    """Values of a graph, with their types and the nodes that write them."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes = graph.node
        self.writers = {name: node for node in graph.node for name in node.output}
        self.types = {given.name: given.data_type for given in graph.initializer}
        self.inputs = {given.name for given in graph.input} - set(self.types)
        for given in (*graph.value_info, *graph.input, *graph.output):
            self.types[given.name] = given.type.tensor_type.elem_type

    def unknown(self) -> Iterator[str]:
        """Yield a sentence about each thing that cannot be followed."""
        for node in self.nodes:
            if any(attribute.HasField("g") for attribute in node.attribute):
                yield f"{node.op_type} {node.name}: has a graph of its own, which is not followed"
            for name in node.output:
                if name and not self.types.get(name):
                    yield f"{node.op_type} {node.name}: the type of {name} is unknown"

    def floats_behind(self, value: str) -> list[str]:
        """Return the floats that an index depends on: the nearest one on each way back."""
        found, waiting, seen = [], [value], {""}
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            if self.types.get(name) in _FLOATS:
                if self._depends_on_inputs(name):
                    found.append(name)
            elif not self._is_source(name):
                waiting.extend(self.writers[name].input)
        return found

    def _is_source(self, name: str) -> bool:
        """Whether a value that is no float is a source of indices."""
        node = self.writers.get(name)
        if node is None or node.op_type in _DECISIONS:
            return True
        if node.op_type == "Cast" and self.types[name] == TensorProto.BOOL:
            return True  # whether a number is not 0
        place = _PLACES.get(node.op_type)
        return place is not None and node.output[place] == name

    def _depends_on_inputs(self, name: str) -> bool:
        """Whether a value is computed from an input of the graph, and not from constants alone."""
        waiting, seen = [name], {""}
        while waiting:
            name = waiting.pop()
            if name in self.inputs:
                return True
            if name not in seen and name in self.writers:
                waiting.extend(self.writers[name].input)
            seen.add(name)
        return False
