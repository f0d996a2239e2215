"""Shared parts of the graphs of all architectures, from pixels to padded lists of detections.

N: images, S: pairs of anchor and class, D: detections of an image at most, K: classes,
A: anchors at a cell
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from app.engine.modeling.anchors import AnchorGenerator
from app.engine.modeling.box_regression import Coder
from app.engine.modeling.detector import Detector
from app.engine.structures.size import Size


class Found(NamedTuple):
    """Detections of N images in lists of equal length; a score of 0 marks an empty place.

    boxes        (N, D, 4)
    scores       (N, D)
    classes      (N, D) int64
    class_probs  (N, D, K) or (N, D, K + 1)
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    class_probs: Tensor


def normalized(detector: Detector, images: Tensor, sizes: Tensor) -> Tensor:
    """Normalise (N, H, W, C) uint8 -> (N, C, H, W); exactly 0 outside each image's size.

    This is computed on rows of W C values: where convolutions use channels last, as those of 8-bit
    integers do, all innermost loops are then long and not of C values each.
    """
    num_images, height, width, channels = images.shape
    mean, std = (
        values.flatten().expand(width, -1).reshape(-1)
        for values in (detector.pixel_mean, detector.pixel_std)
    )
    rows = (images.reshape(num_images, height, width * channels).float() - mean) / std
    in_rows = torch.arange(height)[None, :] < sizes[:, :1]
    in_columns = torch.arange(width)[None, :] < sizes[:, 1:]
    in_row = in_columns[:, :, None].expand(-1, -1, channels).reshape(num_images, 1, -1)
    rows = rows * (in_rows[:, :, None] & in_row).float()
    return rows.view(images.shape).permute(0, 3, 1, 2)


def to_original(found: Found, sizes: Tensor, original_sizes: Tensor) -> Found:
    """Scale boxes to the original images and clip them; boxes without area get score 0."""
    scale = original_sizes.float() / sizes.float()
    boxes = clipped(found.boxes * scale.flip(1).repeat(1, 2)[:, None, :], original_sizes)
    has_area = (boxes[:, :, 2] > boxes[:, :, 0]) & (boxes[:, :, 3] > boxes[:, :, 1])
    return found._replace(boxes=boxes, scores=torch.where(has_area, found.scores, 0.0))


def clipped(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Clip boxes to the images: (N, S, 4), (N, 2) height and width -> (N, S, 4)."""
    limits = sizes.float().flip(1).repeat(1, 2)[:, None, :]
    return torch.minimum(boxes.clamp(min=0), limits)


def rows_at(values: Tensor, index: Tensor) -> Tensor:
    """Select rows of values by index: (N, R, V), (N, S) -> (N, S, V)."""
    num_images, num_rows, num_values = values.shape
    first = torch.arange(num_images)[:, None] * num_rows
    rows = values.reshape(-1, num_values).index_select(0, (index + first).flatten())
    return rows.view(*index.shape, num_values)


def anchors_at(
    generator: AnchorGenerator, level: int, index: Tensor, sizes: Sequence[Size]
) -> Tensor:
    """Return anchors (N, S, 4) of a level by their index (N, S) in the order (H, W, A).

    sizes  height and width of the map of each level, in cells
    """
    cells = generator.cells()[level]
    down, right = generator.steps(sizes)[level]
    cell, shape = divide(index, len(cells))
    row, column = divide(cell, sizes[level][1])
    x = column.float() * right + generator.offset * right
    y = row.float() * down + generator.offset * down
    return torch.stack((x, y, x, y), dim=2) + cells[shape]


def decoded(coder: Coder, deltas: Tensor, boxes: Tensor) -> Tensor:
    """Apply `deltas` to `boxes`: (N, S, 4), (N, S, 4) -> (N, S, 4)."""
    return coder.decode(deltas.flatten(0, 1), boxes.flatten(0, 1)).view(deltas.shape)


def divide(index: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return quotient and remainder; torch's exporter cannot trace `%` by a dynamic size."""
    quotient = torch.div(index, count, rounding_mode="floor")
    return quotient, index - quotient * count
