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
