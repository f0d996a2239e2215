"""Non-maximum suppression (NMS) of overlapping boxes within each class.

N: number of images, P: number of boxes. Whether a box is kept depends only on better boxes, so
the first `limit` kept boxes are found in a prefix of the sorted boxes.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor


def _load_operators() -> None:
    """Load only torchvision's compiled operators: importing the package is slower than torch."""
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
    """Return the indices of the kept boxes, best first: (P, 4), (P,), (P,) -> (<= P,) int64.

    A box is dropped if its IoU with a better kept box of its class exceeds `iou_threshold`.
    Equal scores keep their order. With `limit`, only the best `limit` kept boxes are returned.
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
    """`batched_nms` of all images: (N, P, 4), (N, P), (N, P) -> image and index of kept boxes.

    Keeps at most `limit` boxes of an image; the result is sorted by image. A score of -inf marks
    an absent box. The number of waits for the GPU does not grow with N.
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
    """NMS of sorted boxes without classes: (P, 4) -> (<= P,) ascending indices."""
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
    # Double precision: in single precision, as in torchvision, the shift would round boxes.
    boxes = boxes.double()
    if not len(boxes):
        return boxes
    low, high = boxes.aminmax()
    return boxes + (groups.double() * (high - low + 1))[:, None]
