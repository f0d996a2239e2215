"""Rewrites graphs for ONNX Runtime's integer kernels, without a change of the values.

These kernels are fast with channels last and with enough input channels to fill a register. A copy
of floats between two of them takes as long as the kernels themselves.
N: images, H, W: height and width, C: channels, O: output channels
"""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import NameFixPass, RemoveUnusedNodesPass
from onnx_ir.tape import Tape

COPIES = ("Expand", "Gather", "Pad", "Reshape", "Transpose")
"""Operators that copy values of their first input, or pad them with zeros."""

_TO_LAST, _TO_FIRST = {"perm": [0, 2, 3, 1]}, {"perm": [0, 3, 1, 2]}
"""Attributes of a Transpose that moves the channels to the last or the first place."""

_CELL = 4
"""Number of adjacent pixels that form a cell of the first convolution."""


def for_integers(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrite a float graph with operators that are fast on integers."""
    model = ir.from_proto(proto)
    stem = _stem(model.graph)
    if stem is not None and json.loads(model.metadata_props["size_divisibility"]) % _CELL == 0:
        _by_cells(Tape(model.graph), stem)
    for node in model.graph:
        if node.op_type == "Resize":
            _by_copies(Tape(model.graph), node)
    return _finished(model)


def with_integers_kept(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrite a quantised graph so that values are copied as integers and dequantised later."""
    model = ir.from_proto(proto)
    tape = Tape(model.graph)
    waiting = [node for node in model.graph if node.op_type == "DequantizeLinear"]
    while waiting:
        dequantize = waiting.pop()
        integers, *parameters = dequantize.inputs
        if integers is None or integers.const_value is not None:
            continue
        for reader in dequantize.outputs[0].consumers():
            if reader.op_type == "QuantizeLinear":
                if all(map(_are_equal, reader.inputs[1:], parameters)):
                    reader.outputs[0].replace_all_uses_with(integers)
            elif reader.op_type in (*COPIES, "ReduceMax"):
                reader.replace_input_with(0, integers)
                if reader.op_type == "Pad":
                    reader.resize_inputs(3)
                    reader.replace_input_with(2, parameters[1])
                copied = reader.outputs[0]
                uses = tuple(copied.uses())
                _let_read(uses, tape.op("DequantizeLinear", [copied, *parameters]))
                waiting.append(tape.nodes[-1])
    return _finished(model)


def _finished(model: ir.Model) -> onnx.ModelProto:
    """Sort the graph, remove unused nodes, and remove recorded types, which may have changed."""
    model.graph.sort()
    RemoveUnusedNodesPass()(model)
    NameFixPass()(model)
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]
    return proto


def _stem(graph: ir.Graph) -> ir.Node | None:
    """Return the convolution of stride 2 that reads the pixels, or None."""
    for node in graph:
        before = node.predecessors()[:1] if node.op_type == "Conv" else ()
        if before and before[0].op_type == "Transpose" and len(node.inputs) == 3:
            weight, strides = _values(node.inputs[1]), node.attributes["strides"].as_ints()
            fits = list(strides) == [2, 2] and node.attributes.get_int("group", 1) == 1
            if weight is not None and weight.shape[1] in (1, 3) and fits:
                return node
    return None


def _by_cells(tape: Tape, conv: ir.Node) -> None:
    """Let the stem read `_CELL` pixels as one cell, (N, H, W / 4, 4 C), and write two columns.

    Each column has a separate kernel, with zeros at pixels that it does not use.
    """
    weight, bias = _values(conv.inputs[1]), _values(conv.inputs[2])
    assert weight is not None
    assert bias is not None
    outputs, channels, height, width = weight.shape
    top, left, bottom, _ = conv.attributes["pads"].as_ints()
    before, after = -(-left // _CELL), (2 + width - 1 - left) // _CELL
    wide = np.zeros((2, outputs, _CELL, channels, height, before + 1 + after), weight.dtype)
    for column in range(2):
        for place in range(width):
            cell, pixel = divmod(2 * column + place - left, _CELL)
            wide[column, :, pixel, :, :, before + cell] = weight[..., place]
    wide = wide.reshape(2 * outputs, _CELL * channels, height, -1)
    (transpose,) = conv.predecessors()
    cells = _constant(tape, "stem/cells", [0, 0, -1, _CELL * channels])
    x = tape.op("Reshape", [transpose.inputs[0], cells])
    conv.replace_input_with(0, tape.op("Transpose", [x], _TO_FIRST))
    conv.replace_input_with(1, _constant(tape, "stem/weight", wide))
    conv.replace_input_with(2, _constant(tape, "stem/bias", np.tile(bias, 2)))
    conv.attributes.add(ir.AttrInt64s("kernel_shape", wide.shape[2:]))
    conv.attributes.add(ir.AttrInt64s("strides", [2, 1]))
    conv.attributes.add(ir.AttrInt64s("pads", [top, before, bottom, after]))
    reader, *others = conv.outputs[0].consumers()
    is_fused = reader.op_type in ("Clip", "Relu") and not others
    (result,) = (reader if is_fused else conv).outputs
    uses = tuple(result.uses())
    x = tape.op("Transpose", [result], _TO_LAST)
    x = tape.op("Reshape", [x, _constant(tape, "stem/columns", [0, 0, -1, outputs])])
    _let_read(uses, tape.op("Transpose", [x], _TO_FIRST))


def _by_copies(tape: Tape, resize: ir.Node) -> None:
    """Replace nearest-neighbour upsampling by 2 with copies of whole rows, which are faster."""
    scales = _values(resize.inputs[2]) if len(resize.inputs) == 3 else None
    if scales is None or scales.tolist() != [1, 1, 2, 2]:
        return
    (result,) = resize.outputs
    last = tape.op("Transpose", resize.inputs[:1], _TO_LAST)
    twice = _constant(tape, f"{result.name}/twice", [1, 2, 2, 1])
    size = tape.op("Mul", [tape.op("Shape", [last]), twice])
    x = tape.op("Reshape", [last, _constant(tape, f"{result.name}/cells", [0, 0, 0, 1, -1])])
    x = tape.op("Expand", [x, _constant(tape, f"{result.name}/columns", [1, 1, 1, 2, 1])])
    x = tape.op("Reshape", [x, _constant(tape, f"{result.name}/lines", [0, 0, 1, -1])])
    x = tape.op("Expand", [x, _constant(tape, f"{result.name}/rows", [1, 1, 2, 1])])
    x = tape.op("Reshape", [x, size])
    result.replace_all_uses_with(tape.op("Transpose", [x], _TO_FIRST))


def _constant(tape: Tape, name: str, values: npt.ArrayLike) -> ir.Value:
    return tape.initializer(ir.tensor(np.asarray(values), name=name))


def _let_read(uses: Iterable[tuple[ir.Node, int]], value: ir.Value) -> None:
    """Replace an input of nodes by `value`."""
    for node, index in uses:
        node.replace_input_with(index, value)


def _values(value: ir.Value | None) -> npt.NDArray[Any] | None:
    """Return the values of a constant; None for other tensors."""
    constant = None if value is None else value.const_value
    return None if constant is None else constant.numpy()


def _are_equal(value: ir.Value | None, other: ir.Value | None) -> bool:
    """Return whether two constants have the same values."""
    values, others = _values(value), _values(other)
    return values is not None and others is not None and np.array_equal(values, others)
