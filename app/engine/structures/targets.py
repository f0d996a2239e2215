"""The ground truth of a training, and the proposals between the two stages of a model."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from app.engine.structures.boxes import Size
from app.engine.structures.masks import Masks
from app.engine.structures.moves import move_all


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """G labelled objects of one image, in the coordinates of the network's input.

    boxes      (G, 4) float32, x0 y0 x1 y1
    classes    (G,) int64 in [0, K)
    masks      G instance masks, or None
    keypoints  (G, num_keypoints, 3) float32: x, y, visibility 0 | 1 | 2, or None
    """

    boxes: Tensor
    classes: Tensor
    masks: Masks | None = None
    keypoints: Tensor | None = None

    @classmethod
    def empty(cls, device: torch.device | str = "cpu") -> Self:
        """An image without objects."""
        return cls(
            torch.zeros((0, 4), device=device), torch.zeros(0, dtype=torch.int64, device=device)
        )

    def __len__(self) -> int:
        return self.boxes.shape[0]

    def select(self, index: Tensor) -> Self:
        """The objects at `index` ((M,) int64 with repeats allowed, or (G,) bool)."""
        return replace(
            self,
            boxes=self.boxes[index],
            classes=self.classes[index],
            masks=None if self.masks is None else self.masks.select(index),
            keypoints=None if self.keypoints is None else self.keypoints[index],
        )

    def to(self, device: torch.device | str) -> Self:
        """The same objects on another device."""
        return move_all(self, device)


@dataclass(frozen=True, slots=True)
class Proposals:
    """P class-less boxes of one image, best first, in the coordinates of the network's input.

    image_size         (height, width) of the unpadded network input
    boxes              (P, 4) float32
    objectness_logits  (P,) float32
    """

    image_size: Size
    boxes: Tensor
    objectness_logits: Tensor

    def __len__(self) -> int:
        return self.boxes.shape[0]

    def select(self, index: Tensor) -> Self:
        """The proposals at `index`."""
        return replace(
            self, boxes=self.boxes[index], objectness_logits=self.objectness_logits[index]
        )

    def to(self, device: torch.device | str) -> Self:
        """The same proposals on another device."""
        return move_all(self, device)
