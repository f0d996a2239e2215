"""Losses of few cells of the maps: gradients are computed for these cells only.

N: images, L: levels, A: anchors at a cell, R: anchors of all levels, S: chosen anchors
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.cpu.conv_cells import convs_at_cells, patches_of_cells, reach
from app.engine.layers.conv import Conv2d
from app.engine.modeling.meta_arch._dense import DenseHead
from app.engine.modeling.meta_arch.retinanet import RetinaNet
from app.engine.modeling.rpn import RPN, AnchorPredictions, AnchorSamples
from app.engine.modeling.rpn_head import RPNHead

# Map cells per sample from which patches pay off: a patch is nine cells.
_CELLS_FOR_A_SAMPLE = 32
# Factor by which matrix products on gathered cells are slower than a convolution of the map.
_DENSE = 3


class FewCellsRPN(RPN):
    """An `RPN` whose gradients flow only through the cells of the sampled anchors."""

    def predict_with_samples(
        self, features: Mapping[str, Tensor], samples: AnchorSamples
    ) -> tuple[AnchorPredictions, Tensor, Tensor]:
        """Like `RPN.predict_with_samples`."""
        inputs = [features[name] for name in self.in_features]
        num_cells = sum(feature[:, 0].numel() for feature in inputs)
        are_few = len(samples.anchor) * _CELLS_FOR_A_SAMPLE <= num_cells
        if not are_few or not isinstance(self.rpn_head.conv, Conv2d):
            return super().predict_with_samples(features, samples)
        # Run before no_grad: autocast caches its copies of the weights, which must have gradients.
        logits, deltas = _rpn_at(self.rpn_head, inputs, samples)
        with torch.no_grad():
            return self.predict(features), logits, deltas


class FewCellsRetinaNet(RetinaNet):
    """A `RetinaNet` whose box tower is trained only at the cells of positive anchors."""

    def box_losses(
        self, features: Sequence[Tensor], anchors: Tensor, gt_boxes: Tensor, is_positive: Tensor
    ) -> Tensor:
        """Like `RetinaNet.box_losses`."""
        image, anchor = is_positive.nonzero(as_tuple=True)
        num_anchors = self.head.bbox_pred.out_channels // 4
        order, cells, kind = split_by_level(image, anchor, features, num_anchors)
        deltas = box_deltas_at(self.head, features, cells).view(len(kind), num_anchors, 4)
        deltas = deltas[torch.arange(len(kind)), kind][order.argsort()]
        return self.box_loss(self.coder, deltas.float(), anchors[anchor], gt_boxes[image, anchor])


def _rpn_at(
    head: RPNHead, inputs: Sequence[Tensor], samples: AnchorSamples
) -> tuple[Tensor, Tensor]:
    """Logits (S,) and deltas (S, 4) of the samples."""
    conv = head.conv
    assert isinstance(conv, Conv2d)
    num_anchors = head.objectness_logits.out_channels
    order, cells, kind = split_by_level(samples.image, samples.anchor, inputs, num_anchors)
    patches = torch.cat([patches_of_cells(*pair) for pair in zip(inputs, cells, strict=True)])
    hidden = F.relu_(F.linear(patches, conv.weight.permute(0, 2, 3, 1).flatten(1), conv.bias))
    logits, deltas = (
        F.linear(hidden, layer.weight.flatten(1), layer.bias)
        for layer in (head.objectness_logits, head.anchor_deltas)
    )
    back, rows = order.argsort(), torch.arange(len(kind))
    deltas = deltas.view(len(kind), num_anchors, 4)
    return logits[rows, kind][back], deltas[rows, kind][back]


def box_deltas_at(head: DenseHead, features: Sequence[Tensor], cells: Sequence[Tensor]) -> Tensor:
    """Box deltas of some cells only: L maps (N, C, H, W), L indices (S_l,) -> (S, A * 4).

    Indices of cells are in the order (N, H, W). The values equal those of `bbox_pred`; levels
    without cells are skipped.
    """
    found = [
        _deltas_of_level(head, feature, of_level, level)
        for level, (feature, of_level) in enumerate(zip(features, cells, strict=True))
        # Without any cells, the last level keeps the weights in the autograd graph.
        if len(of_level) or (level == len(features) - 1 and not any(map(len, cells)))
    ]
    return torch.cat(found)


def _deltas_of_level(head: DenseHead, feature: Tensor, cells: Tensor, level: int) -> Tensor:
    batch, _, *size = feature.shape
    convs = [module for module in head.bbox_subnet if isinstance(module, nn.Conv2d)]
    if 2 * len(convs) == len(head.bbox_subnet):  # a norm would need the whole map
        convs.append(head.bbox_pred)
        reached = reach(cells, (batch, *size), len(convs))
        if len(reached[0]) * _DENSE <= batch * math.prod(size):
            rows = convs_at_cells(convs, feature, reached)
            return rows[torch.searchsorted(reached[-1], cells)]
    deltas = head.level_deltas(feature, level)
    return deltas.permute(0, 2, 3, 1).reshape(batch * math.prod(size), -1)[cells]


def split_by_level(
    image: Tensor, anchor: Tensor, features: Sequence[Tensor], num_anchors: int
) -> tuple[Tensor, list[Tensor], Tensor]:
    """Find the level and cell of anchors, given by image (S,) and index over all levels (S,).

    Returns an order (S,) that sorts the anchors by level; for each of the L maps the cells of its
    anchors, as indices in the order (N, H, W); and the index of each anchor within its cell (S,).
    Cells and indices are sorted by that order.
    """
    sizes = torch.tensor([feature[0, 0].numel() * num_anchors for feature in features])
    ends = sizes.cumsum(0)
    level = torch.bucketize(anchor, ends, right=True)
    order = level.argsort(stable=True)
    within = (anchor - (ends - sizes)[level])[order]
    cells = (image[order] * sizes[level[order]] + within) // num_anchors
    counts = torch.bincount(level, minlength=len(sizes)).tolist()
    return order, list(torch.split(cells, counts)), within % num_anchors
