"""A batch of images of different sizes in one tensor."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from app.engine.structures.size import Size, padded_size


@dataclass(frozen=True, slots=True)
class ImageList:
    """N images padded at right and bottom to a common size.

    tensor  (N, C, H, W)
    sizes   the N sizes before padding
    """

    tensor: Tensor
    sizes: list[Size]

    def __len__(self) -> int:
        return len(self.sizes)

    @classmethod
    def from_tensors(
        cls, tensors: list[Tensor], size_divisibility: int = 0, pad_value: float = 0.0
    ) -> Self:
        """Stack N tensors (C, H_i, W_i); H and W become multiples of `size_divisibility`."""
        sizes = [(t.shape[-2], t.shape[-1]) for t in tensors]
        height, width = padded_size(sizes, size_divisibility)
        first = tensors[0]
        batch = first.new_full((len(tensors), *first.shape[:-2], height, width), pad_value)
        if batch.dim() == 4:
            batch = batch.contiguous(memory_format=torch.channels_last)
        for row, tensor in zip(batch, tensors, strict=True):
            row[..., : tensor.shape[-2], : tensor.shape[-1]].copy_(tensor)
        return cls(batch, sizes)
