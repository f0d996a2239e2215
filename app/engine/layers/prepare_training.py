"""A model made ready for training on a CPU."""

import torch
from torch import nn

from app.engine.layers.conv import Conv2d
from app.engine.layers.winograd import is_wide, pays_off


def prepare_for_training(model: nn.Module, dtype: torch.dtype | None = None) -> None:
    """Let convolutions on a CPU that gain from it train by Winograd's tiles.

    Weights and their names stay as they are, and so does what the model says in evaluation mode.

    dtype  of autocast; None where there is none
    """
    for module in model.modules():
        if isinstance(module, Conv2d):
            # Filters are transformed at every step: wide ones cost more than their small maps.
            module.by_tiles = not is_wide(module) and pays_off(module, dtype or torch.float32)
