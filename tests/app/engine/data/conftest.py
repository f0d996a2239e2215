"""Pictures and annotation files made on the fly."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from app.engine.structures.record import ImageRecord

SaveImage = Callable[..., Path]
MakeRecord = Callable[..., ImageRecord]


@pytest.fixture
def picture() -> npt.NDArray[np.uint8]:
    """A smooth colourful picture, 24 x 32."""
    y, x = np.mgrid[0:24, 0:32]
    return np.stack((x * 8, y * 10, 255 - x * 4), axis=2).astype(np.uint8)


@pytest.fixture
def save_image(tmp_path: Path) -> SaveImage:
    """Save an array, or a plain picture of a size, under a name; gives the path."""

    def save(
        name: str = "a.png",
        pixels: npt.NDArray[Any] | None = None,
        *,
        size: tuple[int, int] = (24, 32),
        **options: Any,
    ) -> Path:
        if pixels is None:
            pixels = np.full((*size, 3), 100, dtype=np.uint8)
        path = tmp_path / name
        Image.fromarray(pixels).save(path, **options)
        return path

    return save


@pytest.fixture
def make_record(save_image: SaveImage) -> MakeRecord:
    """A record of an image that exists, with the given boxes and classes."""
    count = 0

    def make(
        boxes: list[list[float]] | None = None,
        classes: list[int] | None = None,
        *,
        size: tuple[int, int] = (24, 32),
        image_id: int | None = None,
        **fields: Any,
    ) -> ImageRecord:
        nonlocal count
        number = count if image_id is None else image_id
        pixels = np.full((*size, 3), (37 * count + 20) % 255, dtype=np.uint8)
        path = save_image(f"image{count}.png", pixels)
        count += 1
        boxes = [[2, 3, 12, 15]] if boxes is None else boxes
        return ImageRecord(
            path=path,
            height=size[0],
            width=size[1],
            boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
            classes=np.array([0] * len(boxes) if classes is None else classes, dtype=np.int64),
            image_id=number,
            **fields,
        )

    return make
