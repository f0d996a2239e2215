"""Pictures of discs, blocks and stars, drawn from a seed, for the small models of this room."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from app.engine.structures.record import ImageRecord
from verification.parity import scenes as patterns

CLASS_NAMES = ("disc", "block", "star")
_CORNERS = {"disc": 24, "block": 4, "star": 10}
_COLOURS = {"disc": (220, 70, 60), "block": (70, 190, 80), "star": (70, 90, 230)}

_SIDES = (20, 120)
"""Smallest and largest side of an object, in pixels."""
_AREA_OF_ONE = 4000
"""Pixels of a picture for each place that is tried."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture of G objects.

    pixels    (H, W, 3) uint8 RGB
    boxes     (G, 4) float32
    classes   (G,) int64
    polygons  of each object: x y x y ...
    """

    pixels: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    polygons: list[npt.NDArray[np.float64]]


def scene(height: int, width: int, *, seed: int) -> Scene:
    """Draw a picture; objects do not touch one another."""
    random = np.random.default_rng(seed)
    picture = Image.fromarray(patterns.image(height, width, seed=seed) // 3 + 70)
    draw = ImageDraw.Draw(picture)
    boxes: list[tuple[float, float, float, float]] = []
    classes, polygons = [], []
    for _ in range(height * width // _AREA_OF_ONE):
        box = _place(random, height, width)
        if any(_touch(box, other) for other in boxes):
            continue
        kind = int(random.integers(len(CLASS_NAMES)))
        name = CLASS_NAMES[kind]
        polygon = _polygon(name, box)
        shade = random.integers(-40, 41, 3)
        colour = tuple(int(c) for c in np.clip(np.add(_COLOURS[name], shade), 0, 255))
        draw.polygon([tuple(point) for point in polygon.reshape(-1, 2)], fill=colour)
        boxes.append(box)
        classes.append(kind)
        polygons.append(polygon)
    return Scene(
        np.asarray(picture),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(classes, np.int64),
        polygons,
    )


def records(folder: Path, number: int, *, height: int, width: int, seed: int) -> list[ImageRecord]:
    """Write pictures into `folder` and return their records."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for index in range(number):
        path, drawn = folder / f"{seed + index}.png", scene(height, width, seed=seed + index)
        Image.fromarray(drawn.pixels).save(path, compress_level=1)
        shapes = [[polygon] for polygon in drawn.polygons]
        found.append(
            ImageRecord(
                path, height, width, drawn.boxes, drawn.classes, index, segmentations=[*shapes]
            )
        )
    return found


def _place(
    random: np.random.Generator, height: int, width: int
) -> tuple[float, float, float, float]:
    """Draw a box, small ones more often."""
    low, high = np.log(_SIDES)
    side = np.exp(random.uniform(low, high))
    w, h = side * np.exp(random.uniform(-0.3, 0.3, 2))
    x, y = random.uniform(0, max(width - w, 1)), random.uniform(0, max(height - h, 1))
    return float(x), float(y), float(min(x + w, width - 1)), float(min(y + h, height - 1))


def _touch(box: tuple[float, ...], other: tuple[float, ...]) -> bool:
    apart = box[0] > other[2] or other[0] > box[2] or box[1] > other[3] or other[1] > box[3]
    return not apart


def _polygon(name: str, box: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """Return the outline of an object that fills its box: x y x y ..."""
    x0, y0, x1, y1 = box
    if name == "block":
        return np.array([x0, y0, x1, y0, x1, y1, x0, y1])
    angles = 2 * np.pi * np.arange(_CORNERS[name]) / _CORNERS[name]
    radius = np.where(np.arange(_CORNERS[name]) % 2 == 0, 1.0, 0.5 if name == "star" else 1.0)
    points = np.stack((radius * np.cos(angles), radius * np.sin(angles)), axis=1)
    low, high = points.min(axis=0), points.max(axis=0)
    points = (points - low) / (high - low) * [x1 - x0, y1 - y0] + [x0, y0]
    outline: npt.NDArray[np.float64] = points.ravel()
    return outline
