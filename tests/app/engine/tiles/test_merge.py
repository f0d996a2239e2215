"""Objects that a perfect detector sees in tiles are found again, each once and at its place."""

import time

import numpy as np
import pytest

from app.engine.structures.tiles import TileGrid
from app.engine.tiles.merge import Found, merge


def seen(objects, grid, size, classes=None, scores=None) -> Found:
    """What a detector finds that returns exactly the visible part of every object."""
    objects = np.array(objects, dtype=float).reshape(-1, 4)
    boxes, who, tile_of = [np.zeros((0, 4))], [], []
    views = [*grid.tiles(size)]
    for number, tile in enumerate(views):
        low = np.maximum(objects[:, :2], (tile.x0, tile.y0))
        high = np.minimum(objects[:, 2:], (tile.x1, tile.y1))
        visible = np.flatnonzero((high > low).all(axis=1))
        boxes.append(np.concatenate((low, high), axis=1)[visible])
        who += visible.tolist()
        tile_of += [number] * len(visible)
    who = np.array(who, dtype=np.int64)
    scores = np.linspace(0.9, 0.5, len(who)) if scores is None else np.array(scores)[who]
    classes = np.zeros(len(objects)) if classes is None else np.array(classes)
    return Found(
        np.concatenate(boxes),
        scores.astype(np.float32),
        classes[who].astype(np.int64),
        np.array(tile_of, dtype=np.int64),
    )


def merged(objects, grid, size, limit=None, **kwargs):
    found = seen(objects, grid, size, **kwargs)
    return merge(found, grid, size, iou_threshold=0.5, limit=limit)


def planted(rng, count, size, largest) -> np.ndarray:
    """Objects at random places, up to `largest` pixels wide and high, that do not overlap."""
    limits = np.minimum((largest, largest), (size[1], size[0]))
    wh = rng.uniform(1, np.maximum(limits, 1.01), (count, 2))
    if rng.random() < 0.5:
        wh = np.floor(wh)
    corner = rng.uniform(0, 1, (count, 2)) * ((size[1], size[0]) - wh)
    if rng.random() < 0.5:  # whole pixels: objects begin and end exactly at seams
        corner = np.floor(corner)
    kept: list[np.ndarray] = []
    for box in np.concatenate((corner, corner + wh), axis=1):
        others = np.array(kept).reshape(-1, 4)
        sides = np.minimum(others[:, 2:], box[2:]) - np.maximum(others[:, :2], box[:2])
        if not (sides > 0).all(axis=1).any():
            kept.append(box)
    return np.array(kept).reshape(-1, 4)


def assert_same(found, objects, atol=1.0):
    assert len(found.boxes) == len(objects)
    for box in objects:
        assert np.abs(found.boxes - box).max(axis=1).min() <= atol


@pytest.mark.parametrize("seed", range(60))
def test_objects_smaller_than_the_overlap_are_found_once(seed):
    rng = np.random.default_rng(seed)
    side = int(rng.integers(32, 200))
    grid = TileGrid(side, int(rng.integers(2, side * 3 // 4)))
    size = (int(rng.integers(side // 2, 4 * side)), int(rng.integers(side // 2, 4 * side)))
    objects = planted(rng, 50, size, grid.overlap - 0.01)
    classes = rng.integers(0, 3, len(objects))
    found = merged(objects, grid, size, classes=classes)
    assert_same(found, objects)


@pytest.mark.parametrize("overlap", [8, 24])
def test_every_size_of_a_photograph(overlap):
    side, rng = 32, np.random.default_rng(0)
    for length in range(side - 1, 3 * side + 2):
        size = (length, int(rng.integers(20, 80)))
        objects = planted(rng, 20, size, overlap - 0.01)
        assert_same(merged(objects, TileGrid(side, overlap), size), objects)


@pytest.mark.parametrize("seed", range(30))
def test_objects_that_no_tile_holds_whole_are_put_together(seed):
    rng = np.random.default_rng(seed)
    grid, size = TileGrid(100, 30), (350, 420)
    objects = planted(rng, 3, size, 330)
    assert_same(merged(objects, grid, size), objects)


def test_objects_of_different_classes_do_not_touch_each_other():
    grid, size = TileGrid(100, 30), (100, 300)
    same_place = [(60, 10, 90, 40), (60, 10, 90, 40), (10, 20, 290, 90), (10, 20, 290, 90)]
    assert len(merged(same_place, grid, size, classes=[0, 1, 0, 1]).boxes) == 4


def test_a_cut_piece_does_not_replace_the_whole_even_if_it_is_surer():
    grid, size = TileGrid(100, 40), (100, 160)  # tiles from 0 and from 60
    boxes = np.array([[80.0, 10, 100, 50], [80, 10, 110, 50]])
    found = Found(boxes, np.array([0.9, 0.3], np.float32), np.zeros(2, int), np.array([0, 1]))
    result = merge(found, grid, size, iou_threshold=0.5, limit=None)
    assert result.boxes.tolist() == [[80, 10, 110, 50]]
    assert result.best.tolist() == [1]


def test_a_piece_that_the_better_tile_does_not_confirm_is_dropped():
    grid, size = TileGrid(100, 40), (100, 160)
    found = Found(
        np.array([[80.0, 10, 100, 50]]), np.ones(1, np.float32), np.zeros(1, int), np.zeros(1, int)
    )
    assert len(merge(found, grid, size, iou_threshold=0.5, limit=None).boxes) == 0


def test_a_piece_of_a_large_object_that_no_other_tile_continues_stays():
    grid, size = TileGrid(100, 40), (100, 160)
    box = [[20.0, 10, 100, 50]]
    found = Found(np.array(box), np.ones(1, np.float32), np.zeros(1, int), np.zeros(1, int))
    assert merge(found, grid, size, iou_threshold=0.5, limit=None).boxes.tolist() == box


def test_the_whole_picture_counts_for_large_objects_only():
    grid, size = TileGrid(100, 40, whole_image=True), (100, 160)
    rows = [  # box, score, view: two tiles, then the whole picture
        ((20.0, 10, 100, 50), 0.5, 0),
        ((60, 10, 130, 50), 0.6, 1),
        ((18, 9, 131, 52), 0.4, 2),
        ((62, 60, 90, 80), 0.3, 1),
        ((60, 62, 92, 79), 0.9, 2),
    ]
    boxes, scores, views = (np.array(column) for column in zip(*rows, strict=True))
    found = Found(boxes, scores.astype(np.float32), np.zeros(5, dtype=np.int64), views)
    result = merge(found, grid, size, iou_threshold=0.5, limit=None)
    assert result.boxes.tolist() == [[18, 9, 131, 52], [62, 60, 90, 80]]


def test_the_limit_holds_after_merging():
    objects = [(x, y, x + 8, y + 8) for x in range(0, 150, 10) for y in range(0, 90, 10)]
    found = merged(objects, TileGrid(100, 40), (100, 160), limit=20)
    assert len(found.boxes) == 20


def test_the_best_come_first_and_parts_are_named():
    grid, size = TileGrid(100, 40), (100, 160)
    objects = [(5, 60, 155, 90), (10, 10, 30, 30), (120, 10, 140, 30)]
    found = seen(objects, grid, size, scores=[0.6, 0.5, 0.7])
    result = merge(found, grid, size, iou_threshold=0.5, limit=None)
    assert found.scores[result.best].tolist() == pytest.approx([0.7, 0.6, 0.5])
    assert [len(part) for part in result.parts] == [1, 2, 1]


def test_nothing_found():
    result = merged([], TileGrid(100, 40), (300, 300))
    assert result.boxes.shape == (0, 4)
    assert result.best.shape == (0,)


def test_a_hundred_tiles_of_a_hundred_objects_take_a_second():
    grid, size = TileGrid(400, 100), (3100, 3100)
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 3040, (6000, 2))
    objects = np.concatenate((corner, corner + rng.uniform(20, 60, (6000, 2))), axis=1)
    started = time.process_time()
    found = merged(objects, grid, size)
    assert time.process_time() - started < 10
    assert 4000 < len(found.boxes) <= 6000
