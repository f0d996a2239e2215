"""Augmentations, which draw random transforms for a training image.

All random numbers come from the generator passed in: the same state gives the same transforms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from app.engine.config import CfgNode
from app.engine.data.transforms.geometric import (
    Crop,
    FastResize,
    FlipHorizontal,
    FlipVertical,
    Pad,
    Resize,
)
from app.engine.data.transforms.photometric import ColorChange
from app.engine.data.transforms.transform import Transform
from app.engine.structures.size import Resizing, Size, shortest_edge_size


class Augmentation(Protocol):
    """Draws transforms at random."""

    def draw(self, size: Size, rng: np.random.Generator) -> list[Transform]:
        """Draw the transforms of an image of `size`; the list may be empty."""
        ...


@dataclass(frozen=True)
class ShortestEdge:
    """Resize the short side to one of `edges` (or an integer between two); 0 does not resize.

    max_size  cap on the long side
    sampling  "choice" or "range" (both ends included)
    is_fast   resize by `FastResize`, for a training
    """

    edges: Sequence[int]
    max_size: int
    sampling: str = "choice"
    is_fast: bool = False

    def draw(self, size: Size, rng: np.random.Generator) -> list[Transform]:
        """One resize, or nothing."""
        if self.sampling == "range":
            edge = int(rng.integers(self.edges[0], self.edges[1] + 1))
        else:
            edge = self.edges[int(rng.integers(len(self.edges)))]
        if edge == 0:
            return []
        resize = FastResize if self.is_fast else Resize
        return [resize(size, shortest_edge_size(size, edge, self.max_size))]


@dataclass(frozen=True)
class Stretch:
    """Resize to one size, whatever the proportions of the image are; `is_fast` for a training."""

    target: Size
    is_fast: bool = False

    def draw(self, size: Size, rng: np.random.Generator) -> list[Transform]:
        """One resize."""
        return [(FastResize if self.is_fast else Resize)(size, self.target)]


@dataclass(frozen=True)
class RandomFlip:
    """Mirror half of the images."""

    vertical: bool = False

    def draw(self, size: Size, rng: np.random.Generator) -> list[Transform]:
        """One flip, or nothing."""
        if rng.random() >= 0.5:
            return []
        return [FlipVertical(size[0]) if self.vertical else FlipHorizontal(size[1])]


@dataclass(frozen=True)
class RandomCrop:
    """Keep a window at a random position.

    kind    "relative" (h, w) shares; "relative_range" shares from (h, w) to 1;
            "absolute" (h, w) pixels; "absolute_range" both sides within (min, max) pixels
    amount  the two numbers
    """

    kind: str
    amount: tuple[float, float]

    def draw(self, size: Size, rng: np.random.Generator) -> list[Transform]:
        """One crop."""
        height, width = self.crop_size(size, rng)
        y0 = int(rng.integers(size[0] - height + 1))
        x0 = int(rng.integers(size[1] - width + 1))
        return [Crop(x0, y0, width, height)]

    def crop_size(self, size: Size, rng: np.random.Generator) -> Size:
        """Size of the window, at least one pixel."""
        (height, width), (a, b) = size, self.amount
        if self.kind == "relative":
            crop = (int(height * a + 0.5), int(width * b + 0.5))
        elif self.kind == "relative_range":
            share_h, share_w = a + rng.random() * (1 - a), b + rng.random() * (1 - b)
            crop = (int(height * share_h + 0.5), int(width * share_w + 0.5))
        elif self.kind == "absolute":
            crop = (min(int(a), height), min(int(b), width))
        else:
            assert self.kind == "absolute_range"
            crop = (_integer(rng, a, b, height), _integer(rng, a, b, width))
        return max(crop[0], 1), max(crop[1], 1)


def _integer(rng: np.random.Generator, low: float, high: float, side: int) -> int:
    """Uniform in [low, high], both no larger than `side`."""
    return int(rng.integers(min(int(low), side), min(int(high), side) + 1))


@dataclass(frozen=True)
class LargeScaleJitter:
    """Rescale by a random factor, then crop or pad to a fixed size (https://arxiv.org/abs/2012.07177)."""

    target: Size
    min_scale: float
    max_scale: float

    def draw(self, size: Size, rng: np.random.Generator) -> list[Transform]:
        """Resize, crop, pad."""
        scaled = scaled_to_fit(size, self.target, rng.uniform(self.min_scale, self.max_scale))
        return [FastResize(size, scaled), *fixed_size(scaled, self.target, rng.random())]


def scaled_to_fit(size: Size, target: Size, factor: float) -> Size:
    """The largest size with the same aspect ratio that fits into `target` times `factor`."""
    scale = min(target[0] * factor / size[0], target[1] * factor / size[1])
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def fixed_size(size: Size, target: Size, position: float) -> list[Transform]:
    """Crop (at `position` in [0, 1] along both axes) and pad to `target` exactly."""
    y0 = round(max(size[0] - target[0], 0) * position)
    x0 = round(max(size[1] - target[1], 0) * position)
    bottom, right = max(target[0] - size[0], 0), max(target[1] - size[1], 0)
    return [Crop(x0, y0, target[1], target[0]), Pad(right, bottom)]


@dataclass(frozen=True)
class ColorJitter:
    """Brightness, contrast and saturation by a factor each, within 1 - amount .. 1 + amount."""

    amount: float
    image_format: str

    def draw(self, size: Size, rng: np.random.Generator) -> list[Transform]:
        """One colour change."""
        low, high = 1 - self.amount, 1 + self.amount
        brightness, contrast, saturation = rng.uniform(low, high, size=3).tolist()
        weights = (0.114, 0.587, 0.299) if self.image_format == "BGR" else (0.299, 0.587, 0.114)
        return [ColorChange(brightness, contrast, saturation, weights)]


def draw(
    augmentations: Sequence[Augmentation], size: Size, rng: np.random.Generator
) -> list[Transform]:
    """Draw the transforms of all augmentations, in order."""
    transforms: list[Transform] = []
    for augmentation in augmentations:
        for transform in augmentation.draw(size, rng):
            transforms.append(transform)
            size = transform.size(size)
    return transforms


def train_augmentations(cfg: CfgNode) -> list[Augmentation]:
    """Colour jitter, crop, resize (or large-scale jitter) and flip, as set in INPUT."""
    settings = cfg.INPUT
    augmentations: list[Augmentation] = []
    if settings.COLOR_JITTER > 0:
        augmentations.append(ColorJitter(settings.COLOR_JITTER, settings.FORMAT))
    if settings.CROP.ENABLED:
        augmentations.append(RandomCrop(settings.CROP.TYPE, tuple(settings.CROP.SIZE)))
    if settings.FIXED_SIZE:
        augmentations.append(Stretch(tuple(settings.FIXED_SIZE), is_fast=True))
    elif settings.LSJ.ENABLED:
        jitter = settings.LSJ
        augmentations.append(
            LargeScaleJitter(tuple(jitter.SIZE), jitter.MIN_SCALE, jitter.MAX_SCALE)
        )
    else:
        edges, sampling = settings.MIN_SIZE_TRAIN, settings.MIN_SIZE_TRAIN_SAMPLING
        augmentations.append(ShortestEdge(edges, settings.MAX_SIZE_TRAIN, sampling, is_fast=True))
    if settings.RANDOM_FLIP != "none":
        augmentations.append(RandomFlip(vertical=settings.RANDOM_FLIP == "vertical"))
    return augmentations


def test_augmentations(cfg: CfgNode) -> list[Augmentation]:
    """The resize of images in which objects are to be detected."""
    resizing = Resizing.from_config(cfg)
    if resizing.fixed is not None:
        return [Stretch(resizing.fixed)]
    return [ShortestEdge((resizing.edge,), resizing.max_size)]
