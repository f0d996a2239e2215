"""Match each anchor or proposal to an object.

G: number of objects, N: number of boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.engine.structures import boxes as box_ops

# With more pairs than this the overlaps are computed in pieces, so that crowded images do not
# exhaust the memory (4 bytes for each pair, in several tensors).
_MAX_PAIRS = 16_000_000


class Matcher:
    """Labels boxes by their best IoU: `labels[i]` for `thresholds[i - 1]` <= IoU < `thresholds[i]`.

    The labels are 1 (object), 0 (background) and -1 (ignored).
    With `allow_low_quality_matches` the box that overlaps an object most (or all that tie) is
    labelled 1 even if the IoU is low; it is still matched to the object that it overlaps most.
    """

    def __init__(
        self,
        thresholds: Sequence[float],
        labels: Sequence[int],
        *,
        allow_low_quality_matches: bool = False,
    ) -> None:
        self.thresholds = [float(t) for t in thresholds]
        self.labels = list(labels)
        self.allow_low_quality_matches = allow_low_quality_matches

    def __call__(self, iou: Tensor) -> tuple[Tensor, Tensor]:
        """IoU (G, N) >= 0 -> index of the matched object (N,) int64 and label (N,) int8.

        If there are no objects, every box gets index 0 and the first label.
        """
        if iou.numel() == 0:
            return self._without_objects(iou.shape[1], iou.device)
        best_iou, matches = iou.max(dim=0)
        labels = self._labels_of(best_iou)
        if self.allow_low_quality_matches:
            best_of_object = iou.max(dim=1).values
            labels[(iou == best_of_object[:, None]).any(dim=0)] = 1
        return matches, labels

    def match_boxes(self, gt_boxes: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Match by the IoU of gt_boxes (G, 4) and boxes (N, 4), in bounded memory."""
        if len(gt_boxes) * len(boxes) <= _MAX_PAIRS:
            return self(box_ops.pairwise_iou(gt_boxes, boxes))
        pieces = torch.split(boxes, max(1, _MAX_PAIRS // len(gt_boxes)))
        return self._of_pieces([_Piece.of(box_ops.pairwise_iou(gt_boxes, p)) for p in pieces])

    def _of_pieces(self, pieces: Sequence["_Piece"]) -> tuple[Tensor, Tensor]:
        labels = [self._labels_of(piece.best_iou) for piece in pieces]
        if self.allow_low_quality_matches:
            best_of_object = torch.stack([piece.best_of_object for piece in pieces]).amax(dim=0)
            # If no box overlaps an object, all boxes tie at IoU 0.
            is_unmet = (best_of_object == 0).any()
            for piece, part in zip(pieces, labels, strict=True):
                is_best = piece.best_of_object == best_of_object
                part[piece.tied_boxes[is_best[piece.tied_objects]]] = 1
                part.masked_fill_(is_unmet, 1)
        return torch.cat([piece.matches for piece in pieces]), torch.cat(labels)

    def _labels_of(self, best_iou: Tensor) -> Tensor:
        labels = torch.full_like(best_iou, self.labels[0], dtype=torch.int8)
        for threshold, label in zip(self.thresholds, self.labels[1:], strict=True):
            labels[best_iou >= threshold] = label
        return labels

    def _without_objects(self, num_boxes: int, device: torch.device) -> tuple[Tensor, Tensor]:
        matches = torch.zeros(num_boxes, dtype=torch.int64, device=device)
        return matches, torch.full_like(matches, self.labels[0], dtype=torch.int8)


@dataclass(frozen=True, slots=True)
class _Piece:
    """The results that are kept of the IoU of G objects and some of the boxes (n).

    best_iou, matches        (n,) best IoU of each box, and the index of its object
    best_of_object           (G,) best IoU of each object with these boxes
    tied_objects, tied_boxes pairs whose IoU is the best of the object and not 0
    """

    best_iou: Tensor
    matches: Tensor
    best_of_object: Tensor
    tied_objects: Tensor
    tied_boxes: Tensor

    @classmethod
    def of(cls, iou: Tensor) -> "_Piece":
        """Build the piece from IoU (G, n)."""
        best_of_object = iou.amax(dim=1)
        wanted = torch.where(best_of_object > 0, best_of_object, torch.inf)
        return cls(
            *iou.max(dim=0), best_of_object, *(iou == wanted[:, None]).nonzero(as_tuple=True)
        )
