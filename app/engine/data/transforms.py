"""Geometric and photometric changes of one image and all that is drawn on it.

Everything here is pure: random numbers are drawn elsewhere (`augmentation.py`) and passed in.
Points are continuous: pixel i covers [i, i + 1], so mirroring maps x to W - x.

H, W, C: height, width, channels; N: number of boxes or points
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from app.engine.structures.masks import Polygon
from app.engine.structures.size import Size

Pixels = npt.NDArray[Any]
"""(H, W, C) uint8 or float."""
Labels = npt.NDArray[Any]
"""(H, W) integers or bools: a class, or a mask."""
Points = npt.NDArray[np.float64]
"""(N, 2) x y."""

LABEL_PADDING = 255
"""Padding of label maps: no loss there."""


class Transform:
    """One change, applied alike to pixels, label maps and points; this one changes nothing."""

    __slots__ = ()

    def pixels(self, pixels: Pixels) -> Pixels:
        """(H, W, C) -> (H', W', C); may be a view."""
        return pixels

    def labels(self, labels: Labels) -> Labels:
        """(H, W) -> (H', W'), maybe a view; values are copied, never mixed."""
        return labels

    def points(self, points: Points) -> Points:
        """(N, 2) -> (N, 2); not clipped."""
        return points

    def ring(self, ring: Points) -> Points:
        """(N, 2) corners of a polygon -> (M, 2), cut where the image is; M is 0 for no part."""
        return self.points(ring)

    def size(self, size: Size) -> Size:
        """The image's size afterwards."""
        return size


@dataclass(frozen=True, slots=True)
class Resize(Transform):
    """Scale from size `old` to size `new`."""

    old: Size
    new: Size

    def pixels(self, pixels: Pixels) -> Pixels:
        """Antialiased bilinear for uint8 (PIL's, to one level), plain bilinear for floats."""
        return resize(pixels, self.new)

    def labels(self, labels: Labels) -> Labels:
        """Nearest, at pixel centres as PIL."""
        rows = _nearest(labels.shape[0], self.new[0])
        columns = _nearest(labels.shape[1], self.new[1])
        picked: Labels = labels[rows[:, None], columns]
        return picked

    def points(self, points: Points) -> Points:
        """Each axis by its own factor."""
        return points * [self.new[1] / self.old[1], self.new[0] / self.old[0]]

    def size(self, size: Size) -> Size:
        """`new`."""
        return self.new


@dataclass(frozen=True, slots=True)
class FlipHorizontal(Transform):
    """Mirror left and right in an image of `width`."""

    width: int

    def pixels(self, pixels: Pixels) -> Pixels:
        """A copy: torch mirrors much faster than a reversed view can be read."""
        return _as_pixels(torch.flip(_as_tensor(pixels), (3,)))

    def labels(self, labels: Labels) -> Labels:
        """A view."""
        return labels[:, ::-1]

    def points(self, points: Points) -> Points:
        """x becomes width - x."""
        return points * [-1, 1] + [self.width, 0]


@dataclass(frozen=True, slots=True)
class FlipVertical(Transform):
    """Mirror top and bottom in an image of `height`."""

    height: int

    def pixels(self, pixels: Pixels) -> Pixels:
        """A view."""
        return pixels[::-1]

    def labels(self, labels: Labels) -> Labels:
        """A view."""
        return labels[::-1]

    def points(self, points: Points) -> Points:
        """y becomes height - y."""
        return points * [1, -1] + [0, self.height]


@dataclass(frozen=True, slots=True)
class Crop(Transform):
    """Keep the window at (x0, y0); it may reach over the right and bottom edge."""

    x0: int
    y0: int
    width: int
    height: int

    def pixels(self, pixels: Pixels) -> Pixels:
        """A view."""
        return pixels[self.y0 : self.y0 + self.height, self.x0 : self.x0 + self.width]

    def labels(self, labels: Labels) -> Labels:
        """A view."""
        return labels[self.y0 : self.y0 + self.height, self.x0 : self.x0 + self.width]

    def points(self, points: Points) -> Points:
        """Moved."""
        return points - [self.x0, self.y0]

    def ring(self, ring: Points) -> Points:
        """What of the polygon lies in the window."""
        return _cut(self.points(ring), self.width, self.height)

    def size(self, size: Size) -> Size:
        """What is left of the window inside the image."""
        return min(self.height, size[0] - self.y0), min(self.width, size[1] - self.x0)


@dataclass(frozen=True, slots=True)
class Pad(Transform):
    """Add `right` columns and `bottom` rows of `value`."""

    right: int
    bottom: int
    value: float = 128

    def pixels(self, pixels: Pixels) -> Pixels:
        """Padded copy, or the same array when there is nothing to add."""
        return self._pad(pixels, self.value)

    def labels(self, labels: Labels) -> Labels:
        """Padded with 255 (no loss); masks with False."""
        return self._pad(labels, 0 if labels.dtype == np.bool_ else LABEL_PADDING)

    def size(self, size: Size) -> Size:
        """Larger by the padding."""
        return size[0] + self.bottom, size[1] + self.right

    def _pad(self, values: npt.NDArray[Any], fill: float) -> npt.NDArray[Any]:
        if not self.right and not self.bottom:
            return values
        height, width = self.size((values.shape[0], values.shape[1]))
        padded = np.full((height, width, *values.shape[2:]), fill, dtype=values.dtype)
        padded[: values.shape[0], : values.shape[1]] = values
        return padded


@dataclass(frozen=True, slots=True)
class ColorChange(Transform):
    """Brightness, contrast and saturation times a factor each, in this order; 1 changes nothing.

    grey_weights  share of each channel in the grey value, in the channel order of the pixels
    """

    brightness: float
    contrast: float
    saturation: float
    grey_weights: tuple[float, ...] = (0.299, 0.587, 0.114)

    def pixels(self, pixels: Pixels) -> Pixels:
        """uint8 only; rounded and clipped to 0..255."""
        assert pixels.dtype == np.uint8
        mean = float(pixels.mean()) * self.brightness
        scale = self.brightness * self.contrast
        values = np.arange(256, dtype=np.float32) * scale + mean * (1 - self.contrast)
        changed: Pixels = values[pixels]
        if self.saturation != 1 and pixels.shape[2] == len(self.grey_weights):
            grey = changed @ np.array(self.grey_weights, dtype=np.float32)
            changed = changed * self.saturation + grey[..., None] * (1 - self.saturation)
        rounded: Pixels = np.clip(np.rint(changed), 0, 255).astype(np.uint8)
        return rounded


def resize(pixels: Pixels, size: Size) -> Pixels:
    """(H, W, C) -> (*size, C) by bilinear interpolation; uint8 is antialiased, floats are not.

    torch's uint8 kernel is PIL's arithmetic: they differ by one level in under 1 % of the pixels.
    """
    if pixels.shape[:2] == size:
        return pixels
    # detectron2 gives uint8 to PIL, which antialiases, and floats to torch, which does not.
    antialias = pixels.dtype == np.uint8
    image = _as_tensor(pixels)
    resized = F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=antialias)
    return _as_pixels(resized)


def _nearest(old: int, new: int) -> npt.NDArray[np.int64]:
    """Index of the old pixel for each new one; summed up as PIL does, so that ties fall alike."""
    steps = np.full(new, old / new)
    steps[0] /= 2
    return np.minimum(np.cumsum(steps).astype(np.int64), old - 1)


def _as_tensor(pixels: Pixels) -> torch.Tensor:
    """(H, W, C) -> (1, C, H, W) view whose strides torch recognises as channels-last."""
    # torch takes neither negative strides nor read-only memory.
    if not pixels.flags.writeable or min(pixels.strides) < 0:
        pixels = pixels.copy()
    return torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)


def _as_pixels(image: torch.Tensor) -> Pixels:
    """(1, C, H, W) -> (H, W, C) view."""
    pixels: Pixels = image.permute(0, 2, 3, 1)[0].numpy()
    return pixels


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
    """(N, 4) -> (N, 4) float64: the boxes around the moved corners, not clipped."""
    corners = boxes.astype(np.float64)[:, [0, 1, 2, 1, 0, 3, 2, 3]].reshape(-1, 2)
    for transform in transforms:
        corners = transform.points(corners)
    moved = corners.reshape(-1, 4, 2)
    if not len(moved):
        return np.zeros((0, 4))
    return np.concatenate((moved.min(axis=1), moved.max(axis=1)), axis=1)


def transform_polygons(transforms: Sequence[Transform], polygons: list[Polygon]) -> list[Polygon]:
    """Moved rings; a crop cuts them, and what lies outside is gone."""
    for transform in transforms:
        moved = [transform.ring(polygon.reshape(-1, 2)) for polygon in polygons]
        polygons = [ring.reshape(-1) for ring in moved if len(ring) >= 3]
    return polygons


def _cut(ring: Points, width: int, height: int) -> Points:
    """Sutherland-Hodgman against the window (0, 0, width, height); (0, 2) when nothing is left."""
    for axis, sign, limit in ((0, 1, 0), (0, -1, -width), (1, 1, 0), (1, -1, -height)):
        if not len(ring):
            break
        distance = sign * ring[:, axis] - limit
        if (distance >= 0).all():
            continue
        ring = _cut_side(ring, distance)
    return ring


def _cut_side(ring: Points, distance: npt.NDArray[np.float64]) -> Points:
    """Part of the ring where `distance` (N,) is not negative."""
    kept: list[Points] = []
    for i in range(len(ring)):
        before, here = distance[i - 1], distance[i]
        if (before >= 0) != (here >= 0):
            kept.append(ring[i - 1] + (ring[i] - ring[i - 1]) * (before / (before - here)))
        if here >= 0:
            kept.append(ring[i])
    return np.array(kept).reshape(-1, 2)


def scaled_to_fit(size: Size, target: Size, factor: float) -> Size:
    """Size that fits `target` times `factor`, aspect ratio kept (large-scale jitter)."""
    scale = min(target[0] * factor / size[0], target[1] * factor / size[1])
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def fixed_size(size: Size, target: Size, position: float) -> list[Transform]:
    """Crop (at `position` in [0, 1] along both axes) and pad to `target` exactly."""
    y0 = round(max(size[0] - target[0], 0) * position)
    x0 = round(max(size[1] - target[1], 0) * position)
    bottom, right = max(target[0] - size[0], 0), max(target[1] - size[1], 0)
    return [Crop(x0, y0, target[1], target[0]), Pad(right, bottom)]
