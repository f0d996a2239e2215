"""Pictures: the original stays, boxes appear in their colour, odd inputs do not break it."""

import numpy as np
import pytest
import torch

from app.engine.evaluation.visualize import _free_place, class_color, draw, mosaic
from app.engine.structures.detections import Detections

NAMES = ["cat", "a class with a very long name indeed", "x"]


def detections(boxes, size=(60, 80), **extra):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    num = len(boxes)
    return Detections(size, boxes, torch.linspace(0.9, 0.1, num), torch.arange(num) % 3, **extra)


def test_box_is_drawn_in_its_color_and_the_input_is_untouched():
    image = np.full((60, 80, 3), 127, dtype=np.uint8)
    picture = draw(image, detections([[10, 20, 50, 50]]), NAMES, min_side=0)
    assert picture.shape == image.shape
    assert tuple(picture[35, 10]) == class_color(0)
    assert (image == 127).all()


def test_small_images_are_enlarged():
    image = np.zeros((30, 60, 3), dtype=np.uint8)
    assert draw(image, detections([[1, 1, 9, 9]], (30, 60)), NAMES, min_side=300).shape == (
        300,
        600,
        3,
    )


@pytest.mark.parametrize(
    "boxes",
    [
        pytest.param([], id="no detections"),
        pytest.param([[-50, -50, 500, 500]], id="larger than the image"),
        pytest.param([[10, 10, 10, 10]], id="empty box"),
        pytest.param([[10, 10, 40, 40]] * 30, id="thirty in one place"),
    ],
)
def test_odd_boxes(boxes):
    image = np.zeros((60, 80, 3), dtype=np.uint8)
    gt = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    assert draw(image, detections(boxes), NAMES, gt_boxes=gt).dtype == np.uint8


def test_low_scores_are_left_out():
    image = np.zeros((60, 80, 3), dtype=np.uint8)
    assert (
        draw(image, detections([[1, 1, 9, 9]]), NAMES, score_thresh=0.95, min_side=0) == 0
    ).all()


def test_masks_and_keypoints():
    image = np.zeros((60, 80, 3), dtype=np.uint8)
    masks = torch.zeros(1, 60, 80, dtype=torch.bool)
    masks[0, 30:40, 30:40] = True
    points = torch.tensor([[[20.0, 50.0, 1.0], [60.0, 50.0, 0.0]]])
    found = detections([[10, 10, 70, 58]], masks=masks, keypoints=points)
    picture = draw(image, found, NAMES, min_side=0)
    assert picture[35, 35].any()
    assert tuple(picture[50, 20]) == class_color(0)
    assert not picture[50, 60].any()


@pytest.mark.parametrize(
    ("box", "taken", "width", "expected"),
    [
        pytest.param((30, 40, 70, 58), [], 100, (30, 26, 56, 40), id="above its box"),
        pytest.param((30, 5, 70, 50), [], 100, (30, 5, 56, 19), id="inside at the top"),
        pytest.param((-9, 40, 70, 58), [], 100, (0, 26, 26, 40), id="box over the left edge"),
        pytest.param((90, 40, 99, 58), [], 100, (74, 26, 100, 40), id="box at the right edge"),
        pytest.param((3, 40, 18, 58), [], 20, (0, 26, 26, 40), id="wider than the image"),
        pytest.param(
            (30, 20, 70, 44), [(50, 0, 60, 21)], 100, (30, 44, 56, 58), id="below its box"
        ),
        pytest.param((30, 40, 70, 58), [(0, 0, 100, 60)], 100, None, id="no place left"),
        pytest.param((30, 40, 70, 58), [(56, 0, 99, 60)], 100, (30, 26, 56, 40), id="one beside"),
    ],
)
def test_place_of_a_label(box, taken, width, expected):
    """Of a text 20 pixels wide and 9 high, with its margins 26 and 14, in an image 60 high."""
    assert _free_place((0, 0, 20, 9), box, taken, (width, 60)) == expected


def test_colors_differ():
    assert len({class_color(index) for index in range(200)}) > 190


@pytest.mark.parametrize("number", [0, 1, 3, 7])
def test_mosaic_of_different_sizes(number):
    images = [np.full((20 + 10 * i, 50, 3), 9, dtype=np.uint8) for i in range(number)]
    sheet = mosaic(images, cell=(64, 64))
    assert sheet.shape[2] == 3
    assert sheet.dtype == np.uint8
