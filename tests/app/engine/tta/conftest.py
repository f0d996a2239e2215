"""Records of small pictures on disk."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.engine.structures.record import ImageRecord


@pytest.fixture
def make_records(tmp_path: Path) -> Callable[[int], list[ImageRecord]]:
    """That many images, each with one object and its mask."""

    def make(count: int) -> list[ImageRecord]:
        records = []
        for number in range(count):
            path = tmp_path / f"{number}.png"
            pixels = np.random.default_rng(number).integers(0, 255, (64, 96, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
            square = np.array([10.0, 10, 40, 10, 40, 40, 10, 40])
            records.append(
                ImageRecord(
                    path,
                    64,
                    96,
                    np.array([[10, 10, 40, 40]], np.float32),
                    np.array([number % 3]),
                    image_id=number,
                    segmentations=[[square]],
                )
            )
        return records

    return make
