"""Crops of photographs: where they lie, and which objects count in them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from app.engine.config import load_config
from app.engine.data.loading.ground_truth import GroundTruthMapper
from app.engine.data.loading.mapper import TestMapper, TrainMapper
from app.engine.data.loading.samplers import crops_of_a_pass
from app.engine.data.transforms.tile_crop import TileCrop, TileOfPhotograph
from app.engine.structures.record import ImageRecord
from app.engine.structures.tiles import TileGrid

LIGHT = "configs/Mobile/retinanet_mobilenetv2_FPN_light.yaml"


def record(boxes, classes=None, size=(300, 500), crowd=None):
    boxes = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    classes = np.zeros(len(boxes), np.int64) if classes is None else np.array(classes)
    return ImageRecord(Path("a.png"), *size, boxes, classes, 0, crowd=crowd)


def crops(made, *, random_share=0.0, side=100, count=300):
    rng = np.random.default_rng(0)
    crop = TileCrop(TileGrid(side, 20), random_share)
    drawn = [crop.draw(made, rng)[0] for _ in range(count)]
    for one in drawn:
        assert 0 <= one.x0 <= made.width - one.width
        assert 0 <= one.y0 <= made.height - one.height
        assert (one.height, one.width) == (min(side, made.height), min(side, made.width))
    return drawn


def shows(crop, box):
    x0, y0, x1, y1 = box
    right, bottom = crop.x0 + crop.width, crop.y0 + crop.height
    return crop.x0 <= x0 and x1 <= right and crop.y0 <= y0 and y1 <= bottom


@pytest.mark.parametrize(
    "box",
    [
        pytest.param((0, 0, 5, 5), id="corner"),
        pytest.param((490, 290, 500, 300), id="other corner"),
        pytest.param((200.5, 99.5, 230.25, 180), id="between pixels"),
        pytest.param((200, 100, 300, 200), id="as large as a tile"),
    ],
)
def test_a_crop_shows_a_whole_object_anywhere_in_it(box):
    drawn = crops(record([box]))
    assert all(shows(crop, box) for crop in drawn)
    room = np.ptp([crop.x0 for crop in drawn])
    assert room <= 100 - (box[2] - box[0])
    assert room == 0 or room > 0.8 * min(100 - (box[2] - box[0]), box[0], 500 - box[2])


def test_a_crop_of_a_larger_object_lies_inside_it():
    drawn = crops(record([(100, 50, 400, 250)]))
    assert all(100 <= c.x0 <= 300 and 50 <= c.y0 <= 150 for c in drawn)
    assert len({c.x0 for c in drawn}) > 100


def test_classes_are_drawn_equally_often():
    boxes = [(10 * i, 10, 10 * i + 8, 18) for i in range(20)] + [(400, 250, 420, 270)]
    drawn = crops(record(boxes, [0] * 20 + [1]))
    shares = Counter(shows(crop, boxes[-1]) for crop in drawn)
    assert 0.4 < shares[True] / len(drawn) < 0.6


@pytest.mark.parametrize(
    ("made", "random_share"),
    [
        pytest.param(record([]), 0.0, id="no objects"),
        pytest.param(record([(0, 0, 5, 5)], crowd=np.array([True])), 0.0, id="a crowd only"),
        pytest.param(record([(0, 0, 5, 5)]), 1.0, id="all at random"),
    ],
)
def test_other_crops_lie_anywhere(made, random_share):
    drawn = crops(made, random_share=random_share)
    assert max(c.x0 for c in drawn) > 360
    assert max(c.y0 for c in drawn) > 180


def test_small_images_are_left_whole():
    assert TileCrop(TileGrid(100, 20), 0.1).draw(record([], size=(100, 90)), None) == []
    assert TileCrop.from_config(load_config(LIGHT)) is None


@pytest.mark.parametrize(
    ("box", "share"),
    [
        ((120, 120, 150, 140), 1.0),
        ((80, 120, 120, 140), 0.5),
        ((80, 80, 120, 120), 0.25),
        ((0, 0, 100, 100), 0.0),
        ((100, 50, 150, 350), 1.0),  # larger than the tile, which shows as much as it can
        ((50, 50, 150, 350), 0.5),
        ((10, 10, 10, 20), 0.0),  # without area
    ],
)
def test_the_visible_share_is_of_what_a_tile_can_show(box, share):
    tile = TileOfPhotograph(100, 100, 100, 100)
    assert tile.visible_shares(np.array([box], dtype=np.float32))[0] == pytest.approx(share)


def test_objects_of_which_less_than_half_is_visible_are_background():
    made = record([(120, 120, 150, 140), (70, 120, 120, 140), (80, 120, 120, 140)], [0, 1, 2])
    labels = GroundTruthMapper(min_visible=0.5)(
        made, [TileOfPhotograph(100, 100, 100, 100)], (100, 100)
    )
    assert labels.classes.tolist() == [0, 2]
    assert labels.boxes.tolist() == [[20, 20, 50, 40], [0, 20, 20, 40]]


def test_a_training_sample_is_a_crop_and_a_validation_sample_the_photograph(paint):
    cfg = load_config(LIGHT, ["INPUT.TILES.SIZE", "100", "INPUT.RANDOM_FLIP", "none"])
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.TILES.RANDOM_SHARE = (0,), 0.0
    path = paint("a.png", (300, 500), (210, 110, 240, 150, (200, 0, 0)))
    made = record([(210, 110, 240, 150)])
    made.path = path
    sample = TrainMapper.from_config(cfg)(made, np.random.default_rng(3))
    assert sample.size == (100, 100)
    assert len(sample.ground_truth) == 1
    x0, y0, x1, y1 = sample.ground_truth.boxes[0].int().tolist()
    assert (x1 - x0, y1 - y0) == (30, 40)
    assert (sample.image[:, y0:y1, x0:x1].sum(dim=0) > 0).all()
    whole = TestMapper.from_config(cfg)(made)
    assert whole.is_uncut
    assert whole.size == whole.original_size == (300, 500)
    losses = TestMapper.from_config(cfg, with_ground_truth=True)
    assert not losses(made).is_uncut
    assert losses(made).image.equal(losses(made).image)


def test_a_pass_looks_at_a_photograph_once_for_each_tile_of_its_area():
    made = [record([], size=(100, 100)), record([], size=(250, 120)), record([], size=(40, 30))]
    cfg = load_config(LIGHT, ["INPUT.TILES.SIZE", "100"])
    assert crops_of_a_pass(cfg, made) == [0, *[1] * 6, 2]
    assert crops_of_a_pass(load_config(LIGHT), made) == [0, 1, 2]
