"""Select the detections of each image from the predictions for all anchors.

N: images, K: classes, A: anchors at a cell, R: anchors of a level, S: best pairs of an image
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from app.engine.layers.nms import batched_nms_of_images
from app.engine.modeling.box_regression import Coder
from app.engine.modeling.postprocess import to_original
from app.engine.structures.detections import Detections
from app.engine.structures.moves import move
from app.engine.structures.sample import Sample


def by_anchor(maps: Tensor, num_values: int) -> Tensor:
    """(N, A * V, H, W) -> (N, H * W * A, V); a view where the memory is channels-last."""
    return maps.permute(0, 2, 3, 1).reshape(maps.shape[0], -1, num_values)


class BestPairs(NamedTuple):
    """The best (anchor, class) pairs of one level.

    scores   (N, S), descending
    anchors  (N, S) int64 index into the anchors of the level
    classes  (N, S) int64
    """

    scores: Tensor
    anchors: Tensor
    classes: Tensor


def best_pairs(scores: Tensor, topk: int) -> BestPairs:
    """The `topk` best pairs of each image: (N, R, K) -> BestPairs.

    Only the `topk` anchors with the highest scores can be part of such a pair.
    """
    num_classes = scores.shape[2]
    rows = scores.amax(dim=2).topk(min(topk, scores.shape[1]), dim=1).indices
    pairs = take(scores, rows).flatten(1)
    best, pair = pairs.topk(min(topk, pairs.shape[1]), dim=1)
    row = pair.div(num_classes, rounding_mode="floor")
    return BestPairs(best, rows.gather(1, row), pair % num_classes)


def take(values: Tensor, index: Tensor) -> Tensor:
    """Select rows of each image: (N, R, V), (N, S) -> (N, S, V)."""
    return values.gather(1, index[:, :, None].expand(-1, -1, values.shape[2]))


def decode(coder: Coder, deltas: Tensor, anchors: Tensor) -> Tensor:
    """Decode the boxes of some anchors: (N, S, 4), (N, S, 4) -> (N, S, 4) float32."""
    return coder.decode(deltas.flatten(0, 1), anchors.flatten(0, 1)).view(deltas.shape)


@dataclass(frozen=True, slots=True)
class DenseFilter:
    """Selects the pairs of anchor and class that become detections.

    score_thresh    scores must exceed this
    topk            number of the best pairs of each level that NMS gets
    nms_thresh      of two boxes of a class with a higher IoU, NMS drops the worse
    max_detections  largest number of detections of one image
    clip_first      clip boxes to the image before NMS, which compares what is left of them
    """

    score_thresh: float
    topk: int
    nms_thresh: float
    max_detections: int
    clip_first: bool = False

    def __call__(
        self,
        samples: list[Sample],
        *,
        boxes: Tensor,
        scores: Tensor,
        classes: Tensor,
        class_probs: Tensor | tuple[Tensor, Tensor] | None,
    ) -> list[Detections]:
        """Detections in original pixels, on the CPU: (N, S, 4), (N, S), (N, S) [, (N, S, K)].

        class_probs may also be those of all anchors (N, R, K), with the anchor of each pair (N, S).
        Boxes that are not finite are dropped.
        """
        if self.clip_first:
            limits = torch.tensor([(w, h, w, h) for h, w in (s.size for s in samples)])
            limits = move(limits.to(boxes.dtype), boxes.device)
            boxes = torch.minimum(boxes.clamp(min=0), limits[:, None])
        takes_part = (scores > self.score_thresh) & boxes.isfinite().all(dim=2)
        image, index = batched_nms_of_images(
            boxes.masked_fill(~takes_part[:, :, None], 0.0),
            scores.masked_fill(~takes_part, -torch.inf),
            classes,
            self.nms_thresh,
            limit=self.max_detections,
        )
        # Copy the few detections to the CPU, where the remaining steps are faster than on a GPU.
        chosen = [value[image, index].cpu() for value in (boxes, scores, classes)]
        if isinstance(class_probs, tuple):
            probs, anchor = class_probs
            chosen.append(probs[image, anchor[image, index]].cpu())
        elif class_probs is not None:
            chosen.append(class_probs[image, index].cpu())
        counts = torch.bincount(image.cpu(), minlength=len(samples)).tolist()
        return [
            to_original(Detections(sample.size, *of_image), sample.size, sample.original_size)
            for sample, *of_image in zip(
                samples, *(torch.split(value, counts) for value in chosen), strict=True
            )
        ]
