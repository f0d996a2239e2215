"""Masks of instances: detectron2's published boxes around them, cut and empty ones."""

import numpy as np
import pytest
import torch

from app.engine.structures.masks import BitMasks, PolygonMasks, rasterize

BITS = torch.tensor(
    [
        [[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 0], [0, 1, 1, 0]],
        [[0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0]],
        [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
    ],
    dtype=torch.bool,
)
BOXES = [[1.0, 0, 4, 4], [1, 1, 3, 4], [0, 0, 0, 0]]


def test_published_boxes_around_bitmaps():
    masks = BitMasks(BITS)
    assert masks.tight_boxes().tolist() == BOXES
    assert masks.nonempty().tolist() == [True, True, False]


@pytest.mark.parametrize("box", BOXES, ids=["tall", "small", "empty"])
def test_a_rectangle_has_the_box_it_was_made_of(box):
    polygon = np.asarray(box)[[0, 1, 2, 1, 2, 3, 0, 3]]
    bits = torch.from_numpy(rasterize([polygon], 4, 4))
    assert BitMasks(bits[None]).tight_boxes()[0].tolist() == box
    assert PolygonMasks([[polygon]]).tight_boxes()[0].tolist() == box


def test_selecting_and_none():
    masks = BitMasks(torch.ones(3, 10, 10, dtype=torch.bool))
    assert masks.select(torch.tensor([1])).bits.shape == (1, 10, 10)
    assert masks.select(torch.tensor([True, False, False])).bits.shape == (1, 10, 10)
    assert BitMasks(torch.zeros(0, 100, 100, dtype=torch.bool)).tight_boxes().shape == (0, 4)
    assert PolygonMasks([]).tight_boxes().shape == (0, 4)


def test_a_point_between_two_pixels_falls_as_in_detectron2():
    # Its ratio of sides is rounded to single precision; with a double one, (10, 1) would be inside.
    star = [152, 48, 136.39, 57.87, 127.12, 70.83, 108.21, 63.98, 86.88, 62.11]
    star += [90.8, 48, 86.88, 33.89, 108.21, 32.02, 127.12, 25.17, 136.39, 38.13]
    masks = PolygonMasks([[np.array(star)]])
    (target,) = masks.crop_and_resize(torch.tensor([[80.0, 24, 152, 72]]), 14)
    assert not target[10, 1]
    assert target[10, 2]
