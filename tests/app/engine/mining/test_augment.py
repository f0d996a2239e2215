"""Views: the box still surrounds the object, and nothing is random."""

import pytest
import torch

from app.engine.mining._augment import VIEWS, colour, cutout, flip, resize, rotate

BOX = torch.tensor([[30.0, 10.0, 50.0, 40.0]])


def _image(height: int = 60, width: int = 100) -> torch.Tensor:
    """A bright object inside BOX on a dark ground."""
    image = torch.full((3, height, width), 20, dtype=torch.uint8)
    image[:, 10:40, 30:50] = 200
    return image


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_boxes_follow_the_pixels(name):
    view, boxes = VIEWS[name](_image(), BOX, 3)
    assert view.dtype == torch.uint8
    bright = (view.float().mean(0) > 100).nonzero()
    top, left = bright.amin(0).tolist()
    bottom, right = (bright.amax(0) + 1).tolist()
    x0, y0, x1, y1 = boxes[0].tolist()
    slack = 4 if name == "rotate" else 1.5  # a turned box is tight at its corners only
    assert [left, top, right, bottom] == pytest.approx([x0, y0, x1, y1], abs=slack)


@pytest.mark.parametrize("name", sorted(VIEWS))
@pytest.mark.parametrize("size", [(1, 1), (2, 301)], ids=["one pixel", "a line"])
def test_smallest_images(name, size):
    image = torch.full((3, *size), 90, dtype=torch.uint8)
    boxes = torch.tensor([[0.0, 0.0, size[1], size[0]]])
    view, moved = VIEWS[name](image, boxes, 0)
    assert min(view.shape) >= 1
    assert moved.shape == (1, 4)


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_same_seed_same_view_and_the_image_stays(name):
    image = _image()
    first, second = VIEWS[name](image, BOX, 5)[0], VIEWS[name](image, BOX, 5)[0]
    assert torch.equal(first, second)
    assert torch.equal(image, _image())


def test_flip_twice_is_the_image():
    image, boxes = flip(*flip(_image(), BOX, 0), 0)
    assert torch.equal(image, _image())
    assert torch.equal(boxes, BOX)


def test_resize_uses_the_true_ratio():
    image, boxes = resize(_image(61, 99), BOX, 0)
    assert image.shape == (3, 48, 79)
    assert boxes[0, 2].item() == pytest.approx(50 * 79 / 99)


def test_colour_brightens_saturates_and_keeps_grey():
    image = torch.tensor([100, 100, 60], dtype=torch.uint8).view(3, 1, 1).expand(3, 4, 4)
    view, _ = colour(image, BOX, 0)
    # x 1.5 = 150, 150, 90; contrast about their mean 130: 160, 160, 70;
    # saturation about their mean 130: 175, 175, 40.
    assert view[:, 0, 0].tolist() == [175, 175, 40]


def test_colour_stops_at_white():
    image = torch.tensor([255, 10, 10], dtype=torch.uint8).view(3, 1, 1).expand(3, 4, 4)
    assert colour(image, BOX, 0)[0][:, 0, 0].tolist() == [255, 0, 0]


def test_cutout_hides_a_part_and_depends_on_the_seed():
    views = [cutout(_image(), BOX, seed)[0] for seed in range(6)]
    hidden = [int((view == 0).all(0)[10:40, 30:50].sum()) / 600 for view in views]
    assert all(share <= 0.8 for share in hidden)
    assert any(share >= 0.1 for share in hidden)
    assert len({view.sum().item() for view in views}) > 1


@pytest.mark.parametrize("place", [(20, 120), (300, 40), (380, 220)], ids=str)
def test_a_rotated_point_is_where_its_box_is(place):
    x, y = place
    image = torch.zeros((3, 240, 400), dtype=torch.uint8)
    image[:, y : y + 6, x : x + 6] = 255
    view, boxes = rotate(image, torch.tensor([[x, y, x + 6, y + 6.0]]), 0)
    x0, y0, x1, y1 = boxes[0].tolist()
    weights = view[0].double()
    rows, columns = (torch.arange(n).double() + 0.5 for n in weights.shape)
    centre = (weights.sum(0) @ columns / weights.sum(), weights.sum(1) @ rows / weights.sum())
    assert [float(c) for c in centre] == pytest.approx([(x0 + x1) / 2, (y0 + y1) / 2], abs=0.2)
