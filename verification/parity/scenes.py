"""Images and labels that need no files: generated from a seed, equal on every machine."""

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]


def image(height: int, width: int, *, seed: int) -> Image:
    """(height, width, 3) uint8: patches of several sizes, contrasts like a photo's."""
    random = np.random.RandomState(seed)
    total = np.zeros((height, width, 3), dtype=np.int64)
    for side, weight in ((64, 6), (16, 3), (4, 2), (1, 1)):
        patches = random.randint(
            0, 256, size=(-(-height // side), -(-width // side), 3), dtype=np.int64
        )
        total += weight * patches.repeat(side, axis=0).repeat(side, axis=1)[:height, :width]
    return np.clip((total // 12 - 128) * 2 + 128, 0, 255).astype(np.uint8)


def boxes(height: int, width: int) -> npt.NDArray[np.float32]:
    """Five boxes of all sizes, some overlapping: (5, 4) x0 y0 x1 y1."""
    shares = [
        (0.05, 0.10, 0.45, 0.90),
        (0.50, 0.20, 0.95, 0.60),
        (0.30, 0.55, 0.62, 0.95),
        (0.70, 0.65, 0.82, 0.80),
        (0.02, 0.02, 0.98, 0.97),
    ]
    return np.round(np.asarray(shares) * [width, height, width, height], 2).astype(np.float32)


def polygons(boxes: npt.NDArray[np.float32]) -> list[list[npt.NDArray[np.float64]]]:
    """A five-pointed star in each box."""
    angles = 2 * np.pi * np.arange(10) / 10
    radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.7)
    stars = []
    for x0, y0, x1, y1 in boxes.astype(np.float64):
        x = (x0 + x1) / 2 + (x1 - x0) / 2 * radius * np.cos(angles)
        y = (y0 + y1) / 2 + (y1 - y0) / 2 * radius * np.sin(angles)
        stars.append([np.round(np.stack((x, y), axis=1).ravel(), 2)])
    return stars


def keypoints(boxes: npt.NDArray[np.float32], *, seed: int) -> npt.NDArray[np.float32]:
    """17 points in each box: (G, 17, 3) x, y, visibility."""
    random = np.random.RandomState(seed)
    share = random.random_sample((len(boxes), 17, 2))
    xy = boxes[:, None, :2] + share * (boxes[:, None, 2:] - boxes[:, None, :2])
    visibility = random.choice([0, 1, 2, 2, 2], size=(len(boxes), 17, 1))
    return np.concatenate((np.round(xy, 2), visibility), axis=2).astype(np.float32)


def semantic(height: int, width: int, *, num_classes: int) -> npt.NDArray[np.int64]:
    """A class of every pixel, in tiles, with an ignored corner (255)."""
    y, x = np.mgrid[0:height, 0:width]
    tiles = (x // 48 + 3 * (y // 40)) % num_classes
    classes: npt.NDArray[np.int64] = tiles.astype(np.int64)
    classes[:8, :8] = 255
    return classes


def image_counts(num_classes: int) -> list[int]:
    """In how many images of an imagined training set each class occurs: rare to frequent."""
    return [1 + 37 * i % 211 for i in range(num_classes)]


def proposals(height: int, width: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Precomputed proposals, best first: a grid of boxes (P, 4) and their logits (P,)."""
    step = 16
    y, x, scale = np.meshgrid(
        np.arange(0, height - step, step),
        np.arange(0, width - step, step),
        [1, 2, 4],
        indexing="ij",
    )
    x0, y0, side = x.ravel(), y.ravel(), step * scale.ravel() * 1.37
    boxes = np.stack(
        (x0, y0, np.minimum(x0 + side, width), np.minimum(y0 + 0.8 * side, height)), axis=1
    )
    logits = np.linspace(4, -4, len(boxes))
    return boxes.astype(np.float32), logits.astype(np.float32)
