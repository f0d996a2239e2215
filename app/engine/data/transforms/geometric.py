"""Resizing, mirroring, cropping and padding."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from app.engine.data.transforms.resizing import resize_bytes
from app.engine.data.transforms.transform import Labels, Pixels, Points, Transform
from app.engine.structures.size import Size

LABEL_PADDING = 255
"""Value of padding in label maps; the loss ignores it."""


@dataclass(frozen=True, slots=True)
class Resize(Transform):
    """Scale from size `old` to size `new`."""

    old: Size
    new: Size

    def pixels(self, pixels: Pixels) -> Pixels:
        """See `resize`."""
        return resize(pixels, self.new)

    def labels(self, labels: Labels) -> Labels:
        """Nearest neighbour at pixel centres, as PIL computes it."""
        rows = _nearest(labels.shape[0], self.new[0])
        columns = _nearest(labels.shape[1], self.new[1])
        picked: Labels = labels[rows[:, None], columns]
        return picked

    def points(self, points: Points) -> Points:
        """Scales each axis by its own factor."""
        return points * [self.new[1] / self.old[1], self.new[0] / self.old[0]]

    def size(self, size: Size) -> Size:
        """`new`."""
        return self.new


@dataclass(frozen=True, slots=True)
class FastResize(Resize):
    """For augmentations, which draw a size anyway: uint8 within one level of `Resize`."""

    def pixels(self, pixels: Pixels) -> Pixels:
        """See `resize_fast`."""
        return resize_fast(pixels, self.new)


@dataclass(frozen=True, slots=True)
class FlipHorizontal(Transform):
    """Mirror left and right in an image of `width`."""

    width: int
    is_mirror: ClassVar[bool] = True

    def pixels(self, pixels: Pixels) -> Pixels:
        """A copy, because torch mirrors much faster than a reversed view can be read."""
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
        """Moves the origin to the window's corner."""
        return points - [self.x0, self.y0]

    def ring(self, ring: Points) -> Points:
        """The part of the polygon inside the window."""
        return _cut(self.points(ring), self.width, self.height)

    def size(self, size: Size) -> Size:
        """The size of the window's part inside the image."""
        return min(self.height, size[0] - self.y0), min(self.width, size[1] - self.x0)


@dataclass(frozen=True, slots=True)
class Pad(Transform):
    """Add `right` columns and `bottom` rows of `value`."""

    right: int
    bottom: int
    value: float = 128

    def pixels(self, pixels: Pixels) -> Pixels:
        """A padded copy, or the same array if there is nothing to add."""
        return self._pad(pixels, self.value)

    def labels(self, labels: Labels) -> Labels:
        """Pads label maps with 255 (ignored by the loss) and masks with False."""
        return self._pad(labels, 0 if labels.dtype == np.bool_ else LABEL_PADDING)

    def size(self, size: Size) -> Size:
        """The size with the padding."""
        return size[0] + self.bottom, size[1] + self.right

    def _pad(self, values: npt.NDArray[Any], fill: float) -> npt.NDArray[Any]:
        if not self.right and not self.bottom:
            return values
        height, width = self.size((values.shape[0], values.shape[1]))
        padded = np.full((height, width, *values.shape[2:]), fill, dtype=values.dtype)
        padded[: values.shape[0], : values.shape[1]] = values
        return padded


def resize(pixels: Pixels, size: Size) -> Pixels:
    """(H, W, C) -> (*size, C) by bilinear interpolation as in detectron2.

    It resizes uint8 with Pillow, which antialiases, and floats with torch, which does not.
    """
    return resize_bytes(pixels, size) if pixels.dtype == np.uint8 else resize_fast(pixels, size)


def resize_fast(pixels: Pixels, size: Size) -> Pixels:
    """Like `resize`, uint8 several times as fast by torch's kernel.

    Its weights have fewer bits: up to 1 % of the values differ from Pillow's, by one level.
    """
    if pixels.shape[:2] == size:
        return pixels
    antialias = pixels.dtype == np.uint8
    image = _as_tensor(pixels)
    resized = F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=antialias)
    return _as_pixels(resized)


def _nearest(old: int, new: int) -> npt.NDArray[np.int64]:
    """Index of the old pixel for each new pixel; summed up as PIL does, so that ties are equal."""
    steps = np.full(new, old / new)
    steps[0] /= 2
    return np.minimum(np.cumsum(steps).astype(np.int64), old - 1)


def _as_tensor(pixels: Pixels) -> torch.Tensor:
    """(H, W, C) -> (1, C, H, W) view whose strides torch recognises as channels-last."""
    # torch supports neither negative strides nor read-only memory.
    if not pixels.flags.writeable or min(pixels.strides) < 0:
        pixels = pixels.copy()
    return torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)


def _as_pixels(image: torch.Tensor) -> Pixels:
    """(1, C, H, W) -> (H, W, C) view."""
    pixels: Pixels = image.permute(0, 2, 3, 1)[0].numpy()
    return pixels


def _cut(ring: Points, width: int, height: int) -> Points:
    """Clip to (0, 0, width, height) by Sutherland-Hodgman; (0, 2) if nothing is left."""
    for axis, sign, limit in ((0, 1, 0), (0, -1, -width), (1, 1, 0), (1, -1, -height)):
        if not len(ring):
            break
        distance = sign * ring[:, axis] - limit
        if (distance >= 0).all():
            continue
        ring = _cut_side(ring, distance)
    return ring


def _cut_side(ring: Points, distance: npt.NDArray[np.float64]) -> Points:
    """The part of the ring where `distance` (N,) is not negative."""
    kept: list[Points] = []
    for i in range(len(ring)):
        before, here = distance[i - 1], distance[i]
        if (before >= 0) != (here >= 0):
            kept.append(ring[i - 1] + (ring[i] - ring[i - 1]) * (before / (before - here)))
        if here >= 0:
            kept.append(ring[i])
    return np.array(kept).reshape(-1, 2)
