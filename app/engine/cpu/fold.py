"""Fold batch norms into the convolutions before them, for inference."""

from copy import deepcopy
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

from app.engine.layers.conv import Conv2d, folded
from app.engine.layers.norm import FrozenBatchNorm2d

M = TypeVar("M", bound=nn.Module)


def fold_batch_norm(model: M, *, consume: bool = False) -> M:
    """Return a copy of `model` for inference, without batch norms; outputs agree to rounding.

    A norm is folded if it is the `norm` of a `Conv2d`, or the next sibling of an `nn.Conv2d` with
    the same number of channels. The copy shares no tensor with `model`. With `consume`, `model`
    itself is changed and returned.
    """
    copy = (model if consume else deepcopy(model)).eval().requires_grad_(False)
    for module in list(copy.modules()):
        if isinstance(module, Conv2d) and _is_batch_norm(module.norm):
            _fold(module, module.norm)
            module.norm = None
        children = list(module.named_children())
        for (_, conv), (name, norm) in pairwise(children):
            plain = isinstance(conv, nn.Conv2d) and getattr(conv, "norm", None) is None
            if plain and _is_batch_norm(norm) and norm.num_features == conv.out_channels:
                _fold(conv, norm)
                setattr(module, name, nn.Identity())
    return copy


def _is_batch_norm(module: nn.Module | None) -> bool:
    # Subclasses of these differ in training only.
    return isinstance(module, FrozenBatchNorm2d | nn.BatchNorm2d | nn.SyncBatchNorm)


@torch.no_grad()
def _fold(conv: nn.Module, norm: nn.Module | None) -> None:
    assert isinstance(conv, nn.Conv2d)
    weight, bias = folded(conv, *_scale_and_shift(norm))
    conv.weight.copy_(weight)
    conv.bias = nn.Parameter(bias, requires_grad=False)


def _scale_and_shift(norm: nn.Module | None) -> tuple[Tensor, Tensor]:
    if isinstance(norm, FrozenBatchNorm2d):
        return norm.scale_and_shift()
    assert isinstance(norm, nn.BatchNorm2d | nn.SyncBatchNorm)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var + norm.eps).rsqrt()
    shift = -norm.running_mean * scale
    return (scale * norm.weight, shift * norm.weight + norm.bias) if norm.affine else (scale, shift)
