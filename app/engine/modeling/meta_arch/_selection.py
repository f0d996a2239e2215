"""Choosing detections among the scores of all cells.

N: images, K: classes, A: anchors at a cell, S: pairs of anchor and class that are looked at further
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from app.engine.layers.nms import batched_nms_of_images
from app.engine.modeling.box_regression import Coder
from app.engine.modeling.postprocess import to_original
from app.engine.structures.detections import Detections
from app.engine.structures.sample import Sample


def by_anchor(maps: Tensor, num_values: int) -> Tensor:
    """(N, A * V, H, W) -> (N, H * W * A, V); a view where the memory is channels-last."""
    return maps.permute(0, 2, 3, 1).reshape(maps.shape[0], -1, num_values)


@dataclass(frozen=True, slots=True)
class Selection:
    """How detections are chosen: `score_thresh`, then `topk` of a level, then NMS, then `limit`."""

    score_thresh: float
    topk: int
    nms_thresh: float
    limit: int


@dataclass(frozen=True, slots=True)
class BestPairs:
    """The best (anchor, class) pairs of one level.

    scores   (N, S) what they were ranked by; -inf fills the rows of images with fewer
    anchors  (N, S) int64 index into the anchors of the level
    classes  (N, S) int64
    """

    scores: Tensor
    anchors: Tensor
    classes: Tensor


def best_pairs(scores: Tensor, *, threshold: float, topk: int) -> BestPairs:
    """The `topk` scores of each image above `threshold`: (N, H * W * A, K) -> BestPairs."""
    num_classes = scores.shape[2]
    flat = scores.flatten(1)
    if flat.device.type == "cpu":
        rows = [_best_of_row(row, threshold, topk) for row in flat]
        values = nn.utils.rnn.pad_sequence([v for v, _ in rows], True, -torch.inf)
        index = nn.utils.rnn.pad_sequence([i for _, i in rows], True, 0)
    else:
        # No wait for the number of survivors.
        values, index = flat.topk(min(topk, flat.shape[1]), dim=1)
        values = values.float().masked_fill(~(values > threshold), -torch.inf)
    anchors = index.div(num_classes, rounding_mode="floor")
    return BestPairs(values, anchors, index - anchors * num_classes)


def _best_of_row(row: Tensor, threshold: float, topk: int) -> tuple[Tensor, Tensor]:
    # Ten times faster on the CPU than a selection among all.
    index = (row > threshold).nonzero()[:, 0]
    values = row[index]
    if len(values) > topk:
        values, best = values.topk(topk)
        index = index[best]
    return values.float(), index


def take(values: Tensor, index: Tensor) -> Tensor:
    """Rows of each image: (N, R, V), (N, S) -> (N, S, V)."""
    return values.gather(1, index[:, :, None].expand(-1, -1, values.shape[2]))


def decode(coder: Coder, deltas: Tensor, anchors: Tensor) -> Tensor:
    """Boxes of the best pairs in float32: (N, S, 4), (N, S, 4) -> (N, S, 4)."""
    return coder.decode(deltas.flatten(0, 1), anchors.flatten(0, 1)).view(deltas.shape)


def choose_detections(
    samples: list[Sample],
    *,
    boxes: Tensor,
    scores: Tensor,
    classes: Tensor,
    class_probs: Tensor | None,
    selection: Selection,
) -> list[Detections]:
    """Final detections in original pixels, on the CPU: (N, S, 4), (N, S), (N, S) [, (N, S, K)].

    Scores that are too low, and boxes that are not finite, do not take part.
    """
    takes_part = (scores > selection.score_thresh) & boxes.isfinite().all(dim=2)
    image, index = batched_nms_of_images(
        boxes.masked_fill(~takes_part[:, :, None], 0.0),
        scores.masked_fill(~takes_part, -torch.inf),
        classes,
        selection.nms_thresh,
        limit=selection.limit,
    )
    values = [boxes, scores, classes, *([] if class_probs is None else [class_probs])]
    # Here they leave the device: what is left to do with so few costs a GPU more than a CPU.
    chosen = [value[image, index].cpu() for value in values]
    counts = torch.bincount(image.cpu(), minlength=len(samples)).tolist()
    return [
        to_original(Detections(sample.size, *of_image), sample.size, sample.original_size)
        for sample, *of_image in zip(
            samples, *(torch.split(value, counts) for value in chosen), strict=True
        )
    ]
