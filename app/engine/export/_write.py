"""Converts a torch graph to ONNX."""

import logging
import warnings
from collections.abc import Mapping, Sequence

import onnx
import torch
from torch import Tensor, nn

from app.engine.export._indices import float_indices
from app.engine.export._operators import OPSET, TRANSLATIONS
from app.engine.structures.size import Size

INPUTS = ("images", "sizes", "original_sizes", "score_threshold")

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
    for name in ("onnx_ir", "onnxscript"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # The warnings concern internals of torch's exporter, which users cannot change.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph.eval(),
            _example(channels, size or (_SIDE, 2 * _SIDE)),
            input_names=INPUTS,
            output_names=list(outputs),
            dynamic_shapes=({0: free, **sides}, {0: free}, {0: free}, {}),
            custom_translation_table=TRANSLATIONS,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    _name_dimensions(model)
    faults = float_indices(model)
    assert not faults, "\n".join(faults)
    set_metadata(model, metadata)
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


def _name_dimensions(model: onnx.ModelProto) -> None:
    """Give dimensions readable names instead of torch's names, such as `s26`."""
    names = {"images": ("N", "H", "W", ""), "sizes": ("N", ""), "original_sizes": ("N", "")}
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
