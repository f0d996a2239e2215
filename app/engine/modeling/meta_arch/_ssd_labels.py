"""Which priors SSD learns from: those of objects, and the background that it gets most wrong.

N: images, G: objects, R: priors
"""

import torch
from torch import Tensor

from app.engine.structures import boxes as box_ops

# With more pairs than this the overlaps are computed in pieces (4 bytes for each pair).
_MAX_PAIRS = 16_000_000


def match_priors(gt_boxes: Tensor, priors: Tensor, iou_thresh: float) -> Tensor:
    """Return the object of each prior, -1 for none: (G, 4), (R, 4) -> (R,) int64; G > 0.

    A prior belongs to the object that it overlaps most, from `iou_thresh` on. Besides, the prior
    that overlaps an object most belongs to it; of several such objects, to the last.
    """
    pieces = torch.split(gt_boxes, max(1, _MAX_PAIRS // len(priors)))
    best = priors.new_full((len(priors),), -1.0)
    matches = torch.zeros_like(best, dtype=torch.int64)
    best_priors, first = [], 0
    for piece in pieces:
        iou = box_ops.pairwise_iou(piece, priors)
        of_piece, index = iou.max(dim=0)
        is_better = of_piece > best
        matches = torch.where(is_better, index + first, matches)
        best = torch.where(is_better, of_piece, best)
        best_priors.append(iou.max(dim=1).indices)
        first += len(piece)
    matches = matches.masked_fill(best < iou_thresh, -1)
    # An amax and no assignment, since that keeps no order among equal indices.
    places = torch.cat(best_priors)
    objects = torch.arange(len(gt_boxes), device=priors.device)
    forced = torch.full_like(matches, -1).scatter_reduce(0, places, objects, "amax")
    return torch.where(forced >= 0, forced, matches)


def hardest_negatives(losses: Tensor, is_positive: Tensor, ratio: float) -> Tensor:
    """Mask of the background with the highest losses: (N, R), (N, R) bool -> (N, R) bool.

    In each image they are at most `ratio` times as many as the positives, so none where nothing
    is positive.
    """
    number = ratio * is_positive.sum(dim=1, keepdim=True)
    order = losses.detach().masked_fill(is_positive, -torch.inf).argsort(dim=1, descending=True)
    rank = order.argsort(dim=1)
    return (rank < number) & ~is_positive
