"""The anchors or proposals that show an object, and what is taken from them.

N: images, R: anchors, P: positive ones; or all, of which some do not count
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Positives:
    """Few rows of many. A CPU computes with these alone; a GPU with all, for it need not wait then.

    index   image and anchor of each positive one, (P,) int64; None: all are taken
    counts  (P,) bool, which are positive; None: all are
    number  how many are positive: 1 at least
    """

    index: tuple[Tensor, Tensor] | None
    counts: Tensor | None
    number: float | Tensor

    @classmethod
    def of(cls, is_positive: Tensor) -> Self:
        """From (N, R) bool."""
        if is_positive.device.type != "cpu":
            return cls(None, is_positive.flatten(), is_positive.sum().clamp(min=1).double())
        image, anchor = is_positive.nonzero(as_tuple=True)
        return cls((image, anchor), None, max(len(image), 1))

    def take(self, values: Tensor) -> Tensor:
        """(N, R, ...) -> (P, ...)."""
        return values.flatten(0, 1) if self.index is None else values[self.index]

    def take_targets(self, gt_boxes: Tensor, anchors: Tensor) -> Tensor:
        """(N, R, 4), (R, 4) -> (P, 4); what does not count is its own, harmless target."""
        if self.counts is None:
            return self.take(gt_boxes)
        own = anchors.expand_as(gt_boxes).flatten(0, 1)
        return torch.where(self.counts[:, None], gt_boxes.flatten(0, 1), own)

    def sum(self, losses: Tensor) -> Tensor:
        """(P, ...) -> scalar, over those that count."""
        if self.counts is None:
            return losses.sum()
        others = ~self.counts.view(-1, *[1] * (losses.dim() - 1))
        return losses.masked_fill(others, 0.0).sum()
