"""A labelled batch of photographs, the same for every engine.

H, W: height and width; M: objects of an image
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

OBJECTS: tuple[tuple[tuple[float, ...], ...], ...] = (
    (
        (0, 0.05, 0.10, 0.45, 0.90),
        (17, 0.50, 0.20, 0.95, 0.60),
        (56, 0.30, 0.55, 0.62, 0.95),
        (2, 0.70, 0.65, 0.82, 0.80),
        (41, 0.02, 0.02, 0.98, 0.97),
    ),
    (
        (0, 0.10, 0.05, 0.50, 0.55),
        (0, 0.45, 0.40, 0.92, 0.93),
        (73, 0.60, 0.08, 0.75, 0.30),
        (25, 0.20, 0.60, 0.28, 0.72),
    ),
)
"""Class, x0, y0, x1, y1 as shares of the image; the images use these objects in turns."""

_CORNERS = 12


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """Pixels of the network's input, and the objects in them.

    pixels    (H, W, 3) uint8 BGR
    boxes     (M, 4) float32
    classes   (M,) int64
    polygons  M rings x0 y0 x1 y1 ...: the ellipses inside the boxes
    """

    pixels: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    polygons: list[npt.NDArray[np.float64]]


def make_batch(
    images: Sequence[Path], *, batch: int, short: int, max_size: int
) -> list[LabelledImage]:
    """`batch` photographs, resized as a detector's input; files repeat if there are fewer."""
    made = []
    for number in range(batch):
        with Image.open(images[number % len(images)]) as opened:
            size = _size(opened.width, opened.height, short, max_size)
            pixels = np.asarray(opened.convert("RGB").resize(size, Image.Resampling.BILINEAR))
        objects = np.array(OBJECTS[number % len(OBJECTS)])
        boxes = objects[:, 1:] * [*size, *size]
        made.append(
            LabelledImage(
                np.ascontiguousarray(pixels[:, :, ::-1]),
                boxes.astype(np.float32),
                objects[:, 0].astype(np.int64),
                [_ellipse(box) for box in boxes],
            )
        )
    return made


def _size(width: int, height: int, short: int, max_size: int) -> tuple[int, int]:
    factor = min(short / min(width, height), max_size / max(width, height))
    return int(width * factor + 0.5), int(height * factor + 0.5)


def _ellipse(box: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    angle = 2 * np.pi * np.arange(_CORNERS) / _CORNERS
    center, radius = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    points = center + radius * np.stack((np.cos(angle), np.sin(angle)), axis=1)
    ring: npt.NDArray[np.float64] = points.reshape(-1)
    return ring
