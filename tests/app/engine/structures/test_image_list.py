"""Images of different sizes in one tensor: detectron2's published sizes."""

import pytest
import torch

from app.engine.structures.image_list import ImageList


@pytest.mark.parametrize(
    ("shapes", "divisibility", "padded"),
    [
        pytest.param([(3, 15, 20)], 4, (1, 3, 16, 20), id="one"),
        pytest.param([(15, 20)], 4, (1, 16, 20), id="without channels"),
        pytest.param([(3, 25, 20), (3, 10, 10)], 4, (2, 3, 28, 20), id="two"),
        pytest.param([(10, 20), (12, 22)], 10, (2, 20, 30), id="two without channels"),
        pytest.param([(1, 7, 5), (1, 3, 9)], 0, (2, 1, 7, 9), id="no divisor"),
    ],
)
def test_padding_is_zero_at_right_and_bottom(shapes, divisibility, padded):
    images = ImageList.from_tensors([torch.ones(shape) for shape in shapes], divisibility)
    assert images.tensor.shape == padded
    assert images.sizes == [shape[-2:] for shape in shapes]
    assert len(images) == len(shapes)
    for row, (height, width) in zip(images.tensor, images.sizes, strict=True):
        assert row[..., :height, :width].min() == 1
        assert row.sum() == row[..., :height, :width].sum()
