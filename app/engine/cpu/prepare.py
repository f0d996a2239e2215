"""A model made ready for its work: on a CPU plain modules are replaced by those of this room.

For inference norms are folded as well, and weights brought into the precision that they need,
whatever the device is.
"""

import ctypes
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import nn

from app.engine.cpu.few_cells import FewCellsRetinaNet, FewCellsRPN
from app.engine.cpu.fold import fold_batch_norm
from app.engine.cpu.nearby import NearbyRetinaNet
from app.engine.cpu.packed_conv import PackedConv2d, can_pack
from app.engine.cpu.packed_linear import PackedLinear
from app.engine.cpu.roi_align import GatheringROIPooler
from app.engine.cpu.winograd import WinogradConv2d, pays_off
from app.engine.cpu.winograd_training import TiledConv2d
from app.engine.layers.conv import Conv2d
from app.engine.layers.roi_pool import ROIPooler
from app.engine.modeling.meta_arch.retinanet import RetinaNet
from app.engine.modeling.rpn import RPN

Kinds = Mapping[type[nn.Module], type[nn.Module]]

FOR_INFERENCE: Kinds = {
    Conv2d: WinogradConv2d,
    TiledConv2d: WinogradConv2d,
    ROIPooler: GatheringROIPooler,
    RetinaNet: NearbyRetinaNet,
    FewCellsRetinaNet: NearbyRetinaNet,
}
FOR_TRAINING: Kinds = {
    Conv2d: TiledConv2d,
    ROIPooler: GatheringROIPooler,
    RPN: FewCellsRPN,
    RetinaNet: FewCellsRetinaNet,
}
"""What takes the place of a module: a subclass with the same state that computes the same in
another way. Parameters, their names and hooks stay. Convolutions are replaced where that gains."""

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Number formats of the convolutions and matrix products; everything else stays fp32."""

M = TypeVar("M", bound=nn.Module)

_PRODUCTS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def prepare_for_inference(model: M, *, precision: str = "fp32", consume: bool = False) -> M:
    """A copy of `model` that only detects, in one of PRECISIONS; outputs agree to rounding.

    To spare memory, a model that nobody else needs may be consumed: it becomes the result.
    Where it is not fp32, call it under autocast of that type: what is not replaced needs it.
    """
    dtype = PRECISIONS[precision]
    copy = fold_batch_norm(model, consume=consume)
    if _is_on_cpu(copy):
        _replace(copy, FOR_INFERENCE)
        _pack(copy, dtype)
        for module in copy.modules():
            if isinstance(module, WinogradConv2d):
                module.transform(dtype)
    for module in copy.modules():
        if dtype != torch.float32 and isinstance(module, _PRODUCTS):
            module.to(dtype)  # once, and not at every call
    copy.to(memory_format=torch.channels_last)  # likewise
    give_back_free_memory()
    return copy


def prepare_for_training(model: nn.Module, *, by_tiles: bool = True) -> None:
    """Replace what a CPU trains faster, in place; in evaluation mode the results are the same.

    by_tiles  convolutions that gain train by Winograd's tiles, which round a little more
    """
    if _is_on_cpu(model):
        left_out = () if by_tiles else (Conv2d,)
        _replace(model, {k: v for k, v in FOR_TRAINING.items() if k not in left_out})


def give_back_free_memory() -> None:
    """Hand what the C library holds free back to the system, where it is glibc.

    Worth it once, after the first batch: weights are packed then, and the holes left by the
    unpacked ones are scattered over the memory that batches use.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _is_on_cpu(model: nn.Module) -> bool:
    return all(parameter.device.type == "cpu" for parameter in model.parameters())


def _replace(model: nn.Module, kinds: Kinds) -> None:
    for module in model.modules():
        if not isinstance(module, nn.Conv2d) or pays_off(module):
            module.__class__ = kinds.get(type(module), type(module))


def _pack(module: nn.Module, dtype: torch.dtype) -> None:
    """Replaced by others: beside the packed weight a plain one would be kept for nothing."""
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            setattr(module, name, PackedLinear(child, dtype))
        elif can_pack(child):
            setattr(module, name, PackedConv2d(child, dtype))
        else:
            _pack(child, dtype)
