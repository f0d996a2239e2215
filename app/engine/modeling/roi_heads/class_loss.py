"""Class probabilities and losses from logits: softmax, sigmoid, federated sigmoid.

M: boxes, K: foreground classes; logits are (M, K + 1), background last
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from app.engine.config import CfgNode


@dataclass(frozen=True)
class SoftmaxLoss:
    """Softmax over K + 1 classes: cross entropy, mean over boxes."""

    def __call__(self, logits: Tensor, classes: Tensor) -> Tensor:
        """(M, K + 1), (M,) in [0, K] -> scalar; 0 with a gradient when there is no box."""
        return F.cross_entropy(logits, classes) if len(classes) else logits.sum() * 0.0

    def probs(self, logits: Tensor) -> Tensor:
        """(M, K + 1) -> (M, K + 1), rows sum to 1."""
        return logits.softmax(dim=1)

    def class_vectors(self, probs: Tensor) -> Tensor:
        """The class probabilities that detections hold: all columns of `probs`."""
        return probs


@dataclass(frozen=True)
class SigmoidLoss:
    """Sigmoid of each foreground class: binary cross entropy, summed over classes and boxes / M.

    class_weights  function from the classes (M,) of the boxes to a weight of each class (K,)
    """

    class_weights: Callable[[Tensor], Tensor] | None = None

    def __call__(self, logits: Tensor, classes: Tensor) -> Tensor:
        """(M, K + 1), (M,) in [0, K] -> scalar; 0 with a gradient when there is no box."""
        if not len(classes):
            return logits.sum() * 0.0
        targets = F.one_hot(classes, logits.shape[1])[:, :-1].to(logits.dtype)
        loss = F.binary_cross_entropy_with_logits(logits[:, :-1], targets, reduction="none")
        if self.class_weights is not None:
            loss = loss * self.class_weights(classes)
        return loss.sum() / len(classes)

    def probs(self, logits: Tensor) -> Tensor:
        """(M, K + 1) -> (M, K + 1), each independent; the last column is meaningless."""
        return logits.sigmoid()

    def class_vectors(self, probs: Tensor) -> Tensor:
        """The class probabilities that detections hold: the foreground columns."""
        return probs[:, :-1]


ClassLoss = SoftmaxLoss | SigmoidLoss


def draw_federated_classes(classes: Tensor, odds: Tensor, num_kept: int) -> Tensor:
    """Return 1 for the classes of a batch and some drawn classes, else 0: (M,), (K,) -> (K,).

    In a federated data set (LVIS) a class is annotated in some images only, so the absence of
    most labels is no evidence. Classes are drawn in proportion to `odds` up to `num_kept`.
    """
    present: Tensor = torch.unique(classes)
    # The additional last element is the background, which may be present but is never drawn.
    weights = odds.new_zeros(len(odds) + 1)
    weights[present] = 1.0
    remaining = torch.cat((odds, odds.new_zeros(1)))
    remaining[present] = 0.0
    missing = min(num_kept - len(present), int((remaining > 0).sum()))
    if missing > 0:
        weights[torch.multinomial(remaining, missing, replacement=False)] = 1.0
    return weights[:-1]


@dataclass(frozen=True, slots=True)
class ClassLossSpec:
    """The kind of loss: softmax or sigmoid; federated over `num_kept` classes if positive."""

    sigmoid: bool = False
    num_kept: int = 0
    frequency_power: float = 0.5

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "ClassLossSpec":
        """Build the specification of `MODEL.ROI_BOX_HEAD`."""
        head = cfg.MODEL.ROI_BOX_HEAD
        return cls(
            sigmoid=head.USE_SIGMOID_CE,
            num_kept=head.FED_LOSS_NUM_CLASSES if head.USE_FED_LOSS else 0,
            frequency_power=head.FED_LOSS_FREQ_WEIGHT_POWER,
        )
