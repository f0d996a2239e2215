"""Rewriting of graphs for ONNX Runtime's integer kernels: the same values by other steps.

Those kernels want channels last and enough input channels to fill a register; and a copy made of
floats between two of them costs as much as they do.
N: images, H, W: height and width, C: channels, O: output channels
"""

import json
from typing import Any

import numpy as np
import onnx

from app.engine.export._graph_editor import GraphEditor, attributes, set_attributes

COPIES = ("Expand", "Gather", "Pad", "Reshape", "Transpose")
"""Operators whose results are values of their first input, or zeros around them."""

_TO_LAST, _TO_FIRST = {"perm": [0, 2, 3, 1]}, {"perm": [0, 3, 1, 2]}
"""Of a Transpose that moves the channels there."""

_CELL = 4
"""Pixels side by side that make a cell of the first convolution."""


def for_integers(model: onnx.ModelProto) -> onnx.ModelProto:
    """A float graph of steps that integers are quick at."""
    editor = GraphEditor(model)
    stem = _stem(editor)
    divisibility = next(e.value for e in model.metadata_props if e.key == "size_divisibility")
    if stem is not None and json.loads(divisibility) % _CELL == 0:
        _by_cells(editor, stem)
    for node in [node for node in editor.nodes if node.op_type == "Resize"]:
        _by_copies(editor, node)
    return editor.model()


def with_integers_kept(model: onnx.ModelProto) -> onnx.ModelProto:
    """A quantised graph that makes floats of integers behind copies, not before them."""
    editor = GraphEditor(model)
    waiting = [node for node in editor.nodes if node.op_type == "DequantizeLinear"]
    while waiting:
        dequantize = waiting.pop()
        integers, *scale_and_zero = dequantize.input
        if editor.values(integers) is not None:
            continue
        for reader in editor.readers(dequantize.output[0]):
            if reader.op_type == "QuantizeLinear":
                if all(map(editor.are_equal, reader.input[1:], scale_and_zero)):
                    editor.remove(reader, integers)
            elif reader.op_type in (*COPIES, "ReduceMax"):
                reader.input[0] = integers
                if reader.op_type == "Pad":
                    reader.input[2:3] = scale_and_zero[1:]
                waiting += editor.insert_behind(reader, ("DequantizeLinear", {}, scale_and_zero))
        if not editor.readers(dequantize.output[0]):
            editor.nodes.remove(dequantize)
    return editor.model()


def _stem(editor: GraphEditor) -> Any:
    """The convolution of stride 2 that reads the pixels, or None."""
    for node in editor.nodes:
        before = editor.writer(node.input[0]) if node.op_type == "Conv" else None
        if before is not None and before.op_type == "Transpose":
            weight, of_conv = editor.values(node.input[1]), attributes(node)
            fits = of_conv["strides"] == [2, 2] and of_conv.get("group", 1) == 1
            if weight is not None and weight.shape[1] in (1, 3) and fits and len(node.input) == 3:
                return node
    return None


def _by_cells(editor: GraphEditor, conv: Any) -> None:
    """Let the stem see `_CELL` pixels as one of (N, H, W / 4, 4 C), and give two columns of each.

    Each column has a kernel of its own, with zeros where it does not look.
    """
    weight, bias = editor.values(conv.input[1]), editor.values(conv.input[2])
    assert weight is not None
    assert bias is not None
    outputs, channels, height, width = weight.shape
    top, left, bottom, _ = attributes(conv)["pads"]
    before, after = -(-left // _CELL), (2 + width - 1 - left) // _CELL
    wide = np.zeros((2, outputs, _CELL, channels, height, before + 1 + after), weight.dtype)
    for column in range(2):
        for x in range(width):
            cell, pixel = divmod(2 * column + x - left, _CELL)
            wide[column, :, pixel, :, :, before + cell] = weight[..., x]
    shape = editor.constant("stem/cells", [0, 0, -1, _CELL * channels])
    *_, cells = editor.insert(
        editor.nodes.index(conv),
        editor.writer(conv.input[0]).input[0],
        ("Reshape", {}, [shape]),
        ("Transpose", _TO_FIRST, []),
    )
    wide = wide.reshape(2 * outputs, _CELL * channels, height, -1)
    conv.input[:] = [
        cells.output[0],
        editor.constant("stem/weight", wide),
        editor.constant("stem/bias", np.tile(bias, 2)),
    ]
    pads = [top, before, bottom, after]
    set_attributes(conv, kernel_shape=wide.shape[2:], strides=[2, 1], pads=pads)
    reader, *others = editor.readers(conv.output[0])
    is_fused = reader.op_type in ("Clip", "Relu") and not others
    editor.insert_behind(
        reader if is_fused else conv,
        ("Transpose", _TO_LAST, []),
        ("Reshape", {}, [editor.constant("stem/columns", [0, 0, -1, outputs])]),
        ("Transpose", _TO_FIRST, []),
    )


def _by_copies(editor: GraphEditor, resize: Any) -> None:
    """Twice the size by nearest neighbours: copies of rows, not a search for each value."""
    scales = editor.values(resize.input[2]) if len(resize.input) == 3 else None
    if scales is None or scales.tolist() != [1, 1, 2, 2]:
        return
    name, place = resize.output[0], editor.nodes.index(resize)
    last, _, twice = editor.insert(
        place,
        resize.input[0],
        ("Transpose", _TO_LAST, []),
        ("Shape", {}, []),
        ("Mul", {}, [editor.constant(f"{name}/twice", [1, 2, 2, 1])]),
    )
    *_, copied = editor.insert(
        place + 3,
        last.output[0],
        ("Reshape", {}, [editor.constant(f"{name}/cells", [0, 0, 0, 1, -1])]),
        ("Expand", {}, [editor.constant(f"{name}/columns", [1, 1, 1, 2, 1])]),
        ("Reshape", {}, [editor.constant(f"{name}/lines", [0, 0, 1, -1])]),
        ("Expand", {}, [editor.constant(f"{name}/rows", [1, 1, 2, 1])]),
        ("Reshape", {}, [twice.output[0]]),
        ("Transpose", _TO_FIRST, []),
    )
    editor.remove(resize, copied.output[0])
