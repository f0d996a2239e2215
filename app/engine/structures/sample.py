"""One image ready for the network (`Sample`)."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from app.engine.structures.boxes import Size
from app.engine.structures.deep import Deep
from app.engine.structures.moves import map_tensors, move_all
from app.engine.structures.targets import GroundTruth, Proposals


@dataclass(frozen=True, slots=True)
class Sample:
    """One image as the input of a model.

    image          (C, H, W) uint8 (or float32) in the channel order of INPUT.FORMAT, not normalised
    original_size  size on disk; detections are given in its pixels
    ground_truth   in the coordinates of `image`; None in inference
    proposals      precomputed proposals in the coordinates of `image`, or None
    semantic       (H, W) int64 class of every pixel, or None
    image_id       as in `record.ImageRecord`
    deep           value range of an image with more than 8 bits, or None
    is_uncut       the image is a whole photograph of its own size, to be cut into tiles
    """

    image: Tensor
    original_size: Size
    ground_truth: GroundTruth | None = None
    proposals: Proposals | None = None
    semantic: Tensor | None = None
    image_id: int | str = 0
    deep: Deep | None = None
    is_uncut: bool = False

    @property
    def size(self) -> Size:
        """(height, width) of the network input."""
        return self.image.shape[-2], self.image.shape[-1]

    def to(self, device: torch.device | str) -> Self:
        """The same sample with every tensor on `device`."""
        return move_all(self, device)

    def pinned(self) -> Self:
        """The same sample in pinned memory, from which copies to a GPU are asynchronous.

        A photograph that is to be cut stays where it is: its tiles are made on the CPU.
        """
        return self if self.is_uncut else map_tensors(self, Tensor.pin_memory)
