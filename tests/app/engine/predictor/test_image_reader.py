"""Files and pixels become the same network inputs."""

import numpy as np
import pytest
from PIL import Image

from app.engine.data.images.reading import read_image
from app.engine.predictor.onnx_predictor import ImageReader
from app.engine.structures.size import Resizing


@pytest.mark.parametrize("image_format", ["BGR", "RGB", "L"])
@pytest.mark.parametrize("edge", [0, 20, 48])
def test_files_and_pixels_are_resized_alike(tmp_path, image_format, edge):
    path = tmp_path / "noise.png"
    pixels = np.random.default_rng(0).integers(0, 256, (32, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    reader = ImageReader(image_format, Resizing(edge, 80))
    found, expected = reader(path), reader.from_pixels(read_image(path, image_format))
    assert found.original_size == expected.original_size == (32, 60)
    assert found.size == {0: (32, 60), 20: (20, 38), 48: (43, 80)}[edge]
    assert found.pixels.dtype == np.uint8
    np.testing.assert_array_equal(found.pixels, expected.pixels)
