"""Converts a torch graph to ONNX."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from app.engine.errors import ExportError
from app.engine.export._indices import float_indices
from app.engine.export._operators import OPSET, TRANSLATIONS
from app.engine.structures.size import Size
from common.text import first_line

INPUTS = ("images", "sizes", "original_sizes", "score_threshold")

_Shapes = tuple[Mapping[int, Any], ...]

_DIMENSIONS = {"images": ("N", "H", "W", ""), "sizes": ("N", ""), "original_sizes": ("N", "")}

_SIDE = 192  # side of the example image: a multiple of every size divisibility


def to_onnx(
    graph: nn.Module,
    outputs: Sequence[str],
    *,
    channels: int,
    metadata: Mapping[str, str],
    size: Size | None = None,
) -> onnx.ModelProto:
    """Export the graph for batches of any number, of images of `size` or of any, with `metadata`.

    Its `INPUTS` are (N, H, W, C) uint8, (N, 2) and (N, 2) int64, () float32.
    """
    free = torch.export.Dim.DYNAMIC
    sides = {1: free, 2: free} if size is None else {}
    shapes: _Shapes = ({0: free, **sides}, {0: free}, {0: free}, {})
    example = _example(channels, size or (_SIDE, 2 * _SIDE))
    model = _exported(graph, example, INPUTS, outputs, shapes)
    _name_dimensions(model, _DIMENSIONS)
    set_metadata(model, metadata)
    return model


def raw_to_onnx(
    graph: nn.Module,
    outputs: Sequence[str],
    *,
    channels: int,
    size: Size | None,
    opset: int,
    metadata: Mapping[str, str],
) -> onnx.ModelProto:
    """Export a raw graph: for one image of `size`, or for batches of any number and size.

    Its input `images` is (N, C, H, W) float32. ExportError if the graph needs a newer `opset`.
    """
    free = torch.export.Dim.DYNAMIC
    shape = (2, channels, _SIDE, 2 * _SIDE) if size is None else (1, channels, *size)
    shapes = ({0: free, 2: free, 3: free} if size is None else {},)
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 255
    model = _exported(graph, (images,), ("images",), outputs, shapes)
    if size is None:
        _name_dimensions(model, {"images": ("N", "", "H", "W")})
    set_metadata(model, metadata)
    return with_opset(model, opset)


def with_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Declare another version of ONNX's operators, and leave out what it does not know.

    ExportError if the graph is no valid one of that version.
    """
    if opset == OPSET:
        return model
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for entry in changed.opset_import:
        if not entry.domain:
            entry.version = opset
    try:
        for node in changed.graph.node:
            known = onnx.defs.get_schema(node.op_type, opset).attributes
            left_out = [attribute for attribute in node.attribute if attribute.name not in known]
            for attribute in left_out:
                node.attribute.remove(attribute)
        onnx.checker.check_model(changed, full_check=True)
    except (
        onnx.checker.ValidationError,
        onnx.defs.SchemaError,
        onnx.shape_inference.InferenceError,
    ) as error:
        raise ExportError(
            f"opset {opset}: this model has operators that need another one "
            f"({first_line(error)}); the file is not kept, use opset {OPSET}"
        ) from error
    return changed


def _exported(
    graph: nn.Module,
    example: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    shapes: _Shapes,
) -> onnx.ModelProto:
    for name in ("onnx_ir", "onnxscript"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # The warnings concern internals of torch's exporter, which users cannot change.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph.eval(),
            example,
            input_names=inputs,
            output_names=list(outputs),
            dynamic_shapes=shapes,
            custom_translation_table=TRANSLATIONS,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    faults = float_indices(model)
    assert not faults, "\n".join(faults)
    return model


def set_metadata(model: onnx.ModelProto, metadata: Mapping[str, str]) -> None:
    """Replace the metadata of the file."""
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(metadata))


def _example(channels: int, size: Size) -> tuple[Tensor, ...]:
    # Two images, with unequal sides where possible: no two dimensions are equal by chance.
    height, width = size
    generator = torch.Generator().manual_seed(0)
    shape = (2, height, width, channels)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    sizes = torch.tensor([[height, width], [height - 5, width - 9]])
    return images, sizes, sizes * 2, torch.tensor(0.0)


def _name_dimensions(model: onnx.ModelProto, names: Mapping[str, Sequence[str]]) -> None:
    """Give dimensions readable names instead of torch's names, such as `s26`."""
    for given in model.graph.input:
        for axis, name in zip(
            given.type.tensor_type.shape.dim, names.get(given.name, ()), strict=False
        ):
            if name and not axis.dim_value:
                axis.dim_param = name
    for given in (*model.graph.output, *model.graph.value_info):
        for axis in given.type.tensor_type.shape.dim:
            if axis.dim_param:
                axis.ClearField("dim_param")
    for given in model.graph.output:
        given.type.tensor_type.shape.dim[0].dim_param = "N"
