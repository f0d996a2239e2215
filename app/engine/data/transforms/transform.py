"""Transforms of one image with its label maps, boxes, polygons and keypoints.

All functions are pure: `augmentation` draws the random numbers.
Points are continuous: pixel i covers [i, i + 1], so mirroring maps x to W - x.

H, W, C: height, width, channels; N: number of boxes or points; G: number of objects
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from app.engine.structures.masks import Polygon
from app.engine.structures.size import Size

Pixels = npt.NDArray[Any]
"""(H, W, C) uint8 or float."""
Labels = npt.NDArray[Any]
"""(H, W) integers or bools: a class, or a mask."""
Points = npt.NDArray[np.float64]
"""(N, 2) x y."""


class Transform:
    """A change of pixels, label maps and points; this base class changes nothing."""

    __slots__ = ()

    is_mirror: ClassVar[bool] = False
    """Whether the transform swaps left and right."""

    def pixels(self, pixels: Pixels) -> Pixels:
        """(H, W, C) -> (H', W', C); may be a view."""
        return pixels

    def labels(self, labels: Labels) -> Labels:
        """(H, W) -> (H', W'), maybe a view; values are never interpolated."""
        return labels

    def points(self, points: Points) -> Points:
        """(N, 2) -> (N, 2); not clipped."""
        return points

    def ring(self, ring: Points) -> Points:
        """(N, 2) corners of a polygon -> (M, 2), clipped by crops; M is 0 if nothing is left."""
        return self.points(ring)

    def size(self, size: Size) -> Size:
        """The image's size after the transform."""
        return size


def transform_pixels(transforms: Sequence[Transform], pixels: Pixels) -> Pixels:
    """(H, W, C) -> (H', W', C), one transform after the other."""
    for transform in transforms:
        pixels = transform.pixels(pixels)
    return pixels


def transform_labels(transforms: Sequence[Transform], labels: Labels) -> Labels:
    """(H, W) -> (H', W')."""
    for transform in transforms:
        labels = transform.labels(labels)
    return labels


def transform_boxes(transforms: Sequence[Transform], boxes: npt.NDArray[Any]) -> Points:
    """(N, 4) -> (N, 4) float64: the boxes around the transformed corners, not clipped."""
    corners = boxes.astype(np.float64)[:, [0, 1, 2, 1, 0, 3, 2, 3]].reshape(-1, 2)
    for transform in transforms:
        corners = transform.points(corners)
    moved = corners.reshape(-1, 4, 2)
    if not len(moved):
        return np.zeros((0, 4))
    return np.concatenate((moved.min(axis=1), moved.max(axis=1)), axis=1)


def transform_polygons(transforms: Sequence[Transform], polygons: list[Polygon]) -> list[Polygon]:
    """Transform the rings; crops clip them and remove those outside."""
    for transform in transforms:
        moved = [transform.ring(polygon.reshape(-1, 2)) for polygon in polygons]
        polygons = [ring.reshape(-1) for ring in moved if len(ring) >= 3]
    return polygons


def transform_keypoints(
    transforms: Sequence[Transform],
    keypoints: npt.NDArray[np.float32],
    size: Size,
    mirrored: Sequence[int],
) -> npt.NDArray[np.float32]:
    """(G, num_keypoints, 3) -> the same shape, in an image of `size`.

    Keypoints outside the image become invisible; invisible keypoints are at 0, 0 (COCO's rule).
    mirrored  index of each keypoint's mirror image; used if the image was mirrored an odd number of
              times
    """
    points = keypoints[..., :2].astype(np.float64).reshape(-1, 2)
    for transform in transforms:
        points = transform.points(points)
    is_seen = np.logical_and(points >= 0, points <= np.array([size[1], size[0]])).all(axis=-1)
    visibility = np.where(is_seen, keypoints[..., 2].reshape(-1), 0)
    moved = np.column_stack((points, visibility)).reshape(keypoints.shape)
    if sum(transform.is_mirror for transform in transforms) % 2:
        moved = moved[:, list(mirrored)]
    moved[moved[..., 2] == 0] = 0
    return moved.astype(np.float32)
