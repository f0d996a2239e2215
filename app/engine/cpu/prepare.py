"""A model made ready for its work on a CPU: plain layers replaced by those of this room.

For inference norms are folded, and weights brought into the precision and order that they need; on
a GPU too, where nothing else is replaced. For training the names of all weights stay.
"""

import ctypes
from collections.abc import Collection, Mapping
from itertools import accumulate, chain
from typing import TypeVar

import torch
from torch import nn

from app.engine.cpu.fold import fold_batch_norm
from app.engine.cpu.packed import (
    NONE,
    PackedConv2d,
    PackedDoubling,
    PackedLinear,
    activation_of,
    can_pack,
)
from app.engine.cpu.roi_align import GatheringROIPooler
from app.engine.cpu.winograd import WinogradConv2d, is_wide, pays_off, transformed_bytes
from app.engine.cpu.winograd_training import TiledConv2d
from app.engine.layers.conv import Conv2d
from app.engine.layers.doubling import Doubling
from app.engine.layers.map_linear import MapLinear
from app.engine.layers.roi_pool import ROIPooler

Kinds = Mapping[type[nn.Module], type[nn.Module]]

REPLACED: Kinds = {ROIPooler: GatheringROIPooler}
"""What takes the place of plain modules, in training and in inference: the same state, another way
to compute what it stands for."""

M = TypeVar("M", bound=nn.Module)

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Number formats of the convolutions and matrix products; everything else stays fp32."""

_PRODUCTS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)

# Transformed filters of a model, of which wide layers take what narrow ones leave: with more, nets
# of many convolutions (RetinaNet, ResNet-101) would take more memory than detectron2's.
_MOST_TRANSFORMED_BYTES = 230_000_000


def prepare_for_inference(model: M, *, precision: str = "fp32", consume: bool = False) -> M:
    """A copy of `model` that only detects, in one of PRECISIONS; outputs agree to rounding.

    To spare memory, a model that nobody else needs may be consumed: it becomes the result.
    Where it is not fp32, call it under autocast of that type: inputs of what is not packed need it.
    """
    dtype = PRECISIONS[precision]
    copy = fold_batch_norm(model, consume=consume)
    _replace(copy, REPLACED)
    _pack(copy, dtype, _by_tiles(copy, dtype))
    for module in copy.modules():
        if dtype != torch.float32 and isinstance(module, _PRODUCTS):
            module.to(dtype)  # once, and not at every call
    copy.to(memory_format=torch.channels_last)  # likewise, the filters of what is not packed
    give_back_free_memory()
    return copy


def prepare_for_training(
    model: nn.Module, dtype: torch.dtype | None = None, *, by_tiles: bool = True
) -> None:
    """Replace what a CPU trains faster, in place; in evaluation mode the results are the same.

    dtype     of autocast; None where there is none
    by_tiles  convolutions that gain train by Winograd's tiles, which round a little more
    """
    _replace(model, REPLACED)
    if by_tiles:
        for module in model.modules():
            if type(module) is Conv2d and _trains_by_tiles(module, dtype or torch.float32):
                module.__class__ = TiledConv2d


def _trains_by_tiles(conv: Conv2d, dtype: torch.dtype) -> bool:
    # Filters are transformed at every step: wide ones cost more than their small maps.
    return not is_wide(conv) and pays_off(conv, dtype)


def _replace(model: nn.Module, kinds: Kinds) -> None:
    """Modules on a CPU become those of `kinds`, in place: parameters, names and hooks stay."""
    if any(tensor.device.type != "cpu" for tensor in chain(model.parameters(), model.buffers())):
        return
    for module in model.modules():
        module.__class__ = kinds.get(type(module), type(module))


def give_back_free_memory() -> None:
    """Hand what the C library holds free back to the system, where it is glibc.

    Worth it once, after the first batch: weights are packed then, and the holes left by the
    unpacked ones are scattered over the memory that batches use.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _by_tiles(model: nn.Module, dtype: torch.dtype) -> set[nn.Conv2d]:
    """The convolutions that gain by tiles and have the memory for it.

    Of wide ones the last come first: the maps of many boxes have more tiles than those of a body.
    """
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d) and pays_off(m, dtype)]
    convs.reverse()
    convs.sort(key=is_wide)
    totals = accumulate(transformed_bytes(conv, dtype) for conv in convs)
    return {
        conv
        for conv, total in zip(convs, totals, strict=True)
        if total <= _MOST_TRANSFORMED_BYTES or not is_wide(conv)
    }


def _pack(module: nn.Module, dtype: torch.dtype, by_tiles: Collection[nn.Conv2d]) -> None:
    """Replace what oneDNN can do by its packed form, in place."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Conv2d):
            _pack_conv(module, name, child, dtype, child in by_tiles)
        elif isinstance(child, Doubling):
            if can_pack(child, dtype):
                setattr(module, name, PackedDoubling.of(child, dtype))
        elif isinstance(child, nn.Linear):
            if can_pack(child, dtype) and type(child) in (nn.Linear, MapLinear):
                maps = child.maps if isinstance(child, MapLinear) else None
                setattr(module, name, PackedLinear(child, dtype=dtype, maps=maps))
        else:
            _pack(child, dtype, by_tiles)
    if isinstance(module, nn.Sequential):
        _absorb_activations(module)


def _pack_conv(
    parent: nn.Module, name: str, conv: nn.Conv2d, dtype: torch.dtype, by_tiles: bool
) -> None:
    activation = activation_of(conv.activation) if isinstance(conv, Conv2d) else NONE
    has_norm = isinstance(conv, Conv2d) and conv.norm is not None
    known = type(conv) in (nn.Conv2d, Conv2d, TiledConv2d)
    if known and activation is not None and not has_norm and can_pack(conv, dtype):
        kind = WinogradConv2d if by_tiles else PackedConv2d
        setattr(parent, name, kind(conv, dtype=dtype, activation=activation))


def _absorb_activations(sequence: nn.Sequential) -> None:
    """Give convolutions the activation right behind them (a folded norm may lie between)."""
    last: PackedConv2d | None = None
    for name, module in list(sequence.named_children()):
        if isinstance(module, PackedConv2d):
            last = module if module.activation is NONE else None
        elif not isinstance(module, nn.Identity):
            activation = activation_of(module) if last is not None else None
            if last is not None and activation is not None:
                last.activation = activation
                setattr(sequence, name, nn.Identity())
            last = None
