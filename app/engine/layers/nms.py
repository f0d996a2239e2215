"""Greedy suppression of overlapping boxes within each class.

N: number of images, P: number of boxes. Whether a box stays depends on better boxes alone, so
the first `limit` survivors are found in a prefix of the sorted boxes.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor


def _load_operators() -> None:
    """torchvision's compiled operators alone: importing the package takes longer than torch."""
    spec = find_spec("torchvision")
    for folder in (spec and spec.submodule_search_locations) or ():
        for library in Path(folder).glob("_C*.so"):
            torch.ops.load_library(library)  # type: ignore[no-untyped-call]


_load_operators()


def batched_nms(
    boxes: Tensor,
    scores: Tensor,
    classes: Tensor,
    iou_threshold: float,
    *,
    limit: int | None = None,
) -> Tensor:
    """Indices of the boxes that stay, best first: (P, 4), (P,), (P,) -> (<= P,) int64.

    A box goes when a better one of its class overlaps it by more than `iou_threshold`. Equal
    scores keep their order. With `limit` only the first `limit` survivors are looked for.
    The result does not depend on the number of boxes or the device.
    """
    order = scores.float().argsort(descending=True, stable=True)
    apart = _move_apart(boxes, classes)[order]
    size = len(order) if limit is None else min(len(order), 4 * limit)
    while True:
        kept = nms_sorted(apart[:size], iou_threshold)
        if size == len(order) or (limit is not None and len(kept) >= limit):
            return order[kept[:limit]]
        size = min(len(order), 4 * size)


def batched_nms_of_images(
    boxes: Tensor, scores: Tensor, classes: Tensor, iou_threshold: float, *, limit: int
) -> tuple[Tensor, Tensor]:
    """`batched_nms` of each image at once: (N, P, 4), (N, P), (N, P) -> image and index of each.

    At most `limit` of an image, image by image. A score of -inf marks a box that is not there. Few
    waits for the GPU, whatever N is.
    """
    num_images, num_boxes = scores.shape
    scores, order = scores.float().sort(dim=1, descending=True, stable=True)
    image = torch.arange(num_images, device=boxes.device)[:, None]
    groups = classes * num_images + image
    apart = _move_apart(boxes.flatten(0, 1), groups.flatten()).view_as(boxes)[image, order]
    present = scores > -torch.inf
    size = min(num_boxes, 4 * limit)
    while True:
        kept = _nms_of_prefixes(apart[:, :size], present[:, :size], iou_threshold)
        count = kept.cumsum(dim=1)
        enough = (count[:, -1:] >= limit) | ~present[:, size : size + 1]
        if size == num_boxes or bool(enough.all()):
            row, column = (kept & (count <= limit)).nonzero(as_tuple=True)
            return row, order[row, column]
        size = min(num_boxes, 4 * size)


def nms_sorted(boxes: Tensor, iou_threshold: float) -> Tensor:
    """Class-less suppression of boxes that are sorted already: (P, 4) -> (<= P,) ascending."""
    rank = torch.arange(len(boxes), 0, -1, device=boxes.device, dtype=boxes.dtype)
    kept: Tensor = torch.ops.torchvision.nms(boxes, rank, iou_threshold)
    return kept


def _nms_of_prefixes(boxes: Tensor, present: Tensor, iou_threshold: float) -> Tensor:
    row, column = present.nonzero(as_tuple=True)
    stays: Tensor = torch.ops.torchvision.nms(boxes[row, column], -column.double(), iou_threshold)
    kept = torch.zeros_like(present)
    kept[row[stays], column[stays]] = True
    return kept


def _move_apart(boxes: Tensor, groups: Tensor) -> Tensor:
    # In double precision the shift loses nothing, unlike torchvision's in single precision.
    boxes = boxes.double()
    if not len(boxes):
        return boxes
    low, high = boxes.aminmax()
    return boxes + (groups.double() * (high - low + 1))[:, None]
