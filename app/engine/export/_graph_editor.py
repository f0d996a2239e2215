"""Changing the nodes of an ONNX graph."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Step = tuple[str, dict[str, Any], Sequence[str]]
"""Operator, attributes and the inputs behind the first one."""


class GraphEditor:
    """The nodes and constants of a model while they change; the model itself stays as it is."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = onnx.ModelProto()
        self._model.CopyFrom(model)
        self.nodes: list[Any] = list(self._model.graph.node)
        self._constants = {tensor.name: tensor for tensor in self._model.graph.initializer}
        self._number_added = 0

    def model(self) -> onnx.ModelProto:
        """The model of the present nodes and of the constants that they read."""
        graph, read = self._model.graph, {name for node in self.nodes for name in node.input}
        constants = [tensor for name, tensor in self._constants.items() if name in read]
        del graph.node[:], graph.initializer[:]
        del graph.value_info[:]  # types of tensors that may be other ones by now
        graph.node.extend(self.nodes)
        graph.initializer.extend(constants)
        return self._model

    def readers(self, name: str) -> list[Any]:
        """Nodes that read a tensor."""
        return [node for node in self.nodes if name in node.input]

    def writer(self, name: str) -> Any:
        """The node that writes a tensor, or None."""
        return next((node for node in self.nodes if name in node.output), None)

    def constant(self, name: str, values: npt.ArrayLike) -> str:
        """Add a constant: its name."""
        self._constants[name] = numpy_helper.from_array(np.asarray(values), name)
        return name

    def values(self, name: str) -> npt.NDArray[Any] | None:
        """Those of a constant; None for other tensors."""
        tensor = self._constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def are_equal(self, name: str, other: str) -> bool:
        """Whether two constants have the same values."""
        values, others = self.values(name), self.values(other)
        return values is not None and others is not None and np.array_equal(values, others)

    def insert(self, place: int, source: str, *steps: Step) -> list[Any]:
        """Put nodes at a place, the first of which reads `source`, the others the one before."""
        added = []
        for number, (kind, values, inputs) in enumerate(steps):
            self._number_added += 1
            result = f"{kind}_added_{self._number_added}"
            node = helper.make_node(kind, [source, *inputs], [result], result, **values)
            self.nodes.insert(place + number, node)
            added.append(node)
            source = result
        return added

    def insert_behind(self, node: Any, *steps: Step) -> list[Any]:
        """Put nodes between a node and all who read its result."""
        result = node.output[0]
        readers = self.readers(result)
        added = self.insert(self.nodes.index(node) + 1, result, *steps)
        for reader in readers:
            _replace(reader, result, added[-1].output[0])
        return added

    def remove(self, node: Any, instead: str) -> None:
        """Take a node away; who read its result reads another tensor."""
        for reader in self.readers(node.output[0]):
            _replace(reader, node.output[0], instead)
        self.nodes.remove(node)


def _replace(node: Any, old: str, new: str) -> None:
    node.input[:] = [new if name == old else name for name in node.input]


def attributes(node: Any) -> dict[str, Any]:
    """Names and values."""
    return {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}


def set_attributes(node: Any, **values: Any) -> None:
    """Replace some."""
    kept = [entry for entry in node.attribute if entry.name not in values]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(k, v) for k, v in values.items())])
